"""From manifest rows to prepared cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.cohort import Case, CaseEntry, Manifest
from medgan.cohort.case_store import CaseStore
from medgan.cohort.folds import Fold, fold_of
from medgan.commands.console import Console
from medgan.commands.parallel import each_done
from medgan.errors import CohortError, FormatError, MedganError, OutputError
from medgan.preprocessing.recipe import Recipe
from medgan.volume import Quantity

if TYPE_CHECKING:
    from medgan.commands.training_settings import DataSettings


IMAGES_PER_PROCESS = 4


@dataclass(frozen=True)
class Cohort:
    """A manifest and the folder that its paths start from."""

    manifest: Manifest
    root: Path


def opened_cohort(data: DataSettings, config: Path, data_root: Path | None, phantoms: Path, console: Console) -> Cohort:
    """Return the cohort of a configuration, or of its fold; phantoms are drawn into their folder first.

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
    return of_fold(Cohort(Manifest.read(path), data_root or path.parent), data, data.fold)


def of_fold(cohort: Cohort, data: DataSettings, fold: Fold | None) -> Cohort:
    """Return a cohort with the manifest of one fold; the whole one for None."""
    if data.folds is None or fold is None:
        return cohort
    manifest = fold_of(
        cohort.manifest,
        folds=data.folds,
        fold=fold,
        source=data.source,
        target=data.target,
        validation=data.fold_validation,
        seed=data.fold_seed,
    )
    return Cohort(manifest, cohort.root)


def read_case(entry: CaseEntry, data_root: Path) -> Case:
    """Read one image of a release after comparing its digest; notices of the reader travel with the case.

    Raises
    ------
    CohortError, FormatError
        If the file is absent, is another one, says that it holds another modality, or cannot be read without guessing.

    Notes
    -----
    Where the manifest's digest is that of several files, it stands before theirs in the provenance: by it a prepared
    case is known to be of this row.
    """
    from medgan.formats import open_image

    try:
        file = open_image(entry.located(data_root), series=entry.series, quantity=Quantity.named(entry.quantity))
    except FormatError as error:
        raise FormatError(_in_words_of_a_manifest(str(error))) from None
    if file.modality_hint not in (None, entry.modality):
        raise CohortError(
            f"Case {entry.case_id} is to hold {entry.modality} in domain {entry.domain!r}: the file says that it holds "
            f"{file.modality_hint}. Correct the modality or the path in the manifest."
        )
    volume, sources = file.volume, file.volume.provenance.sources
    notices = file.notices
    if entry.sha256 not in sources:
        volume = replace(volume, provenance=replace(volume.provenance, sources=(entry.sha256, *sources)))
    elif len(sources) > 1:
        notices = (*notices, "The manifest's digest covers the header only: changed voxels would not be noticed.")
    case = Case(entry.case_id, entry.subject_id, {entry.domain: volume})
    for notice in notices:
        case = case.with_notice(notice)
    return case


def _in_words_of_a_manifest(sentence: str) -> str:
    """Return a refusal whose advice is for one image as advice for a row."""
    for option in ("--allow-gap", "--assume-axes"):
        sentence = sentence.replace(f"pass {option}", f"prepare it alone with medgan preprocess {option}")
    return sentence.replace("choose it with --series N", "choose it in the manifest's column series")


def fitted_recipe(recipe: Recipe, manifest: Manifest, data_root: Path, *, domain: str) -> Recipe:
    """Return a recipe whose learning stages are fitted on the training split of a domain; read only if they learn."""
    if not recipe.learns:
        return recipe.fitted(())
    return recipe.fitted([read_case(entry, data_root) for entry in _required(manifest, "train", domain)])


def prepared_cases(
    entries: Sequence[CaseEntry], data_root: Path, *, recipe: Recipe, store_root: Path, console: Console, jobs: int = 1
) -> list[Case]:
    """Return prepared cases in the order of their entries, from the store where they are there already.

    Parameters
    ----------
    entries : sequence of CaseEntry
    data_root : Path
    recipe : Recipe
        Fitted.
    store_root : Path
    console : Console
    jobs : int
        Processes at most; a process is started for every four images only, because starting one takes seconds. The
        bits do not depend on their number.

    Raises
    ------
    MedganError
        If an image is refused, or the store's case was made from another file than the one that the manifest means.
    """
    store = CaseStore(store_root, recipe.digest)
    missing = [entry for entry in entries if key_of(entry) not in store]
    # A process that is used again may have been started in another folder.
    prepare = partial(put_in_store, data_root=data_root.resolve(), recipe=recipe, store_root=store_root.resolve())
    with console.progress("preparing") as advance:
        done = len(entries) - len(missing)
        for position, notices in each_done(prepare, missing, jobs=min(jobs, len(missing) // IMAGES_PER_PROCESS)):
            entry, done = missing[position], done + 1
            for notice in notices:
                console.notice(f"{entry.case_id} ({entry.domain}): {notice}")
            advance(done, len(entries))
    return [from_store(entry, store) for entry in entries]


def key_of(entry: CaseEntry) -> str:
    """Return the name of an entry's prepared case in its store."""
    return f"{entry.case_id}.{entry.domain}"


def put_in_store(entry: CaseEntry, *, data_root: Path, recipe: Recipe, store_root: Path) -> tuple[str, ...]:
    """Prepare one image unless the store has it; return the notices of what was prepared now.

    Raises
    ------
    MedganError
        If the image is refused or the store cannot be written.
    """
    store, key = CaseStore(store_root, recipe.digest), key_of(entry)
    if key in store:
        return ()
    case = recipe(read_case(entry, data_root))
    try:
        store.write(key, case)
    except (CohortError, OutputError):
        # A process that outlived a killed command may have been faster: its case has the same bits.
        if key not in store:
            raise
    return case.notices


def from_store(entry: CaseEntry, store: CaseStore) -> Case:
    """Return the prepared case of an entry.

    Raises
    ------
    CohortError
        If it is absent or damaged, or was made from another file than the one that the manifest means.
    """
    case = store.read(key_of(entry))
    if entry.sha256 not in case.image.provenance.sources:
        raise CohortError(
            f"The prepared case {store.path_of(key_of(entry)).name} was made from another file than the manifest's row "
            f"({entry.label}): choose another folder for prepared cases, or remove it."
        )
    return case


def fitted_on_usable(
    recipe: Recipe, entries: Sequence[CaseEntry], data_root: Path, *, console: Console, jobs: int = 1
) -> Recipe:
    """Return a recipe whose learning stages are fitted on those of the entries that are not refused.

    With none refused it is :func:`fitted_recipe`'s. The stages before the one that learns run once an image.

    Raises
    ------
    CohortError
        If there is something to learn and nothing to learn it from.
    """
    if not recipe.learns:
        return recipe.fitted(())
    first = next(n for n, stage in enumerate(recipe.stages) if getattr(stage, "learns", False))
    before, after = Recipe(recipe.stages[:first]).fitted(()), Recipe(recipe.stages[first:])
    learnable = partial(_learnable, before=before, after=after, data_root=data_root.resolve())
    found: dict[int, Case] = {}
    with console.progress("reading what the recipe is fitted on") as advance:
        for done, (position, case) in enumerate(each_done(learnable, entries, jobs=jobs), start=1):
            if case is not None:
                found[position] = case
            advance(done, len(entries))
    if not found:
        raise CohortError(f"A recipe is fitted on training images: none of {len(entries)} can be used.")
    return Recipe((*before.stages, *after.fitted([found[position] for position in sorted(found)]).stages))


def _learnable(entry: CaseEntry, *, before: Recipe, after: Recipe, data_root: Path) -> Case | None:
    """Return what the learning stage sees of an image, None if it is refused."""
    try:
        case = before(read_case(entry, data_root))
        after.fitted([case])
    except MedganError:
        # Why is said where the image is prepared.
        return None
    return case


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
