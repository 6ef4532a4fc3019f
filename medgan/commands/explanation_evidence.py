"""What the explanations of a cohort amount to: rates, tables of methods, atlas, controls, tests and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.explanation.explanation import CohortResult, Rate
from medgan.seeding import numpy_generator

if TYPE_CHECKING:
    from torch import Tensor

    from medgan.commands.explanation_cases import ExplainedDirection
    from medgan.commands.explanation_images import ExplainedImage
    from medgan.commands.explanation_models import ExplainedModels
    from medgan.commands.explanation_settings import ExplainSettings
    from medgan.explanation.explanation import Atlas, Calibration, Control, Diversity, Equivalence, Localization

Mask = npt.NDArray[np.bool_]
Label = Callable[["Tensor"], npt.NDArray[np.float64]]
"""Images (N, 1, h, w) to a value of each that should stay constant under translation."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a study knows beside its images.

    Parameters
    ----------
    regions : mapping of str to (h, w) bool
        Declared regions of the restore test that are the same in all images, such as a marker's corner.
    findings : mapping of direction to sequence of (h, w)
        Changes that real findings would make, to compare the diversity of changes with. By default real images of the
        target class minus the mean of the source class.
    labels : mapping of str to callable or None
        Labels that should stay constant; None where nothing measures them.
    """

    regions: Mapping[str, Mask] = field(default_factory=dict)
    findings: Mapping[str, Sequence[npt.NDArray[np.float32]]] = field(default_factory=dict)
    labels: Mapping[str, Label | None] = field(default_factory=dict)


def flip_kinds(direction: ExplainedDirection) -> dict[str, Rate]:
    """Return how many of a direction's flips are what, those of too low a probability included."""
    kinds = Counter(one.flip for one in direction.verdicts if one.flip)
    total = sum(kinds.values())
    names = ("robust", "fragile", "classifier-specific", "undecided")
    return {name: Rate(kinds[name], total) for name in names}


def cohort_evidence(
    models: ExplainedModels,
    directions: Sequence[ExplainedDirection],
    *,
    settings: ExplainSettings,
    reference: Reference,
    knows_labels: bool,
) -> CohortResult:
    """Return everything about a cohort that its images allow.

    Parameters
    ----------
    directions : sequence of ExplainedDirection
        Those with queries.
    reference : Reference
    knows_labels : bool
        Whether source classes are true ones; without, there is no calibration and no sham of a true class.
    """
    from medgan.explanation.cohort_summary import alternative_counts, method_summaries

    cases = [case.explanation for one in directions for case in one.cases]
    scored, batch, seed = models.scored, settings.batch, settings.seed
    return CohortResult(
        class_names=models.classifier.class_names,
        success=tuple(one.found.success() for one in directions),
        verdicts={one.found.direction: dict(Counter(v.kind for v in one.verdicts)) for one in directions},
        methods=method_summaries(cases, generator=numpy_generator(seed, "methods"), resamples=settings.resamples),
        alternatives=alternative_counts(cases),
        atlas=tuple(_atlases(directions, settings)),
        equivalence=tuple(_equivalences(directions, reference, models, settings)),
        controls=tuple(_controls(models, directions, settings)),
        diversity=tuple(_diversities(directions, reference)),
        localization=tuple(_localizations(scored, directions, reference, settings)),
        dose=tuple(_doses(scored, directions, settings.doses, batch)),
        calibration=tuple(_calibrations(directions, knows_labels)),
        settings=settings.model_dump(mode="json"),
    )


def _atlases(directions: Sequence[ExplainedDirection], settings: ExplainSettings) -> list[Atlas]:
    from medgan.explanation.cohort_atlas import cohort_atlas

    made = []
    for one in directions:
        # All correctly classified queries, so that nothing is selected by its outcome.
        correct = np.flatnonzero(one.found.correct.numpy())
        if not len(correct):
            continue
        made.append(
            cohort_atlas(
                real=[one.found.real[n, 0].numpy() for n in correct],
                fake=[one.found.fake[n, 0].numpy() for n in correct],
                subjects=[one.subjects[n] for n in correct],
                direction=one.found.direction,
                generator=numpy_generator(settings.seed, "atlas", one.found.direction),
                grid=settings.grid,
                resamples=settings.resamples,
                picture_shape=tuple(one.found.real.shape[2:]),
            )
        )
    return made


def _equivalences(
    directions: Sequence[ExplainedDirection],
    reference: Reference,
    models: ExplainedModels,
    settings: ExplainSettings,
) -> list[Equivalence]:
    from medgan.explanation.subject_statistics import equivalence_test

    labels = {**other_outputs(models), **reference.labels} or {"any other label": None}
    made = []
    for one in directions:
        correct = one.found.correct
        subjects = [s for s, c in zip(one.subjects, correct.tolist()) if c]
        for name, label in labels.items():
            difference = None
            if label is not None and len(subjects):
                difference = label(one.found.fake[correct]) - label(one.found.real[correct])
            words = f"{name} ({one.found.direction})"
            made.append(equivalence_test(words, difference, subjects, bound=settings.equivalence_bound))
    return made


def other_outputs(models: ExplainedModels) -> dict[str, Label | None]:
    """Return the classifier's outputs that are not translated, as labels that should stay constant."""
    classifier = models.classifier
    if classifier.output is None:
        others = [n for n in range(len(classifier.class_names)) if n not in models.pair]
        return {
            f"probability of {classifier.class_names[n]}": lambda images, n=n: classifier.probabilities(  # type: ignore[misc]
                images[:, 0].numpy()
            )[:, n]
            for n in others
        }
    count = classifier.outputs(np.zeros((1, *classifier.domain.input_size), dtype=np.float32)).shape[1]
    return {
        f"probability of output {n}": lambda images, n=n: _sigmoid(classifier, images, n)  # type: ignore[misc]
        for n in range(count)
        if n != classifier.output
    }


def _sigmoid(classifier: Any, images: Tensor, output: int) -> npt.NDArray[np.float64]:
    scores = classifier.outputs(images[:, 0].numpy())[:, output]
    return np.asarray(scores if classifier.score_space == "sigmoid" else 1 / (1 + np.exp(-scores)))


def _controls(
    models: ExplainedModels, directions: Sequence[ExplainedDirection], settings: ExplainSettings
) -> list[Control]:
    from medgan.explanation.controls import generic_change_controls, same_class_control

    made: list[Control] = []
    for one in directions:
        source = one.found.source
        made.append(
            same_class_control(
                models.scored, models.translate_into(source), one.found.real, label=source, batch=settings.batch
            )
        )
        made += generic_change_controls(
            models.scored,
            one.found,
            subjects=one.subjects,
            generator=numpy_generator(settings.seed, "controls", one.found.direction),
            batch=settings.batch,
        )
    return made


def _diversities(directions: Sequence[ExplainedDirection], reference: Reference) -> list[Diversity]:
    from medgan.explanation.diversity import change_diversity

    made = []
    for one in directions:
        findings = reference.findings.get(one.found.direction)
        if findings is None:
            others = [d.found.real[:, 0].numpy() for d in directions if d.found.source == one.found.target]
            if others and len(one.found.real) > 1:
                mean = one.found.real[:, 0].mean(0).numpy()
                findings = [image - mean for image in others[0]]
        flips = np.flatnonzero(one.found.flipped.numpy())
        changes = [(one.found.fake[n, 0] - one.found.real[n, 0]).numpy() for n in flips]
        made.append(change_diversity(changes, direction=one.found.direction, findings=findings))
    return made


def restore_regions(
    image: npt.NDArray[np.float32], *, grid: tuple[int, int], corner: float, declared: Mapping[str, Mask]
) -> dict[str, Mask]:
    """Return regions for the restore test: declared ones, and disjoint ones that need no knowledge: corners and a grid.

    Notes
    -----
    Declared regions lie over the others and take nothing from them, so that corners, the grid of the body box and the
    rest cover the image, and show what they would show to someone who does not know where to look.

    Examples
    --------
    >>> regions = restore_regions(np.ones((10, 10), dtype=np.float32), grid=(3, 2), corner=0.2, declared={})
    >>> len(regions), int(sum(mask.sum() for mask in regions.values()))
    (11, 100)
    """
    from medgan.explanation.cohort_atlas import body_box, region_masks

    height, width = image.shape
    found: dict[str, Mask] = {}
    if corner:
        side = max(1, round(corner * min(height, width)))
        for vertical, rows in (("upper", slice(0, side)), ("lower", slice(height - side, height))):
            for horizontal, columns in (("left", slice(0, side)), ("right", slice(width - side, width))):
                mask = np.zeros(image.shape, dtype=bool)
                mask[rows, columns] = True
                found[f"corner, {vertical} image {horizontal}"] = mask
    found |= region_masks(image.shape, grid=grid, box=body_box(image))
    taken = np.zeros(image.shape, dtype=bool)
    regions = dict(declared)
    for name, mask in found.items():
        regions[name] = mask & ~taken
        taken |= mask
    regions["rest of the image"] = ~taken
    return regions


def _localizations(
    scored: Any, directions: Sequence[ExplainedDirection], reference: Reference, settings: ExplainSettings
) -> list[Localization]:
    from medgan.explanation.controls import localization

    made = []
    for one in directions:
        regions = [
            restore_regions(image.image, grid=settings.grid, corner=settings.corner, declared=reference.regions)
            for image in one.images
        ]
        made.append(localization(scored, one.found, regions, batch=settings.batch))
    return made


def _doses(scored: Any, directions: Sequence[ExplainedDirection], doses: int, batch: int) -> list[Any]:
    from medgan.explanation.controls import dose_path

    return [
        dose_path(scored, one.found, doses=doses, batch=batch) for one in directions if bool(one.found.correct.any())
    ]


def _calibrations(directions: Sequence[ExplainedDirection], knows_labels: bool) -> list[Calibration]:
    from medgan.explanation.calibration import calibration

    if not directions or not knows_labels:
        return []
    real = np.concatenate([one.found.real_probabilities.numpy() for one in directions])
    fake = np.concatenate([one.found.fake_probabilities.numpy() for one in directions])
    sources = np.concatenate([np.full(len(one.found.reasons), one.found.source) for one in directions])
    targets = np.concatenate([np.full(len(one.found.reasons), one.found.target) for one in directions])
    return [
        calibration(real, sources, images="real"),
        calibration(fake, targets, images="fake"),
    ]


def labels_known(images: Sequence[ExplainedImage]) -> bool:
    """Tell whether every radiograph comes with its true class."""
    return all(one.label is not None for one in images)
