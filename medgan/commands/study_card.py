"""The model card of a study: its recipe, and what was measured beside the baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from medgan.commands.study_baselines import MODEL, PRIOR, TITLES
from medgan.commands.study_evaluation import PRESET, cohort_table, read_measures
from medgan.commands.study_gate import CONTRAST_SIGN

if TYPE_CHECKING:
    from medgan.commands.study import Study

MEASURES = {"mae": "MAE", "me": "ME", "ms_ssim": "MS-SSIM", "dice_bone": "Dice of bone", CONTRAST_SIGN: "soft-tissue r"}
CARD = "MODEL_CARD.md"


def card_step(study: Study) -> str:
    """Write the card of the study's model into the study folder and return its path.

    It may take the place of a bundle's card, which was written before anything was measured: a bundle holds digests of
    its weights, none of its card. In a study by folds it is the card of the model that ``--fold all`` trains; the
    folds measured its recipe, on subjects that each model had not seen.
    """
    from medgan.commands.cohort_data import of_fold
    from medgan.commands.export import card_facts
    from medgan.formats import write_bytes
    from medgan.reporting.model_card import render_model_card

    experiment, parts, measures = study.experiment, study.parts(), read_measures(study)
    data, whole = experiment.data, study.whole_cohort()
    trained = of_fold(whole, data, "all" if data.folds else None).manifest.select(split="train", domain=data.source)
    subjects = len({row["subject_id"] for row in measures[MODEL]})
    where = f"{subjects} subjects, {len(parts)} folds" if data.folds else f"{subjects} test subjects"
    # A fold's checkpoint is chosen on its validation subjects; the model on everybody has none and takes every step.
    steps = experiment.cyclegan.steps if data.folds else parts[0].bundle().facts.training.steps
    results = card_results(measures, data=where)
    facts = card_facts(experiment, steps=steps, cases=len(trained), results=results)
    card = render_model_card({**facts, "limits": [*facts["limits"], *limits_of(measures)]})
    path = study.folder / CARD
    if not path.is_file() or path.read_text(encoding="utf-8") != card:
        write_bytes(path, card.encode(), overwrite=True)
    study.console.notice(f"model card: {path}")
    return str(path)


def limits_of(measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield a sentence for the card's limits where the model is no better than what its training was told.

    Examples
    --------
    >>> rows = {n: [{"measures": {"mae": {"value": v}}}] for n, v in (("model", 80.0), ("prior", 75.0))}
    >>> list(limits_of(rows))
    ["Its mean error is not below that of the training's own prior alone, without a network: 80.0 and 75.0 HU."]
    """
    mean = {name: fmean(row["measures"]["mae"]["value"] for row in rows) for name, rows in measures.items()}
    if PRIOR in mean and mean[MODEL] >= mean[PRIOR]:
        yield f"Its mean error is not below that of {TITLES[PRIOR]}: {mean[MODEL]:.1f} and {mean[PRIOR]:.1f} HU."


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
