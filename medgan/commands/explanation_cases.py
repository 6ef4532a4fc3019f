"""Explain radiographs one by one: pairs, verdicts, alternatives, maps and curves, each case kept when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.explanation_images import ExplainedImage
from medgan.commands.explanation_store import ExplainedCase, read_case, write_case
from medgan.seeding import numpy_generator

if TYPE_CHECKING:
    from torch import Tensor

    from medgan.commands.console import Console
    from medgan.commands.explanation_models import ExplainedModels
    from medgan.commands.explanation_settings import ExplainSettings
    from medgan.explanation.case_explanation import ExplanationSettings
    from medgan.explanation.counterfactual import Counterfactuals
    from medgan.explanation.explanation import Alternative, Preflight, Rate, Verdict
    from medgan.explanation.transforms import Transform

FIXED_STRENGTHS = (("8-bit", 8.0), ("blur", 0.35), ("jpeg", 90.0), ("dicom", 12.0))
"""Where there are too few real images to choose strengths by (a free choice)."""


@dataclass(frozen=True, eq=False)
class ExplainedDirection:
    """All queries of one direction of translation.

    Parameters
    ----------
    found : Counterfactuals
    verdicts : tuple of Verdict
        One a query.
    images : tuple of ExplainedImage
        One a query.
    chosen : tuple of int
        Queries that are explained case by case.
    cases : tuple of ExplainedCase
        Of the chosen ones.
    """

    found: Counterfactuals
    verdicts: tuple[Verdict, ...]
    images: tuple[ExplainedImage, ...]
    chosen: tuple[int, ...]
    cases: tuple[ExplainedCase, ...]

    @property
    def subjects(self) -> list[str]:
        """A subject a query; a case without one counts as its own."""
        return [one.subject_id or one.case_id for one in self.images]


@dataclass(frozen=True)
class UsedStrength:
    """A transform as it was used.

    Parameters
    ----------
    text : str
        Name and strength.
    kept : Rate
        Real images that keep their class.
    usable : bool
    """

    text: str
    kept: Rate
    usable: bool


@dataclass(frozen=True, eq=False)
class Strengths:
    """The transforms of all verdicts, and how they were chosen."""

    used: tuple[Transform, ...]
    table: tuple[UsedStrength, ...]
    sentence: str


def tensor_of(images: Sequence[ExplainedImage]) -> Tensor:
    """Return radiographs as (N, 1, h, w) float32."""
    import torch

    return torch.from_numpy(np.stack([one.image for one in images]))[:, None]


def strengths(models: ExplainedModels, real: Tensor, settings: ExplainSettings) -> Strengths:
    """Choose the strength of every transform on real images, or take fixed ones where there are too few.

    Parameters
    ----------
    real : (N, 1, h, w)
        Of all classes; those that are not explained, where there are others.
    """
    from medgan.explanation.explanation import Rate
    from medgan.explanation.transforms import Transform, calibrated_transforms

    scored = models.scored
    if len(real) >= settings.fewest_for_strengths:
        found = calibrated_transforms(scored, real, keep=settings.keep, batch=settings.batch)
        table = tuple(UsedStrength(one.transform.text, one.kept, one.usable) for one in found)
        sentence = (
            f"Strengths were chosen on {len(real)} real images: the strongest at which at least {settings.keep:.0%} "
            "keep their class."
        )
        return Strengths(tuple(one.transform for one in found if one.usable), table, sentence)
    before = scored.probabilities(real, batch=settings.batch).argmax(1)
    used, rows = [], []
    for kind, strength in FIXED_STRENGTHS:
        transform = Transform(kind, strength)  # type: ignore[arg-type]
        after = scored.probabilities(transform(real), batch=settings.batch).argmax(1)
        used.append(transform)
        rows.append(UsedStrength(transform.text, Rate(int((after == before).sum()), len(real)), True))
    sentence = (
        f"Strengths are fixed, not chosen: {len(real)} real images are too few ({settings.fewest_for_strengths} are "
        "needed) to say at which strength real images keep their class. Void transforms are left out case by case."
    )
    return Strengths(tuple(used), tuple(rows), sentence)


def directions_of(models: ExplainedModels, images: Sequence[ExplainedImage]) -> dict[tuple[int, int], list[int]]:
    """Return the queries of each direction: by true class, or by what the classifier says where none is known."""
    first, other = models.pair
    classes = models.classifier.class_names
    said = models.scored.probabilities(tensor_of(images)).argmax(1).tolist()
    found: dict[tuple[int, int], list[int]] = {(first, other): [], (other, first): []}
    for place, image in enumerate(images):
        source = classes.index(image.label) if image.label is not None else int(said[place])
        for direction in found:
            if direction[0] == source:
                found[direction].append(place)
    return found


def explained_direction(
    models: ExplainedModels,
    images: Sequence[ExplainedImage],
    *,
    source: int,
    target: int,
    gallery: Tensor,
    gallery_names: Sequence[str],
    transforms: Sequence[Transform],
    report: Preflight,
    settings: ExplainSettings,
    precision: str,
    folder: Path,
    request: str,
    console: Console,
) -> ExplainedDirection:
    """Explain the queries of one direction; cases that the same request finished before are read back.

    Parameters
    ----------
    images : sequence of ExplainedImage
        All of class ``source``.
    gallery : (M, 1, h, w)
        Real images of class ``target``, for nearest neighbors.
    gallery_names : sequence of str
        Their cases.
    report : Preflight
        Refuses methods.
    folder : Path
        Where cases are kept.
    request : str
        Digest that a kept case has to have.
    """
    from medgan.explanation.counterfactual import counterfactuals
    from medgan.explanation.verdict import verdicts

    scored = models.scored
    found = counterfactuals(
        scored,
        models.translate_into(target),
        tensor_of(images),
        source=source,
        target=target,
        threshold=settings.threshold,
        batch=settings.batch,
    )
    judged = verdicts(scored, found, transforms=transforms, second=models.second_scored, batch=settings.batch)
    chosen = _chosen(len(images), settings, found.direction)
    near = _neighbors(models, found, chosen, gallery, gallery_names, settings.batch)
    choices = _choices(settings, report, precision, has_gradients=models.classifier.has_gradients)
    cases: list[ExplainedCase] = []
    with console.progress(f"explaining {found.direction}") as advance:
        for done, n in enumerate(chosen, start=1):
            case = read_case(folder, images[n].case_id, request=request)
            if case is None:
                case = _explained(models, found, n, judged[n], images[n], near.get(n), transforms, choices, settings)
                write_case(folder, case, request=request, placement=images[n].placement)
            cases.append(case)
            advance(done, len(chosen))
    return ExplainedDirection(found, judged, tuple(images), chosen, tuple(cases))


def _chosen(count: int, settings: ExplainSettings, direction: str) -> tuple[int, ...]:
    if settings.limit is None or settings.limit >= count:
        return tuple(range(count))
    drawn = numpy_generator(settings.seed, "explained cases", direction).permutation(count)[: settings.limit]
    return tuple(sorted(int(n) for n in drawn))


def _choices(
    settings: ExplainSettings, report: Preflight, precision: str, *, has_gradients: bool
) -> ExplanationSettings:
    from medgan.explanation.attribution import AttributionSettings
    from medgan.explanation.case_explanation import ExplanationSettings
    from medgan.explanation.curve import CurveSettings

    return ExplanationSettings(
        methods=settings.methods,
        refused=report.refused,
        attribution=AttributionSettings(steps=settings.steps),
        curve=CurveSettings(
            preset=settings.preset,
            closing=settings.closing,
            fine_areas=settings.fine_areas,
            perturbation_steps=settings.perturbation_steps,
            batch=settings.batch,
            precision=precision,
        ),
        randomization=settings.randomization if has_gradients else None,
        seed=settings.seed,
    )


def _explained(
    models: ExplainedModels,
    found: Counterfactuals,
    n: int,
    verdict: Verdict,
    image: ExplainedImage,
    near: _Found | None,
    transforms: Sequence[Transform],
    choices: ExplanationSettings,
    settings: ExplainSettings,
) -> ExplainedCase:
    from medgan.explanation.case_explanation import explained_cases

    one = replace(
        found,
        real=found.real[n : n + 1],
        fake=found.fake[n : n + 1],
        real_probabilities=found.real_probabilities[n : n + 1],
        fake_probabilities=found.fake_probabilities[n : n + 1],
        reasons=found.reasons[n : n + 1],
    )
    others: tuple[Alternative, ...] = ()
    if bool(found.correct[n]):
        others = _alternatives(models, one, near, transforms, settings)
    explanation = explained_cases(
        models.scored,
        one,
        (verdict,),
        case_ids=(image.case_id,),
        subject_ids=(image.subject_id,),
        settings=choices,
        alternatives=(others,),
    )[0]
    return ExplainedCase(explanation, _grad_cams(models, one), _facts(image))


@dataclass(frozen=True, eq=False)
class _Found:
    """A counterfactual of another way, before it is judged."""

    way: str
    image: Tensor
    distance: float
    in_features: float | None
    note: str = ""


def _neighbors(
    models: ExplainedModels,
    found: Counterfactuals,
    chosen: Sequence[int],
    gallery: Tensor,
    names: Sequence[str],
    batch: int,
) -> dict[int, _Found]:
    """Return the nearest neighbor of each chosen query; the gallery goes through the classifier once."""
    from medgan.explanation.alternative import nearest_neighbors

    classifier = models.classifier
    if not len(gallery) or not classifier.has_gradients or not classifier.target_layer:
        return {}
    near = nearest_neighbors(models.scored, found.real[list(chosen)], gallery, batch=batch)
    return {
        n: _Found(
            "nearest neighbor",
            near.images[k : k + 1],
            float(near.distance_l2[k]),
            float(near.distance_feature[k]),
            f"case {names[int(near.index[k])]}",
        )
        for k, n in enumerate(chosen)
    }


def _alternatives(
    models: ExplainedModels,
    one: Counterfactuals,
    near: _Found | None,
    transforms: Sequence[Transform],
    settings: ExplainSettings,
) -> tuple[Alternative, ...]:
    from medgan.explanation.alternative import gradient_mutations

    if not models.classifier.has_gradients:
        return ()
    made = [] if near is None else [near]
    changed = gradient_mutations(models.scored, one.real, target=one.target, batch=settings.batch)
    # Where none was found it stands as not flipped, so that shares are of all queries.
    note = "" if bool(changed.flipped[0]) else "none was found"
    made.append(_Found("gradient mutation", changed.images, float(changed.distance_l2[0]), None, note))
    return tuple(_alternative(models, one, other, transforms, settings) for other in made)


def _alternative(
    models: ExplainedModels,
    one: Counterfactuals,
    other: _Found,
    transforms: Sequence[Transform],
    settings: ExplainSettings,
) -> Alternative:
    from medgan.explanation.explanation import Alternative
    from medgan.explanation.verdict import judged_images

    verdict = judged_images(
        models.scored,
        real=one.real,
        fake=other.image,
        source=one.source,
        target=one.target,
        transforms=transforms,
        second=models.second_scored,
        threshold=settings.threshold,
        batch=settings.batch,
    )[0]
    probabilities = models.scored.probabilities(other.image, batch=settings.batch)[0]
    return Alternative(
        way=other.way,
        image=other.image[0, 0].numpy(),
        probabilities=tuple(probabilities.tolist()),
        distance_l2=other.distance,
        distance_feature=other.in_features,
        verdict=verdict,
        note=other.note,
    )


def _grad_cams(models: ExplainedModels, one: Counterfactuals) -> dict[str, Any]:
    from medgan.errors import ExplanationError
    from medgan.explanation.class_activation import grad_cam

    if not models.classifier.has_gradients or not models.classifier.target_layer:
        return {}
    try:
        return {
            "real": grad_cam(models.scored, one.real, one.source, signed=True)[0, 0].numpy(),
            "fake": grad_cam(models.scored, one.fake, one.target, signed=True)[0, 0].numpy(),
        }
    except ExplanationError:
        # The target layer has no spatial extent: the preflight's finding says so in the report.
        return {}


def _facts(image: ExplainedImage) -> dict[str, Any]:
    placement = image.placement
    return {
        **image.facts,
        "sha256": image.sha256,
        "label": image.label,
        "placement": None if placement is None else placement.as_dict(),
    }
