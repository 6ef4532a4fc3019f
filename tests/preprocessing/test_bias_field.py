"""N4 finds the coil's shading on phantoms that know it, whatever the grid, and leaves the rest of the image alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prepared_phantoms import CT, GRID, MR, ball_mask, case_of, ct_of, mr_of
from pydantic import ValidationError

from medgan.cohort import Case
from medgan.errors import GeometryError, PreprocessingError
from medgan.geometry import Grid
from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.paired_imaging import REALISTIC, PairedPhantom
from medgan.preprocessing.bias_field import BiasField
from medgan.seeding import numpy_generator
from medgan.volume import LabelMap, Volume

QUICK = BiasField(shrink_mm=9, iterations=20)


def limb(index: int, *, strength: float) -> PairedPhantom:
    acquisition = replace(REALISTIC, bias_strength=strength)
    generator = numpy_generator(5, "limb", index)
    return limb_phantom(generator=generator, shape=(56, 56, 26), spacing_mm=(4, 4, 6), acquisition=acquisition)


def case_with(phantom: PairedPhantom) -> Case:
    return Case("limb_1", "limb_1", {"mr": phantom.mr}, {"body": phantom.body})


def found_log_field(before: Volume, after: Volume, mask: np.ndarray) -> np.ndarray:
    return np.log(before.array[mask] / after.array[mask])


@pytest.mark.parametrize(("index", "remains"), [(0, 0.5), (1, 0.35)])
def test_the_field_of_a_phantom_is_recovered_up_to_a_constant(index, remains):
    phantom = limb(index, strength=1.0)
    done = QUICK(case_with(phantom))
    mask = phantom.body.mask() & (phantom.mr.array > 0)
    true = np.log(phantom.bias_field[mask])
    found = found_log_field(phantom.mr, done.image, mask)
    assert np.corrcoef(true, found)[0, 1] > 0.9
    assert (true - found).std() < remains * true.std()
    assert found.mean() == pytest.approx(0, abs=2e-3), "the body keeps its brightness"


def test_an_image_without_shading_is_almost_left_alone():
    phantom = limb(2, strength=0.0)
    done = QUICK(case_with(phantom))
    mask = phantom.body.mask() & (phantom.mr.array > 0)
    assert found_log_field(phantom.mr, done.image, mask).std() < 0.04


def test_the_field_is_smooth_at_full_resolution_and_does_not_depend_on_the_unit_of_signal():
    phantom = limb(1, strength=1.0)
    field = QUICK.log_field_of(phantom.mr, phantom.body)
    assert field.shape == phantom.mr.shape
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in range(3)) < 0.12
    louder = replace(phantom.mr, array=phantom.mr.array * np.float32(64))
    assert np.allclose(QUICK.log_field_of(louder, phantom.body), field, atol=0.02)


def test_the_field_is_found_on_a_sheared_oblique_grid_as_on_a_straight_one():
    phantom = limb(1, strength=1.0)
    affine = phantom.mr.grid.affine.copy()
    affine[:3, :3] = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ affine[:3, :3]
    affine[1, 2] = 1.5
    tilted = Grid(phantom.mr.shape, affine)
    assert tilted.is_sheared
    one = QUICK.log_field_of(phantom.mr, phantom.body)
    other = QUICK.log_field_of(replace(phantom.mr, grid=tilted), replace(phantom.body, grid=tilted))
    assert np.abs(one - other).max() < 0.05


def test_the_bits_are_the_same_every_time():
    phantom = limb(0, strength=0.5)
    first, again = (QUICK(case_with(phantom)).image for _ in range(2))
    assert first.array.tobytes() == again.array.tobytes()


def test_what_was_done_is_recorded():
    step = QUICK(case_with(limb(0, strength=1.0))).image.provenance.steps[-1]
    assert step.name == "bias_field"
    assert {k: step.parameters[k] for k in ("shrink_mm", "levels", "iterations")} == {
        "shrink_mm": 9.0,
        "levels": 2,
        "iterations": 20,
    }
    assert 0.2 < step.parameters["log_range_in_body"] < 1.2


def test_refusals(rng):
    body = ball_mask()
    with pytest.raises(PreprocessingError, match="bias_field needs MR signal: case phantom_1 has hounsfield"):
        QUICK(case_of(ct_of(body, rng), CT))
    empty = case_of(np.where(body, 0.0, mr_of(body, rng)), MR, GRID, body)
    with pytest.raises(PreprocessingError, match="needs signal in the body: case phantom_1 has none"):
        QUICK(empty)
    flat = Grid.axis_aligned((20, 20, 3), spacing=(3, 3, 9))
    with pytest.raises(PreprocessingError, match=r"needs 4 voxels along each axis: .* 20 x 20 x 3"):
        QUICK(case_of(np.ones(flat.shape), MR, flat))
    other = Grid.axis_aligned(GRID.shape, spacing=GRID.spacing)
    elsewhere = case_of(mr_of(body, rng), MR).with_label("body", LabelMap(body, other))
    with pytest.raises(GeometryError, match="Stage bias_field needs images on one grid"):
        QUICK(elsewhere)
    for wrong in ({"shrink_mm": 0}, {"levels": 0}, {"iterations": 0}):
        with pytest.raises(ValidationError):
            BiasField(**wrong)
