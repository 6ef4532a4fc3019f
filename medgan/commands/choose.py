"""The checkpoint of a training that is used: chosen without looking at a single true CT of the images it is scored on.

Every kept checkpoint translates the validation subjects' source images there and back and gets the score of
:mod:`medgan.evaluation.unpaired_score` against the *training* subjects' CTs. The lowest mean rank is chosen. Where the
validation subjects have a true CT as well, the error is measured too, and only to say how well the score ranked the
checkpoints.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from medgan.commands.choose_judge import Judge, state_at, translators_at
from medgan.commands.study import Part, Study
from medgan.commands.study_given import given_choice
from medgan.errors import TrainingError

CHOICE = "choice.json"
RULE = (
    "Lowest weighted mean rank over the checkpoints after the warm start, of: 8-bit cycle error (weight 2), "
    "disagreement with the prior's tissues (2), distance of the distribution of HU from the training CTs' (1), and "
    "differences of the shares of air and bone from theirs (1)."
)


def choose_step(study: Study) -> dict[str, dict[str, Any]]:
    """Choose a checkpoint for every training and write its bundle; checkpoints that were scored are not scored again.

    Returns
    -------
    dict
        Name of the training to what ``choice.json`` holds: scores and paired errors of all checkpoints, the chosen
        step, and the rank correlation.
    """
    return {part.name: _chosen(part) for part in study.parts()}


def read_choices(parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """Return what was chosen for each training."""
    return {part.name: json.loads((part.choice / CHOICE).read_text(encoding="utf-8")) for part in parts}


def _chosen(part: Part) -> dict[str, Any]:
    from medgan.formats import write_bytes

    path = part.choice / CHOICE
    if path.is_file() and (part.choice / "bundle").is_dir():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    if part.study.model is not None:
        part.choice.mkdir(parents=True, exist_ok=True)
        given = given_choice(part)
        write_bytes(path, (json.dumps(given, indent=1) + "\n").encode(), overwrite=True)
        return given
    if not (part.run / "bundle").is_dir():
        raise TrainingError(f"A checkpoint is chosen from a finished training: {part.run.name} has no bundle yet.")
    part.choice.mkdir(parents=True, exist_ok=True)
    eligible = _eligible_steps(part)
    choice = _by_score(part, eligible) if part.pairs("validation") else _the_last(part, eligible[-1])
    if not (part.choice / "bundle").is_dir():
        _write_bundle(part, choice["chosen_step"])
    write_bytes(path, (json.dumps(choice, indent=1) + "\n").encode(), overwrite=True)
    part.study.console.notice(f"{part.title}: checkpoint of step {choice['chosen_step']} chosen")
    return choice


def _eligible_steps(part: Part) -> tuple[int, ...]:
    """Return the steps whose checkpoints may be chosen: those after the warm start, or all where there are none."""
    from medgan.training.checkpoint import saved_steps

    steps = saved_steps(part.run / "checkpoints")
    if not steps:
        raise TrainingError(f"A checkpoint is chosen among those of a training: {part.run.name} has none.")
    after = part.experiment.cyclegan.warm_start.steps
    return tuple(step for step in steps if step > after) or steps


def _the_last(part: Part, step: int) -> dict[str, Any]:
    return {"rule": "the last one: there is no validation image", "chosen_step": step, "checkpoints": []}


def _by_score(part: Part, steps: Sequence[int]) -> dict[str, Any]:
    from medgan.evaluation.unpaired_score import UnpairedScore, best_of, mean_ranks
    from medgan.formats import write_bytes

    judge: Judge | None = None
    rows: list[dict[str, Any]] = []
    with part.study.console.progress(f"scoring checkpoints of {part.title}") as advance:
        for done, step in enumerate(steps, start=1):
            file = part.choice / f"step_{step:06d}.json"
            if not file.is_file():
                judge = judge or Judge.of(part)
                row = {"step": step, **judge.verdict_on(translators_at(part, step))}
                write_bytes(file, (json.dumps(row, indent=1) + "\n").encode())
            rows.append(json.loads(file.read_text(encoding="utf-8")))
            advance(done, len(steps))
    scores = [UnpairedScore(**row["score"]) for row in rows]
    ranks = mean_ranks(scores)
    rows = [{**row, "parts": score.parts(), "mean_rank": rank} for row, score, rank in zip(rows, scores, ranks)]
    errors = [row["paired_mae_hu"] for row in rows]
    return {
        "rule": RULE,
        "validation_cases": [source.case_id for source, _ in part.pairs("validation")],
        "chosen_step": steps[best_of(ranks)],
        "lowest_error_step": steps[int(np.argmin(errors))],
        "rank_correlation": rank_correlation(ranks, errors),
        "part_correlations": {
            name: rank_correlation([row["parts"][name] for row in rows], errors) for name in rows[0]["parts"]
        },
        "checkpoints": rows,
    }


def rank_correlation(score: Sequence[float], error: Sequence[float]) -> float | None:
    """Return Spearman's rho of a score and an error over checkpoints; None below 3, or where one does not vary.

    Examples
    --------
    >>> rank_correlation([1.0, 2.0, 4.0], [70.0, 75.0, 71.0]), rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    (0.5, None)
    """
    from medgan.evaluation.intensity import spearman_correlation

    if len(score) < 3:
        return None
    rho = spearman_correlation(result=np.asarray(score, dtype=float), reference=np.asarray(error, dtype=float))
    return None if rho is None else round(rho, 6)


def _write_bundle(part: Part, step: int) -> None:
    """Write the bundle of a checkpoint; that of the last step is the training's own."""
    from medgan.commands.cohort_data import prepared_cases, read_case
    from medgan.commands.export import export_bundle
    from medgan.inference.domain_check import fingerprint_of

    result = json.loads((part.run / "result.json").read_text(encoding="utf-8"))
    if step == result["steps"]:
        temporary = part.choice / ".bundle"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(part.run / "bundle", temporary)
        temporary.rename(part.choice / "bundle")
        return
    sources, _ = part.training_entries()
    recipe, _ = part.recipes()
    store, root = part.study.folder / "prepared", part.cohort.root
    cases = prepared_cases(sources, root, recipe=recipe, store_root=store, console=part.study.console)
    export_bundle(
        part.choice / "bundle",
        experiment=part.experiment,
        state=state_at(part, step, device="cpu", precision="float32"),
        recipe=recipe,
        config_sha256=part.run_config_sha256,
        manifest_digest=part.cohort.manifest.digest,
        fingerprints=[
            fingerprint_of(source=read_case(entry, root).image, prepared=case) for entry, case in zip(sources, cases)
        ],
    )
