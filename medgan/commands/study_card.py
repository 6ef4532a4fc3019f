"""What a model card says that a study measured: rows for :func:`medgan.reporting.model_card.render_model_card`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medgan.commands.study_baselines import MODEL, TITLES
from medgan.commands.study_evaluation import PRESET, cohort_table
from medgan.commands.study_gate import CONTRAST_SIGN

MEASURES = {"mae": "MAE", "me": "ME", "ms_ssim": "MS-SSIM", "dice_bone": "Dice of bone", CONTRAST_SIGN: "soft-tissue r"}


def card_results(measures: Mapping[str, Sequence[Mapping[str, Any]]], *, data: str) -> list[dict[str, Any]]:
    """Return the rows of a card's results: every measure of the model, and the MAE of every baseline.

    Parameters
    ----------
    measures : mapping of method to rows
        As ``evaluation/measures.json`` holds them.
    data : str
        Which subjects, such as ``"20 subjects, 5 folds"``.
    """
    from medgan.evaluation.cohort_summary import summarize
    from medgan.seeding import numpy_generator

    rows = []
    for name, cases in measures.items():
        found = {s.measure: s for s in summarize(cohort_table(cases), generator=numpy_generator(0, "report", name))}
        for measure, title in MEASURES.items():
            if name != MODEL and measure != "mae":
                continue
            summary = found[measure]
            digits = 1 if summary.unit else 3
            known = summary.low is not None and summary.high is not None
            interval = f"{summary.low:.{digits}f} to {summary.high:.{digits}f}" if known else ""
            value = "" if summary.mean is None else f"{summary.mean:.{digits}f}"
            rows.append(
                {
                    "method": TITLES[name],
                    "measure": f"{title} ({PRESET})",
                    "value": value,
                    "unit": summary.unit,
                    "interval": interval,
                    "n": summary.cases,
                    "data": data,
                }
            )
    return rows
