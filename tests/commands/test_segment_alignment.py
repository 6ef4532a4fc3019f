"""Moving diffusion images onto T2w: a known displacement is undone, an implausible one refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from medgan.cohort import Case
from medgan.commands import segment_alignment
from medgan.commands.segment_alignment import aligned
from medgan.errors import InferenceError
from medgan.formats import take_inventory
from medgan.geometry import Grid
from medgan.inference.segmentation_facts import WorkingGrid
from medgan.phantoms.prostate import prostate_phantom
from medgan.preprocessing import rigid_search
from medgan.seeding import numpy_generator
from medgan.volume import Quantity

FACTS = SimpleNamespace(
    channels=tuple(SimpleNamespace(name=name) for name in ("t2w", "adc", "dwi")),
    working=WorkingGrid(spacing_mm=(2.0, 2.0), size=(48, 48)),
)


def displaced(by_mm: tuple[float, float, float]) -> tuple[Case, Grid]:
    phantom = prostate_phantom(generator=numpy_generator(3, "aligned"), noise=0.05, shape=(96, 96, 16))
    affine = phantom.adc.grid.affine.copy()
    affine[:3, 3] += by_mm
    grid = Grid(phantom.adc.shape, affine)
    images = {"t2w": phantom.t2w, "adc": replace(phantom.adc, grid=grid), "dwi": replace(phantom.dwi, grid=grid)}
    return Case("c", "c", images), phantom.adc.grid


def test_a_displacement_is_undone_and_channels_on_one_grid_move_together():
    case, truth = displaced((4.0, -3.0, 1.0))
    moved = aligned(case, FACTS)
    center = (np.asarray(truth.shape) - 1) / 2
    left = np.linalg.norm(moved.images["dwi"].grid.world(center) - truth.world(center))
    assert left < 2.0
    assert moved.images["adc"].grid.same_as(moved.images["dwi"].grid)
    assert moved.images["t2w"] is case.images["t2w"]
    assert np.array_equal(moved.images["dwi"].array, case.images["dwi"].array)
    assert "adc, dwi moved onto t2w by " in moved.notices[0]


def test_more_than_patients_move_is_refused(monkeypatch):
    monkeypatch.setattr(segment_alignment, "MOST_SHIFT_MM", 0.5)
    with pytest.raises(InferenceError, match=r"corrects at most 0\.5 mm and 6 degrees: found"):
        aligned(displaced((4.0, -3.0, 1.0))[0], FACTS)


def test_rotations_that_go_astray_leave_the_shift(monkeypatch):
    search = rigid_search.rigid_fit
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])

    def found(*, turns=True, **given):
        return replace(search(**given, turns=False), to_fixed=turned) if turns else search(**given, turns=False)

    monkeypatch.setattr(rigid_search, "rigid_fit", found)
    case, truth = displaced((4.0, -3.0, 1.0))
    moved = aligned(case, FACTS)
    grid = moved.images["adc"].grid
    center = (np.asarray(truth.shape) - 1) / 2
    assert np.allclose(grid.direction, truth.direction)
    assert np.linalg.norm(grid.world(center) - truth.world(center)) < 2.0
    assert "0.0 degrees" in moved.notices[0]


def test_the_only_real_study_moves_by_less_than_two_millimeters(shared_data):
    folder = shared_data / "prostate" / "ProstateX_dicom"
    if not folder.is_dir():
        pytest.skip("the prostate study is absent")
    inventory = take_inventory([folder])
    images = {
        name: inventory.one(index).read(quantity=Quantity.MR_SIGNAL).volume
        for name, index in (("t2w", 1), ("adc", 5), ("dwi", 6))
    }
    moved = aligned(Case("c", "c", images), FACTS)
    assert "adc, dwi moved onto t2w by adc" in moved.notices[0]
    center = moved.images["t2w"].grid.world((np.asarray(images["t2w"].shape) - 1) / 2)
    index = images["adc"].grid.index(center)
    assert np.linalg.norm(moved.images["adc"].grid.world(index) - center) < 2.0


def test_nothing_to_align_changes_nothing():
    case = displaced((0, 0, 0))[0]
    alone = Case("c", "c", {"t2w": case.images["t2w"]})
    assert aligned(alone, FACTS) is alone
    without = Case("c", "c", {"adc": case.images["adc"]})
    assert aligned(without, FACTS) is without
