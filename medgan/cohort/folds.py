"""Cross-validation by subject for unpaired training: every fold is a manifest of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medgan.cohort.manifest import CaseEntry, Manifest
from medgan.errors import CohortError
from medgan.seeding import numpy_generator

Fold = int | Literal["all"]
"""Number of a fold, counted from 0, or the training on all subjects, which has neither validation nor test."""


@dataclass(frozen=True, kw_only=True)
class Deal:
    """Who does what in one fold; every subject stands in one group.

    Attributes
    ----------
    source, target : tuple of str
        Sorted subjects that give their image of one domain to the training.
    validation, test : tuple of str
        Sorted subjects that give both images.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


def dealt(subject_ids: Sequence[str], *, folds: int, fold: Fold, validation: int = 2, seed: int = 0) -> Deal:
    """Deal subjects for one fold.

    Parameters
    ----------
    subject_ids : sequence of str
        Repeated ids count once; their order does not matter.
    folds : int
        At least 2. Every subject is a test subject in exactly one of them.
    fold : int from 0, or "all"
    validation : int
        Validation subjects in every fold.
    seed : int
        The deal is a function of the set of subjects and these four numbers.

    Returns
    -------
    Deal

    Raises
    ------
    CohortError
        If a fold does not exist, or leaves no subject to validate with or to train with in each domain.

    Notes
    -----
    The sorted subjects are permuted once and cut into ``folds`` runs, which differ by one subject at most: the test
    subjects. Validation subjects are the first of the next run, so that no subject validates twice before there are no
    others. The remaining ones are permuted by a generator of the fold's own and cut in half, the source's half first;
    with an odd number the target gets one more.

    Examples
    --------
    >>> deal = dealt(["a", "b", "c", "d", "e", "f"], folds=3, fold=0, validation=1)
    >>> [len(group) for group in (deal.source, deal.target, deal.validation, deal.test)]
    [1, 2, 1, 2]
    """
    unique = sorted(set(subject_ids))
    if not 2 <= folds <= len(unique):
        raise CohortError(f"A cross-validation needs 2 to {len(unique)} folds, one a subject at most: found {folds}.")
    if fold != "all" and not 0 <= fold < folds:
        raise CohortError(f"A fold must be 0 to {folds - 1} or 'all': found {fold}.")
    order = numpy_generator(seed, "folds").permutation(len(unique))
    runs = [[unique[i] for i in run] for run in np.array_split(order, folds)]
    test: list[str] = []
    checked: list[str] = []
    if fold != "all":
        test = runs[fold]
        following = [subject for step in range(1, folds) for subject in runs[(fold + step) % folds]]
        checked = following[:validation]
    rest = [subject for subject in unique if subject not in test and subject not in checked]
    if len(checked) < validation * (fold != "all") or len(rest) < 2:
        raise CohortError(
            f"A fold needs {validation} validation subjects and at least 2 to train with, one a domain: "
            f"{len(unique)} subjects in {folds} folds leave {len(unique) - len(test)}."
        )
    mixed = [rest[i] for i in numpy_generator(seed, "folds", "halves", str(fold)).permutation(len(rest))]
    half = len(mixed) // 2
    groups = {"source": mixed[:half], "target": mixed[half:], "validation": checked, "test": test}
    return Deal(**{name: tuple(sorted(group)) for name, group in groups.items()})


def fold_of(
    manifest: Manifest, *, folds: int, fold: Fold, source: str, target: str, validation: int = 2, seed: int = 0
) -> Manifest:
    """Return the manifest of one fold: only the images that take part, each in its split.

    Parameters
    ----------
    manifest : Manifest
        Every subject with both domains; the splits it names are not looked at.
    folds, fold, validation, seed
        See :func:`dealt`.
    source, target : str
        Domains.

    Raises
    ------
    CohortError
        If a subject lacks an image, or the fold cannot be dealt.
    """
    entries = manifest.select()
    have = {domain: {e.subject_id for e in entries if e.domain == domain} for domain in (source, target)}
    lacking = sorted(have[source] ^ have[target])
    if lacking or not have[source]:
        raise CohortError(
            f"A cross-validation deals subjects that have {source!r} and {target!r}: in manifest {manifest.title!r} "
            f"{', '.join(lacking[:5]) or 'no subject'} {'lack one' if len(lacking) > 1 else 'lacks one'} of them."
        )
    deal = dealt(sorted(have[source]), folds=folds, fold=fold, validation=validation, seed=seed)
    chosen = [_placed(entry, deal, source=source, target=target) for entry in entries]
    return replace(manifest, entries=tuple(entry for entry in chosen if entry is not None))


def _placed(entry: CaseEntry, deal: Deal, *, source: str, target: str) -> CaseEntry | None:
    """Return an entry in its split, None if the fold does not use it."""
    trains = {source: deal.source, target: deal.target}
    if entry.domain not in trains:
        return None
    if entry.subject_id in trains[entry.domain]:
        return replace(entry, split="train")
    for split, group in (("validation", deal.validation), ("test", deal.test)):
        if entry.subject_id in group:
            return replace(entry, split=split)
    return None
