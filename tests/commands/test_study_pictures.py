from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medgan.commands.study_card import card_results
from medgan.commands.study_pictures import ShownCase, _cropped, _viewer, worst_point
from medgan.geometry import Grid
from medgan.reporting.model_card import RESULT_COLUMNS
from medgan.reporting.viewer import HEAT, SIGNED
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((40, 36, 20), spacing=(2, 2, 4), origin=(-100, 50, 700))


@pytest.fixture
def case(rng: np.random.Generator) -> ShownCase:
    """A body of water between two columns of air, with a planted error of 200 HU around one voxel."""
    inside = np.zeros(GRID.shape, dtype=bool)
    inside[8:32, 6:30, 4:16] = True
    truth = np.where(inside, 0.0, -1024.0).astype(np.float32)
    result = truth + np.where(inside, rng.normal(0, 5, GRID.shape), 0).astype(np.float32)
    result[18:24, 10:16, 6:9] += 200
    mr = np.where(inside, 400.0, 1.0) + rng.uniform(0, 50, GRID.shape)
    return ShownCase(
        "limb_1",
        Volume(mr.astype(np.float32), GRID, Quantity.MR_SIGNAL),
        Volume(result, GRID, Quantity.HOUNSFIELD),
        Volume(truth, GRID, Quantity.HOUNSFIELD),
        LabelMap(inside, GRID, {1: "body"}),
        {"uncertainty": Volume(np.abs(result - truth), GRID, Quantity.DIFFERENCE)},
    )


def test_the_worst_place_is_where_the_error_was_planted(case):
    ijk = GRID.index(np.asarray(worst_point(case)))
    assert np.abs(ijk - (20.5, 12.5, 7.0)).max() <= 2


def test_an_error_outside_the_mask_is_no_failure(case):
    array = np.array(case.result.array)
    array[0:6, 0:6, 0:3] += 3000
    ijk = GRID.index(np.asarray(worst_point(replace(case, result=replace(case.result, array=array)))))
    assert np.abs(ijk - (20.5, 12.5, 7.0)).max() <= 2


def test_a_crop_keeps_every_voxel_where_it_was(case):
    small = _cropped(case)
    assert small.source.shape == (32, 32, 20)
    assert small.mask.mask().sum() == case.mask.mask().sum()
    point = GRID.world(np.array((20.0, 12.0, 7.0)))
    for whole, part in ((case.result, small.result), (case.maps["uncertainty"], small.maps["uncertainty"])):
        here = tuple(np.rint(part.grid.index(point)).astype(int))
        assert part.array[here] == whole.array[20, 12, 7]


def test_the_viewer_holds_every_image_in_a_window_that_all_cases_share(case):
    found = {volume.name: volume for volume in _viewer(case).volumes}
    assert list(found) == ["Source", "Result (synthetic)", "Truth", "Error", "Deviation"]
    assert found["Truth"].window == found["Result (synthetic)"].window == (-300.0, 500.0)
    assert (found["Error"].window, found["Error"].colormap) == ((-300.0, 300.0), SIGNED)
    assert (found["Deviation"].window, found["Deviation"].colormap) == ((0.0, 100.0), HEAT)


def test_a_cards_rows_are_the_models_measures_and_the_baselines_error():
    def rows(mae: float) -> list[dict]:
        values = {"mae": (mae, "HU"), "me": (-3.0, "HU"), "ms_ssim": (0.9, ""), "dice_bone": (None, "")}
        values["soft_tissue_r"] = (0.5, "")
        measures = {name: {"value": value, "unit": unit} for name, (value, unit) in values.items()}
        return [{"case_id": f"c{n}", "subject_id": f"c{n}", "measures": measures} for n in range(6)]

    found = card_results({"model": rows(72.0), "body_median": rows(90.0)}, data="six subjects")
    assert [(row["method"], row["measure"], row["value"], row["interval"]) for row in found] == [
        ("model", "MAE (corrected)", "72.0", "72.0 to 72.0"),
        ("model", "ME (corrected)", "-3.0", "-3.0 to -3.0"),
        ("model", "MS-SSIM (corrected)", "0.900", "0.900 to 0.900"),
        ("model", "Dice of bone (corrected)", "", ""),
        ("model", "soft-tissue r (corrected)", "0.500", "0.500 to 0.500"),
        ("(a) body filled with the training median", "MAE (corrected)", "90.0", "90.0 to 90.0"),
    ]
    assert all(set(row) == set(RESULT_COLUMNS) for row in found)
