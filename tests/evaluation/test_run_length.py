"""Expected run length on cases made by hand: one split, one merge, both."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import EvaluationError, GeometryError
from medgan.evaluation.expected_run_length import pooled_run_length, run_length
from medgan.evaluation.instance_table import blocks_of, compare_instances
from medgan.evaluation.skeletons import Skeleton, skeletons_of
from medgan.geometry import Grid
from medgan.volume import LabelMap


def rod(instance, row, length=11):
    """Return a straight line of unit steps along the first axis, 10 nm a step."""
    nodes = np.stack([np.arange(length), np.full(length, row), np.zeros(length)], axis=1)
    edges = np.stack([np.arange(length - 1), np.arange(1, length)], axis=1)
    return Skeleton(instance, nodes, edges, (10.0, 10.0, 10.0))


TWO = (rod(1, 0), rod(2, 1))
"""Two lines of 100 nm."""


def followed(labels, **options):
    array = np.asarray(labels, dtype=np.uint64).T[:, :, None]
    return run_length(TWO, lambda ijk: array[tuple(ijk.T)], **options)


def test_a_perfect_result_runs_the_whole_length():
    found = followed([[7] * 11, [8] * 11])
    assert found.expected == found.greatest == 100
    assert (found.split_edges, found.merged_edges, found.omitted_edges) == (0, 0, 0)


def test_one_split():
    # 0 to 50 and 60 to 100: runs of 50 and 40, the edge between is lost; the other line runs 100.
    found = followed([[7] * 6 + [9] * 5, [8] * 11])
    assert found.expected == pytest.approx((50**2 + 40**2 + 100**2) / 200)
    assert (found.split_edges, found.merged_edges) == (1, 0)


def test_one_merge_counts_nothing_for_both():
    found = followed([[7] * 11, [7] * 11])
    assert found.expected == 0
    assert found.merged_edges == 20
    assert found.greatest == 100


def test_a_split_and_a_merge():
    # The first half of line 1 is merged with line 2; its second half is an instance of its own and runs 40.
    found = followed([[8] * 6 + [9] * 5, [8] * 11])
    assert found.expected == pytest.approx(40**2 / 200)
    assert (found.split_edges, found.merged_edges) == (1, 15)


def test_background_ends_a_run_and_merges_nothing():
    found = followed([[7] * 5 + [0] + [7] * 5, [0] * 11])
    # The same instance on both sides of a hole: two runs of 40.
    assert found.expected == pytest.approx(2 * 40**2 / 200)
    assert found.omitted_edges == 12


def test_a_stray_node_may_be_forgiven():
    labels = [[8] + [7] * 10, [8] * 11]
    assert followed(labels).expected == pytest.approx(90**2 / 200)
    assert followed(labels, merge_nodes=2).expected == pytest.approx((90**2 + 100**2) / 200)


def test_runs_are_pooled_by_length():
    perfect, merged = followed([[7] * 11, [8] * 11]), followed([[7] * 11, [7] * 11])
    assert pooled_run_length([perfect, merged]).expected == 50
    with pytest.raises(EvaluationError, match="found none"):
        pooled_run_length([])


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(EvaluationError, match="needs skeletons"):
        run_length((), lambda ijk: ijk)
    with pytest.raises(EvaluationError, match="at least one node"):
        followed([[1] * 11] * 2, merge_nodes=0)
    with pytest.raises(EvaluationError, match="two of 3 nodes"):
        Skeleton(1, np.zeros((3, 3)), np.array([[0, 3]]), (1, 1, 1))


def test_the_line_of_a_rod_is_nearly_as_long_as_the_rod():
    instances = np.zeros((60, 20, 20), dtype=np.uint64)
    instances[5:55, 8:13, 8:13] = 2**40
    (line,) = skeletons_of(instances, spacing=(10, 10, 10))
    assert line.instance == 2**40
    assert 420 <= line.length <= 520
    assert (instances[tuple(line.nodes_ijk.T)] != 0).all()
    assert len(line.edges) == len(line.nodes_ijk) - 1
    assert not skeletons_of(instances, spacing=(10, 10, 10), shortest=600)


def test_a_ring_is_cut_open_once():
    instances = np.zeros((30, 30, 5), dtype=np.uint8)
    x, y = np.ogrid[-15:15, -15:15]
    instances[(abs(np.hypot(x, y) - 10) < 2)[:, :, None] & np.ones((1, 1, 5), bool)] = 1
    (line,) = skeletons_of(instances, spacing=(1, 1, 1))
    assert len(line.edges) == len(line.nodes_ijk) - 1
    assert line.length == pytest.approx(2 * np.pi * 10, rel=0.2)


def test_lengths_know_that_voxels_are_longer_along_one_axis():
    instances = np.zeros((9, 9, 30), dtype=np.uint8)
    instances[3:6, 3:6] = 1
    (line,) = skeletons_of(instances, spacing=(4, 4, 40))
    assert line.length > 25 * 40


@pytest.fixture
def maps(rng):
    grid = Grid.axis_aligned((48, 10, 5), spacing=(10, 10, 10), unit="nm", frame="specimen")
    truth = np.ones(grid.shape, dtype=np.uint64)
    truth[:, 5:] = 2
    result = truth * 5
    result[24:] += 1
    return LabelMap(result, grid), LabelMap(truth, grid)


def test_blocks_pool_to_the_whole(maps):
    result, truth = maps
    seen = []
    whole = compare_instances(result=result, reference=truth)
    blocks = compare_instances(
        result=result, reference=truth, block=(24, 10, 5), progress=lambda d, t: seen.append((d, t))
    )
    assert seen == [(1, 2), (2, 2)]
    assert blocks.scores.as_dict() == pytest.approx(whole.scores.as_dict())
    assert whole.scores.voi_split == pytest.approx(1)
    # Cut where the result splits, every block is perfect by itself.
    assert [block.scores.voi for block in blocks.blocks] == [0, 0]
    assert blocks.runs.expected == blocks.runs.greatest
    assert whole.runs.expected < whole.runs.greatest
    facts = blocks.as_dict()
    assert facts["pooled"]["voi_split"] == pytest.approx(1)
    assert facts["blocks"][1]["start_ijk"] == [24, 0, 0]


def test_blocks_cover_a_volume_once(maps):
    _, truth = maps
    count = np.zeros(truth.shape, dtype=int)
    for box in blocks_of(truth.shape, (7, 5, 5)):
        count[box.slices] += 1
    assert (count == 1).all()


def test_an_empty_block_has_no_measure_of_its_own(maps):
    result, truth = maps
    array = truth.array.copy()
    array[24:] = 0
    table = compare_instances(result=result, reference=LabelMap(array, truth.grid), block=(24, 10, 5))
    assert table.blocks[1].scores is None
    assert table.scores.voi == 0
    with pytest.raises(EvaluationError, match="no voxel that is not 0"):
        compare_instances(result=result, reference=LabelMap(array * 0, truth.grid))


def test_other_grids_and_empty_blocks_are_refused(maps):
    result, truth = maps
    moved = LabelMap(truth.array, Grid.axis_aligned(truth.shape, spacing=(9, 9, 9), unit="nm", frame="specimen"))
    with pytest.raises(GeometryError, match="A comparison of instances needs images on one grid"):
        compare_instances(result=result, reference=moved)
    with pytest.raises(EvaluationError, match="at least one voxel"):
        compare_instances(result=result, reference=truth, block=(0, 1, 1))
