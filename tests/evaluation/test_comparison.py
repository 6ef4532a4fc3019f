"""Comparisons of volumes: a slab phantom whose errors are literal."""

import json
import math

import numpy as np
import pytest

from medgan.errors import EvaluationError, GeometryError
from medgan.evaluation.comparison import EVERY_VOXEL, compare
from medgan.evaluation.presets import PRESETS
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

SHAPE = (24, 20, 18)
GRID = Grid.axis_aligned(SHAPE, spacing=(1, 1, 3))


def volume(array, grid=GRID, quantity=Quantity.HOUNSFIELD):
    return Volume(np.array(array, dtype=np.float32), grid, quantity)


def slabs(air=-800, fat=-100, soft=40, bone=900):
    """Outside -1000, then four slabs of four voxels along the first axis."""
    array = np.full(SHAPE, -1000, dtype=np.float32)
    for start, hu in zip((4, 8, 12, 16), (air, fat, soft, bone)):
        array[start : start + 4, 2:18, 2:16] = hu
    return array


@pytest.fixture
def mask():
    inside = np.zeros(SHAPE, dtype=np.uint8)
    inside[4:20, 2:18, 2:16] = 1
    return LabelMap(inside, GRID, {1: "body"})


@pytest.fixture(params=list(PRESETS))
def preset(request):
    return PRESETS[request.param]


def test_literal_errors(mask, preset):
    result = slabs(air=-780, fat=-110, soft=70, bone=880)
    found = compare(result=volume(result), reference=volume(slabs()), mask=mask, preset=preset)
    assert found.voxels == 16 * 16 * 14
    expected = {
        "mae": 20,
        "me": 5,
        "rmse": math.sqrt((400 + 100 + 900 + 400) / 4),
        "psnr": 20 * math.log10(preset.peak / math.sqrt(450)),
        "mae_air": 20,
        "me_air": 20,
        "me_fat": -10,
        "me_soft_tissue": 30,
        "me_bone": -20,
        "dice_air": 1,
        "dice_bone": 1,
        "hd95_air": 0,
        "hd95_bone": 0,
        "soft_tissue_r": 1,
        "soft_tissue_rho": 1,
    }
    assert {name: found.value(name) for name in expected} == pytest.approx(expected, abs=1e-6)
    assert 0.9 < found.value("ssim") < 1


def test_a_constant_offset(mask, preset):
    found = compare(result=volume(slabs() + 12), reference=volume(slabs()), mask=mask, preset=preset)
    assert found.value("mae") == found.value("me") == pytest.approx(12)
    assert found.value("psnr") == pytest.approx(20 * math.log10(preset.peak / 12))


def test_equal_images(mask, preset):
    found = compare(result=volume(slabs()), reference=volume(slabs()), mask=mask, preset=preset)
    assert (found.value("mae"), found.value("rmse"), found.value("ssim")) == (0, 0, pytest.approx(1))
    assert found.value("psnr") is None
    reasons = {m.name: m.reason for m in found.measures}
    assert reasons["psnr"] == "infinite, the images are equal"
    if preset.multi_scale is None:
        assert reasons["ms_ssim"] == "the SynthRAD2023 challenge has no such measure"
    else:
        assert found.value("ms_ssim") == pytest.approx(1)


def test_inverted_contrast_has_a_negative_sign(mask):
    result = slabs(fat=40, soft=-100)
    found = compare(result=volume(result), reference=volume(slabs()), mask=mask, preset=PRESETS["corrected"])
    assert found.value("soft_tissue_r") == pytest.approx(-1)
    assert found.value("soft_tissue_rho") == pytest.approx(-1)


def test_only_corrected_clips_errors(mask):
    reference, result = slabs(bone=2900), slabs(bone=3471)
    errors = [
        compare(result=volume(result), reference=volume(reference), mask=mask, preset=p).value("me_bone")
        for p in PRESETS.values()
    ]
    assert errors == [571, 571, 171]


def test_bone_that_is_too_thick_in_millimetres(mask):
    result = slabs()
    result[14:16, 2:18, 2:16] = 900
    found = compare(result=volume(result), reference=volume(slabs()), mask=mask, preset=PRESETS["corrected"])
    assert found.value("dice_bone") == pytest.approx(2 * 4 / (6 + 4))
    assert found.value("hd95_bone") == 2


def test_absent_tissues_are_stated(mask):
    found = compare(
        result=volume(slabs(bone=40)),
        reference=volume(slabs(air=40, fat=40, bone=900)),
        mask=mask,
        preset=PRESETS["corrected"],
    )
    reasons = {m.name: m.reason for m in found.measures}
    assert found.value("dice_bone") == 0
    assert reasons["hd95_bone"] == "the region is absent in the result"
    assert reasons["hd95_air"] == "the region is absent in the reference"
    assert found.value("mae_fat") is None
    assert reasons["mae_fat"] == "no voxel of the reference has -150 < HU <= -30"
    assert reasons["soft_tissue_r"].startswith("an image is constant there")
    both = compare(
        result=volume(slabs(air=40)), reference=volume(slabs(air=40)), mask=mask, preset=PRESETS["corrected"]
    )
    assert both.value("dice_air") is None
    assert {m.name: m.reason for m in both.measures}["dice_air"] == "no air in either image, not counted"


def test_what_lies_outside_the_mask_does_not_matter(mask, preset):
    result = slabs(soft=70)
    before = compare(result=volume(result), reference=volume(slabs()), mask=mask, preset=preset)
    result = np.where(mask.mask(), result, 700)
    assert compare(result=volume(result), reference=volume(slabs()), mask=mask, preset=preset) == before


def test_without_a_mask_every_voxel_counts(preset):
    found = compare(result=volume(slabs(bone=700)), reference=volume(slabs()), mask=None, preset=preset)
    assert found.voxels == math.prod(SHAPE)
    assert {m.mask for m in found.measures} == {EVERY_VOXEL}


def test_json_states_mask_range_and_peak(mask, preset):
    found = compare(result=volume(slabs(soft=70)), reference=volume(slabs()), mask=mask, preset=preset)
    stated = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert stated["preset"] == preset.name
    assert list(stated["measures"]) == list(found.values())
    for measure in stated["measures"].values():
        assert set(measure) == {"title", "value", "unit", "mask", "range", "peak", "reason"}
        assert measure["mask"] == preset.mask
        assert measure["range"]
        assert (measure["value"] is None) == bool(measure["reason"])
    assert stated["measures"]["psnr"]["peak"] == preset.high + 1024
    assert stated["measures"]["mae"]["unit"] == "HU"


def test_rows_are_readable(mask):
    found = compare(result=volume(slabs(soft=70)), reference=volume(slabs()), mask=mask, preset=PRESETS["synthrad2025"])
    rows = {title: (value, statement) for title, value, statement in found.rows()}
    assert rows["Mean absolute error"][0] == "7.5 HU"
    assert rows["Peak signal-to-noise ratio"][1].endswith("clipped to [-1024, 3071] HU; peak 4095")
    assert "not a measure of the SynthRAD2025 challenge" in rows["Structural similarity"][1]


def test_an_unknown_measure_is_refused(mask):
    found = compare(result=volume(slabs()), reference=volume(slabs()), mask=mask, preset=PRESETS["corrected"])
    with pytest.raises(EvaluationError, match=r"by preset corrected has the measures mae, me, .*: found 'lpips'"):
        found.value("lpips")


def test_a_sheared_grid_has_no_surface_distance(mask):
    affine = GRID.affine.copy()
    affine[0, 2] = 1.0
    sheared = Grid(SHAPE, affine)
    found = compare(
        result=volume(slabs(), sheared),
        reference=volume(slabs(), sheared),
        mask=LabelMap(mask.array, sheared),
        preset=PRESETS["corrected"],
    )
    assert found.value("hd95_bone") is None
    assert "sheared" in {m.name: m.reason for m in found.measures}["hd95_bone"]


def test_refusals(mask):
    moved = Grid.axis_aligned(SHAPE, spacing=(1, 1, 3), origin=(0, 0, 3))
    preset = PRESETS["corrected"]
    with pytest.raises(GeometryError, match="'reference' is displaced from 'result'"):
        compare(result=volume(slabs(), moved), reference=volume(slabs()), mask=mask, preset=preset)
    with pytest.raises(GeometryError, match="'mask' is displaced from 'reference'"):
        compare(result=volume(slabs(), moved), reference=volume(slabs(), moved), mask=mask, preset=preset)
    with pytest.raises(
        EvaluationError, match=r"'corrected' measures hounsfield: found normalized in the result\. Undo"
    ):
        compare(
            result=volume(slabs(), quantity=Quantity.NORMALIZED), reference=volume(slabs()), mask=mask, preset=preset
        )
    with pytest.raises(EvaluationError, match="found mr_signal in the reference"):
        compare(
            result=volume(slabs()), reference=volume(slabs(), quantity=Quantity.MR_SIGNAL), mask=mask, preset=preset
        )
    with pytest.raises(EvaluationError, match="at least one voxel in the mask: found none"):
        compare(
            result=volume(slabs()),
            reference=volume(slabs()),
            mask=LabelMap(np.zeros(SHAPE, dtype=np.uint8), GRID),
            preset=preset,
        )
    nanometers = Grid(SHAPE, GRID.affine, "nm", "specimen")
    with pytest.raises(EvaluationError, match="distances in mm: found a grid in nm"):
        compare(result=volume(slabs(), nanometers), reference=volume(slabs(), nanometers), mask=None, preset=preset)
