"""``medgan preprocess`` for a cohort: every image of a manifest into a case store, and a report of what was refused."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.cohort import CaseEntry
from medgan.cohort.case_store import CaseStore
from medgan.commands.cohort_data import fitted_on_usable, from_store, opened_cohort, put_in_store
from medgan.commands.console import Console
from medgan.commands.ingest_report import IngestRow, write_ingest_report
from medgan.commands.parallel import each_done, usable_cores
from medgan.commands.preparation_settings import read_preparation
from medgan.errors import CohortError, MedganError, OutputError, SettingsError
from medgan.preprocessing.recipe import Recipe

if TYPE_CHECKING:
    from medgan.cohort import Manifest

ALL_PREPARED, SOME_REFUSED, NONE_PREPARED = 0, 3, 2
"""Exit codes."""
RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class _Task:
    """One image to prepare, by one recipe."""

    entry: CaseEntry
    recipe: Recipe


def preprocess_cohort(
    config: Path,
    *,
    data_root: Path | None = None,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    console: Console,
) -> dict[str, Any]:
    """Prepare all splits of both domains; what is in the store already stays, so a killed run continues.

    Parameters
    ----------
    config : Path
        A training's configuration, or a YAML file with its ``data`` and ``recipe`` sections.
    data_root : Path, optional
        Folder that the manifest's paths start from; the manifest's own folder if not given.
    out : Path
        Store; each recipe has a folder of its own in it, named by its digest.
    overrides : sequence of str
        ``a.b=c`` settings that replace those of the file.
    jobs : int, optional
        Processes; one a core if not given. The bits do not depend on it.
    console : Console

    Returns
    -------
    dict
        Store, recipes with their digests, one row an image, the numbers of verdicts, and the report's files.

    Raises
    ------
    MedganError
        If configuration or manifest are refused, the store cannot be written, or no image can be fitted on. A refused
        image raises nothing: it is a row.
    """
    if out is None:
        raise SettingsError("A cohort needs a store: pass the folder by --out.")
    preparation = read_preparation(config, overrides)
    from medgan.formats import made_folder

    phantoms = out.with_name(f"{out.name}_phantoms")
    cohort = opened_cohort(preparation.data, config, data_root, phantoms, console)
    if not cohort.root.is_dir():
        raise CohortError(
            f"The manifest's paths start from {cohort.root.name}: there is no such folder. See --data-root."
        )
    entries = {domain: _of_domain(cohort.manifest, domain) for domain in preparation.recipes}
    made_folder(out)
    begun, jobs = time.time(), jobs or usable_cores()
    recipes = {
        domain: fitted_on_usable(
            recipe, cohort.manifest.select(split="train", domain=domain), cohort.root, console=console, jobs=jobs
        )
        for domain, recipe in preparation.recipes.items()
    }
    for recipe in recipes.values():
        _write_recipe(CaseStore(out, recipe.digest), recipe)
    tasks = [_Task(entry, recipes[domain]) for domain in recipes for entry in entries[domain]]
    rows = _prepared(tasks, cohort.root, out, jobs, console)
    for recipe in recipes.values():
        _remove_leftovers(CaseStore(out, recipe.digest), before=begun)
    report = write_ingest_report(
        rows, folder=out, name=config.stem, title=f"Ingest: {cohort.manifest.title}", recipes=recipes
    )
    verdicts = [row.verdict for row in rows]
    return {
        "store": str(out),
        "manifest_sha256": cohort.manifest.digest,
        "recipes": {
            domain: {"digest": recipe.digest, "folder": CaseStore(out, recipe.digest).folder.name}
            for domain, recipe in recipes.items()
        },
        **{verdict: verdicts.count(verdict) for verdict in ("accepted", "corrected", "refused")},
        "rows": [row.as_dict() for row in rows],
        "report": {name: str(path) for name, path in report.items()},
    }


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where every image is prepared, 3 where some are refused, 2 where all are."""
    if not facts["refused"]:
        return ALL_PREPARED
    return SOME_REFUSED if facts["accepted"] or facts["corrected"] else NONE_PREPARED


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the outcome for people: numbers, each refused image with its reason, and where to read more."""
    lines = [f"{facts['accepted']} accepted, {facts['corrected']} corrected, {facts['refused']} refused"]
    for row in facts["rows"]:
        if row["verdict"] == "refused":
            lines.append(f"refused: {row['case_id']} ({row['domain']}): {' '.join(row['reasons'])}")
    return [*lines, facts["report"]["html"]]


def _of_domain(manifest: Manifest, domain: str) -> tuple[CaseEntry, ...]:
    entries = manifest.select(domain=domain)
    if not entries:
        known = ", ".join(sorted({entry.domain for entry in manifest.entries})) or "none"
        raise CohortError(
            f"A cohort needs images of domain {domain!r}: manifest {manifest.title!r} has none. Its domains: {known}."
        )
    return entries


def _prepared(tasks: Sequence[_Task], root: Path, out: Path, jobs: int, console: Console) -> list[IngestRow]:
    rows: dict[int, IngestRow] = {}
    # A process that is used again may have been started in another folder.
    prepare = partial(_row_of, data_root=root.resolve(), store_root=out.resolve())
    with console.progress("preparing") as advance:
        for done, (position, row) in enumerate(each_done(prepare, tasks, jobs=jobs), start=1):
            rows[position] = row
            if row.verdict == "refused":
                # Why is said at the end, where nobody has to search for it.
                console.notice(f"refused: {row.case_id} ({row.domain})")
            else:
                for reason in row.reasons:
                    console.notice(f"{row.case_id} ({row.domain}): {reason}")
            advance(done, len(tasks))
    return [rows[position] for position in range(len(tasks))]


def _row_of(task: _Task, *, data_root: Path, store_root: Path) -> IngestRow:
    """Prepare one image and say how it went; only a store that cannot be written raises, because it holds for all."""
    entry = task.entry
    try:
        put_in_store(entry, data_root=data_root, recipe=task.recipe, store_root=store_root)
        case = from_store(entry, CaseStore(store_root, task.recipe.digest))
    except OutputError:
        raise
    except MedganError as error:
        return IngestRow.refused(entry, str(error))
    except Exception as error:  # One image must not end the work on a thousand others.
        return IngestRow.refused(entry, f"Internal failure ({type(error).__name__}); please report it.")
    return IngestRow.prepared(entry, case)


def _write_recipe(store: CaseStore, recipe: Recipe) -> None:
    """Say beside the cases what was done to them."""
    from medgan.formats import made_folder, write_bytes

    path = made_folder(store.folder) / RECIPE_FILE
    if not path.exists():
        write_bytes(path, (json.dumps(recipe.as_json(), indent=1) + "\n").encode(), overwrite=True)


def _remove_leftovers(store: CaseStore, *, before: float) -> None:
    """Remove half-written files that a killed run left behind; those of a run beside this one are younger."""
    for file in store.folder.glob(".partial-*"):
        try:
            if file.stat().st_mtime < before:
                file.unlink()
        except OSError:
            continue
