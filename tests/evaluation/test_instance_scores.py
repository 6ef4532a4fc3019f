"""Agreement of instances: closed forms, another implementation, and counts that add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import adapted_rand_error, variation_of_information

from medgan.errors import EvaluationError
from medgan.evaluation.instances import added, instance_scores, overlaps, pooled, without_borders


def scores(result, reference):
    return instance_scores(overlaps(result=np.asarray(result), reference=np.asarray(reference)))


def test_the_truth_scores_zero_whatever_its_numbers():
    reference = np.array([1, 1, 2, 2, 2, 3])
    for result in (reference, reference.astype(np.uint64) + np.uint64(2**63), np.array([9, 9, 4, 4, 4, 7])):
        found = scores(result, reference)
        assert [found.voi, found.adapted_rand_error, found.cremi_score] == pytest.approx([0, 0, 0], abs=1e-7)


def test_a_split_in_halves_costs_one_bit():
    found = scores([1, 1, 2, 2], [5, 5, 5, 5])
    assert (found.voi_split, found.voi_merge) == (1, 0)
    # Of the pairs together in the truth, half are together in the result.
    assert found.rand_split == pytest.approx(0.5)
    assert found.adapted_rand_error == pytest.approx(1 - 2 * 0.5 / 1.5)
    assert found.cremi_score == pytest.approx(np.sqrt(found.adapted_rand_error))


def test_a_merge_of_halves_costs_one_bit():
    found = scores([5, 5, 5, 5], [1, 1, 2, 2])
    assert (found.voi_split, found.voi_merge) == (0, 1)
    assert found.rand_merge == pytest.approx(0.5)


def test_zero_in_the_reference_is_not_counted_and_zero_in_the_result_is():
    assert scores([7, 7, 8, 9], [1, 1, 0, 0]).voi == 0
    assert scores([7, 7, 8, 9], [1, 1, 0, 0]).voxels == 2
    assert scores([0, 0, 1, 1], [1, 1, 1, 1]).voi_split == 1


def test_nothing_to_compare_is_refused():
    with pytest.raises(EvaluationError, match="no voxel that is not 0"):
        scores([1, 1], [0, 0])
    with pytest.raises(EvaluationError, match="one grid"):
        scores([1, 1], [1, 1, 1])
    for gather in (added, pooled):
        with pytest.raises(EvaluationError, match="found none"):
            gather([])


arrays = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(arrays)
def test_measures_agree_with_scikit_image(rng):
    reference = rng.integers(0, 6, (5, 6, 7))
    result = rng.integers(1, 9, (5, 6, 7))
    reference[0, 0, 0] = 1
    found = scores(result, reference)
    split, merge = variation_of_information(reference, result, ignore_labels=[0])
    # scikit-image names by what is missing: H(result | reference) comes first.
    assert {round(found.voi_split, 9), round(found.voi_merge, 9)} == {round(split, 9), round(merge, 9)}
    counted = reference != 0
    true, got = reference[counted], result[counted]
    together = (true[:, None] == true) & (got[:, None] == got)
    precision, recall = together.sum() / (got[:, None] == got).sum(), together.sum() / (true[:, None] == true).sum()
    assert found.adapted_rand_error == pytest.approx(1 - 2 * precision * recall / (precision + recall))
    # scikit-image leaves out the pair of a voxel with itself, which counts little where instances are large.
    large, larger = (np.repeat(array.ravel(), 40) for array in (true, got))
    error, _, _ = adapted_rand_error(large, larger, ignore_labels=())
    assert scores(larger, large).adapted_rand_error == pytest.approx(error, abs=2e-3)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(arrays)
def test_counts_of_blocks_add_up_to_those_of_the_whole(rng):
    reference, result = rng.integers(0, 6, (8, 6)), rng.integers(0, 9, (8, 6))
    parts = [overlaps(result=result[a:b], reference=reference[a:b]) for a, b in ((0, 3), (3, 8))]
    reference[0, 0] = 1
    parts[0] = overlaps(result=result[:3], reference=reference[:3])
    assert instance_scores(added(parts)).as_dict() == pytest.approx(scores(result, reference).as_dict())


def test_equal_numbers_in_two_volumes_are_two_instances():
    one = overlaps(result=np.array([1, 1]), reference=np.array([1, 1]))
    # As blocks of one volume this is one perfect instance; as two volumes it is two, also perfect.
    assert len(added([one, one]).voxels) == 1
    assert len(pooled([one, one]).voxels) == 2
    merged = overlaps(result=np.array([1, 1]), reference=np.array([1, 2]))
    assert instance_scores(pooled([merged, one])).voi_merge == pytest.approx(0.5)
    assert instance_scores(added([merged, one])).voi_merge == pytest.approx(
        -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    )


def test_borders_are_left_out_by_distance():
    reference = np.repeat(np.array([1, 2], dtype=np.uint8), 5)[:, None, None] * np.ones((1, 3, 3), np.uint8)
    kept = without_borders(reference, distance=15, spacing=(10, 10, 10))
    np.testing.assert_array_equal(kept[:, 0, 0], [1, 1, 1, 0, 0, 0, 0, 2, 2, 2])
    assert without_borders(reference, distance=0, spacing=(10, 10, 10)) is reference
    one = np.ones((3, 3, 3), np.uint8)
    np.testing.assert_array_equal(without_borders(one, distance=99, spacing=(1, 1, 1)), one)
