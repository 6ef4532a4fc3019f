"""Coded DICOM series for tests: the value of a voxel is its place, so that a wrong place is a wrong value."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import pydicom

from medgan.geometry import Grid
from medgan.phantoms.dicom_series import DicomSeries, dicom_series
from medgan.volume import Quantity, Volume

SHAPE = (9, 7, 6)
"""Columns, rows, slices: all different."""


def affine_of(*, spacing: tuple[float, float, float] = (1.5, 2.0, 3.0), turn: np.ndarray | None = None) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) * spacing
    affine[:3, 3] = (-12.5, 20.25, -37.75)
    return affine


def rotated_about(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = [n for n in range(3) if n != axis]
    turn = np.eye(3)
    turn[a, a] = turn[b, b] = c
    turn[a, b], turn[b, a] = -s, s
    return turn


OBLIQUE = rotated_about(2, 20) @ rotated_about(0, -14) @ rotated_about(1, 9)
SAGITTAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
CORONAL = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
AXIAL = np.diag([-1.0, -1.0, 1.0])
"""As viewers show it: rows run to the patient's left, columns to posterior."""


def coded(
    quantity: Quantity = Quantity.HOUNSFIELD,
    *,
    shape: tuple[int, int, int] = SHAPE,
    affine: np.ndarray | None = None,
    most: int = 65536,
) -> Volume:
    """A volume whose voxels all differ (up to ``most`` values), in a permuted order that no symmetry survives."""
    count = int(np.prod(shape))
    order = np.random.default_rng(7).permutation(count) % most
    values = order.reshape(shape).astype(np.float32)
    if quantity is Quantity.HOUNSFIELD:
        values -= 1024
    return Volume(values, Grid(shape, affine_of(turn=AXIAL) if affine is None else affine), quantity)


def series_of(*faults, volume: Volume | None = None, seed: int = 3, **options) -> DicomSeries:
    return dicom_series(volume or coded(), *faults, generator=np.random.default_rng(seed), **options)


def mr() -> Volume:
    return coded(Quantity.MR_SIGNAL)


def assert_same_voxels(
    array: np.ndarray, grid: Grid, truth: Volume, *, tolerance: float = 0.0, voxel: float = 0.01
) -> None:
    """Every voxel of an image, in any axis order, is at a voxel of the truth and has its value; none is missing."""
    ijk = np.stack(np.meshgrid(*map(np.arange, array.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    found = truth.grid.index(grid.world(ijk))
    nearest = np.rint(found).astype(int)
    assert np.abs(found - nearest).max() < voxel
    assert (nearest >= 0).all()
    assert (nearest < truth.shape).all()
    assert len(np.unique(nearest, axis=0)) == truth.array.size == array.size
    values = truth.array[tuple(nearest.T)].astype(np.float64)
    assert np.abs(array.reshape(-1) - values).max() <= tolerance


def dcm2niix_volumes(folder: Path, out: Path) -> list[tuple[np.ndarray, Grid]]:
    """What dcm2niix makes of the gray images in a folder: arrays of three or four axes, with their grids."""
    import dcm2niix
    import nibabel

    out.mkdir()
    command = [dcm2niix.bin, "-b", "n", "-z", "n", "-x", "n", "-f", "%s_%q_%d", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    images = [nibabel.load(path) for path in sorted(out.glob("*.nii"))]
    gray = [image for image in images if image.get_data_dtype().fields is None]
    return [(np.asarray(image.get_fdata()), Grid(image.shape[:3], image.affine)) for image in gray]


def itk_volume(folder: Path) -> tuple[np.ndarray, Grid]:
    """What SimpleITK makes of the one series in a folder."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1
    return SimpleITK.GetArrayFromImage(image).T, Grid(image.GetSize(), affine)


def read(file) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(file.as_bytes))


def datasets(series):
    return [read(file) for file in series.slices]


def positions(series) -> np.ndarray:
    return np.array([[float(x) for x in d.ImagePositionPatient] for d in datasets(series)])


def heights(series) -> np.ndarray:
    """Places along the normal in slices from the first one."""
    d = read(series.slices[0])
    normal = np.cross(*np.array(d.ImageOrientationPatient, dtype=float).reshape(2, 3))
    return (positions(series) - positions(series)[0]) @ normal / 3.0


def values(dataset) -> np.ndarray:
    stored = dataset.pixel_array.astype(float)
    return stored * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))


def assert_values(series, truth=None) -> None:
    truth = truth or series.truth[0]
    for k, dataset in enumerate(datasets(series)[: truth.shape[2]]):
        assert np.array_equal(values(dataset).T, truth.array[:, :, k])
