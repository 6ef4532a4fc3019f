import resource
import threading

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from stored_phantoms import OBLIQUE, axis_orders, rotated, world_ramp

from medgan.errors import OutputError
from medgan.formats import read_image, read_labels, read_volume, write_labels, write_volume
from medgan.geometry import Grid
from medgan.volume import LabelMap, Provenance, Quantity, Volume

SHAPE = (4, 5, 6)
MR = Quantity.MR_SIGNAL
SUFFIXES = (".nii", ".nii.gz")


def ramp_volume(affine, quantity=MR, **more):
    return Volume(world_ramp(affine, SHAPE).astype(np.float32), Grid(SHAPE, affine), quantity, **more)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("affine", [*axis_orders()[::7], rotated(), OBLIQUE], ids=lambda a: str(a[:3, :3].tolist()))
def test_there_and_back_is_exact(tmp_path, affine, suffix):
    volume = ramp_volume(affine)
    path = write_volume(volume, tmp_path / f"a{suffix}")
    read = read_volume(path, quantity=MR)
    np.testing.assert_array_equal(read.array, volume.array)
    np.testing.assert_allclose(read.grid.affine, affine, atol=1e-6)


@pytest.mark.parametrize("affine", [*axis_orders(), rotated()], ids=lambda a: str(a[:3, :3].tolist()))
def test_other_readers_find_the_same_place_by_either_form(tmp_path, affine):
    volume = ramp_volume(affine)
    path = write_volume(volume, tmp_path / "a.nii.gz")
    image = nibabel.load(path)
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-5)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume.array)
    itk = sitk.ReadImage(str(path))
    for ijk in ((0, 0, 0), (3, 1, 5)):
        x, y, z = itk.TransformContinuousIndexToPhysicalPoint([float(n) for n in ijk])
        np.testing.assert_allclose((-x, -y, z), volume.grid.world(ijk), atol=1e-4)
        assert itk.GetPixel(*ijk) == volume.array[ijk]


def test_sheared_grid_has_an_sform_alone(tmp_path):
    path = write_volume(ramp_volume(OBLIQUE), tmp_path / "a.nii")
    header = nibabel.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    np.testing.assert_allclose(header.get_zooms(), np.linalg.norm(OBLIQUE[:3, :3], axis=0), rtol=1e-6)


@pytest.mark.parametrize(("lean", "code"), [(1e-6, 1), (1e-4, 0)])
def test_qform_is_given_up_where_a_quaternion_cannot_express_the_axes(tmp_path, lean, code):
    affine = np.eye(4)
    affine[0, 1] = lean
    path = write_volume(ramp_volume(affine), tmp_path / "a.nii")
    assert int(nibabel.load(path).header["qform_code"]) == code


def test_hounsfield_units_are_rounded_and_clipped_to_int16(tmp_path):
    values = np.array([-1024.5, -1023.5, 0.49, 0.5, 1.5, -40000.0, 40000.0, 32767.4], np.float32).reshape(2, 2, 2)
    volume = Volume(values, Grid.axis_aligned((2, 2, 2), spacing=(1, 1, 1)), Quantity.HOUNSFIELD)
    image = nibabel.load(write_volume(volume, tmp_path / "a.nii.gz"))
    assert image.get_data_dtype() == np.int16
    assert image.dataobj.slope == 1
    expected = [-1024, -1024, 0, 0, 2, -32768, 32767, 32767]
    np.testing.assert_array_equal(np.asarray(image.dataobj).ravel(), expected)


@pytest.mark.parametrize(
    ("stored", "quantity", "expected"),
    [
        ("u1", MR, "u1"),
        ("u2", MR, "u2"),
        ("f4", MR, "f4"),
        ("u1", Quantity.HOUNSFIELD, "i2"),
        ("u2", Quantity.HOUNSFIELD, "i2"),
    ],
)
def test_stored_type(tmp_path, stored, quantity, expected):
    array = np.array([0, 1, 200, 250], stored).reshape(2, 2, 1)
    volume = Volume(array, Grid.axis_aligned((2, 2, 1), spacing=(1, 1, 1)), quantity)
    image = nibabel.load(write_volume(volume, tmp_path / "a.nii"))
    assert image.get_data_dtype() == np.dtype(expected)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)


def test_uint16_beyond_int16_is_clipped_as_hounsfield_units(tmp_path):
    array = np.array([0, 32767, 32768, 65535], np.uint16).reshape(2, 2, 1)
    volume = Volume(array, Grid.axis_aligned((2, 2, 1), spacing=(1, 1, 1)), Quantity.HOUNSFIELD)
    read = read_volume(write_volume(volume, tmp_path / "a.nii"), quantity=MR)
    assert read.array.ravel().tolist() == [0, 32767, 32767, 32767]


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_and_slabs_do_not_matter(tmp_path, rng, order):
    # 120 x 110 x 90 float32 are 4.75 MB: two slabs.
    array = np.array(rng.normal(size=(120, 110, 90)), np.float32, order=order)
    volume = Volume(array, Grid.axis_aligned(array.shape, spacing=(1, 1, 1)), MR)
    for view in (volume, Volume(array[::-1, 1:, ::2], Grid.axis_aligned((120, 109, 45), spacing=(1, 1, 1)), MR)):
        path = write_volume(view, tmp_path / "a.nii.gz", overwrite=True)
        np.testing.assert_array_equal(read_volume(path, quantity=MR).array, view.array)


def test_synthetic_mark_survives_there_and_back(tmp_path):
    synthetic = ramp_volume(np.eye(4), provenance=Provenance().synthesized("translate"))
    measured = ramp_volume(np.eye(4))
    for suffix in (*SUFFIXES, ".mha", ".nrrd"):
        read = read_image(write_volume(synthetic, tmp_path / f"synthetic{suffix}"), quantity=MR)
        assert read.is_marked_synthetic
        assert read.volume.provenance.is_synthetic
        read = read_image(write_volume(measured, tmp_path / f"measured{suffix}"), quantity=MR)
        assert not read.is_marked_synthetic
    descrip = nibabel.load(tmp_path / "synthetic.nii").header["descrip"].item()
    assert descrip == b"SYNTHETIC medgan"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_bytes_depend_on_the_image_alone(tmp_path, monkeypatch, rng, suffix):
    volume = Volume(
        rng.normal(size=(150, 140, 60)).astype(np.float32), Grid.axis_aligned((150, 140, 60), spacing=(1, 1, 1)), MR
    )
    first = write_volume(volume, tmp_path / f"first{suffix}").read_bytes()
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    second = write_volume(volume, tmp_path / f"second{suffix}").read_bytes()
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(4)))
    third = write_volume(volume, tmp_path / f"third{suffix}").read_bytes()
    assert first == second == third
    if suffix == ".nii.gz":
        # RFC 1952: no flags, so no name, and a modification time of zero.
        assert first[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_full_disk_leaves_no_file_and_no_thread(tmp_path, rng, suffix):
    volume = Volume(
        rng.normal(size=(60, 60, 60)).astype(np.float32), Grid.axis_aligned((60, 60, 60), spacing=(1, 1, 1)), MR
    )
    threads = threading.active_count()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=f"^a{suffix} cannot be written: the file would be larger"):
            write_volume(volume, tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_specimen_in_nanometers_is_refused(tmp_path, suffix):
    grid = Grid.axis_aligned((2, 2, 2), spacing=(4, 4, 40), unit="nm", frame="specimen")
    volume = Volume(np.zeros((2, 2, 2), np.uint8), grid, Quantity.EM_SIGNAL)
    with pytest.raises(OutputError, match=rf"a\{suffix}: .*found a specimen's in nm.*\.zarr"):
        write_volume(volume, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_axis_too_long_for_nifti_is_refused(tmp_path):
    volume = Volume(
        np.zeros((40_000, 1, 2), np.uint8), Grid.axis_aligned((40_000, 1, 2), spacing=(1, 1, 1)), Quantity.MR_SIGNAL
    )
    with pytest.raises(OutputError, match=r"at most 32767 voxels: found 40000"):
        write_volume(volume, tmp_path / "a.nii")


def test_position_that_float32_cannot_hold_is_refused(tmp_path):
    grid = Grid.axis_aligned((2, 2, 2), spacing=(0.001,) * 3, origin=(54321.0006, 0, 0))
    volume = Volume(np.zeros((2, 2, 2), np.uint8), grid, MR)
    with pytest.raises(OutputError, match="beyond the precision of NIfTI"):
        write_volume(volume, tmp_path / "a.nii")


@pytest.mark.parametrize("stored", ["u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_labels_keep_their_numbers(tmp_path, stored, suffix):
    top = np.iinfo(stored).max
    array = np.array([0, 1, 2, top], stored).reshape(2, 2, 1)
    path = write_labels(LabelMap(array, Grid((2, 2, 1), rotated())), tmp_path / f"a{suffix}")
    read = read_labels(path)
    assert read.array.dtype == np.dtype(stored)
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.grid.affine, rotated(), atol=1e-6)
