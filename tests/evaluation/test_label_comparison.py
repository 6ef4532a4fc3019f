import json

import numpy as np
import pytest

from medgan.errors import EvaluationError, GeometryError
from medgan.evaluation.label_comparison import compare_labels
from medgan.geometry import Grid
from medgan.volume import LabelMap

GRID = Grid.axis_aligned((10, 10, 10), spacing=(1, 1, 2))


def labels(**boxes):
    array = np.zeros((10, 10, 10), dtype=np.uint8)
    for label, stop in boxes.items():
        array[1:stop, 1:5, 1:5] = int(label[1:])
    return LabelMap(array, GRID, {1: "tumor", 3: "gland"})


def test_literal_values():
    (found,) = compare_labels(result=labels(l1=5), reference=labels(l1=7))
    assert (found.label, found.name, found.result_voxels, found.reference_voxels) == (1, "tumor", 64, 96)
    values = {m.name: m.value for m in found.measures}
    assert values["dice"] == pytest.approx(2 * 64 / 160)
    assert values["jaccard"] == pytest.approx(64 / 96)
    assert values["hausdorff"] == 2
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["measures"]["assd"]["unit"] == "mm"


def test_absent_labels():
    empty = labels()
    assert compare_labels(result=empty, reference=empty) == ()
    (asked,) = compare_labels(result=empty, reference=empty, labels=[3])
    assert asked.name == "gland"
    assert {m.value for m in asked.measures} == {None}
    assert asked.measures[0].reason == "absent in both, not counted"
    (missed,) = compare_labels(result=empty, reference=labels(l7=4))
    assert missed.name == "7"
    assert [m.value for m in missed.measures] == [0, 0, None, None, None]


def test_a_sheared_grid_keeps_its_overlap():
    affine = GRID.affine.copy()
    affine[0, 2] = 1.0
    sheared = LabelMap(labels(l1=5).array, Grid((10, 10, 10), affine))
    (found,) = compare_labels(result=sheared, reference=sheared)
    assert [m.value for m in found.measures] == [1, 1, None, None, None]
    assert "sheared" in found.measures[2].reason


def test_refusals():
    other = Grid.axis_aligned((10, 10, 10), spacing=(1, 1, 3))
    with pytest.raises(GeometryError, match="'reference' is displaced from 'result'"):
        compare_labels(result=LabelMap(labels().array, other), reference=labels())
    specimen = LabelMap(labels().array, Grid((10, 10, 10), GRID.affine, "nm", "specimen"))
    with pytest.raises(EvaluationError, match="distances in mm: found a grid in nm"):
        compare_labels(result=specimen, reference=specimen)
