"""Splits deal subjects, never images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_rows import entry

from medgan.cohort.split import SPLITS, split_faults, split_subjects
from medgan.errors import CohortError


@given(sizes=st.lists(st.integers(0, 7), min_size=3, max_size=3).filter(any), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_subject_is_shared_and_none_is_lost(sizes, seed):
    subjects = [f"s{n}" for n in range(sum(sizes))]
    counts = dict(zip(SPLITS, sizes))
    # Ids come once for every image, in any order.
    images = [*subjects, *reversed(subjects)]
    groups = split_subjects(images, counts=counts, generator=np.random.default_rng(seed))
    assert {name: len(group) for name, group in groups.items()} == counts
    assert sorted(s for group in groups.values() for s in group) == sorted(subjects)
    again = split_subjects(subjects, counts=counts, generator=np.random.default_rng(seed))
    assert groups == again


def test_another_seed_deals_otherwise():
    subjects, counts = [str(n) for n in range(20)], {"train": 10, "test": 10}
    dealt = {split_subjects(subjects, counts=counts, generator=np.random.default_rng(s))["train"] for s in range(5)}
    assert len(dealt) == 5


@pytest.mark.parametrize("counts", [{"train": 2}, {"train": 2, "test": 2}, {"train": 4, "test": -1}, {}])
def test_counts_must_use_every_subject_once(counts):
    with pytest.raises(CohortError, match="counts that add up to its 3 subjects: found"):
        split_subjects(["a", "b", "c", "a"], counts=counts, generator=np.random.default_rng(0))


def test_split_faults_name_subjects_and_files():
    rows = [entry(), entry(case_id="other", split="test"), entry(case_id="third", subject_id="z", sha256="0" * 64)]
    assert split_faults(rows) == ["subject limb_1 is in the splits test and train"]
    assert split_faults(rows[:1]) == []
