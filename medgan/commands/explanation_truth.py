"""How well maps agree with findings whose place is known: phantoms and planted lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medgan.explanation.explanation import Interval, Rate
from medgan.seeding import numpy_generator

if TYPE_CHECKING:
    from medgan.commands.explanation_cases import ExplainedDirection
    from medgan.commands.explanation_settings import ExplainSettings

SMOOTHED_PX = 2.0
PARTS = (("absolute", 0.0), ("positive", 0.0), ("absolute", SMOOTHED_PX))
"""How maps are ranked; the first is the declared one, the others are shown beside it."""


@dataclass(frozen=True)
class MethodAgreement:
    """One method's maps against known findings.

    Parameters
    ----------
    method, ranked : str
        ``ranked`` says what of the map was ranked.
    iou : Interval
        At the finding's area; bootstrap by subject.
    over_residual : Interval or None
        Paired difference from the residual's IoU.
    pointing : Rate
        Maps whose largest pixel lies in the finding.
    chance : float
        IoU of a map without information: mean of ``area / (2 - area)``.
    """

    method: str
    ranked: str
    iou: Interval
    over_residual: Interval | None
    pointing: Rate
    chance: float


def agreements(directions: Sequence[ExplainedDirection], settings: ExplainSettings) -> tuple[MethodAgreement, ...]:
    """Return agreement of every method over the kept cases whose own image holds a finding of known place.

    Notes
    -----
    Only queries that have the finding: where a translator adds one, its place is the translator's choice and there is
    no truth to agree with.
    """
    from medgan.explanation.subject_statistics import subject_bootstrap
    from medgan.explanation.truth_agreement import truth_agreement

    pairs = [
        (case.explanation, direction.images[n].lesion, direction.subjects[n])
        for direction in directions
        for n, case in zip(direction.chosen, direction.cases)
        if case.explanation.curves
    ]
    known = [(e, mask, subject) for e, mask, subject in pairs if mask is not None and mask.any()]
    rows: list[MethodAgreement] = []
    for part, smooth in PARTS:
        found: dict[str, dict[str, tuple[float, bool, float]]] = {}
        for explanation, mask, _ in known:
            for one in explanation.maps:
                if one.values is None:
                    continue
                agreed = truth_agreement(one.values, mask, part=part, smooth_px=smooth)  # type: ignore[arg-type]
                found.setdefault(one.method, {})[explanation.case_id] = (agreed.iou, agreed.pointing, agreed.area)
        subjects = {e.case_id: s for e, _, s in known}
        ranked = f"{part}, smoothed {smooth:g} px" if smooth else part
        for method, values in found.items():
            generator = numpy_generator(settings.seed, "agreement", method, ranked)
            interval = subject_bootstrap(
                [v[0] for v in values.values()],
                [subjects[c] for c in values],
                generator=generator,
                resamples=settings.resamples,
            ).interval()
            over = None
            both = [c for c in values if c in found.get("residual", {})]
            if method != "residual" and both:
                over = subject_bootstrap(
                    [values[c][0] - found["residual"][c][0] for c in both],
                    [subjects[c] for c in both],
                    generator=generator,
                    resamples=settings.resamples,
                ).interval()
            areas = np.array([v[2] for v in values.values()])
            rows.append(
                MethodAgreement(
                    method,
                    ranked,
                    interval,
                    over,
                    Rate(sum(v[1] for v in values.values()), len(values)),
                    float((areas / (2 - areas)).mean()),
                )
            )
    return tuple(rows)
