"""Records of explanations: JSON, frozen arrays, intervals of shares."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest

from medgan.errors import ExplanationError
from medgan.explanation.explanation import (
    AttributionMap,
    Curve,
    Explanation,
    Preflight,
    Rate,
    RuleFinding,
    TransformOutcome,
    Verdict,
)


def a_curve(method="d_ig"):
    return Curve(
        method=method, preset="dapi", direction="real into fake", thresholds=np.array([0.0, 0.5]),
        areas=np.array([0.5, 0.1]), scores=np.array([0.9, 0.2]), total=0.95, dac=0.7, first_tenth=0.1, optimal=0,
        mask=np.ones((2, 2)), hybrid=np.zeros((2, 2)), closing=True, distinct_masks=2,
    )  # fmt: skip


def a_case():
    verdict = Verdict("robust", "Robust.", (TransformOutcome("blur", True, None, 0.5),), "flips", "", "robust")
    return Explanation(
        case_id="c1", subject_id="s1", class_names=("no", "yes"), source=0, target=1, real=np.zeros((2, 2)),
        fake=np.ones((2, 2)), real_probabilities=(0.9, 0.1), fake_probabilities=(0.05, 0.95), verdict=verdict,
        preset="dapi", maps=(AttributionMap("d_ig", "D-IG", np.ones((2, 2))),
                             AttributionMap("d_dl", "D-DL", None, refusal="max pooling")), curves=(a_curve(),),
        settings={"steps": 50, "nan": float("nan")},
    )  # fmt: skip


def test_a_case_becomes_json_without_its_pixels():
    found = json.loads(json.dumps(a_case().as_dict(), allow_nan=False))
    assert found["direction"] == "no to yes"
    assert found["real"] == {"shape": [2, 2]}
    assert found["curves"][0]["scores"] == [0.9, 0.2]
    assert found["curves"][0]["optimal_area"] == 0.5
    assert found["maps"][1] == {**found["maps"][1], "values": None, "refusal": "max pooling"}
    assert found["verdict"]["void"] == 1
    assert found["settings"]["nan"] is None
    assert found["synthetic"] == ["fake", "difference", "hybrid"]


def test_images_are_named_and_refused_maps_left_out():
    assert set(a_case().images()) == {"real", "fake", "difference", "map_d_ig", "mask_d_ig", "hybrid_d_ig"}


def test_arrays_of_records_cannot_be_changed():
    case = a_case()
    for array in (case.real, case.maps[0].values, case.curves[0].areas, case.curves[0].mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 5


def test_a_method_that_is_not_there_is_named_with_those_that_are():
    assert a_case().curve_of("d_ig").dac == 0.7
    with pytest.raises(ExplanationError, match=r"c1 has nothing of method 'cam'\. Known: d_ig"):
        a_case().curve_of("cam")
    with pytest.raises(ExplanationError, match="either values or a reason"):
        AttributionMap("d_ig", "D-IG", None)
    with pytest.raises(ExplanationError, match="A verdict is one of robust"):
        Verdict("sturdy", "")


@pytest.mark.parametrize(("count", "total"), [(0, 7), (7, 7), (3, 20), (468, 500)])
def test_rates_have_wilsons_interval(count, total):
    rate = Rate(count, total)
    expected = binomtest(count, total).proportion_ci(method="wilson")
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert rate.as_dict()["value"] == count / total


def test_a_rate_of_nothing_has_no_value_and_a_rate_above_one_is_refused():
    assert Rate(0, 0).as_dict() == {"count": 0, "total": 0, "value": None, "low": None, "high": None}
    assert Rate(0, 0).text == "no cases"
    with pytest.raises(ExplanationError, match="found 3 of 2"):
        Rate(3, 2)


def test_a_preflight_lists_the_first_reason_for_each_refused_method():
    found = Preflight((
        RuleFinding("train mode", "passed", "fine."),
        RuleFinding("rectifiers", "failed", "functional.", ("d_dl",)),
        RuleFinding("map", "failed", "zero.", ("d_dl", "d_gc")),
    ))  # fmt: skip
    assert found.refused == {"d_dl": "functional.", "d_gc": "zero."}
    assert not found.passed
    assert not found.fatal
    json.dumps(found.as_dict())


def test_records_load_without_torch():
    program = "import sys, medgan.explanation.explanation; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
