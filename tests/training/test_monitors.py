"""Finite losses and the polarity of a translation."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import spearmanr

from medgan.errors import DivergenceError, TrainingError
from medgan.training.monitors import PolarityGuard, Translation, rank_correlation, require_finite


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_names_term_step_and_cases(bad):
    with pytest.raises(DivergenceError, match=r"cycle = .* at step 812 \(cases: limb_003, limb_009\)") as stopped:
        require_finite({"total": 1.0, "cycle": bad}, step=812, case_ids=("limb_003", "limb_009"))
    assert "total =" not in str(stopped.value)
    assert stopped.value.exit_code == 1


def test_finite_losses_pass():
    require_finite({"total": 1e30, "cycle": 0.0}, step=1, case_ids=())


@pytest.mark.parametrize("values", ["distinct", "tied"])
def test_rank_correlation_is_that_of_scipy(values):
    first, second = image(1).flatten(), image(2).flatten() + 0.4 * image(1).flatten()
    if values == "tied":
        first, second = (first * 4).round(), (second * 3).round()
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)


def test_rank_correlation_ignores_monotone_maps_and_is_zero_for_a_constant():
    assert rank_correlation(image(1), image(1).exp()) == pytest.approx(1.0)
    assert rank_correlation(image(1), -(image(1) ** 3)) == pytest.approx(-1.0)
    assert rank_correlation(image(1), torch.zeros(1, 1, 12, 12, 12)) == 0.0


def test_rank_correlation_of_many_numbers_uses_evenly_spaced_ones():
    many = torch.rand(200_000, generator=torch.Generator().manual_seed(1))
    assert rank_correlation(many, many + 0.01) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("expected", "sign", "violated"),
    [
        ("same", 1, False),
        ("same", -1, True),
        ("inverted", -1, False),
        ("inverted", 1, True),
        ("none", 1, False),
        ("none", -1, False),
    ],
)
def test_the_guard_sees_an_inversion(expected, sign, violated):
    guard = PolarityGuard(expected_polarity=expected)
    finding = guard.check(Translation(image=image(), translation=sign * image()))
    assert finding.violated is violated
    assert finding.correlation == pytest.approx(sign)


def test_an_undecided_translation_is_no_violation():
    assert not PolarityGuard(expected_polarity="same").check(Translation(image=image(1), translation=image(2))).violated


def test_only_the_body_counts():
    body = torch.zeros(1, 1, 12, 12, 12, dtype=torch.bool)
    body[..., :4] = True
    translation = torch.where(body, -image(), image())
    finding = PolarityGuard(expected_polarity="same").check(
        Translation(image=image(), translation=translation, body=body)
    )
    assert finding.violated
    assert finding.correlation == pytest.approx(-1.0)


def test_without_an_expected_polarity_air_and_bone_are_reported():
    guard = PolarityGuard(expected_polarity="none", air_share=(0.0, 0.1), bone_share=(0.01, 0.3))
    translation = torch.zeros(1, 1, 10, 10, 10)
    translation[..., :2] = -1.0
    finding = guard.check(Translation(image=image()[..., :10, :10, :10], translation=translation))
    assert finding.air_share == pytest.approx(0.2)
    assert finding.bone_share == 0.0
    assert len(finding.warnings) == 2
    assert "air fills 20.0% of the body; plausible are 0.0% to 10.0%" in finding.warnings[0]
    assert "bone fills 0.0%" in finding.warnings[1]

    translation[..., :2] = 0.0
    translation[..., :1] = 0.9
    assert guard.check(Translation(image=image()[..., :10, :10, :10], translation=translation)).warnings == ()


def test_an_empty_body_decides_nothing():
    body = torch.zeros(1, 1, 12, 12, 12)
    finding = PolarityGuard(expected_polarity="same").check(Translation(image=image(), translation=-image(), body=body))
    assert not finding.violated


def test_refused_guards():
    with pytest.raises(TrainingError, match="'same', 'inverted' or 'none': found 'equal'"):
        PolarityGuard(expected_polarity="equal")
    with pytest.raises(TrainingError, match=r"\[0, 1\): found 1.5"):
        PolarityGuard(expected_polarity="same", limit=1.5)
