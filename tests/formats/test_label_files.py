import hashlib

import numpy as np
import pytest
from stored_phantoms import nifti_bytes

from medgan.errors import FormatError
from medgan.formats import read_label_file, read_labels

SHAPE = (2, 3, 4)


def saved(tmp_path, array, **fields):
    path = tmp_path / "labels.nii"
    path.write_bytes(nifti_bytes(np.asarray(array).reshape(SHAPE, order="F"), **fields))
    return path


@pytest.mark.parametrize(
    ("stored", "largest", "expected"),
    [
        ("u1", 3, "u1"),
        ("u2", 3, "u2"),
        ("u4", 3, "u4"),
        ("i1", 3, "u1"),
        ("i2", 3, "u1"),
        ("i2", 300, "u2"),
        ("i4", 70_000, "u4"),
        ("i8", 3, "u1"),
        ("i8", 2**40, "u8"),
        ("u8", 2**63, "u8"),
        ("u8", 3, "u1"),
        ("f4", 200, "u1"),
        ("f8", 60_000, "u2"),
        ("f8", 2**32 - 1, "u4"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_numbers_of_any_type_become_the_narrowest_unsigned_one(tmp_path, stored, largest, expected, order):
    array = np.arange(24).astype(stored) % 3
    array[-1] = largest
    labels = read_labels(saved(tmp_path, array, order=order))
    assert labels.array.dtype == np.dtype(expected)
    np.testing.assert_array_equal(labels.array.ravel(order="F"), array)


@pytest.mark.parametrize(
    ("stored", "value", "found"),
    [
        ("i2", -1, "-1"),
        ("i8", -7, "-7"),
        ("f4", 1.5, "1.5"),
        ("f4", -2.0, "-2"),
        ("f8", np.nan, "nan"),
        ("f4", np.inf, "inf"),
        ("f8", 2.0**32, r"4.29497e\+09"),
    ],
)
def test_anything_else_is_refused_with_what_was_found(tmp_path, stored, value, found):
    array = np.zeros(24, stored)
    array[7] = value
    with pytest.raises(
        FormatError, match=rf"^labels\.nii: a label image needs whole numbers from 0 on: found {found}\."
    ):
        read_labels(saved(tmp_path, array))


def test_scaled_labels_are_read_where_the_scale_gives_whole_numbers(tmp_path):
    array = np.arange(24, dtype=np.int16)
    with pytest.raises(FormatError, match=r"found 0\.5"):
        read_labels(saved(tmp_path, array, scl_slope=0.5, scl_inter=0.0))
    labels = read_labels(saved(tmp_path, array, scl_slope=2.0, scl_inter=1.0))
    assert labels.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array.ravel(order="F"), array * 2 + 1)


def test_notices_and_digests_come_with_the_labels(tmp_path):
    path = saved(tmp_path, np.zeros(24, np.uint8), xyzt_units=0)
    read = read_label_file(path)
    assert read.notices == ("The file states no known unit of length: millimeters were assumed.",)
    assert read.sources == (hashlib.sha256(path.read_bytes()).hexdigest(),)


def test_axes_of_labels_are_assumed_only_when_asked(tmp_path):
    path = saved(tmp_path, np.zeros(24, np.uint8), sform_code=0)
    with pytest.raises(FormatError, match="--assume-axes"):
        read_labels(path)
    assert read_labels(path, assume_axes=True).grid.spacing == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("stored", ["u1", "i2", "f4"])
def test_blocks_larger_than_one_are_joined_without_a_seam(tmp_path, rng, stored):
    # 2^18 voxels are decoded at a time; this is 2.4 blocks.
    array = rng.integers(0, 100, (90, 70, 100)).astype(stored)
    (tmp_path / "labels.nii").write_bytes(nifti_bytes(array))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.nii").array, array)
