"""From manifest rows to prepared studies with the experts' labels, and from subjects to splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.cohort import Case, CaseEntry, Manifest
from medgan.cohort.case_store import CaseStore
from medgan.cohort.folds import dealt
from medgan.commands.cohort_data import Cohort
from medgan.commands.console import Console
from medgan.errors import CohortError
from medgan.volume import LabelMap, Quantity

if TYPE_CHECKING:
    from medgan.commands.segmentation_settings import SegmentationDataSettings, SegmentationExperiment
    from medgan.patches.slices import LabeledStudy


@dataclass(frozen=True)
class SubjectDeal:
    """Sorted subjects of each role; no subject has two."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class StudyEntry:
    """The rows of one case: its images and its label images, by domain."""

    case_id: str
    subject_id: str
    rows: dict[str, CaseEntry]


def opened_studies(
    data: SegmentationDataSettings, config: Path, data_root: Path | None, phantoms: Path, console: Console
) -> Cohort:
    """Return manifest and data root of a configuration; phantoms are drawn into their folder first."""
    if data.phantoms is not None:
        from medgan.commands.prostate_cohort import prostate_cohort

        return Cohort(prostate_cohort(phantoms, data.phantoms, console=console), phantoms)
    path = (config.parent / str(data.manifest)).resolve()
    return Cohort(Manifest.read(path), data_root or path.parent)


def study_entries(manifest: Manifest, data: SegmentationDataSettings) -> tuple[StudyEntry, ...]:
    """Return the cases of a manifest that have every channel and label of a configuration.

    Raises
    ------
    CohortError
        If a case lacks one, or there is no case.
    """
    wanted = [*(channel.name for channel in data.channels), *(labels.domain for labels in data.labels)]
    by_case: dict[str, dict[str, CaseEntry]] = {}
    for entry in manifest.entries:
        by_case.setdefault(entry.case_id, {})[entry.domain] = entry
    for case_id, rows in by_case.items():
        missing = [domain for domain in wanted if domain not in rows]
        if missing:
            raise CohortError(
                f"A segmentation needs {', '.join(wanted)} of every case: case {case_id} of {manifest.title!r} lacks "
                f"{', '.join(missing)}."
            )
    if not by_case:
        raise CohortError(f"A segmentation needs cases: manifest {manifest.title!r} has none.")
    return tuple(
        StudyEntry(case_id, rows[wanted[0]].subject_id, {domain: rows[domain] for domain in wanted})
        for case_id, rows in by_case.items()
    )


def subject_deal(entries: Sequence[StudyEntry], data: SegmentationDataSettings, *, seed: int) -> SubjectDeal:
    """Deal the subjects: by fold, for the small-data curve, or as the manifest splits them.

    Parameters
    ----------
    entries : sequence of StudyEntry
    data : SegmentationDataSettings
    seed : int
        Of the experiment; decides which subjects train in a curve, and nothing else.

    Raises
    ------
    CohortError
        If there are too few subjects, or the configuration has folds and does not say which one.
    """
    subjects = sorted({entry.subject_id for entry in entries})
    if data.curve is not None:
        return _for_curve(subjects, data, seed)
    if data.folds is not None:
        if data.fold is None:
            raise CohortError(f"Say which fold is trained: data.fold from 0 to {data.folds - 1}, or all.")
        if data.fold == "all":
            ordered = _permuted(subjects, data.fold_seed, "all")
            held = data.fold_validation
            return SubjectDeal(tuple(sorted(ordered[held:])), tuple(sorted(ordered[:held])), ())
        deal = dealt(subjects, folds=data.folds, fold=data.fold, validation=data.fold_validation, seed=data.fold_seed)
        return SubjectDeal(tuple(sorted(deal.source + deal.target)), deal.validation, deal.test)
    by_split = {
        split: tuple(sorted({e.subject_id for e in entries if next(iter(e.rows.values())).split == split}))
        for split in ("train", "validation", "test")
    }
    if not by_split["train"] or not by_split["validation"]:
        raise CohortError("A segmentation needs subjects to train with and to choose the checkpoint with: found none.")
    return SubjectDeal(**by_split)


def _for_curve(subjects: Sequence[str], data: SegmentationDataSettings, seed: int) -> SubjectDeal:
    curve = data.curve
    if curve is None or curve.train + curve.validation + curve.test > len(subjects):
        raise CohortError(f"A curve needs as many subjects as it deals: found {len(subjects)} for {curve}.")
    ordered = _permuted(subjects, data.fold_seed, "curve")
    test, rest = ordered[: curve.test], ordered[curve.test :]
    validation, pool = rest[: curve.validation], rest[curve.validation :]
    train = _permuted(pool, seed, "curve train")[: curve.train]
    return SubjectDeal(tuple(sorted(train)), tuple(sorted(validation)), tuple(sorted(test)))


def _permuted(subjects: Sequence[str], seed: int, place: str) -> list[str]:
    from medgan.seeding import numpy_generator

    return [subjects[i] for i in numpy_generator(seed, place).permutation(len(subjects))]


def raw_study(
    entry: StudyEntry, data: SegmentationDataSettings, root: Path
) -> tuple[Case, list[tuple[LabelMap, dict[int, int]]]]:
    """Read one study as it lies on disk: a case with its channels, and its label maps with their tables.

    Raises
    ------
    CohortError, FormatError
        If a file is absent, is another one, or cannot be read without guessing.
    """
    from medgan.formats import open_image, read_label_file

    case = Case(entry.case_id, entry.subject_id)
    for channel in data.channels:
        row = entry.rows[channel.name]
        file = open_image(row.located(root), series=row.series, quantity=Quantity.named(channel.quantity))
        case = case.with_image(channel.name, file.volume)
        for notice in file.notices:
            case = case.with_notice(f"{channel.name}: {notice}")
    labels = []
    for domain, table in data.tables():
        labels.append((read_label_file(entry.rows[domain].located(root)).labels, table))
    return case, labels


def prepared_studies(
    entries: Sequence[StudyEntry],
    root: Path,
    *,
    experiment: SegmentationExperiment,
    store_root: Path,
    console: Console,
) -> list[Case]:
    """Return prepared studies with their label map ``expert``, from the store where they are there already.

    Raises
    ------
    MedganError
        If a study is refused.
    """
    from medgan.inference.segmenter_channels import EXPERT, expert_on, prepared_channels

    data = experiment.data
    store = CaseStore(store_root, preparation_digest(experiment))
    cases = []
    with console.progress("preparing") as advance:
        for done, entry in enumerate(entries, start=1):
            key = _key_of(entry)
            if key not in store:
                raw, labels = raw_study(entry, data, root)
                case = prepared_channels(raw, channels=data.channels, working=experiment.working)
                grid = next(iter(case.images.values())).grid
                expert = expert_on(grid, labels, case_id=entry.case_id)
                store.write(key, case.with_label(EXPERT, expert))
            cases.append(store.read(key))
            advance(done, len(entries))
    return cases


def preparation_digest(experiment: SegmentationExperiment) -> str:
    """Return the digest that names the prepared studies of a configuration."""
    data = experiment.data
    facts = {
        "channels": [channel.model_dump(mode="json") for channel in data.channels],
        "labels": [labels.model_dump(mode="json") for labels in data.labels],
        "classes": list(data.classes),
        "working": experiment.working.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _key_of(entry: StudyEntry) -> str:
    """Return a name that changes with the files: a store never serves a study made from others."""
    digests = ",".join(f"{domain}:{row.sha256}:{row.series}" for domain, row in sorted(entry.rows.items()))
    return f"{entry.case_id}.{hashlib.sha256(digests.encode()).hexdigest()[:12]}"


def labeled_study(case: Case, experiment: SegmentationExperiment) -> LabeledStudy:
    """Return a prepared study as the sampler takes it."""
    from medgan.inference.segmenter_channels import EXPERT, stacked
    from medgan.patches.slices import LabeledStudy

    return LabeledStudy(case.case_id, stacked(case, experiment.data.channels), case.label(EXPERT).array)
