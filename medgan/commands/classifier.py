"""``medgan classifier check``: can this classifier be explained, and by which methods?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from medgan.explanation.scored_classifier import ScoredClassifier
    from medgan.inference.classifier import Classifier

PHANTOM_PROBES = 8
"""Phantom radiographs that a classifier is looked at with where no images are given."""


def scored_classifier(classifier: Classifier) -> ScoredClassifier:
    """Return a classifier as the explanation methods take it."""
    from medgan.explanation.scored_classifier import ScoredClassifier

    return ScoredClassifier(
        module=classifier.module,
        target_layer=classifier.target_layer,
        score_space=classifier.score_space,
        class_names=classifier.class_names,
        output=classifier.output,
    )


def check_classifier(
    name_or_folder: str, *, images: Sequence[Path] = (), trust_code: bool = False, accept_domain: bool = False
) -> dict[str, Any]:
    """Load a classifier and run the preflight on it, for every attribution method.

    Parameters
    ----------
    name_or_folder : str
        An embedded name, a bundle, or a folder with ``classifier.yaml``.
    images : sequence of Path
        At least four radiographs of different classes; phantoms if none are given.
    trust_code : bool
        Run the user's own factory, or load an exported program.
    accept_domain : bool
        Go on with radiographs that are not of the classifier's domain.

    Returns
    -------
    dict
        What it is, the finding of each rule, and the methods that must not be used, with the reason. ``usable`` is
        False where nothing may be explained.

    Raises
    ------
    BundleError, SettingsError, InferenceError, FormatError
        If it or an image cannot be loaded.
    ExplanationError
        If there are fewer than four images.
    """
    import torch

    from medgan.explanation.discriminative import METHODS
    from medgan.explanation.preflight import preflight
    from medgan.inference.classifier import CAN, CANNOT, open_classifier

    classifier = open_classifier(name_or_folder, trust_code=trust_code)
    probes = _radiographs(images, classifier, accept_domain) if images else phantom_probes(classifier.domain.input_size)
    report = preflight(scored_classifier(classifier), torch.from_numpy(probes)[:, None], methods=tuple(METHODS))
    refused = report.refused
    return {
        "name": classifier.name,
        "classes": list(classifier.class_names),
        "input_size": list(classifier.domain.input_size),
        "channels": classifier.module.channels,
        "score_space": classifier.score_space,
        "target_layer": classifier.target_layer.removeprefix("network."),
        "weights_sha256": classifier.weights_sha256,
        "parameters": sum(p.numel() for p in classifier.module.parameters()),
        "gives_gradients": classifier.has_gradients,
        "notices": list(classifier.notices),
        "looked_at_with": f"{len(probes)} {'radiographs' if images else 'phantom radiographs'}",
        "usable": not report.fatal,
        "methods": [] if report.fatal else [name for name in METHODS if name not in refused],
        "preflight": report.as_dict(),
        "can": list(CAN),
        "cannot": [] if classifier.has_gradients else list(CANNOT),
    }


def check_lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts of :func:`check_classifier` as sentences."""
    rows, columns = facts["input_size"]
    lines = [
        f"{facts['name']}: {' | '.join(facts['classes'])}, input {columns} x {rows} px, "
        f"{facts['channels']} channel(s), {facts['score_space']} scores, {facts['parameters']} parameters",
        f"weights {facts['weights_sha256'][:12]}…, target layer {facts['target_layer'] or 'none'}",
        *facts["notices"],
        f"looked at with {facts['looked_at_with']}:",
        *(f"  {one['rule']:<17} {one['status']:<12} {one['reason']}" for one in facts["preflight"]["findings"]),
    ]
    if facts["cannot"]:
        lines += ["It can be given: " + "; ".join(facts["can"]), "It cannot be given: " + "; ".join(facts["cannot"])]
    methods = ", ".join(facts["methods"])
    return [*lines, f"Methods that may be used: {methods}" if facts["usable"] else "Nothing may be explained."]


def phantom_probes(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return phantom radiographs (N, H, W) in [-1, 1], half of them with a lesion."""
    import numpy as np

    from medgan.phantoms.chest import chest_twins
    from medgan.seeding import numpy_generator
    from medgan.volume.radiograph_placement import RadiographPlacement

    drawn = (max(size[0], 64), max(size[1], 64))
    placement = RadiographPlacement.of(drawn, size, crop="stretch")
    probes = []
    for index in range(PHANTOM_PROBES):
        twins = chest_twins(generator=numpy_generator(0, "probe", index), shape=drawn, kind="consolidation")
        chest = twins.with_lesion if index % 2 else twins.without_lesion
        # The full range, which real radiographs use.
        array = chest.array - chest.array.min()
        probes.append(placement.prepared(np.asarray(2 * array / array.max() - 1, dtype=np.float32)))
    return np.clip(np.stack(probes), -1, 1)


def _radiographs(images: Sequence[Path], classifier: Classifier, accept_domain: bool) -> npt.NDArray[np.float32]:
    import numpy as np

    from medgan.formats.radiograph import read_radiograph
    from medgan.inference.classifier_input import prepared_radiograph

    prepared = []
    for path in images:
        file = read_radiograph(path)
        prepared.append(
            prepared_radiograph(
                file.radiograph,
                classifier.domain,
                name=path.name,
                model=classifier.name,
                accept_domain=accept_domain,
            ).image
        )
    return np.stack(prepared)
