"""Stacks of sections: what is drawn, what is learned of instances, gray tables, reflections and tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import GeometryError, PatchError, VolumeError
from medgan.geometry import Box, Grid
from medgan.patches.em_batches import boundary_batches, secgan_batches
from medgan.patches.em_matching import gray_counts, matched, matching_tables
from medgan.patches.em_sampler import EmAugment, EmSampler, EmVolume, denormalized, normalized
from medgan.patches.em_targets import affinity_target, boundary_target
from medgan.patches.valid_reading import read_reflected, reflected_indices, require_field_of_view, tiles_in
from medgan.seeding import numpy_generator
from medgan.volume import LabelMap, PartOfLabels, PartOfSource, Quantity, Volume

GRID = Grid.axis_aligned((20, 18, 16), spacing=(10, 10, 40), unit="nm", frame="specimen")
PLAIN = EmAugment(axes="none", flips=False)


@pytest.fixture
def volume(rng):
    return Volume(rng.integers(1, 255, GRID.shape).astype(np.uint8), GRID, Quantity.EM_SIGNAL)


@pytest.fixture
def labels(rng):
    return LabelMap(rng.integers(1, 4, GRID.shape).astype(np.uint64), GRID)


def test_image_and_labels_of_a_patch_are_changed_alike(volume, labels):
    # Labels that are the image itself show whether both were moved in the same way.
    same = LabelMap(volume.array.astype(np.uint64), GRID)
    sampler = EmSampler([EmVolume("a", volume, same)], (8, 8, 8), EmAugment(axes="all"))
    for seed in range(10):
        drawn = sampler.drawn(numpy_generator(seed, "draw"))
        np.testing.assert_allclose(drawn.image, normalized(drawn.labels.astype(np.uint8), (0, 255)), atol=1e-6)


def test_sections_stay_sections_unless_all_axes_may_be_exchanged(volume):
    ramp = np.broadcast_to(np.arange(1, 17, dtype=np.uint8), GRID.shape).copy()
    stack = EmVolume("a", Volume(ramp, GRID, Quantity.EM_SIGNAL))
    moved = set()
    for axes in ("planes", "all"):
        sampler = EmSampler([stack], (8, 8, 8), EmAugment(axes=axes))
        for seed in range(12):
            image = sampler.drawn(numpy_generator(seed, "draw")).image
            along = [axis for axis in range(3) if np.abs(np.diff(image, axis=axis)).max() > 0]
            assert len(along) == 1
            moved.add((axes, along[0]))
    assert {axis for axes, axis in moved if axes == "planes"} == {2}
    assert {axis for axes, axis in moved if axes == "all"} == {0, 1, 2}


def test_contrast_and_brightness_change_and_stay_in_range(volume):
    sampler = EmSampler([EmVolume("a", volume)], (8, 8, 8), EmAugment("none", False, contrast=0.5, brightness=0.5))
    plain = EmSampler([EmVolume("a", volume)], (8, 8, 8), PLAIN)
    one, other = (s.drawn(numpy_generator(1, "draw")).image for s in (sampler, plain))
    assert not np.array_equal(one, other)
    assert abs(one).max() <= 1


def test_patches_of_nothing_are_drawn_anew_and_a_source_of_nothing_is_refused(volume):
    half = volume.array.copy()
    half[:, :, 9:] = 0
    sampler = EmSampler([EmVolume("a", replace(volume, array=half))], (4, 4, 4), PLAIN)
    for seed in range(20):
        assert sampler.drawn(numpy_generator(seed, "draw")).image.max() > -1
    nothing = replace(volume, array=np.zeros_like(half))
    with pytest.raises(PatchError, match=r"all zero in 64 patches \(a\)"):
        EmSampler([EmVolume("a", nothing)], (4, 4, 4), PLAIN).drawn(numpy_generator(1, "draw"))
    with pytest.raises(PatchError, match="source is all zero"):
        gray_counts(nothing)


def test_what_cannot_be_sampled_is_refused(volume, labels):
    with pytest.raises(PatchError, match="found none"):
        EmSampler([], (4, 4, 4))
    with pytest.raises(PatchError, match="as large as a patch"):
        EmSampler([EmVolume("a", volume)], (8, 8, 17), PLAIN)
    with pytest.raises(PatchError, match="patches as long along each"):
        EmSampler([EmVolume("a", volume)], (8, 6, 8))
    with pytest.raises(PatchError, match="Contrast may change"):
        EmAugment(contrast=1.0)
    with pytest.raises(GeometryError, match="images on one grid"):
        EmVolume("a", volume, LabelMap(labels.array, Grid.axis_aligned(GRID.shape, spacing=(1, 1, 1))))
    with pytest.raises(PatchError, match="a has none"):
        boundary_batches(
            sampler=EmSampler([EmVolume("a", volume)], (8, 8, 8)), offsets_ijk=(), background="ignored", seed=1, size=1
        )


def test_batches_are_a_function_of_step_and_attempt(volume, labels):
    sampler = EmSampler([EmVolume("a", volume, labels)], (8, 8, 8))
    pairs = secgan_batches(labeled=sampler, unlabeled=sampler, seed=1, size=2)
    one, again, other = pairs(3, 0), pairs(3, 0), pairs(3, 1)
    assert one.labeled.shape == (2, 1, 8, 8, 8)
    assert one.labeled.equal(again.labeled)
    assert not one.labeled.equal(other.labeled)
    assert one.case_ids == ("a",) * 4
    known = boundary_batches(sampler=sampler, offsets_ijk=((-1, 0, 0), (0, 0, 2)), background="ignored", seed=1, size=1)
    assert known(1, 0).target.shape == known(1, 0).counted.shape == (1, 2, 8, 8, 8)


def test_boundaries_lie_on_both_sides_and_zero_is_unknown_or_membrane():
    instances = np.array([1, 1, 2, 2, 0, 3])[:, None, None]
    target, counted = boundary_target(instances, background="ignored")
    assert target.ravel().tolist() == [0, 1, 1, 0, 0, 0]
    assert counted.ravel().tolist() == [1, 1, 1, 1, 0, 1]
    target, counted = boundary_target(instances, background="boundary")
    assert target.ravel().tolist() == [0, 1, 1, 1, 1, 1]
    assert counted.all()


def test_affinities_look_at_the_neighbor_that_the_offset_names():
    instances = np.array([1, 1, 2, 2, 0])[:, None, None]
    target, counted = affinity_target(instances, ((-1, 0, 0), (2, 0, 0)), background="ignored")
    assert target[0].ravel().tolist() == [0, 1, 0, 1, 0]
    assert counted[0].ravel().tolist() == [0, 1, 1, 1, 0]
    assert target[1].ravel().tolist() == [0, 0, 0, 0, 0]
    assert counted[1].ravel().tolist() == [1, 1, 0, 0, 0]
    _, membrane = affinity_target(instances, ((-1, 0, 0),), background="boundary")
    assert membrane[0].ravel().tolist() == [0, 1, 1, 1, 1]
    with pytest.raises(PatchError, match="larger patch"):
        affinity_target(instances, ((5, 0, 0),), background="ignored")


def test_matching_by_sections_undoes_a_drift_and_by_volume_does_not(volume):
    shift = np.arange(16) * 5
    drifted = (volume.array // 2 + shift).astype(np.uint8)
    counts = gray_counts(replace(volume, array=drifted))
    assert counts.sum() == drifted.size
    reference = gray_counts(volume).sum(axis=0)
    means = {}
    for by in ("volume", "sections"):
        array = matched(drifted, matching_tables(counts, reference, by=by), 0)
        means[by] = array.reshape(-1, 16).mean(axis=0)
    assert np.ptp(means["sections"]) < 3
    assert np.ptp(means["volume"]) > 50
    assert matching_tables(counts, reference, by="none") is None


def test_matching_is_monotone_keeps_black_and_works_on_parts(volume):
    array = volume.array.copy()
    array[:4] = 0
    counts = gray_counts(replace(volume, array=array))
    tables = matching_tables(counts, gray_counts(volume).sum(axis=0), by="sections")
    assert not tables[:, 0].any()
    assert (np.diff(tables[:, 1:].astype(int), axis=1) >= 0).all()
    np.testing.assert_array_equal(matched(array, tables, 0)[:, :, 5:9], matched(array[:, :, 5:9], tables, 5))
    assert not matched(array, tables, 0)[:4].any()


def test_only_bytes_are_matched(volume):
    with pytest.raises(PatchError, match="uint8 images: found uint16"):
        gray_counts(replace(volume, array=volume.array.astype(np.uint16)))
    with pytest.raises(PatchError, match="this one is all zero"):
        matching_tables(gray_counts(volume), np.zeros(256, int), by="volume")


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(-20, 20), st.integers(1, 20))
def test_reflection_is_numpy_s(size, start, length):
    padded = np.pad(np.arange(size), 40, mode="reflect") if size > 1 else np.zeros(81, int)
    np.testing.assert_array_equal(
        reflected_indices(start, start + length, size), padded[40 + start : 40 + start + length]
    )


def test_a_box_beyond_the_volume_is_its_reflection(volume):
    box = Box((-5, 3, 10), (25, 9, 30))
    pads = [(5, 5), (0, 0), (0, 14)]
    expected = np.pad(volume.array[:, 3:9, 10:], [pads[0], (0, 0), (0, 0)], mode="reflect")
    full = np.pad(volume.array, [(0, 0), (0, 0), (0, 14)], mode="reflect")[:, 3:9, 10:30]
    expected = np.pad(full, [pads[0], (0, 0), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(read_reflected(volume, box), expected)
    inner = Box((2, 3, 4), (5, 6, 7))
    np.testing.assert_array_equal(read_reflected(volume, inner), volume.array[inner.slices])


def test_tables_are_applied_to_the_sections_that_were_read(volume):
    tables = np.repeat(np.arange(16, dtype=np.uint8)[:, None], 256, axis=1)
    array = read_reflected(volume, Box((0, 0, -2), (1, 1, 4)), tables=tables)
    assert array.ravel().tolist() == [2, 1, 0, 1, 2, 3]
    with pytest.raises(PatchError, match="found 3 for 16 sections"):
        read_reflected(volume, Box((0, 0, 0), (1, 1, 1)), tables=tables[:3])


def test_tiles_cover_a_box_and_lie_on_the_lattice():
    box = Box((3, 8, 0), (9, 16, 5))
    tiles = list(tiles_in(box, (4, 8, 8)))
    assert [tile.start_ijk for tile in tiles] == [(0, 8, 0), (4, 8, 0), (8, 8, 0)]
    with pytest.raises(PatchError, match="at least one voxel"):
        list(tiles_in(box, (0, 1, 1)))


def test_a_volume_below_the_field_of_view_names_the_axes():
    require_field_of_view((13, 13, 1), (6, 6, 0), "stack")
    with pytest.raises(PatchError, match=r"stack is smaller .*: y has 12, needs 13, z has 9, needs 13 voxels"):
        require_field_of_view((13, 12, 9), (6, 6, 6), "stack")


def test_stored_values_become_normalized_ones_and_come_back():
    array = np.arange(256, dtype=np.uint8)
    values = normalized(array, (0, 255))
    assert (values[0], values[-1]) == (-1, 1)
    np.testing.assert_allclose(values, array / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(denormalized(values, (0, 255), np.dtype(np.uint8)), array)
    assert denormalized(np.array([-3.0, 3.0], np.float32), (0, 65535), np.dtype(np.uint16)).tolist() == [0, 65535]


def test_a_part_is_a_source_of_its_own(volume, labels):
    box = Box((2, 3, 4), (12, 13, 14))
    part, marked = PartOfSource(volume, box), PartOfLabels(labels, box)
    np.testing.assert_array_equal(part.read(Box((1, 1, 1), (4, 4, 4))).array, volume.array[3:6, 4:7, 5:8])
    np.testing.assert_array_equal(marked.read(Box.of_shape((10, 10, 10))).array, labels.array[box.slices])
    np.testing.assert_allclose(part.grid.origin, volume.grid.world(box.start_ijk))
    # The whole goes on beyond the part; the part does not.
    beyond = part.read(Box((-1, 0, 0), (1, 1, 1))).array
    assert beyond.ravel().tolist() == [0, volume.array[2, 3, 4]]
    assert not part.read(Box((50, 0, 0), (51, 1, 1))).array.any()
    assert not marked.read(Box((-2, 0, 0), (-1, 1, 1))).array.any()
    assert part.provenance.digest != volume.provenance.digest
    with pytest.raises(VolumeError, match="inside its whole"):
        PartOfSource(volume, Box((0, 0, 0), (99, 1, 1)))
    with pytest.raises(VolumeError, match="inside its whole"):
        PartOfLabels(labels, Box((-1, 0, 0), (1, 1, 1)))
