"""The classifier, the translator and the second classifier of an explanation, checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medgan.errors import ExplanationError, InferenceError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from medgan.explanation.explanation import Preflight
    from medgan.explanation.scored_classifier import ScoredClassifier, Translate
    from medgan.inference.classifier import Classifier
    from medgan.inference.plane_translator import PlaneTranslator

DEMONSTRATION = ("chest28-classifier", "chest28-translator", "chest28-second")
"""Embedded classifier, translator and second classifier."""


@dataclass(frozen=True, eq=False)
class ExplainedModels:
    """Models that speak of the same classes.

    Parameters
    ----------
    classifier : Classifier
        The one that is explained.
    translator : PlaneTranslator
    second : Classifier or None
        Of another seed and architecture, trained on the same data.
    """

    classifier: Classifier
    translator: PlaneTranslator
    second: Classifier | None

    @property
    def scored(self) -> ScoredClassifier:
        """The classifier as explanation methods take it."""
        from medgan.commands.classifier import scored_classifier

        return scored_classifier(self.classifier)

    @property
    def second_scored(self) -> ScoredClassifier | None:
        """The second classifier likewise."""
        from medgan.commands.classifier import scored_classifier

        return None if self.second is None else scored_classifier(self.second)

    @property
    def pair(self) -> tuple[int, int]:
        """Class indices, in the classifier, of the translator's two classes."""
        names = self.classifier.class_names
        first, other = self.translator.classes
        return names.index(first), names.index(other)

    @property
    def stamps(self) -> tuple[str, ...]:
        """What every page has to say about these models."""
        known = [m.domain.stamp for m in (self.classifier, self.translator, self.second) if m is not None]
        return tuple(dict.fromkeys(stamp for stamp in known if stamp))

    def translate_into(self, label: int) -> Translate:
        """Return the translation into a class of the classifier, as tensors."""
        toward = self.classifier.class_names[label]
        device = self.translator.device
        return lambda images: self.translator.translated_tensor(images.to(device), toward=toward)

    def facts(self) -> dict[str, Any]:
        """Return names, digests and domains."""
        found: dict[str, Any] = {}
        for role, model in (
            ("classifier", self.classifier),
            ("translator", self.translator),
            ("second classifier", self.second),
        ):
            if model is None:
                found[role] = None
                continue
            found[role] = {
                "name": model.name,
                "weights_sha256": model.weights_sha256,
                "input_size": list(model.domain.input_size),
                "population": model.domain.population,
            }
        found["classifier"] |= {
            "classes": list(self.classifier.class_names),
            "score_space": self.classifier.score_space,
            "target_layer": self.classifier.target_layer.removeprefix("network."),
        }
        asked = self.translator.asked
        found["translator"] |= {
            "classes": list(self.translator.classes),
            "trained_with_classifier": None
            if asked is None
            else {"name": asked.name, "weights_sha256": asked.weights_sha256, "weight": asked.weight},
        }
        return found


def opened_models(
    classifier: str | None,
    translator: str | None,
    second: str | None,
    *,
    trust_code: bool = False,
    device: str = "cpu",
) -> ExplainedModels:
    """Open the models of an explanation; without any named, the embedded demonstration models.

    Raises
    ------
    SettingsError
        If only one of classifier and translator is named.
    InferenceError
        If they speak of different classes or sizes.
    BundleError
        If one is absent or damaged.
    """
    from medgan.inference.classifier import open_classifier
    from medgan.inference.plane_translator import open_plane_translator

    if (classifier is None) != (translator is None):
        given, missing = ("classifier", "translator") if translator is None else ("translator", "classifier")
        raise SettingsError(
            f"A {given} of your own needs a {missing} that knows its classes: name it by --{missing}. "
            "Without either, the embedded demonstration models are used."
        )
    if classifier is None or translator is None:
        classifier, translator = DEMONSTRATION[:2]
        second = DEMONSTRATION[2] if second is None else second
    models = ExplainedModels(
        open_classifier(classifier, trust_code=trust_code, device=device),
        open_plane_translator(translator, device=device),
        None if second is None else open_classifier(second, trust_code=trust_code, device=device),
    )
    models.translator.require_fits(models.classifier)
    if models.second is not None:
        _require_twin(models.classifier, models.second)
    return models


def _require_twin(classifier: Classifier, second: Classifier) -> None:
    if second.class_names != classifier.class_names or second.domain.input_size != classifier.domain.input_size:
        raise InferenceError(
            f"A second classifier tells the same classes apart, in the same order and on images of the same size: "
            f"{classifier.name} has {' | '.join(classifier.class_names)} on {classifier.domain.input_size}, "
            f"{second.name} {' | '.join(second.class_names)} on {second.domain.input_size}."
        )
    if second.weights_sha256 == classifier.weights_sha256:
        raise InferenceError(
            f"A second classifier has other weights: {second.name} and {classifier.name} are the same model."
        )


def looked_at(models: ExplainedModels, images: npt.NDArray[np.float32], methods: tuple[str, ...]) -> Preflight:
    """Return the preflight of the explained classifier.

    Parameters
    ----------
    images : (N, h, w) float32
        As the classifier will see them. With fewer than eight, phantom radiographs stand beside them.
    methods : tuple of str
        That will be asked for.

    Raises
    ------
    ExplanationError
        If nothing may be explained, with every reason.
    """
    import numpy as np
    import torch

    from medgan.commands.classifier import phantom_probes
    from medgan.explanation.discriminative import METHODS
    from medgan.explanation.preflight import preflight
    from medgan.settings import meant

    for method in methods:
        if method not in METHODS:
            raise SettingsError(f"{method!r} is not an attribution method. {meant(method, list(METHODS))}")
    size = models.classifier.domain.input_size
    probes = (
        images[:: max(1, len(images) // 32)] if len(images) >= 8 else np.concatenate([images, phantom_probes(size)])
    )
    report = preflight(models.scored, torch.from_numpy(np.ascontiguousarray(probes))[:, None], methods=methods)
    if report.fatal:
        reasons = " ".join(one.reason for one in report.failures if one.fatal)
        raise ExplanationError(f"{models.classifier.name} cannot be explained: {reasons}")
    return report
