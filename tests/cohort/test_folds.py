"""Every subject is tested once, and in no fold does anybody give both images to the training."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_rows import entry, manifest, paired

from medgan.cohort import Manifest
from medgan.cohort.folds import dealt, fold_of
from medgan.errors import CohortError

LIMBS = Path(__file__).resolve().parents[2] / "data_manifests" / "sts_limbs_all.yaml"


def ids(count: int) -> list[str]:
    return [f"limb_{n:02d}" for n in range(count)]


@given(count=st.integers(6, 30), folds=st.integers(2, 6), validation=st.integers(0, 2), seed=st.integers(0, 3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_a_fold_uses_every_subject_once_and_the_test_groups_cover_the_cohort(count, folds, validation, seed):
    tested = []
    for fold in range(folds):
        if count - -(-count // folds) - validation < 2:
            return
        deal = dealt(ids(count), folds=folds, fold=fold, validation=validation, seed=seed)
        groups = [deal.source, deal.target, deal.validation, deal.test]
        assert sorted(sum(groups, ())) == ids(count)
        assert len(deal.validation) == validation
        assert len(deal.target) - len(deal.source) in (0, 1)
        tested += deal.test
    assert sorted(tested) == ids(count)


def test_a_deal_depends_on_seed_and_fold_and_not_on_the_order_of_the_rows():
    shuffled = ids(20) * 2
    random.Random(0).shuffle(shuffled)
    first = dealt(ids(20), folds=5, fold=0)
    assert dealt(shuffled, folds=5, fold=0) == first
    assert dealt(ids(20), folds=5, fold=0, seed=1) != first
    assert dealt(ids(20), folds=5, fold=1).source != first.source


def test_nobody_validates_twice_before_everybody_could():
    validated = sum((dealt(ids(20), folds=5, fold=fold).validation for fold in range(5)), ())
    assert len(set(validated)) == len(validated) == 10


def test_the_training_on_all_has_neither_validation_nor_test():
    deal = dealt(ids(20), folds=5, fold="all")
    assert (len(deal.source), len(deal.target), deal.validation, deal.test) == (10, 10, (), ())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"folds": 1, "fold": 0}, "needs 2 to 4 folds, one a subject at most: found 1"),
        ({"folds": 5, "fold": 0}, "found 5"),
        ({"folds": 2, "fold": 2}, "must be 0 to 1 or 'all': found 2"),
        ({"folds": 2, "fold": -1}, "found -1"),
        ({"folds": 2, "fold": 0, "validation": 1}, "at least 2 to train with"),
        ({"folds": 2, "fold": 0, "validation": 3}, "4 subjects in 2 folds leave 2"),
    ],
)
def test_folds_that_cannot_be_dealt_are_refused(arguments, words):
    with pytest.raises(CohortError, match=words):
        dealt(ids(4), **arguments)


def test_a_fold_is_a_manifest_without_the_images_that_take_no_part():
    whole = manifest(*sum((paired(name, "train") for name in ids(9)), ()))
    fold = fold_of(whole, folds=3, fold=1, source="mr", target="ct", validation=1)
    deal = dealt(ids(9), folds=3, fold=1, validation=1)
    assert tuple(e.subject_id for e in fold.select(split="train", domain="mr")) == deal.source
    assert tuple(e.subject_id for e in fold.select(split="train", domain="ct")) == deal.target
    assert tuple(s.subject_id for s, _ in fold.pairs(split="test", source="mr", target="ct")) == deal.test
    assert tuple(s.subject_id for s, _ in fold.pairs(split="validation", source="mr", target="ct")) == deal.validation
    assert len(fold.entries) == 5 + 2 * (1 + 3)
    assert fold.digest != fold_of(whole, folds=3, fold=0, source="mr", target="ct", validation=1).digest


def test_images_of_other_domains_are_left_out():
    whole = manifest(*sum((paired(name, "train") for name in ids(6)), ()))
    t2 = entry(case_id="limb_00", subject_id="limb_00", domain="t2")
    extra = manifest(*whole.entries, t2)
    chosen = fold_of(extra, folds=2, fold=0, source="mr", target="ct", validation=1)
    assert {e.domain for e in chosen.entries} == {"mr", "ct"}


def test_a_subject_without_a_pair_is_named():
    rows = sum((paired(name, "train") for name in ids(6)), ())
    with pytest.raises(CohortError, match=r"deals subjects that have 'mr' and 'ct'.*limb_05 lacks one of them"):
        fold_of(manifest(*rows[:-1]), folds=3, fold=0, source="mr", target="ct")
    with pytest.raises(CohortError, match="no subject lacks one"):
        fold_of(manifest(*rows), folds=3, fold=0, source="t1", target="t2")


def test_the_limb_study_tests_four_subjects_in_each_of_five_folds():
    whole = Manifest.read(LIMBS)
    assert len(whole.entries) == 40
    assert len({e.subject_id for e in whole.entries}) == 20
    for fold in range(5):
        found = fold_of(whole, folds=5, fold=fold, source="mr", target="ct")
        sizes = [len(found.select(split="train", domain=domain)) for domain in ("mr", "ct")]
        pairs = [len(found.pairs(split=split, source="mr", target="ct")) for split in ("validation", "test")]
        assert (*sizes, *pairs) == (7, 7, 2, 4)
        trained = [{e.subject_id for e in found.select(split="train", domain=d)} for d in ("mr", "ct")]
        assert not trained[0] & trained[1]
