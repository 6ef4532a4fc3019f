"""Measure a study's translations of its test subjects, all folds in one table, beside every baseline.

This is the one command that reads the truth of the test split; it records every look (see
:mod:`medgan.commands.study_lock`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.study import MASK_WORDS, Part, Study, pairs_for_test, translation_file, truth_and_mask
from medgan.commands.study_baselines import (
    MODEL,
    TITLES,
    PairedVoxels,
    baseline_results,
    fitted_baselines,
)
from medgan.commands.study_lock import finished_look, opened_look

if TYPE_CHECKING:
    from medgan.cohort import CaseEntry
    from medgan.evaluation.baselines import Baseline
    from medgan.evaluation.cohort_table import CohortTable
    from medgan.volume import LabelMap, Volume

Measures = dict[str, list[dict[str, Any]]]
"""Method to its cases, each with case, subject, fold and every measure."""
PRESET = "corrected"
TABLE = "measures.json"


def evaluate_step(study: Study) -> Measures:
    """Measure the model and the baselines on every test case, on the source's grid, in the reference's body.

    Returns
    -------
    dict
        Method names to lists of cases with their measures; also written to ``evaluation/measures.json`` and one CSV
        table a method. The tables of an earlier look are kept in a folder of their own.
    """
    from medgan.cohort.manifest import digest_of
    from medgan.commands.study_gate import gate_of, write_gate
    from medgan.formats import write_bytes

    folder = study.folder / "evaluation"
    finished = folder / TABLE
    parts = study.parts()
    look, is_new = opened_look(
        study.folder,
        models={part.name: part.bundle().facts.weights_sha256 for part in parts},
        config_sha256=study.config_sha256,
        manifest_sha256=study.whole_cohort().manifest.digest,
        table=finished,
    )
    if is_new and look.reason != "first look":
        study.console.notice(f"A second look at the test split is recorded: {look.reason}.")
        _set_aside(folder)
    if finished.is_file() and look.table_sha256 is not None:
        return read_measures(study)
    folder.mkdir(exist_ok=True)
    measures = _measured(study, parts, folder)
    for name, rows in measures.items():
        _write_table(rows, folder / f"{name}.csv")
    write_bytes(finished, (json.dumps(measures, indent=1) + "\n").encode(), overwrite=True)
    write_gate(study, gate_of(measures))
    finished_look(study.folder, table_sha256=digest_of(finished))
    return measures


def read_measures(study: Study) -> Measures:
    """Return what :func:`evaluate_step` measured."""
    return dict(json.loads((study.folder / "evaluation" / TABLE).read_text(encoding="utf-8")))


def _set_aside(folder: Path) -> None:
    """Move the files of an earlier look into a folder of their own."""
    if not folder.is_dir():
        return
    number = 1
    while (earlier := folder.with_name(f"{folder.name}_before_{number}")).exists():
        number += 1
    folder.rename(earlier)


def _measured(study: Study, parts: Sequence[Part], folder: Path) -> Measures:
    from medgan.formats import write_bytes

    fitted: dict[str, dict[str, Baseline]] = {}
    paired = PairedVoxels(study, study.whole_cohort().manifest)
    found: Measures = {}
    pairs = pairs_for_test(parts)
    with study.console.progress("evaluating") as advance:
        for done, (part, source, target) in enumerate(pairs, start=1):
            file = folder / f"{source.case_id}.json"
            if not file.is_file():
                if part.name not in fitted:
                    fitted[part.name] = dict(fitted_baselines(part))
                case = _case_measures(part, source, target, fitted[part.name], paired)
                write_bytes(file, (json.dumps(case, indent=1) + "\n").encode())
            for name, one in json.loads(file.read_text(encoding="utf-8")).items():
                row = {"case_id": source.case_id, "subject_id": source.subject_id, "fold": part.fold, **one}
                found.setdefault(name, []).append(row)
            advance(done, len(pairs))
    return {name: found[name] for name in TITLES if name in found}


def _case_measures(
    part: Part, source: CaseEntry, target: CaseEntry, baselines: Mapping[str, Baseline], paired: PairedVoxels
) -> dict[str, dict[str, Any]]:
    """Return every method's measures of one case; the model's row holds how well its uncertainty knew the error."""
    from medgan.commands.cohort_data import read_case
    from medgan.evaluation.comparison import compare
    from medgan.evaluation.presets import preset_named

    acquired = read_case(source, part.cohort.root)
    truth, mask = truth_and_mask(acquired.image, read_case(target, part.cohort.root).image)
    bound = paired.bound_without(source.subject_id, part)
    model = read_translation(part.study, source.case_id)
    found = {}
    for name, result in ((MODEL, model), *baseline_results(acquired, part, baselines, bound)):
        comparison = compare(result=result, reference=truth, mask=mask, preset=preset_named(PRESET))
        found[name] = {"mask": MASK_WORDS, **comparison.as_dict()}
    found[MODEL]["trust"] = dict(_trust(part.study, source.case_id, model, truth, mask))
    return found


def read_translation(study: Study, case_id: str) -> Volume:
    """Return the model's translation of a test case."""
    from medgan.formats import read_volume
    from medgan.volume import Quantity

    return read_volume(translation_file(study, case_id), quantity=Quantity.HOUNSFIELD)


def uncertainty_maps(study: Study, case_id: str) -> dict[str, Path]:
    """Return the maps that say where a translation is uncertain, by name; none where the model gave none."""
    stem = translation_file(study, case_id).name.removesuffix(".nii.gz")
    files = sorted((study.folder / "translations").glob(f"{stem}_*.nii.gz"))
    return {file.name.removesuffix(".nii.gz").removeprefix(f"{stem}_"): file for file in files}


def _trust(
    study: Study, case_id: str, result: Volume, truth: Volume, mask: LabelMap
) -> Iterator[tuple[str, float | None]]:
    """Yield, for each map of uncertainty, Spearman's rho with the absolute error over the voxels of the mask."""
    import numpy as np

    from medgan.evaluation.intensity import spearman_correlation
    from medgan.formats import read_volume
    from medgan.volume import Quantity

    inside = mask.mask()
    error = np.abs(result.array[inside] - truth.array[inside])
    for name, file in uncertainty_maps(study, case_id).items():
        values = read_volume(file, quantity=Quantity.DIFFERENCE).array
        yield name, spearman_correlation(result=np.asarray(values[inside], dtype=np.float32), reference=error)


def _write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from medgan.evaluation.cohort_table import write_csv

    write_csv(cohort_table(rows), path, overwrite=True)


def cohort_table(rows: Sequence[Mapping[str, Any]]) -> CohortTable:
    """Return the cases of one method as a :class:`~medgan.evaluation.cohort_table.CohortTable`."""
    from medgan.evaluation.cohort_table import CaseRow, CohortTable

    units = {name: measure["unit"] for name, measure in rows[0]["measures"].items()}
    cases = [
        CaseRow(row["case_id"], row["subject_id"], {name: m["value"] for name, m in row["measures"].items()})
        for row in rows
    ]
    return CohortTable(tuple(cases), units)
