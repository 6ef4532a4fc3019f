"""Tables of a cohort of explanations: from its records to text with interval and number of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medgan.explanation.explanation import (
    Atlas,
    Calibration,
    CohortResult,
    Control,
    Equivalence,
    Explanation,
    Interval,
    Localization,
    MethodSummary,
    Rate,
)
from medgan.reporting.sections import TableSection

MISSING = "–"
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for people, with a real minus sign; a dash where there is none.

    Examples
    --------
    >>> number(-0.04567), number(None)
    ('−0.046', '–')
    """
    return MISSING if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", _MINUS)


def interval(value: Interval | None, digits: int = 3) -> str:
    """Return a mean with its interval, such as ``0.72 [0.68, 0.76]``."""
    if value is None or not value.cases:
        return MISSING
    if value.low is None or value.high is None:
        return f"{number(value.mean, digits)} (no interval: {value.subjects} subjects)"
    return f"{number(value.mean, digits)} [{number(value.low, digits)}, {number(value.high, digits)}]"


def success_table(result: CohortResult) -> TableSection:
    """Return how often translations flip the classifier, by direction."""
    rows = [
        (
            one.direction,
            str(one.queries),
            str(one.flips.total),
            one.flips.text,
            one.accepted.text,
            "; ".join(f"{n}: {reason}" for reason, n in one.dropped.items()) or "none",
        )
        for one in result.success
    ]
    columns = ("Direction", "Queries", "Correct", "Flips", "Pairs kept", "Not kept, and why")
    caption = (
        "Shares of all correctly classified queries, with 95 % interval of Wilson. A pair is kept for attribution "
        "where both images have their class with a probability above the threshold."
    )
    return TableSection("Success", columns, rows, caption, frozenset({5}))


def flip_table(kinds: Mapping[str, Mapping[str, Rate]]) -> TableSection:
    """Return what kind the flips of each direction are; every flip counts, also those not kept as a pair."""
    rows = [(direction, kind, rate.text) for direction, shares in kinds.items() for kind, rate in shares.items()]
    caption = (
        "Robust: survives every transform that leaves the real image's class alone, and a second classifier flips too "
        "(or is not available, which the case says). Fragile: a transform undoes it. Classifier-specific: the second "
        "classifier keeps its class – an adversarial code or a genuine shortcut of this classifier. "
        "Shares of all flips, with 95 % interval of Wilson."
    )
    return TableSection("What kind of flips", ("Direction", "Kind", "Share of flips"), rows, caption, frozenset({1}))


def method_table(methods: Sequence[MethodSummary], titles: Mapping[str, str]) -> TableSection:
    """Return every attribution method beside residual and random."""
    rows = [
        (
            titles.get(one.method, one.method),
            one.direction,
            interval(one.dac),
            interval(one.dac_over_residual),
            _sign(one.dac_over_residual),
            interval(one.smallest_flipping_area),
            one.flipping.text,
            interval(one.first_tenth),
            interval(one.optimal_area),
            interval(one.insertion),
            interval(one.deletion),
            str(one.dac.cases),
        )
        for one in methods
    ]
    columns = (
        "Method",
        "Direction",
        "DAC area",
        "over residual",
        "excludes 0",
        "smallest flipping area",
        "cases that flip",
        "first 10 %",
        "area of best mask",
        "insertion",
        "deletion",
        "n",
    )
    caption = (
        "Means with 95 % interval, bootstrap by subject. DAC: area under the change of the wanted class's probability "
        "over the exchanged area; it saturates, so rank methods by the smallest flipping area too. Residual |real − "
        "fake| and smoothed noise are the baselines: what does not beat them explains nothing."
    )
    return TableSection("Attribution methods", columns, rows, caption, frozenset({1}))


def alternative_table(result: CohortResult) -> TableSection:
    """Return the other two counterfactual ways of the literature in the same words."""
    kinds = sorted({kind for counts in result.alternatives.values() for kind in counts})
    rows = [
        (way, *(Rate(counts.get(kind, 0), sum(counts.values())).text for kind in kinds))
        for way, counts in result.alternatives.items()
    ]
    caption = (
        "Nearest neighbor: the real image of the other class that the classifier sees as most alike. Gradient "
        "mutation: the smallest change that flips, which shows adversarial noise and not disease. Same transforms, "
        "same second classifier."
    )
    return TableSection("Other ways to a counterfactual", ("Way", *kinds), rows, caption)


def atlas_table(atlas: Atlas) -> TableSection:
    """Return the mean signed difference of every region."""
    rows = [
        (
            one.region,
            interval(one.difference, 4),
            number(one.p_value, 4),
            number(one.q_value, 4),
            "yes" if one.discovery else "no",
            str(one.difference.cases),
        )
        for one in atlas.regions
    ]
    caption = (
        f"Fake − real in gray values of [{_MINUS}1, 1], grid of {' x '.join(map(str, atlas.grid))} on the body box, "
        f"all correctly classified queries; bootstrap by subject, false discovery rate {atlas.false_discovery_rate:g} "
        "(Benjamini and Hochberg). Left and right are sides of the image."
    )
    columns = ("Region", "Mean difference", "p", "q", "Found", "n")
    return TableSection(f"Atlas: {atlas.direction}", columns, rows, caption)


def control_table(controls: Sequence[Control]) -> TableSection:
    """Return changes that should mean nothing, and how often they flip all the same."""
    rows = [(c.name, c.direction, c.flips.text, number(c.mean_absolute_change, 4), c.sentence) for c in controls]
    columns = ("Control", "Direction", "Flips", "Mean |change|", "In words")
    return TableSection("Controls", columns, rows, "", frozenset({1, 4}))


def equivalence_table(tests: Sequence[Equivalence]) -> TableSection:
    """Return labels that should stay constant under translation."""
    words = {True: "yes", False: "not shown", None: "not available"}
    rows = [
        (t.label, interval(t.difference, 4), number(t.bound), number(t.p_value, 4), words[t.equivalent], t.sentence)
        for t in tests
    ]
    caption = "Two one-sided t tests on subjects' means (TOST); the interval is the 90 % one that belongs to them."
    columns = ("Label", "Change", "Bound", "p", "Constant", "In words")
    return TableSection("Labels that should not change", columns, rows, caption, frozenset({5}))


def localization_table(found: Localization) -> TableSection:
    """Return what each region carries of the flips."""
    rows = [(r.region, f"{r.area:.1%}", f"{r.share_of_change:.1%}", r.undone.text) for r in found.regions]
    caption = (
        f"{found.sentence} The real image's region is put back into the fake: a region outside the anatomy that undoes "
        "flips is a shortcut."
    )
    columns = ("Region", "Area", "Share of the change", "Flips undone")
    return TableSection(f"Restore test: {found.direction}", columns, rows, caption)


def calibration_table(calibrations: Sequence[Calibration]) -> TableSection:
    """Return how far predicted probabilities are from frequencies, on real and on fake images."""
    rows = [
        (
            c.images,
            number(c.expected_error),
            number(c.largest_error),
            number(c.brier),
            str(sum(b.observed.total for b in c.bins)),
        )
        for c in calibrations
    ]
    caption = "A fake's label is the class that was asked for. Confidence calibration in ten bins."
    return TableSection("Calibration of the classifier", ("Images", "ECE", "MCE", "Brier", "n"), rows, caption)


def case_method_table(case: Explanation) -> TableSection:
    """Return every method of one case, with the check against random weights or the reason why there is no map."""
    rows = []
    for one in case.maps:
        curve = next((c for c in case.curves if c.method == one.method), None)
        check = one.randomization
        rank = None if check is None else check.rank_correlation[-1]
        similar = None if check is None else check.ssim[-1]
        rows.append(
            (
                one.title,
                MISSING if curve is None else number(curve.dac),
                MISSING if curve is None else number(curve.smallest_flipping_area),
                MISSING if curve is None else number(curve.optimal_area),
                MISSING if curve is None else number(curve.insertion),
                MISSING if curve is None else number(curve.deletion),
                number(one.convergence_delta, 4),
                number(rank, 2),
                number(similar, 2),
                one.refusal,
            )
        )
    columns = (
        "Method",
        "DAC area",
        "flipping area",
        "best mask",
        "insertion",
        "deletion",
        "delta",
        "rank corr. with random weights",
        "SSIM with random weights",
        "not shown because",
    )
    caption = "A map that looks the same with random weights says nothing about what this classifier learned."
    return TableSection(f"Methods of {case.case_id}", columns, rows, caption, frozenset({9}))


def _sign(value: Interval | None) -> str:
    if value is None or value.excludes_zero is None:
        return MISSING
    if not value.excludes_zero:
        return "no"
    return "yes, better" if value.mean > 0 else "yes, worse"
