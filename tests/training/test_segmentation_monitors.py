"""Each monitor on the failure it is for, and silence where nothing fails."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import TrainingError
from medgan.training.monitors_segmentation import MonitorLimits, segmentation_alarms

LIMITS = MonitorLimits(window=5)


def healthy(steps: int = 60) -> list[dict[str, float]]:
    """Numbers of a training that goes well: cross-entropy falls, the players are even."""
    rng = np.random.default_rng(1)
    return [
        {
            "step": n + 1,
            "cross_entropy": 1.0 / (1 + 0.1 * n),
            "adversarial": 0.7 + 0.1 * float(rng.random()),
            "discriminator": 1.2 + 0.1 * float(rng.random()),
            "discriminator_accuracy": 0.7,
            "gradient_ratio": 0.5,
            "predicted_share_1": 0.05,
            "expert_share_1": 0.05,
        }
        for n in range(steps)
    ]


def alarms(rows):
    return {alarm.monitor: alarm for alarm in segmentation_alarms(rows, focus_class=1, limits=LIMITS)}


def changed(first: int, **values) -> list[dict[str, float]]:
    rows = healthy()
    for row in rows[first:]:
        row.update(values)
    return rows


def test_silence_where_nothing_fails():
    assert alarms(healthy()) == {}
    assert segmentation_alarms(healthy(3), focus_class=1, limits=LIMITS) == []


def test_saturation_needs_a_perfect_discriminator_and_a_vanishing_gradient():
    found = alarms(changed(30, discriminator_accuracy=1.0, gradient_ratio=1e-4))
    assert set(found) == {"saturation"}
    alarm = found["saturation"]
    assert (alarm.first_step, alarm.last_step) == (35, 60)
    assert "no longer hears it" in alarm.words
    assert alarms(changed(30, discriminator_accuracy=1.0)) == {}
    assert alarms(changed(30, gradient_ratio=1e-4)) == {}


def test_collapse_is_a_class_that_was_there_and_vanished():
    found = alarms(changed(30, predicted_share_1=0.0))
    assert set(found) == {"collapse"}
    assert "it has vanished" in found["collapse"].words
    never = healthy()
    for row in never:
        row["predicted_share_1"] = 0.0
    assert alarms(never) == {}  # not learned yet is not vanished
    absent = changed(30, predicted_share_1=0.0, expert_share_1=0.0)
    for row in absent[:30]:
        row["expert_share_1"] = 0.0
    assert alarms(absent) == {}


@pytest.mark.parametrize("values", [{"adversarial": 30.0}, {"adversarial": 0.01}, {"discriminator": 0.001}])
def test_imbalance_in_both_directions(values):
    assert set(alarms(changed(30, **values))) == {"imbalance"}


def test_divergence_is_a_cross_entropy_that_rises_again():
    found = alarms(changed(40, cross_entropy=1.4))
    assert set(found) == {"divergence"}
    assert "forgets" in found["divergence"].words
    assert alarms(changed(40, cross_entropy=0.25)) == {}


def test_terms_that_steps_do_not_have_are_left_out():
    rows = healthy()
    for row in rows[:30]:
        for name in ("adversarial", "discriminator", "discriminator_accuracy", "gradient_ratio"):
            del row[name]
    assert alarms(rows) == {}
    for row in rows[40:]:
        row["adversarial"] = 50.0
    assert alarms(rows)["imbalance"].first_step >= 41
    plain = [{k: row[k] for k in ("step", "cross_entropy", "predicted_share_1", "expert_share_1")} for row in healthy()]
    assert alarms(plain) == {}


@pytest.mark.parametrize("changes", [{"window": 0}, {"loss_ratio": 1.0}, {"rise": 0.5}])
def test_refused_limits(changes):
    with pytest.raises(TrainingError, match="A monitor needs"):
        MonitorLimits(**changes)
