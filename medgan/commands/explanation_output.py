"""Write an explanation: per-case archives, tables, ``cases.json`` and the page; the page comes last."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.explanation_truth import MethodAgreement
from medgan.explanation.explanation import json_value
from medgan.formats import made_folder, write_bytes

if TYPE_CHECKING:
    from medgan.commands.explanation_cases import Strengths
    from medgan.commands.explanation_store import ExplainedCase
    from medgan.explanation.explanation import CohortResult, Preflight, Rate
    from medgan.reporting.sections import TableSection

SCHEMA = "medgan-explanation-1"
PAGE, CASES, MAPS, TABLES = "report.html", "cases.json", "maps", "tables"
REQUEST = "request.json"


def finished_request(folder: Path) -> str | None:
    """Return the digest of the request that a folder was begun for, None where it holds none."""
    try:
        return str(json.loads((folder / REQUEST).read_text(encoding="utf-8"))["request"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_request(folder: Path, request: str) -> None:
    """Record what a folder was begun for."""
    made_folder(folder)
    write_bytes(folder / REQUEST, (json.dumps({"request": request}) + "\n").encode(), overwrite=True)


def cases_json(
    *,
    cases: Sequence[ExplainedCase],
    result: CohortResult,
    kinds: Mapping[str, Mapping[str, Rate]],
    strengths: Strengths,
    report: Preflight,
    models: Mapping[str, Any],
    agreements: Sequence[MethodAgreement],
    notices: Sequence[str],
    refused: Mapping[str, str],
    request: str,
) -> bytes:
    """Return ``cases.json``; its schema is in docs/explain.md."""
    found = {
        "schema": SCHEMA,
        "request": request,
        "synthetic": True,
        "models": models,
        "preflight": report.as_dict(),
        "notices": list(notices),
        "refused": dict(refused),
        "transforms": {"sentence": strengths.sentence, "table": json_value(strengths.table)},
        "cohort": {
            **result.as_dict(),
            "flips": json_value(kinds),
            "agreement": json_value(list(agreements)),
        },
        "cases": [{**case.as_dict(), "maps_file": f"{MAPS}/{case.explanation.case_id}.npz"} for case in cases],
    }
    # Without indentation: a curve has six hundred numbers.
    return (json.dumps(found, allow_nan=False) + "\n").encode()


def write_tables(folder: Path, cases: Sequence[ExplainedCase], sections: Sequence[TableSection]) -> list[Path]:
    """Write one CSV a table and two of the cases: ``cases.csv``, and ``case_methods.csv`` with a row a map."""
    made_folder(folder)
    written = []
    for name, columns, rows in (
        ("cases", *_case_rows(cases)),
        ("case_methods", *_method_rows(cases)),
        *((_file_name(s.title), s.columns, s.rows) for s in sections),
    ):
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        written.append(write_bytes(folder / f"{name}.csv", stream.getvalue().encode(), overwrite=True))
    return written


def _case_rows(cases: Sequence[ExplainedCase]) -> tuple[list[str], list[list[Any]]]:
    columns = ["case_id", "subject_id", "direction", "verdict", "flip", "second_classifier", "p_source_real"]
    columns += ["p_target_real", "p_source_fake", "p_target_fake", "void_transforms", "reason", "sentence"]
    rows = []
    for case in cases:
        one = case.explanation
        rows.append(
            [
                one.case_id,
                one.subject_id,
                one.direction,
                one.verdict.kind,
                one.verdict.flip,
                one.verdict.second,
                one.real_probabilities[one.source],
                one.real_probabilities[one.target],
                one.fake_probabilities[one.source],
                one.fake_probabilities[one.target],
                one.verdict.void,
                one.verdict.reason,
                one.verdict.sentence,
            ]
        )
    return columns, rows


def _method_rows(cases: Sequence[ExplainedCase]) -> tuple[list[str], list[list[Any]]]:
    columns = ["case_id", "direction", "method", "dac", "first_tenth", "smallest_flipping_area", "optimal_area"]
    columns += ["insertion", "deletion", "convergence_delta", "rank_correlation_random_weights"]
    columns += ["ssim_random_weights", "refusal"]
    rows: list[list[Any]] = []
    for case in cases:
        one = case.explanation
        curves = {curve.method: curve for curve in one.curves}
        for found in one.maps:
            curve, check = curves.get(found.method), found.randomization
            measured = (
                [None] * 6
                if curve is None
                else [
                    curve.dac,
                    curve.first_tenth,
                    curve.smallest_flipping_area,
                    curve.optimal_area,
                    curve.insertion,
                    curve.deletion,
                ]
            )
            rank = None if check is None else check.rank_correlation[-1]
            similar = None if check is None else check.ssim[-1]
            rows.append([one.case_id, one.direction, found.method, *measured, found.convergence_delta, rank, similar])
            rows[-1].append(found.refusal)
    return columns, rows


def _file_name(title: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in title.lower()).split()
    return "_".join(words)
