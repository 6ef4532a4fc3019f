"""Splits: by subject, never by image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from medgan.errors import CohortError

SPLITS = ("train", "validation", "test")


class SplitEntry(Protocol):
    """What a split check reads of an image."""

    @property
    def case_id(self) -> str: ...  # noqa: D102

    @property
    def subject_id(self) -> str: ...  # noqa: D102

    @property
    def split(self) -> str: ...  # noqa: D102

    @property
    def sha256(self) -> str: ...  # noqa: D102

    @property
    def series(self) -> int | None: ...  # noqa: D102


def split_faults(entries: Iterable[SplitEntry]) -> list[str]:
    """Return one sentence for each subject and each file, or series of a folder, that appears in two splits."""
    subjects: dict[str, set[str]] = defaultdict(set)
    files: dict[str, dict[int | None, list[SplitEntry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        subjects[entry.subject_id].add(entry.split)
        files[entry.sha256][entry.series].append(entry)
    faults = [
        f"subject {s} is in the splits {' and '.join(sorted(found))}" for s, found in subjects.items() if len(found) > 1
    ]
    for by_series in files.values():
        # A row that names no series may mean any of those that others name.
        unnamed = by_series.pop(None, [])
        for group in [[*unnamed, *named] for named in by_series.values()] or [unnamed]:
            first = {entry.split: entry.case_id for entry in reversed(group)}
            if len(first) > 1:
                words = " and as ".join(f"{case_id} ({split})" for split, case_id in sorted(first.items()))
                faults.append(f"one file is in two splits: as {words}")
    return faults


def split_subjects(
    subject_ids: Sequence[str], *, counts: dict[str, int], generator: np.random.Generator
) -> dict[str, tuple[str, ...]]:
    """Deal subjects into named groups at random.

    Parameters
    ----------
    subject_ids : sequence of str
        Repeated ids count once.
    counts : dict of str to int
        Size of each group; together they must use every subject.
    generator : numpy.random.Generator

    Returns
    -------
    dict of str to tuple of str
        Sorted subject ids of each group; no subject is in two.

    Raises
    ------
    CohortError
        If the counts do not add up to the number of subjects.

    Examples
    --------
    >>> groups = split_subjects(["a", "b", "c"], counts={"train": 2, "test": 1}, generator=np.random.default_rng(0))
    >>> sorted(groups["train"] + groups["test"])
    ['a', 'b', 'c']
    """
    unique = sorted(set(subject_ids))
    if sum(counts.values()) != len(unique) or min(counts.values(), default=0) < 0:
        raise CohortError(f"A split needs counts that add up to its {len(unique)} subjects: found {counts}.")
    order = generator.permutation(len(unique))
    groups, start = {}, 0
    for name, count in counts.items():
        groups[name] = tuple(sorted(unique[i] for i in order[start : start + count]))
        start += count
    return groups
