"""How well a study's domain check tells its own test subjects from scans that the models were not made for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.study import Part, Study, pairs_for_test

if TYPE_CHECKING:
    from medgan.cohort import Case, CaseEntry
    from medgan.commands.cohort_data import Cohort

CHECKS = "domain_checks.json"


def domain_checks(study: Study) -> list[dict[str, Any]]:
    """Check every test subject by the model that never saw it, and every foreign scan by all models; no truth is read.

    Returns
    -------
    list of dict
        One a scan and model: ``case_id``, ``kind`` (``test`` or the title of the foreign manifest's split and domain),
        ``model``, ``status``, ``reasons``. Also written to ``domain_checks.json``.
    """
    from medgan.commands.cohort_data import Cohort
    from medgan.formats import write_bytes

    parts = study.parts()
    digest = _digest(study, parts)
    path = study.folder / CHECKS
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["of"] == digest:
            return list(found["checks"])
    rows = [
        row for part, source, _ in pairs_for_test(parts) for row in _checked(source, part.cohort, [part], kind="test")
    ]
    foreign = _foreign(study)
    if foreign is not None:
        cohort = Cohort(foreign, parts[0].cohort.root)
        for entry in foreign.entries:
            kind = f"{entry.modality} given as {entry.quantity.partition('_')[0].upper()}"
            rows += _checked(entry, cohort, parts, kind=kind if entry.modality != "MR" else "foreign MR")
    write_bytes(path, (json.dumps({"of": digest, "checks": rows}, indent=1) + "\n").encode(), overwrite=True)
    return rows


def _foreign(study: Study) -> Any:
    from medgan.cohort import Manifest

    return None if study.foreign is None else Manifest.read(study.foreign)


def _digest(study: Study, parts: Sequence[Part]) -> list[str]:
    foreign = _foreign(study)
    return [part.bundle().facts.weights_sha256 for part in parts] + ([] if foreign is None else [foreign.digest])


def _checked(entry: CaseEntry, cohort: Cohort, parts: Sequence[Part], *, kind: str) -> list[dict[str, Any]]:
    """Return the verdict of each model on one scan; a scan that the recipe refuses is refused, which is safer still."""
    from medgan.commands.cohort_data import read_case
    from medgan.errors import MedganError
    from medgan.inference.domain_check import fingerprint_of

    acquired = read_case(entry, cohort.root)
    prepared: dict[str, Case] = {}
    rows = []
    for part in parts:
        facts, recipe = part.bundle().facts, part.bundle().recipe
        row = {"case_id": entry.case_id, "kind": kind, "model": part.title}
        try:
            if recipe.digest not in prepared:
                prepared[recipe.digest] = recipe(acquired)
            check = facts.trained_domain.check(fingerprint_of(source=acquired.image, prepared=prepared[recipe.digest]))
        except MedganError as error:
            rows.append({**row, "status": "refused", "reasons": [str(error)], "features": {}})
            continue
        rows.append({**row, "status": check.status, "reasons": list(check.reasons), "features": dict(check.features)})
    return rows
