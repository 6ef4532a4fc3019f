"""Values and places of real DICOM: against ground truth NIfTI, dcm2niix, SimpleITK and the equation of the standard."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_phantoms import dcm2niix_volumes, itk_volume
from test_dicom_verdicts import NASTY, PROSTATE

from medgan.formats import open_image, take_inventory
from medgan.geometry import Grid, axis_codes, axis_map_to
from medgan.volume import Quantity, Volume

GENERIC = f"{NASTY}/generic"
CLEAN = [
    f"{GENERIC}/anatomical/001",
    f"{GENERIC}/anatomical/001_implicit",
    f"{GENERIC}/anatomical/002_non_isotropic",
    f"{GENERIC}/compressed/001",
    f"{GENERIC}/compressed_j2k/001",
    f"{GENERIC}/compressed_jpeg/001",
    f"{GENERIC}/compressed_jpegls/001",
    f"{GENERIC}/compressed_rle/001",
    f"{NASTY}/hitachi/anatomical/001",
    f"{NASTY}/hitachi/anatomical/001_implicit",
    f"{NASTY}/hyperfine/anatomical/001",
    f"{NASTY}/siemens_multiframe/anatomical/001",
]
SINGLE_FRAME = [
    *CLEAN[:3],
    CLEAN[8],
    f"{PROSTATE}/4.000000-t2tsetra-00702",
    f"{PROSTATE}/7.000000-ep2ddifftraDYNDISTADC-48780",
    f"{PROSTATE}/9.000000-tfl3d PD reftra1.5x1.5t3-67276",
    "mrct/sts_ibsi/dicom/STS_025/CT/image",
    "mrct/sts_ibsi/dicom/STS_025/MR_T1/image",
]


def folder_of(shared_data: Path, name: str) -> Path:
    path = shared_data / name
    if not path.is_dir():
        pytest.skip(f"{path.name} is absent")
    return path


def nifti_volume(path: Path) -> tuple[np.ndarray, Grid]:
    image = nibabel.load(path)
    return np.asarray(image.dataobj), Grid(image.shape[:3], image.affine)


def assert_same_image(array: np.ndarray, grid: Grid, volume: Volume, *, tolerance: float = 0.0) -> None:
    """An image in any axis order has the same grid, and the same value at each place."""
    axis_map = axis_map_to(grid, axis_codes(volume.grid))
    assert volume.grid.same_as(axis_map.applied_to_grid(grid), tolerance_voxel=0.001)
    np.testing.assert_allclose(axis_map.applied_to(array), volume.array, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CLEAN)
def test_every_voxel_is_that_of_the_ground_truth(shared_data, name):
    folder = folder_of(shared_data, name)
    volume = open_image(folder).volume
    array, grid = nifti_volume(folder.with_name(f"{folder.name}_ground_truth.nii.gz"))
    assert_same_image(array, grid, volume, tolerance=1e-5)


@pytest.mark.parametrize("name", SINGLE_FRAME)
def test_simpleitk_finds_the_same_voxels_at_the_same_places(shared_data, name):
    folder = folder_of(shared_data, name)
    array, grid = itk_volume(folder)
    # SimpleITK keeps stored integers where slopes differ from slice to slice.
    if "non_isotropic" in name:
        array = open_image(folder).volume.array
    assert_same_image(array, grid, open_image(folder).volume, tolerance=1e-4)


@pytest.mark.parametrize("name", [*SINGLE_FRAME, "mrct/abdomen_totalsegmentator/example_ct_dicom", *CLEAN[-2:]])
def test_dcm2niix_finds_the_same_voxels_at_the_same_places(shared_data, tmp_path, name):
    folder = folder_of(shared_data, name)
    ((array, grid),) = dcm2niix_volumes(folder, tmp_path / "out")
    assert_same_image(array, grid, open_image(folder).volume, tolerance=1e-5)


def test_mosaics_are_unpacked_as_dcm2niix_does_garbage_above_twelve_bits_removed(shared_data, tmp_path):
    folder = folder_of(shared_data, "dicom_nasty/dcm_qa_12bit/In")
    found = [item.read().volume for item in take_inventory([folder]).items]
    oracle = dcm2niix_volumes(folder, tmp_path / "out")
    assert len(found) == len(oracle) == 3
    for volume in found:
        (same,) = [(a, g) for a, g in oracle if (a.min(), a.max()) == (volume.array.min(), volume.array.max())]
        assert_same_image(*same, volume)
    assert {(v.array.min(), v.array.max()) for v in found} == {(0, 2908), (0, 4095), (-2048, 2047)}


def test_diffusion_stacks_are_told_apart_by_what_only_private_attributes_say(shared_data, tmp_path):
    folder = folder_of(shared_data, f"{PROSTATE}/6.000000-ep2ddifftraDYNDIST-69284")
    ((array, grid),) = dcm2niix_volumes(folder, tmp_path / "out")
    stacks = [item.read().volume for item in take_inventory([folder]).items]
    assert array.shape[3] == len(stacks) == 3
    for number, volume in enumerate(stacks):
        assert_same_image(array[..., number], grid, volume)
    assert stacks[0].array.mean() > stacks[1].array.mean() > stacks[2].array.mean()


@pytest.mark.parametrize(("modality", "file"), [("CT", "CT_image"), ("MR_T1", "MR_T1_image")])
def test_limb_dicom_is_its_nifti(shared_data, modality, file):
    folder = folder_of(shared_data, f"mrct/sts_ibsi/dicom/STS_025/{modality}/image")
    read = open_image(folder)
    array, grid = nifti_volume(shared_data / f"mrct/sts_ibsi/nifti/STS_025/{file}.nii.gz")
    assert read.volume.grid.same_as(grid, tolerance_voxel=1e-4)
    np.testing.assert_array_equal(read.volume.array, array)
    assert read.volume.quantity is (Quantity.HOUNSFIELD if modality == "CT" else Quantity.MR_SIGNAL)
    assert (read.modality_hint, read.notices) == (modality[:2], ())


@pytest.mark.parametrize("name", [*SINGLE_FRAME, f"{NASTY}/failing/gantrytilting/001"])
def test_every_corner_pixel_is_where_the_equation_of_the_standard_puts_it(shared_data, name):
    """PS3.3, C.7.6.2.1.1: position, plus columns along the row direction, plus rows along the column direction."""
    folder = folder_of(shared_data, name)
    volume = open_image(folder).volume
    seen = set()
    for path in sorted(folder.iterdir()):
        ds = pydicom.dcmread(path)
        across, down = np.reshape(ds.ImageOrientationPatient, (2, 3)).astype(float)
        first = np.array(ds.ImagePositionPatient, dtype=float)
        step_row, step_column = map(float, ds.PixelSpacing)
        for i, j in ((0, 0), (ds.Columns - 1, 0), (0, ds.Rows - 1), (ds.Columns - 1, ds.Rows - 1)):
            lps = first + i * step_column * across + j * step_row * down
            index = volume.grid.index(lps * [-1, -1, 1])
            nearest = np.rint(index).astype(int)
            assert np.abs(index - nearest).max() < 0.01
            assert tuple(nearest[:2]) == (i, j)
            stored = ds.pixel_array[j, i] * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
            assert volume.array[tuple(nearest)] == pytest.approx(stored, rel=1e-6)
            seen.add(int(nearest[2]))
    assert seen == set(range(volume.shape[2]))


def test_the_missing_slice_is_interpolated_when_that_is_allowed(shared_data):
    folder = folder_of(shared_data, "dicom_nasty/picai_prep")
    whole = folder_of(shared_data, f"{PROSTATE}/8.000000-ep2ddifftraDYNDISTCALCBVAL-83202")
    found, truth = open_image(folder, allow_gap=True), open_image(whole).volume
    assert found.volume.grid.same_as(truth.grid, tolerance_voxel=1e-3)
    differs = np.flatnonzero((found.volume.array != truth.array).any(axis=(0, 1)))
    assert len(differs) == 1
    k = int(differs[0])
    mean = (truth.array[:, :, k - 1] + truth.array[:, :, k + 1]) / 2
    np.testing.assert_array_equal(found.volume.array[:, :, k], mean)
    assert f"Slice {k + 1} of 19 is missing: it was interpolated." in found.notices
    assert [step.name for step in found.volume.provenance.steps] == ["interpolate_missing_slice"]


def test_a_tilted_series_survives_nifti_with_its_shear(shared_data, tmp_path):
    from medgan.formats import read_volume, write_volume

    read = open_image(folder_of(shared_data, f"{NASTY}/failing/gantrytilting/001"))
    assert read.volume.grid.is_sheared
    path = write_volume(read.volume, tmp_path / "ct.nii.gz")
    header = nibabel.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    back: Volume = read_volume(path, quantity=Quantity.HOUNSFIELD)
    np.testing.assert_array_equal(back.array, read.volume.array)
    np.testing.assert_allclose(back.grid.affine, read.volume.grid.affine, atol=1e-4)
