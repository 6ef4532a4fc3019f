"""May a model be shipped as the default? The rule, and what a study's table says to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medgan.commands.study_baselines import MODEL, PAIRED_BOUND
from medgan.errors import EvaluationError

if TYPE_CHECKING:
    from medgan.commands.study import Study
    from medgan.evaluation.cohort_summary import PairedDifference

HIGHEST_MAE_HU = 80.0
MUST_BEAT = ("body_median", "quantiles_increasing", "quantiles_decreasing")
SHOULD_BEAT = ("t1_table", PAIRED_BOUND)
CONTRAST_SIGN = "soft_tissue_r"
GATE = "gate.json"


@dataclass(frozen=True)
class Condition:
    """One condition: what it asks, what was found, and whether it holds."""

    name: str
    holds: bool
    found: str


@dataclass(frozen=True)
class Gate:
    """The verdict on a study's table.

    Attributes
    ----------
    conditions : tuple of Condition
        All must hold.
    aims : tuple of Condition
        Wanted, not needed.
    """

    conditions: tuple[Condition, ...]
    aims: tuple[Condition, ...]

    @property
    def passed(self) -> bool:
        """Whether every condition holds."""
        return all(condition.holds for condition in self.conditions)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"passed": self.passed, **asdict(self)}


def gate_of(measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Gate:
    """Judge a table of measures.

    Parameters
    ----------
    measures : mapping of method to rows
        As ``evaluation/measures.json`` holds them.

    Returns
    -------
    Gate
        Conditions: mean MAE at most 80 HU; the 95 % interval of the paired difference in MAE from each of the baselines
        (a) and (b) lies below 0; soft-tissue r above 0 in every case. Aims: the same interval for (c) and (d). A
        condition without a number to judge (fewer than six subjects, an undefined r) does not hold.

    Raises
    ------
    EvaluationError
        If the model or a baseline that must be beaten is not in the table.
    """
    missing = [name for name in (MODEL, *MUST_BEAT) if name not in measures]
    if missing:
        raise EvaluationError(f"The gate compares the model with baselines (a) and (b): {', '.join(missing)} missing.")
    mean = _mean_mae(measures[MODEL])
    conditions = [
        Condition(f"mean MAE at most {HIGHEST_MAE_HU:g} HU", mean <= HIGHEST_MAE_HU, f"{mean:.1f} HU"),
        *(_beats(measures, name) for name in MUST_BEAT),
        _right_sign(measures[MODEL]),
    ]
    aims = [_beats(measures, name) for name in SHOULD_BEAT if name in measures]
    return Gate(tuple(conditions), tuple(aims))


def difference_from(measures: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> PairedDifference:
    """Return the paired difference in MAE, model minus a baseline; the resamples depend on the name only."""
    from medgan.commands.study_evaluation import cohort_table
    from medgan.evaluation.cohort_summary import paired_difference
    from medgan.seeding import numpy_generator

    return paired_difference(
        this=cohort_table(measures[MODEL]),
        that=cohort_table(measures[name]),
        measure="mae",
        generator=numpy_generator(0, "difference", name),
    )


def write_gate(study: Study, gate: Gate) -> None:
    """Write ``evaluation/gate.json`` and say the verdict."""
    from medgan.formats import write_bytes

    path = study.folder / "evaluation" / GATE
    write_bytes(path, (json.dumps(gate.as_dict(), indent=1) + "\n").encode(), overwrite=True)
    failed = [condition.name for condition in gate.conditions if not condition.holds]
    study.console.notice("gate: passed" if gate.passed else f"gate: not passed ({'; '.join(failed)})")


def _mean_mae(rows: Sequence[Mapping[str, Any]]) -> float:
    values = [row["measures"]["mae"]["value"] for row in rows]
    return float(sum(values) / len(values))


def _beats(measures: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> Condition:
    summary = difference_from(measures, name).summary
    words = f"paired MAE difference from {name} below 0"
    if summary.high is None or summary.low is None:
        return Condition(words, False, f"{summary.mean:.1f} HU, no interval: {summary.subjects} subjects")
    found = f"{summary.mean:.1f} HU, interval {summary.low:.1f} to {summary.high:.1f}"
    return Condition(words, summary.high < 0, found)


def _right_sign(rows: Sequence[Mapping[str, Any]]) -> Condition:
    values = {row["case_id"]: row["measures"][CONTRAST_SIGN]["value"] for row in rows}
    wrong = sorted(case for case, value in values.items() if value is None or value <= 0)
    known = [value for value in values.values() if value is not None]
    lowest = f"lowest {min(known):.2f}" if known else "undefined in all"
    found = f"{len(wrong)} of {len(values)} without ({', '.join(wrong)}), {lowest}" if wrong else lowest
    return Condition("soft-tissue r above 0 in every case", not wrong, found)
