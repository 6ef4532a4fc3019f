"""Planted faults of geometry are there, as pydicom reads them, and the values stay where they were."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_phantoms import (
    OBLIQUE,
    affine_of,
    assert_same_voxels,
    assert_values,
    coded,
    datasets,
    heights,
    positions,
    read,
    series_of,
)

from medgan.errors import VolumeError
from medgan.phantoms.dicom_geometry_faults import (
    ConflictingSlice,
    Drift,
    DuplicateSlice,
    GantryTilt,
    MissingSlice,
    OnePosition,
    Positioned,
    TwoOrientations,
    TwoSpacings,
    UnevenSpacing,
)


@pytest.mark.parametrize("is_tagged", [True, False])
def test_tilt_moves_slices_along_their_columns_alone(is_tagged):
    series = series_of(GantryTilt(20.0, is_tagged=is_tagged), volume=coded(affine=affine_of(turn=OBLIQUE)))
    d = read(series.slices[0])
    assert ("GantryDetectorTilt" in d) is is_tagged
    along, down = np.array(d.ImageOrientationPatient, dtype=float).reshape(2, 3)
    steps = np.diff(positions(series), axis=0)
    assert np.allclose(steps @ along, 0, atol=1e-9)
    assert np.allclose(steps @ down, np.tan(np.radians(20)) * 3 * np.sign(steps @ np.cross(along, down)), atol=1e-9)
    assert np.allclose(np.abs(steps @ np.cross(along, down)), 3.0)
    truth = series.truth[0]
    assert truth.grid.is_sheared
    assert np.allclose(positions(series) * [-1, -1, 1], [truth.grid.world([0, 0, k]) for k in range(6)])


@pytest.mark.parametrize("same", [False, True])
def test_a_duplicate_has_the_same_pixels_and_place(same):
    series = series_of(DuplicateSlice(is_same_instance=same))
    assert len(series.slices) == 7
    d = datasets(series)
    twin = next(x for x in d[:-1] if x.ImagePositionPatient == d[-1].ImagePositionPatient)
    assert twin.PixelData == d[-1].PixelData
    assert (twin.SOPInstanceUID == d[-1].SOPInstanceUID) is same


def test_conflicting_slices_differ_in_their_pixels():
    series = series_of(ConflictingSlice())
    named = series.touched_by(ConflictingSlice)
    one, two = (read(f) for f in series.slices if f.name in named)
    assert one.ImagePositionPatient == two.ImagePositionPatient
    assert one.PixelData != two.PixelData


def test_heights_of_uneven_drifting_and_missing_slices():
    assert np.allclose(heights(series_of()), range(6))
    gaps = np.diff(heights(series_of(UnevenSpacing(0.3))))
    assert np.allclose(sorted(gaps), [0.7, 1, 1, 1, 1.3])
    assert np.allclose(np.diff(heights(series_of(TwoSpacings()))), [1, 1, 1, 2, 2])
    series = series_of(MissingSlice())
    assert np.allclose(sorted(np.diff(heights(series))), [1, 1, 1, 2])
    before, after = (heights(series)[[f.name for f in series.slices].index(n)] for n in series.touched_by(MissingSlice))
    assert after - before == pytest.approx(2)
    drifting = heights(series_of(Drift(0.08), volume=coded(shape=(4, 4, 41))))
    assert np.abs(drifting - np.linspace(0, 40, 41)).max() == pytest.approx(0.08)
    assert np.abs(np.diff(drifting) - 1).max() < 0.01
    with pytest.raises(VolumeError, match="at least 3"):
        series_of(MissingSlice(), volume=coded(shape=(4, 4, 2)))


def test_one_position():
    assert len(series_of(OnePosition()).slices) == 1
    series = series_of(OnePosition(3))
    assert np.ptp(positions(series), axis=0).max() == 0
    assert len({d.PixelData for d in datasets(series)}) == 3


def test_two_orientations_cut_the_same_region():
    series = series_of(TwoOrientations())
    assert len({tuple(d.ImageOrientationPatient) for d in datasets(series)}) == 2
    assert [v.shape for v in series.truth] == [(9, 7, 6), (7, 6, 9)]
    first, second = series.truth
    assert_same_voxels(second.array, second.grid, first)


@pytest.mark.parametrize("position", ["HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"])
def test_turned_patients_keep_every_voxel_where_it_was(position):
    # An axial stack as viewers show it: what the position means is then known.
    series, clean = series_of(Positioned(position)), series_of()
    truth = series.truth[0]
    assert_same_voxels(truth.array, truth.grid, clean.truth[0])
    d = read(series.slices[0])
    assert d.PatientPosition == position
    along, down = np.array(d.ImageOrientationPatient, dtype=float).reshape(2, 3)
    posture = {"S": (0, 1, 0), "P": (0, -1, 0), "DR": (-1, 0, 0), "DL": (1, 0, 0)}[position[2:]]
    assert np.allclose(down, posture)
    assert np.cross(along, down)[2] == pytest.approx(1 if position.startswith("HF") else -1)
    assert_values(series, truth)
