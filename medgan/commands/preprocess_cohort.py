"""``medgan preprocess`` for a cohort: every image of a manifest into a case store, and a report of what was refused."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.cohort import CaseEntry
from medgan.cohort.case_store import CaseStore
from medgan.commands.cohort_data import fitted_on_usable, from_store, key_of, opened_cohort, put_in_store
from medgan.commands.console import Console
from medgan.commands.ingest_report import IngestRow, write_ingest_report
from medgan.commands.out_of_core_hands import Hands
from medgan.commands.out_of_core_run import Tally, done_by
from medgan.commands.preparation_settings import read_preparation
from medgan.errors import CohortError, OutputError, SettingsError
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import Do
from medgan.preprocessing.recipe import Recipe
from medgan.volume.side_by_side import usable_cores

if TYPE_CHECKING:
    from medgan.cohort import Manifest

ALL_PREPARED, SOME_REFUSED, NONE_PREPARED = 0, 3, 2
"""Exit codes."""
RECIPE_FILE = "recipe.json"
TRIES = 1
"""An image that is refused is refused again: it is tried once a call."""


@dataclass(frozen=True)
class _Task:
    """One image to prepare, by one recipe."""

    entry: CaseEntry
    recipe: Recipe

    @property
    def key(self) -> str:
        """Name of the prepared case among those of all recipes."""
        return f"{self.recipe.digest[:16]}.{key_of(self.entry)}"


def preprocess_cohort(
    config: Path,
    *,
    data_root: Path | None = None,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    hands: Hands | None = None,
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
    hands : Hands, optional
        Who works; one process a core if not given. The bits do not depend on it.
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
    begun, hands = time.time(), hands or Hands()
    processes = hands.processes("cpu", usable_cores())
    recipes = {
        domain: fitted_on_usable(
            recipe, cohort.manifest.select(split="train", domain=domain), cohort.root, console=console, jobs=processes
        )
        for domain, recipe in preparation.recipes.items()
    }
    for recipe in recipes.values():
        _write_recipe(CaseStore(out, recipe.digest), recipe)
    tasks = [_Task(entry, recipes[domain]) for domain in recipes for entry in entries[domain]]
    work = CohortPreparation({task.key: task for task in tasks}, cohort.root.resolve(), out.resolve())
    rows = _prepared(work, out / f"ingest_{config.stem}.manifest", hands, processes, console)
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


@dataclass(frozen=True)
class CohortPreparation:
    """What a worker needs to prepare the images of a cohort.

    Parameters
    ----------
    tasks : mapping of str to _Task
    data_root, store_root : Path
    """

    tasks: Mapping[str, _Task] = field(repr=False)
    data_root: Path
    store_root: Path

    def opened(self) -> Do:
        """Return what prepares an image."""
        return self.prepared

    def prepared(self, key: str) -> dict[str, Any]:
        """Prepare one image, unless the store has it; read it back and say what it is.

        Raises
        ------
        MedganError
            If the image is refused or the store cannot be written.
        """
        task = self.tasks[key]
        put_in_store(task.entry, data_root=self.data_root, recipe=task.recipe, store_root=self.store_root)
        case = from_store(task.entry, CaseStore(self.store_root, task.recipe.digest))
        row = IngestRow.prepared(task.entry, case)
        picture = row.thumbnail
        shown = None if picture is None else [*picture.shape, base64.b64encode(picture.tobytes()).decode()]
        return {"row": {**row.as_dict(), "is_synthetic": row.is_synthetic}, "shown": shown, "said": list(row.reasons)}


def _prepared(work: CohortPreparation, folder: Path, hands: Hands, processes: int, console: Console) -> list[IngestRow]:
    """Let the hands that were asked for prepare what is missing, and return the rows of all images that are settled.

    Raises
    ------
    OutputError
        If the store cannot be written, which holds for all.
    """
    while True:
        # Only while somebody works: a later call looks at every case in the store anew.
        manifest = BlockManifest.opened(folder.resolve(), {"kind": "cases of a prepared cohort"})
        is_settled = hands.shard is None
        try:
            rules = replace(hands.rules(tries=TRIES), refused_writes=1)
            tally = done_by(
                hands,
                work,
                manifest,
                tuple(work.tasks),
                processes=processes,
                threads=max(1, usable_cores() // processes),
                rules=rules,
                words="preparing",
                name_of=lambda key: _name_of(work.tasks[key].entry),
                console=console,
            )
            if tally.stopped:
                raise OutputError(tally.stopped[0])
            is_settled = is_settled or not (tally.running or tally.untried)
            if manifest.is_there:
                rows = [_row(task, manifest, tally) for task in work.tasks.values()]
                return [row for row in rows if row is not None]
        finally:
            if is_settled:
                manifest.remove()
        # Somebody else was the last: their cases are in the store.


def _name_of(entry: CaseEntry) -> str:
    return f"{entry.case_id} ({entry.domain})"


def _row(task: _Task, manifest: BlockManifest, tally: Tally) -> IngestRow | None:
    """Return what became of an image, None where somebody else works on it."""
    if task.key in tally.running:
        return None
    if task.key not in tally.done:
        return IngestRow.refused(task.entry, tally.failed.get(task.key) or " ".join(tally.events))
    facts = manifest.done_facts(task.key)
    shown, values = facts["shown"], facts["row"]
    tuples: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
    return IngestRow(**tuples, thumbnail=None if shown is None else _picture(*shown))


def _picture(rows: int, columns: int, text: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(rows, columns)


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
