"""Couch and devices become air, the body keeps every bit, and what was removed is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prepared_phantoms import CT, GRID, MR, ball_mask, case_of, ct_of, mr_of, tube_mask

from medgan.cohort import Case
from medgan.errors import CohortError, GeometryError, PreprocessingError
from medgan.geometry import Grid
from medgan.phantoms.head import head_phantom
from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.paired_imaging import Acquisition, PairedPhantom
from medgan.preprocessing.body_mask import BodyMask
from medgan.preprocessing.couch import Couch
from medgan.seeding import numpy_generator
from medgan.volume import LabelMap

SCANNED = Acquisition(partial_volume=True, ct_noise_hu=12.0, couch=True)


def twins(kind: str, index: int) -> tuple[PairedPhantom, PairedPhantom]:
    """One anatomy on a couch and without; the noise is the same."""
    make, shape, spacing = {
        "head": (head_phantom, (84, 90, 60), (2.7, 2.7, 4.2)),
        "limb": (limb_phantom, (90, 90, 30), (2.5, 2.5, 5.0)),
    }[kind]
    return tuple(
        make(
            generator=numpy_generator(3, kind, index),
            shape=shape,
            spacing_mm=spacing,
            acquisition=replace(SCANNED, couch=couch),
        )
        for couch in (True, False)
    )


@pytest.mark.parametrize("kind", ["head", "limb"])
def test_with_the_true_body_the_couch_is_removed_exactly(kind):
    with_couch, without = twins(kind, 0)
    body = with_couch.body.mask()
    done = Couch(detach_mm=0)(Case("c", "s", {"ct": with_couch.ct}, {"body": with_couch.body}))
    assert np.array_equal(done.image.array[body], without.ct.array[body])
    assert (done.image.array[~body] == -1024).all()
    devices = int((with_couch.ct.array[~body] > -800).sum())
    assert devices > 3000
    assert done.image.provenance.steps[-1].parameters["device_voxels"] == devices
    assert f"{devices} voxels ({devices * with_couch.ct.grid.voxel_volume / 1000:.0f} ml) of couch" in done.notices[0]


# In head 1 and limb 0 the couch touches the skin.
@pytest.mark.parametrize(
    ("kind", "index", "remains"), [("head", 0, 0), ("head", 1, 80), ("limb", 0, 600), ("limb", 2, 0)]
)
def test_with_the_body_as_found_no_part_of_the_couch_remains_that_air_separates(kind, index, remains):
    with_couch, without = twins(kind, index)
    case = BodyMask()(Case("c", "s", {"ct": with_couch.ct}))
    done = Couch()(case)
    couch = (with_couch.ct.array != without.ct.array) & (with_couch.ct.array > -400)
    assert couch.sum() > 3000
    assert (done.image.array[couch] > -1024).sum() <= remains
    # Not a voxel of tissue is lost that the mask holds.
    tissue = without.body.mask() & case.label("body").mask() & (without.ct.array > -400)
    assert np.array_equal(done.image.array[tissue], without.ct.array[tissue])


def test_what_the_mask_takes_along_below_the_skin_is_detached(rng):
    body = tube_mask(radius=30)
    plate = np.zeros_like(body)
    plate[:, 8:9] = True
    hu = np.where(plate, 120.0, ct_of(body, rng))
    taken_along = body | plate
    kept = Couch(detach_mm=0)(case_of(hu, CT, GRID, taken_along)).image.array
    gone = Couch()(case_of(hu, CT, GRID, taken_along)).image.array
    assert (kept[plate] > 100).all()
    assert (gone[plate] == -1024).all()
    assert np.array_equal(gone[body], kept[body])


def test_cavities_of_the_body_stay(rng):
    body = tube_mask(radius=34)
    lung, vessel = tube_mask(radius=22), tube_mask(radius=5)
    hu = np.where(vessel, 40.0, np.where(lung, -850.0, ct_of(body, rng)))
    done = Couch()(case_of(hu, CT, GRID, body)).image.array
    assert np.array_equal(done[body], hu.astype(np.float32)[body])


def test_two_parts_of_the_body_stay(rng):
    legs = tube_mask(center=(-35, 0), radius=22) | tube_mask(center=(35, 0), radius=20)
    case = case_of(ct_of(legs, rng), CT, GRID, legs)
    assert np.array_equal(Couch()(case).image.array[legs], case.image.array[legs])


def test_nothing_outside_the_body_is_said(rng):
    body = ball_mask()
    clean = np.where(body, ct_of(body, rng), -1024.0)
    assert Couch()(case_of(clean, CT, GRID, body)).notices == ()
    whole = Couch()(case_of(clean, CT, GRID, np.ones_like(body)))
    assert whole.notices == ("No couch was removed: the body fills the whole image.",)


def test_refusals(rng):
    body = ball_mask()
    with pytest.raises(PreprocessingError, match="couch needs CT in HU: case phantom_1 has mr_signal"):
        Couch()(case_of(mr_of(body, rng), MR, GRID, body))
    with pytest.raises(CohortError, match="must have the label map 'body': found none"):
        Couch()(case_of(ct_of(body, rng), CT))
    other = Grid.axis_aligned(GRID.shape, spacing=GRID.spacing)
    with pytest.raises(GeometryError, match="Stage couch needs images on one grid"):
        Couch()(case_of(ct_of(body, rng), CT).with_label("body", LabelMap(body, other)))
