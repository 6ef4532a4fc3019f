from __future__ import annotations

import pytest

from medgan.commands.study_gate import difference_from, gate_of
from medgan.errors import EvaluationError


def rows(maes, r=0.5):
    values = r if isinstance(r, list) else [r] * len(maes)
    return [
        {
            "case_id": f"limb_{n}",
            "subject_id": f"limb_{n}",
            "fold": n % 5,
            "measures": {"mae": {"value": mae, "unit": "HU"}, "soft_tissue_r": {"value": one, "unit": ""}},
        }
        for n, (mae, one) in enumerate(zip(maes, values))
    ]


MODEL = [70.0, 72.0, 75.0, 68.0, 80.0, 71.0, 74.0, 77.0]


def table(model=None, **changes):
    worse = [mae + 15 + n % 3 for n, mae in enumerate(MODEL)]
    found = {"model": model or rows(MODEL)}
    for name in ("body_median", "quantiles_increasing", "quantiles_decreasing", "t1_table", "paired_bins"):
        found[name] = rows(changes.get(name, worse))
    return found


def failing(gate):
    return [condition.name for condition in gate.conditions if not condition.holds]


def test_a_good_table_passes():
    gate = gate_of(table())
    assert gate.passed
    assert failing(gate) == []
    assert [aim.holds for aim in gate.aims] == [True, True]
    assert gate.as_dict()["conditions"][0] == {"name": "mean MAE at most 80 HU", "holds": True, "found": "73.4 HU"}


def test_a_mean_of_exactly_eighty_passes_and_a_hair_more_does_not():
    for shift, passes in ((0.0, True), (1e-6, False)):
        maes = [80.0 + shift] * 8
        worse = {name: [100.0 + i for i in range(8)] for name in table() if name != "model"}
        gate = gate_of(table(rows(maes), **worse))
        assert gate.conditions[0].holds is passes


@pytest.mark.parametrize("name", ["body_median", "quantiles_increasing", "quantiles_decreasing"])
def test_each_of_the_baselines_a_and_b_must_be_beaten_with_an_interval_below_zero(name):
    # Better on average, not surely: half of the cases are lost.
    noisy = [mae + (30 if n % 2 else -25) for n, mae in enumerate(MODEL)]
    gate = gate_of(table(**{name: noisy}))
    assert failing(gate) == [f"paired MAE difference from {name} below 0"]
    assert difference_from(table(**{name: noisy}), name).summary.mean < 0


def test_the_aims_do_not_decide():
    gate = gate_of(table(t1_table=[60.0] * 8, paired_bins=[50.0] * 8))
    assert gate.passed
    assert [aim.holds for aim in gate.aims] == [False, False]


@pytest.mark.parametrize("wrong", [0.0, -0.01, None])
def test_the_contrast_must_have_the_right_sign_in_every_subject(wrong):
    gate = gate_of(table(rows(MODEL, [0.5] * 7 + [wrong])))
    assert failing(gate) == ["soft-tissue r above 0 in every case"]
    assert "limb_7" in gate.conditions[-1].found


def test_too_few_subjects_give_no_interval_and_do_not_pass():
    few = {name: cases[:5] for name, cases in table().items()}
    gate = gate_of(few)
    assert not gate.passed
    assert "no interval: 5 subjects" in gate.conditions[1].found


def test_a_table_without_a_baseline_cannot_be_judged():
    found = table()
    del found["quantiles_decreasing"]
    with pytest.raises(EvaluationError, match="quantiles_decreasing missing"):
        gate_of(found)
