import hashlib

import nibabel
import numpy as np
import pytest
from stored_phantoms import OBLIQUE, axis_orders, gzipped, nifti_bytes, rotated, world_ramp

from medgan.errors import FormatError
from medgan.formats import read_image, read_volume
from medgan.volume import Quantity

SHAPE = (4, 5, 6)
MR = Quantity.MR_SIGNAL


def written(path, data):
    path.write_bytes(data)
    return path


def assert_values_are_where_they_belong(volume):
    """Each value of the ramp must be found at the world position it was computed from."""
    np.testing.assert_allclose(volume.array, world_ramp(volume.grid.affine, volume.shape), atol=1e-3)


@pytest.mark.parametrize("affine", [*axis_orders(), rotated(), OBLIQUE], ids=lambda a: str(a[:3, :3].tolist()))
def test_every_axis_order_and_an_oblique_and_a_sheared_grid_keep_each_value_at_its_place(tmp_path, affine):
    ramp = world_ramp(affine, SHAPE).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(ramp, affine), tmp_path / "ramp.nii.gz")
    volume = read_volume(tmp_path / "ramp.nii.gz", quantity=MR)
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-6)
    np.testing.assert_array_equal(volume.array, ramp)
    assert_values_are_where_they_belong(volume)


@pytest.mark.parametrize("affine", [*axis_orders()[::5], rotated()], ids=lambda a: str(a[:3, :3].tolist()))
def test_qform_alone_puts_each_value_at_its_place(tmp_path, affine):
    ramp = world_ramp(affine, SHAPE).astype(np.float32)
    image = nibabel.Nifti1Image(ramp, affine)
    image.set_sform(affine, code=0)
    image.set_qform(affine, code=1)
    nibabel.save(image, tmp_path / "ramp.nii")
    read = read_image(tmp_path / "ramp.nii", quantity=MR)
    np.testing.assert_allclose(read.volume.grid.affine, affine, atol=1e-5)
    assert_values_are_where_they_belong(read.volume)


def test_shear_is_kept_and_told(tmp_path):
    path = written(tmp_path / "a.nii", nifti_bytes(np.zeros(SHAPE, np.uint8), OBLIQUE))
    read = read_image(path, quantity=MR)
    assert read.volume.grid.is_sheared
    assert read.notices == ("The axes are not at right angles: the shear is kept.",)


@pytest.mark.parametrize(
    "stored", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"], ids=lambda name: f"type {name}"
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_type_in_both_byte_orders_and_versions(tmp_path, rng, stored, order, version):
    array = rng.integers(0, 100, SHAPE).astype(stored)
    path = written(tmp_path / "a.nii.gz", gzipped(nifti_bytes(array, rotated(), order=order, version=version)))
    read = read_image(path, quantity=MR)
    np.testing.assert_array_equal(read.volume.array, array)
    assert read.volume.array.dtype == (stored if stored in ("u1", "u2") else "f4")
    assert read.volume.array.dtype.isnative
    assert read.notices == ()
    np.testing.assert_allclose(read.volume.grid.affine, rotated(), atol=1e-6)


@pytest.mark.parametrize("stored", ["u1", "u2", "i2", "f4"])
def test_scaled_values_are_the_float32_nearest_to_the_exact_ones(tmp_path, rng, stored):
    array = rng.integers(0, 255, SHAPE).astype(stored)
    path = written(tmp_path / "a.nii", nifti_bytes(array, scl_slope=0.1, scl_inter=-1024.3))
    volume = read_volume(path, quantity=Quantity.HOUNSFIELD)
    slope, intercept = np.float64(np.float32(0.1)), np.float64(np.float32(-1024.3))
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, (array.astype(np.float64) * slope + intercept).astype(np.float32))


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf, -np.inf])
def test_a_scale_of_zero_or_nan_means_unscaled(tmp_path, slope):
    array = np.arange(120, dtype=np.uint8).reshape(SHAPE)
    path = written(tmp_path / "a.nii", nifti_bytes(array, scl_slope=slope, scl_inter=50.0))
    volume = read_volume(path, quantity=MR)
    assert volume.array.dtype == np.uint8
    np.testing.assert_array_equal(volume.array, array)


def test_blocks_larger_than_one_are_joined_without_a_seam(tmp_path, rng):
    # 2^18 voxels are decoded at a time; this is 2.4 blocks.
    array = rng.integers(0, 30000, (90, 70, 100)).astype(np.int16)
    path = written(tmp_path / "a.nii.gz", gzipped(nifti_bytes(array, scl_slope=2.0, scl_inter=1.0)))
    np.testing.assert_array_equal(read_volume(path, quantity=MR).array, array * np.float32(2) + 1)


def test_nan_and_infinity_become_the_outside_value_and_are_counted(tmp_path):
    array = np.ones(SHAPE, np.float32)
    array[0, 0, 0], array[1, 2, 3], array[3, 4, 5] = np.nan, np.inf, -np.inf
    path = written(tmp_path / "a.nii", nifti_bytes(array))
    read = read_image(path, quantity=Quantity.HOUNSFIELD)
    assert read.notices == ("3 of 120 voxels are NaN or infinite: they were set to -1024.",)
    assert (read.volume.array == -1024).sum() == 3
    assert read.volume.array[1, 2, 3] == -1024
    assert read.volume.array[1, 2, 2] == 1


def test_values_beyond_float32_count_as_infinite(tmp_path):
    array = np.ones(SHAPE)
    array[0, 0, 0] = 1e300
    read = read_image(written(tmp_path / "a.nii", nifti_bytes(array)), quantity=MR)
    assert read.notices == ("1 of 120 voxels are NaN or infinite: they were set to 0.",)


def test_image_without_a_finite_value_is_refused(tmp_path):
    path = written(tmp_path / "a.nii", nifti_bytes(np.full(SHAPE, np.nan, np.float32)))
    with pytest.raises(FormatError, match=r"a\.nii: an image needs finite values: every voxel"):
        read_image(path, quantity=MR)


def test_sform_wins_over_a_contradicting_qform_and_says_by_how_much(tmp_path):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), affine, qform_code=1, qoffset_x=3.0)
    read = read_image(written(tmp_path / "a.nii", data), quantity=MR)
    np.testing.assert_array_equal(read.volume.grid.affine, affine)
    assert read.notices == ("The sform and the qform differ by up to 1.50 voxels: the sform is used.",)


def test_forms_that_agree_to_a_twentieth_of_a_voxel_give_no_notice(tmp_path):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), affine, qform_code=1, qoffset_x=0.09)
    assert read_image(written(tmp_path / "a.nii", data), quantity=MR).notices == ()


def test_qform_is_used_when_the_code_of_the_sform_is_zero(tmp_path):
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), sform_code=0, qform_code=1, pixdim=[-1, 1, 2, 3, 0, 0, 0, 0])
    read = read_image(written(tmp_path / "a.nii", data), quantity=MR)
    # A negative pixdim[0] turns the third axis.
    np.testing.assert_array_equal(read.volume.grid.affine, np.diag([1.0, 2.0, -3.0, 1.0]))
    assert read.notices == ()


@pytest.mark.parametrize(
    "rows",
    [
        {"srow_x": 0, "srow_y": 0, "srow_z": 0},
        {"srow_x": [1, 0, 0, np.nan]},
        {"srow_z": [0, 1, 0, 0]},
        {"srow_x": [1e30, 0, 0, 0]},
    ],
    ids=["zeros", "nan", "singular", "absurd"],
)
def test_unusable_sform_gives_way_to_a_usable_qform_with_a_notice(tmp_path, rows):
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), qform_code=1, qoffset_z=5.0, **rows)
    read = read_image(written(tmp_path / "a.nii", data), quantity=MR)
    assert read.volume.grid.origin == (0.0, 0.0, 5.0)
    assert len(read.notices) == 1
    assert read.notices[0].startswith("The sform is unusable and was ignored: it")


def test_unusable_qform_beside_a_usable_sform_is_told(tmp_path):
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), qform_code=1, pixdim=[1, 0, 1, 1, 0, 0, 0, 0])
    read = read_image(written(tmp_path / "a.nii", data), quantity=MR)
    assert read.notices == ("The qform is unusable and was ignored: its voxel size is 0 x 1 x 1.",)


def test_axes_may_be_assumed_where_neither_form_is_usable(tmp_path):
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), sform_code=0, qform_code=0, pixdim=[-1, 1, 2, 3, 0, 0, 0, 0])
    path = written(tmp_path / "a.nii", data)
    with pytest.raises(FormatError, match=r"a\.nii.*Both form codes are 0.*--assume-axes"):
        read_image(path, quantity=MR)
    read = read_image(path, quantity=MR, assume_axes=True)
    np.testing.assert_array_equal(read.volume.grid.affine, np.diag([1.0, 2.0, 3.0, 1.0]))
    assert len(read.notices) == 1
    assert "Left and right may be swapped" in read.notices[0]


def test_assuming_axes_changes_nothing_where_the_file_says_them(tmp_path):
    path = written(tmp_path / "a.nii", nifti_bytes(np.zeros(SHAPE, np.uint8), rotated()))
    read = read_image(path, quantity=MR, assume_axes=True)
    np.testing.assert_allclose(read.volume.grid.affine, rotated(), atol=1e-6)
    assert read.notices == ()


@pytest.mark.parametrize(
    ("units", "factor", "notice"),
    [
        (2, 1.0, None),
        (10, 1.0, None),
        (1, 1000.0, "The file is in meters: lengths were converted to millimeters."),
        (3, 0.001, "The file is in micrometers: lengths were converted to millimeters."),
        (0, 1.0, "The file states no known unit of length: millimeters were assumed."),
        (7, 1.0, "The file states no known unit of length: millimeters were assumed."),
    ],
)
def test_units_of_length(tmp_path, units, factor, notice):
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), rotated(), xyzt_units=units)
    read = read_image(written(tmp_path / "a.nii", data), quantity=MR)
    np.testing.assert_allclose(read.volume.grid.affine[:3], rotated()[:3] * factor, rtol=1e-5, atol=1e-9)
    assert read.notices == (() if notice is None else (notice,))


@pytest.mark.parametrize("shape", [(4, 5, 6, 1), (4, 5, 6, 1, 1), (4, 5, 6, 1, 1, 1, 1)])
def test_trailing_axes_of_length_one_are_dropped_with_a_notice(tmp_path, shape):
    array = np.arange(120, dtype=np.uint8).reshape(shape)
    read = read_image(written(tmp_path / "a.nii", nifti_bytes(array)), quantity=MR)
    np.testing.assert_array_equal(read.volume.array, array.reshape(SHAPE))
    assert read.notices == (
        f"The file states {len(shape)} axes ({' x '.join(map(str, shape))}): those of length 1 were dropped.",
    )


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (1, 4, 5)])
def test_single_slice_has_its_spacing_from_the_affine(tmp_path, shape):
    array = np.arange(20, dtype=np.uint8).reshape(shape)
    volume = read_volume(written(tmp_path / "a.nii", nifti_bytes(array, rotated())), quantity=MR)
    assert volume.shape == (shape if len(shape) == 3 else (4, 5, 1))
    np.testing.assert_allclose(volume.grid.spacing, (1.0, 2.0, 3.0), rtol=1e-6)


def test_extensions_between_header_and_voxels_are_skipped(tmp_path):
    image = nibabel.Nifti1Image(np.arange(120, dtype=np.uint8).reshape(SHAPE), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, b"a comment of some length"))
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(image, tmp_path / name)
        np.testing.assert_array_equal(read_volume(tmp_path / name, quantity=MR).array, image.dataobj)


def test_gzip_of_several_members_is_read(tmp_path):
    data = nifti_bytes(np.arange(120, dtype=np.uint8).reshape(SHAPE))
    path = written(tmp_path / "a.nii.gz", gzipped(data[:100]) + gzipped(data[100:400]) + gzipped(data[400:]))
    np.testing.assert_array_equal(read_volume(path, quantity=MR).array.ravel(), np.arange(120))


@pytest.mark.parametrize("given", ["a.hdr", "a.img"])
def test_pair_is_read_from_either_half(tmp_path, given):
    array = np.arange(120, dtype=np.int16).reshape(SHAPE)
    header = nifti_bytes(array, rotated(), pair=True, vox_offset=16)
    written(tmp_path / "a.hdr", header)
    data = bytes(16) + array.tobytes(order="F")
    written(tmp_path / "a.img", data)
    read = read_image(tmp_path / given, quantity=MR)
    np.testing.assert_array_equal(read.volume.array, array)
    np.testing.assert_allclose(read.volume.grid.affine, rotated(), atol=1e-6)
    assert read.volume.provenance.sources == (hashlib.sha256(header).hexdigest(), hashlib.sha256(data).hexdigest())


def test_pair_with_capital_suffixes_is_read(tmp_path):
    array = np.arange(120, dtype=np.int16).reshape(SHAPE)
    written(tmp_path / "A.HDR", nifti_bytes(array, pair=True))
    written(tmp_path / "A.IMG", array.tobytes(order="F"))
    np.testing.assert_array_equal(read_volume(tmp_path / "A.IMG", quantity=MR).array, array)


def test_analyze_is_refused_unless_axes_are_assumed(tmp_path):
    array = np.arange(120, dtype=np.int16).reshape(SHAPE)
    nibabel.save(nibabel.AnalyzeImage(array, np.diag([1.0, 2.0, 3.0, 1.0])), tmp_path / "a.hdr")
    with pytest.raises(FormatError, match=r"a\.hdr: an image must say where its axes point: Analyze 7\.5 does not"):
        read_image(tmp_path / "a.img", quantity=MR)
    read = read_image(tmp_path / "a.img", quantity=MR, assume_axes=True)
    np.testing.assert_array_equal(read.volume.array, array)
    assert read.volume.grid.spacing == (1.0, 2.0, 3.0)
    assert any("Left and right may be swapped" in notice for notice in read.notices)


@pytest.mark.parametrize(
    ("fields", "marked"),
    [
        ({"descrip": b"SYNTHETIC medgan"}, True),
        ({"aux_file": b"synthetic"}, True),
        ({"descrip": b"FSL5.0"}, False),
        ({"descrip": b"\xff\xfe"}, False),
    ],
)
def test_synthetic_mark_reaches_the_provenance(tmp_path, fields, marked):
    data = nifti_bytes(np.zeros(SHAPE, np.uint8), **fields)
    read = read_image(written(tmp_path / "a.nii", data), quantity=MR)
    assert read.is_marked_synthetic is marked
    assert read.volume.provenance.is_synthetic is marked
    assert read.volume.provenance.sources == (hashlib.sha256(data).hexdigest(),)
    assert read.modality_hint is None
