"""Explanations of many cases as one table a method, a count of verdicts, and mean curves with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from medgan.explanation.curve import interpolated
from medgan.explanation.explanation import Curve, Explanation, Interval, MethodSummary, Rate
from medgan.explanation.subject_statistics import subject_bootstrap


def verdict_counts(cases: Sequence[Explanation]) -> dict[str, dict[str, int]]:
    """Return for each direction how many cases have which verdict."""
    found: dict[str, Counter[str]] = {}
    for case in cases:
        found.setdefault(case.direction, Counter())[case.verdict.kind] += 1
    return {direction: dict(sorted(counts.items())) for direction, counts in found.items()}


def flip_counts(cases: Sequence[Explanation]) -> dict[str, dict[str, int]]:
    """Return for each direction how many flips are what, those below the threshold of pairs included."""
    found: dict[str, Counter[str]] = {}
    for case in cases:
        if case.verdict.flip:
            found.setdefault(case.direction, Counter())[case.verdict.flip] += 1
    return {direction: dict(sorted(counts.items())) for direction, counts in found.items()}


def alternative_counts(cases: Sequence[Explanation]) -> dict[str, dict[str, int]]:
    """Return for each other way how many of its counterfactuals are what (``not flipped`` included)."""
    found: dict[str, Counter[str]] = {}
    for case in cases:
        for one in case.alternatives:
            found.setdefault(one.way, Counter())[one.verdict.flip or one.verdict.kind] += 1
    return {way: dict(sorted(counts.items())) for way, counts in found.items()}


def method_summaries(
    cases: Sequence[Explanation], *, generator: np.random.Generator, resamples: int = 2000
) -> tuple[MethodSummary, ...]:
    """Return one summary a method and direction, and one over all directions where there are several.

    Parameters
    ----------
    cases : sequence of Explanation
        Those without curves are left out; a case without a subject counts as its own subject.
    generator : numpy.random.Generator
    resamples : int

    Notes
    -----
    Intervals by bootstrap over subjects. The paired difference to the residual uses the cases that have both.
    """
    explained = [case for case in cases if case.curves]
    directions = list(dict.fromkeys(case.direction for case in explained))
    groups = {d: [c for c in explained if c.direction == d] for d in directions}
    if len(directions) > 1:
        groups["all"] = explained
    rows = []
    for direction, group in groups.items():
        for method in dict.fromkeys(curve.method for case in group for curve in case.curves):
            rows.append(_summary(method, direction, group, generator, resamples))
    return tuple(rows)


def _summary(
    method: str, direction: str, cases: list[Explanation], generator: np.random.Generator, resamples: int
) -> MethodSummary:
    own = [(case, curve) for case in cases for curve in case.curves if curve.method == method]

    def interval(value: Callable[[Curve], float | None]) -> Interval | None:
        known = [(case, v) for case, curve in own if (v := value(curve)) is not None]
        if not known:
            return None
        subjects = [_subject(case) for case, _ in known]
        values = [v for _, v in known]
        return subject_bootstrap(values, subjects, generator=generator, resamples=resamples).interval()

    over = None
    if method != "residual":
        residuals = {case.case_id: c.dac for case in cases for c in case.curves if c.method == "residual"}
        both = [(case, curve.dac - residuals[case.case_id]) for case, curve in own if case.case_id in residuals]
        if both:
            over = subject_bootstrap(
                [v for _, v in both], [_subject(c) for c, _ in both], generator=generator, resamples=resamples
            ).interval()
    lines = np.array([interpolated(curve.areas, curve.scores, curve.total) for _, curve in own])
    band = subject_bootstrap(lines, [_subject(c) for c, _ in own], generator=generator, resamples=resamples)
    dac, first, area = interval(lambda c: c.dac), interval(lambda c: c.first_tenth), interval(lambda c: c.optimal_area)
    empty = Interval(0.0, None, None, 0, 0)
    return MethodSummary(
        method=method,
        direction=direction,
        dac=dac or empty,
        first_tenth=first or empty,
        optimal_area=area or empty,
        insertion=interval(lambda c: c.insertion),
        deletion=interval(lambda c: c.deletion),
        smallest_flipping_area=interval(lambda c: c.smallest_flipping_area),
        flipping=Rate(sum(c.smallest_flipping_area is not None for _, c in own), len(own)),
        dac_over_residual=over,
        mean_curve=tuple(band.mean.tolist()),
        curve_low=() if band.low is None else tuple(band.low.tolist()),
        curve_high=() if band.high is None else tuple(band.high.tolist()),
    )


def _subject(case: Explanation) -> str:
    return case.subject_id or case.case_id
