"""Explanations of many pairs: maps, checks, curves and verdicts put together into one record a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.attribution import AttributionSettings
from medgan.explanation.counterfactual import Counterfactuals
from medgan.explanation.curve import CurveSettings, score_curves
from medgan.explanation.discriminative import (
    BASELINES,
    METHODS,
    PUBLISHED,
    PairBatch,
    pair_attribution,
)
from medgan.explanation.explanation import Alternative, AttributionMap, Explanation, Randomization, Verdict
from medgan.explanation.masks import MaskShape
from medgan.explanation.model_randomization import Mode, randomization_checks
from medgan.explanation.scored_classifier import ScoredClassifier
from medgan.seeding import numpy_generator, torch_generator

Progress = Callable[[int, int], None]
"""Called with cases done and cases in all."""


@dataclass(frozen=True, kw_only=True)
class ExplanationSettings:
    """How cases are explained.

    Parameters
    ----------
    methods : tuple of str
        Besides residual and random, which always run.
    refused : mapping of str to str
        Method to the reason of the preflight; such a method has no map, but its reason.
    attribution : AttributionSettings
    curve : CurveSettings
        Its preset is the preset of everything.
    randomization : {"full", "cascading"} or None
        None leaves the check out.
    seed : int
        Of random maps and random weights.
    """

    methods: tuple[str, ...] = PUBLISHED
    refused: Mapping[str, str] = field(default_factory=dict)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    curve: CurveSettings = field(default_factory=CurveSettings)
    randomization: Mode | None = "full"
    seed: int = 0

    @property
    def all_methods(self) -> tuple[str, ...]:
        """Methods with the baselines, each once."""
        return tuple(dict.fromkeys((*self.methods, *BASELINES)))

    def as_dict(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return every choice as JSON values, with the kernel sizes that an image shape leads to."""
        sizes = MaskShape.scaled(shape, closing=self.curve.closing, symmetric=self.curve.symmetric_closing)
        return {
            "methods": list(self.all_methods),
            "refused": dict(self.refused),
            "attribution": asdict(self.attribution),
            "curve": asdict(self.curve),
            "closing_px": sizes.closing_px,
            "blur_px": sizes.blur_px,
            "randomization": self.randomization,
            "seed": self.seed,
        }


def explained_cases(
    classifier: ScoredClassifier,
    found: Counterfactuals,
    verdicts: Sequence[Verdict],
    *,
    case_ids: Sequence[str],
    subject_ids: Sequence[str],
    settings: ExplanationSettings | None = None,
    alternatives: Sequence[Sequence[Alternative]] | None = None,
    progress: Progress | None = None,
) -> tuple[Explanation, ...]:
    """Explain every query of one direction; those that were dropped have a verdict but neither maps nor curves.

    Parameters
    ----------
    classifier : ScoredClassifier
    found : Counterfactuals
    verdicts : sequence of Verdict
        One a query, by :func:`medgan.explanation.verdict.verdicts`.
    case_ids, subject_ids : sequences of str
        One a query; pseudonyms.
    settings : ExplanationSettings, optional
    alternatives : sequence of sequences of Alternative, optional
        One a query.
    progress : callable, optional

    Raises
    ------
    ExplanationError
        If verdicts or identifiers are not one a query.

    Notes
    -----
    A method that is not valid for the classifier gives a map with a reason instead of pixels; it stops nothing. Each
    case is computed by itself, so that a case's numbers do not depend on which others are explained with it.
    """
    settings = settings or ExplanationSettings()
    count = len(found.reasons)
    for name, given in (("verdicts", verdicts), ("case ids", case_ids), ("subject ids", subject_ids)):
        if len(given) != count:
            raise ExplanationError(f"Every query needs one of the {name}: found {len(given)} for {count} queries.")
    kept = set(found.kept)
    chosen = settings.as_dict(tuple(found.real.shape[2:]))
    cases = []
    for n in range(count):
        maps: tuple[AttributionMap, ...] = ()
        curves: tuple[Any, ...] = ()
        if n in kept:
            pair = found.pairs((n,))
            maps = case_maps(classifier, pair, case_id=case_ids[n], settings=settings)
            tensors = {m.method: torch.from_numpy(np.array(m.values))[None, None] for m in maps if m.values is not None}
            curves = tuple(score_curves(classifier, pair, tensors, settings=settings.curve)[0].values())
        cases.append(
            Explanation(
                case_id=case_ids[n],
                subject_id=subject_ids[n],
                class_names=classifier.class_names,
                source=found.source,
                target=found.target,
                real=found.real[n, 0].numpy(),
                fake=found.fake[n, 0].numpy(),
                real_probabilities=tuple(found.real_probabilities[n].tolist()),
                fake_probabilities=tuple(found.fake_probabilities[n].tolist()),
                verdict=verdicts[n],
                preset=settings.curve.preset,
                maps=maps,
                curves=curves,
                alternatives=tuple(alternatives[n]) if alternatives is not None else (),
                settings=chosen,
            )
        )
        if progress is not None:
            progress(n + 1, count)
    return tuple(cases)


def case_maps(
    classifier: ScoredClassifier, pair: PairBatch, *, case_id: str, settings: ExplanationSettings
) -> tuple[AttributionMap, ...]:
    """Return the maps of all methods for one pair, each with its randomization check or the reason why it has none."""
    maps = []
    for method in settings.all_methods:
        traits = METHODS.get(method)
        if traits is None:
            raise ExplanationError(f"{method!r} is not an attribution method. Known: {', '.join(METHODS)}.")
        if method in settings.refused:
            maps.append(AttributionMap(method, traits.title, None, traits.unit, settings.refused[method]))
            continue
        attribute = _attribution_of(method, pair, case_id, settings)
        try:
            found, delta = attribute(classifier)
        except ExplanationError as error:
            maps.append(AttributionMap(method, traits.title, None, traits.unit, str(error)))
            continue
        check = _checked(classifier, method, found, attribute, settings)
        maps.append(AttributionMap(method, traits.title, found[0, 0].numpy(), traits.unit, "", delta, check))
    return tuple(maps)


def _checked(
    classifier: ScoredClassifier,
    method: str,
    found: Tensor,
    attribute: Callable[[ScoredClassifier], tuple[Tensor, float | None]],
    settings: ExplanationSettings,
) -> Randomization | None:
    if settings.randomization is None or method in BASELINES:
        return None
    try:
        return randomization_checks(
            classifier,
            found,
            lambda other: attribute(other)[0],
            generator=torch_generator(settings.seed, "random weights", method),
            mode=settings.randomization,
        )[0]
    except ExplanationError:  # no weights to draw anew, as in an exported model
        return None


def _attribution_of(
    method: str, pair: PairBatch, case_id: str, settings: ExplanationSettings
) -> Callable[[ScoredClassifier], tuple[Tensor, float | None]]:
    def attribute(classifier: ScoredClassifier) -> tuple[Tensor, float | None]:
        found = pair_attribution(
            method,
            classifier,
            pair,
            preset=settings.curve.preset,
            settings=settings.attribution,
            generator=numpy_generator(settings.seed, "random map", case_id),
            batch=settings.curve.batch,
        )
        return found.maps, None if found.delta is None else float(found.delta[0])

    return attribute
