"""From manifest rows to prepared cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.cohort import Case, CaseEntry, Manifest
from medgan.cohort.case_store import CaseStore
from medgan.commands.console import Console
from medgan.errors import CohortError
from medgan.preprocessing.recipe import Recipe
from medgan.volume import Quantity

if TYPE_CHECKING:
    from medgan.commands.training_settings import DataSettings


@dataclass(frozen=True)
class Cohort:
    """A manifest and the folder that its paths start from."""

    manifest: Manifest
    root: Path


def opened_cohort(data: DataSettings, config: Path, data_root: Path | None, phantoms: Path, console: Console) -> Cohort:
    """Return the cohort of a configuration; phantoms are drawn into their folder first.

    Parameters
    ----------
    data : DataSettings
    config : Path
        The configuration file, which the manifest's path is relative to.
    data_root : Path or None
        Folder that the manifest's paths start from; the manifest's own if None.
    phantoms : Path
        Folder for phantoms, where the configuration asks for them.
    console : Console
    """
    if data.phantoms is not None:
        from medgan.commands.phantom_cohort import phantom_cohort

        return Cohort(phantom_cohort(phantoms, data.phantoms, console=console), phantoms)
    path = (config.parent / str(data.manifest)).resolve()
    return Cohort(Manifest.read(path), data_root or path.parent)


def read_case(entry: CaseEntry, data_root: Path) -> Case:
    """Read one image of a release after comparing its digest; notices of the reader travel with the case.

    Raises
    ------
    CohortError, FormatError
        If the file is absent, is another one, or cannot be read without guessing.
    """
    from medgan.formats import read_image

    file = read_image(entry.located(data_root), quantity=Quantity.named(entry.quantity))
    case = Case(entry.case_id, entry.subject_id, {entry.domain: file.volume})
    for notice in file.notices:
        case = case.with_notice(notice)
    return case


def fitted_recipe(recipe: Recipe, manifest: Manifest, data_root: Path, *, domain: str) -> Recipe:
    """Return a recipe whose learning stages are fitted on the training split of a domain; read only if they learn."""
    if not recipe.learns:
        return recipe.fitted(())
    return recipe.fitted([read_case(entry, data_root) for entry in _required(manifest, "train", domain)])


def prepared_cases(
    entries: Sequence[CaseEntry], data_root: Path, *, recipe: Recipe, store_root: Path, console: Console
) -> list[Case]:
    """Return prepared cases in the order of their entries, from the store where they are there already.

    Raises
    ------
    CohortError
        If the store's case was made from another file than the one that the manifest means.
    """
    store = CaseStore(store_root, recipe.digest)
    cases = []
    with console.progress("preparing") as advance:
        for done, entry in enumerate(entries, start=1):
            key = f"{entry.case_id}.{entry.domain}"
            if key not in store:
                case = recipe(read_case(entry, data_root))
                for notice in case.notices:
                    console.notice(f"{entry.case_id} ({entry.domain}): {notice}")
                store.write(key, case)
            case = store.read(key)
            if entry.sha256 not in case.image.provenance.sources:
                raise CohortError(
                    f"The prepared case {store.path_of(key).name} was made from another file than the manifest's "
                    f"{entry.path}: choose another folder for prepared cases, or remove it."
                )
            cases.append(case)
            advance(done, len(entries))
    return cases


def _required(manifest: Manifest, split: str, domain: str) -> tuple[CaseEntry, ...]:
    entries = manifest.select(split=split, domain=domain)
    if not entries:
        domains = ", ".join(sorted({e.domain for e in manifest.entries})) or "none"
        raise CohortError(
            f"A training needs images of domain {domain!r} in the split {split!r}: "
            f"manifest {manifest.title!r} has none. Its domains: {domains}."
        )
    return entries


def training_entries(manifest: Manifest, *, source: str, target: str) -> tuple[tuple[CaseEntry, ...], ...]:
    """Return the training images of both domains of an unpaired method.

    Raises
    ------
    CohortError
        If a domain has none, or a subject gives images to both, so that pairs could leak into unpaired training.
    """
    sources, targets = _required(manifest, "train", source), _required(manifest, "train", target)
    shared = sorted({e.subject_id for e in sources} & {e.subject_id for e in targets})
    if shared:
        raise CohortError(
            f"Unpaired training needs different subjects in its two domains: {', '.join(shared[:5])} "
            f"{'is' if len(shared) == 1 else 'are'} in {source!r} and in {target!r}. "
            "Remove one of the images from the split."
        )
    return sources, targets
