"""Volumes, label maps and radiographs: what they hold, what they refuse, and that they cannot be changed."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import axis_maps, boxes, label_maps, volumes

from medgan.errors import GeometryError, MedganError, VolumeError
from medgan.geometry import Box, Grid, axis_map_to
from medgan.volume import LabelMap, Provenance, Quantity, Radiograph, Volume

quick = settings(deadline=None, derandomize=True, max_examples=50)
GRID = Grid.axis_aligned((3, 4, 5), spacing=(1, 2, 3))
HU = Quantity.HOUNSFIELD
MR = Quantity.MR_SIGNAL


def volume(dtype=np.float32, quantity=MR) -> Volume:
    return Volume(np.arange(60).reshape(3, 4, 5).astype(dtype), GRID, quantity)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_stored_types_stay_and_are_not_copied(dtype):
    array = np.zeros((3, 4, 5), dtype)
    held = Volume(array, GRID, MR).array
    assert held.dtype == dtype
    assert np.shares_memory(held, array)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float64, np.float16, np.bool_, ">f4", ">i2"])
def test_other_types_become_float32(dtype):
    held = volume(dtype).array
    assert held.dtype == np.float32
    assert held.dtype.isnative
    assert np.array_equal(held, np.arange(60).reshape(3, 4, 5).astype(dtype))


def test_foreign_byte_order_becomes_native():
    assert volume(">u2").array.dtype == np.uint16
    assert np.array_equal(volume(">u2").array, volume(np.uint16).array)
    labels = LabelMap(np.arange(60, dtype=">u2").reshape(3, 4, 5), GRID)
    assert labels.array.dtype == np.uint16
    assert labels.array[0, 0, 1] == 1


@pytest.mark.parametrize("quantity", [HU, Quantity.NORMALIZED])
def test_unsigned_images_whose_padding_would_wrap_around_become_float32(quantity):
    image = volume(np.uint16, quantity)
    assert image.array.dtype == np.float32
    assert image.read(Box((-1, 0, 0), (1, 1, 1))).array[0, 0, 0] == quantity.outside


@quick
@given(volumes(), boxes())
def test_reading_a_box_gives_image_inside_and_outside_value_beyond(image, box):
    read = image.read(box)
    assert read.grid.same_as(image.grid.cropped(box), tolerance_voxel=1e-12)
    assert read.array.dtype == image.array.dtype
    for ijk in np.ndindex(*box.shape):
        at = tuple(np.add(ijk, box.start_ijk))
        inside = all(0 <= a < n for a, n in zip(at, image.shape))
        assert read.array[ijk] == (image.array[at] if inside else image.quantity.outside)


@quick
@given(label_maps(), boxes())
def test_labels_beyond_the_image_are_background(labels, box):
    padded = np.pad(labels.array, 20)
    expected = padded[tuple(slice(a + 20, b + 20) for a, b in zip(box.start_ijk, box.stop_ijk))]
    assert np.array_equal(labels.read(box).array, expected)
    assert labels.read(box).names == labels.names


@quick
@given(volumes(), axis_maps)
def test_reordering_moves_voxels_with_their_positions(image, axis_map):
    reordered = image.reordered(axis_map)
    ijk = np.array(np.unravel_index(int(np.argmax(image.array)), image.shape))
    at = np.rint(reordered.grid.index(image.grid.world(ijk))).astype(int)
    assert reordered.array[tuple(at)] == image.array.max()
    assert reordered.array.dtype == image.array.dtype
    assert sorted(reordered.array.ravel()) == sorted(image.array.ravel())


def test_reading_within_the_image_copies_nothing():
    image = volume()
    assert np.shares_memory(image.read(Box((0, 1, 1), (2, 3, 4))).array, image.array)
    labels = LabelMap(np.ones((3, 4, 5), np.uint8), GRID)
    part = labels.read(Box((0, 1, 1), (2, 3, 4))).array
    assert np.shares_memory(part, labels.array)
    assert not part.flags.writeable


@pytest.mark.parametrize("slab", [1, 7, 1 << 17])
def test_what_is_not_finite_is_counted_in_any_order_of_memory(monkeypatch, slab):
    monkeypatch.setattr("medgan.volume.volume._SLAB_VOXELS", slab)
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    for layout in (array, np.asfortranarray(array), array[::-1, :, ::-1], np.asfortranarray(array)[:, ::-1]):
        assert Volume(layout, GRID, MR).shape == GRID.shape
    array[1, 2, 3] = array[2, 3, 4] = np.inf
    array[0, 0, 0] = np.nan
    for layout in (array, np.asfortranarray(array), array[::-1, :, ::-1], np.asfortranarray(array)[:, ::-1]):
        with pytest.raises(VolumeError, match="found 3 NaN or infinite of 60"):
            Volume(layout, GRID, MR)


def test_values_known_to_be_finite_are_held_as_any_others():
    for dtype, quantity in ((np.uint8, MR), (np.uint16, HU), (np.float64, MR), (">f4", MR)):
        array = np.arange(60).reshape(3, 4, 5).astype(dtype)
        known, looked_at = Volume.of_finite(array, GRID, quantity, Provenance(("ab",))), Volume(array, GRID, quantity)
        np.testing.assert_array_equal(known.array, looked_at.array)
        assert known.array.dtype == looked_at.array.dtype
        assert known.provenance == Provenance(("ab",))
        assert not known.array.flags.writeable
    with pytest.raises(VolumeError, match="its grid's shape"):
        Volume.of_finite(np.zeros((3, 4, 6)), GRID, MR, Provenance())
    with pytest.raises(VolumeError, match="real numbers"):
        Volume.of_finite(np.zeros((3, 4, 5), complex), GRID, MR, Provenance())


def test_parts_of_an_image_are_not_looked_at_again(monkeypatch):
    image = volume()
    monkeypatch.setattr("medgan.volume.volume._not_finite", lambda array: pytest.fail("looked at twice"))
    for box in (Box((0, 1, 1), (2, 3, 4)), Box((-1, -1, -1), (4, 5, 6))):
        assert image.cropped(box).shape == image.read(box).shape == box.shape
    assert image.reordered(axis_map_to(GRID, "LPS")).shape == GRID.shape


def test_steps_are_noted_once():
    image = volume()
    assert image.read(GRID.box).provenance.steps == ()
    assert [s.name for s in image.cropped(Box((0, 0, 0), (2, 2, 2))).provenance.steps] == ["crop"]
    mapped = image.mapped(lambda a: a / 60, step="scale", quantity=Quantity.PROBABILITY, factor=1 / 60)
    assert mapped.quantity is Quantity.PROBABILITY
    assert mapped.provenance.steps[0].as_dict() == {"name": "scale", "factor": 1 / 60}
    assert image.mapped(np.negative, step="negate").quantity is MR


def test_images_cannot_be_changed_not_even_after_pickling():
    things = [volume(), LabelMap(np.ones((3, 4, 5), np.uint8), GRID, {1: "one"})]
    things.append(Radiograph(np.ones((4, 4)), (1, 1), Quantity.NORMALIZED))
    for thing in things:
        for one in (thing, pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)):
            assert np.array_equal(one.array, thing.array)
            with pytest.raises(ValueError, match="read-only"):
                one.array[...] = 5
            with pytest.raises(AttributeError):
                one.array = np.zeros(3)
    labels = pickle.loads(pickle.dumps(things[1]))
    assert dict(labels.names) == {1: "one"}
    with pytest.raises(TypeError):
        labels.names[2] = "two"


def test_names_are_copied_in():
    names = {1: "gland"}
    labels = LabelMap(np.ones((3, 4, 5), np.uint8), GRID, names)
    names[2] = "lesion"
    assert dict(labels.names) == {1: "gland"}


def test_masks_of_labels():
    labels = LabelMap(np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 4, GRID)
    assert labels.mask().sum() == 45
    assert labels.mask(2).sum() == 15
    assert labels.mask(1, 3).sum() == 30
    assert labels.mask(9).sum() == 0


def test_a_mask_becomes_a_label_map_without_copying():
    mask = np.ones((3, 4, 5), dtype=bool)
    labels = LabelMap(mask, GRID)
    assert labels.array.dtype == np.uint8
    assert np.shares_memory(labels.array, mask)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 6)), r"its grid's shape \(3, 4, 5\): found \(3, 4, 6\)"),
        (np.zeros((3, 4)), r"found \(3, 4\)"),
        (np.zeros((3, 4, 5), complex), "real numbers: found complex128"),
        (np.full((3, 4, 5), "a"), "real numbers: found <U1"),
        (np.where(np.arange(60).reshape(3, 4, 5) < 2, np.nan, 1.0), "found 2 NaN or infinite of 60"),
        (np.full((3, 4, 5), np.inf, np.float32), "found 60 NaN or infinite of 60"),
        (np.full((3, 4, 5), 1e300), "found 60 NaN or infinite of 60"),
    ],
)
def test_volume_refusals_say_what_was_found(array, message):
    with pytest.raises(VolumeError, match=message):
        Volume(array, GRID, MR)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 6), np.uint8), r"found \(3, 4, 6\)"),
        (np.zeros((3, 4, 5), np.int16), "unsigned integers: found int16"),
        (np.zeros((3, 4, 5)), "unsigned integers: found float64"),
    ],
)
def test_label_map_refusals_say_what_was_found(array, message):
    with pytest.raises(VolumeError, match=message):
        LabelMap(array, GRID)


@pytest.mark.parametrize(
    ("array", "spacing", "message"),
    [
        (np.zeros((2, 3, 4)), None, r"rows and columns: found shape \(2, 3, 4\)"),
        (np.zeros((0, 3)), None, r"found shape \(0, 3\)"),
        (np.full((2, 2), np.nan), None, "finite values"),
        (np.zeros((2, 2), complex), None, "real numbers: found complex128"),
        (np.zeros((2, 2)), (1, 0), r"two positive lengths: found \(1, 0\)"),
        (np.zeros((2, 2)), (1, 1, 1), "two positive lengths"),
        (np.zeros((2, 2)), (1, float("nan")), "two positive lengths"),
    ],
)
def test_radiograph_refusals_say_what_was_found(array, spacing, message):
    with pytest.raises(VolumeError, match=message):
        Radiograph(array, spacing, Quantity.NORMALIZED)


def test_radiograph_is_float32_and_may_lack_spacing():
    image = Radiograph(np.ones((2, 3), np.uint16), None, Quantity.NORMALIZED)
    assert image.array.dtype == np.float32
    assert image.spacing_mm is None
    assert Radiograph(np.ones((2, 3)), [0.2, 0.3], Quantity.NORMALIZED).spacing_mm == (0.2, 0.3)


def test_errors_can_be_caught_as_one():
    assert issubclass(VolumeError, MedganError)
    assert issubclass(GeometryError, ValueError)


def test_quantities_are_found_by_label():
    assert all(Quantity.named(q.label) is q for q in Quantity)
    assert (HU.outside, HU.unit, MR.outside) == (-1024.0, "HU", 0.0)
    with pytest.raises(VolumeError, match=r"must be one of hounsfield, .*: found 'hu'"):
        Quantity.named("hu")


@given(st.sampled_from(tuple(Quantity)))
@quick
def test_quantities_survive_pickling_as_the_same_object(quantity):
    assert pickle.loads(pickle.dumps(quantity)) is quantity


def test_a_volume_is_a_source():
    image: object = volume()
    assert all(hasattr(image, name) for name in ("grid", "quantity", "provenance", "read"))
    assert isinstance(image.provenance, Provenance)
