"""Images in several planes that plan a scan stand beside the volumes, not among them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dicom_phantoms import mr, series_of

from medgan.formats import take_inventory
from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.dicom_geometry_faults import OnePosition, TwoOrientations
from medgan.phantoms.dicom_header_faults import AlteredElement


def across(series, keep):
    """Of a series of two orientations, the first slices of each."""
    by_orientation: dict[tuple[float, ...], list] = {}
    for file in series.slices:
        by_orientation.setdefault(tuple(file.dataset.ImageOrientationPatient), []).append(file)
    chosen = [file for files, count in zip(by_orientation.values(), keep) for file in files[:count]]
    return replace(series, slices=tuple(chosen))


def found(series, folder):
    write_series(series, folder)
    inventory = take_inventory([folder])
    return [(item.verdict, item.files) for item in inventory.items], [
        (each.kind, each.files) for each in inventory.other
    ]


def test_one_slice_in_each_plane_is_a_localizer(tmp_path):
    series = across(series_of(TwoOrientations(), volume=mr()), (1, 1))
    assert found(series, tmp_path) == ([], [("localizer", 2)])


def test_one_slice_across_a_volume_does_not_spoil_it(tmp_path):
    series = across(series_of(TwoOrientations(), volume=mr()), (5, 1))
    items, other = found(series, tmp_path)
    assert items == [("accepted", 5)]
    assert other == [("localizer", 1)]


def test_two_planes_of_several_slices_are_two_volumes_unless_the_series_is_named_a_localizer(tmp_path):
    series = across(series_of(TwoOrientations(), volume=mr()), (4, 4))
    assert found(series, tmp_path / "a") == ([("accepted", 4), ("accepted", 4)], [])
    for name, is_localizer in (("AX LOCALIZER", True), ("survey_32ch", True), ("relocalizers", False)):
        named = across(series_of(TwoOrientations(), AlteredElement("SeriesDescription", name), volume=mr()), (4, 4))
        items, other = found(named, tmp_path / name)
        assert bool(items) is not is_localizer
        assert other == ([("localizer", 8)] if is_localizer else [])


@pytest.mark.parametrize("name", ["T1", "localizer"])
def test_a_single_position_alone_may_be_what_is_left_of_a_volume(tmp_path, name):
    series = series_of(OnePosition(), AlteredElement("SeriesDescription", name), volume=mr())
    assert found(series, tmp_path) == ([("refused", 1)], [])
