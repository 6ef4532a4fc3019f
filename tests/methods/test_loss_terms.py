"""Structural similarity, gradient correlation and the warm start's table against closed forms and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as skimage_similarity

from medgan.errors import TrainingError
from medgan.methods.cyclegan_settings import CycleGANSettings
from medgan.methods.cyclegan_terms import CycleGANBatch, warm_start_terms
from medgan.methods.gradient_correlation import gradient_correlation
from medgan.methods.intensity_table import apply_table, smooth_distance
from medgan.methods.structural_similarity import structural_similarity
from medgan.methods.warm_start import WarmStart


def image(*extent: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 1, *extent, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("extent", [(12, 13, 9), (20, 11)])
def test_structural_similarity_is_that_of_scikit_image(extent):
    first, second = image(*extent, seed=1), 0.6 * image(*extent, seed=1) + 0.2 * image(*extent, seed=2) + 0.1
    _, full = skimage_similarity(
        first[0, 0].double().numpy(),
        second[0, 0].double().numpy(),
        win_size=7,
        data_range=2.0,
        use_sample_covariance=False,
        full=True,
    )
    inside = full[(slice(3, -3),) * len(extent)]
    assert float(structural_similarity(first, second)) == pytest.approx(float(np.mean(inside)), abs=1e-5)


def test_structural_similarity_of_equal_and_of_inverted_images():
    assert float(structural_similarity(image(9, 9, 9), image(9, 9, 9))) == pytest.approx(1.0, abs=1e-5)
    assert float(structural_similarity(0.5 + 0.2 * image(9, 9, 9), 0.5 - 0.2 * image(9, 9, 9))) < -0.5


def test_structural_similarity_of_constants_in_closed_form():
    c1 = (0.01 * 2) ** 2
    expected = (2 * 0.5 * 0.25 + c1) / (0.5**2 + 0.25**2 + c1)
    found = structural_similarity(torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), 0.25))
    assert float(found) == pytest.approx(expected, abs=1e-4)


def test_structural_similarity_of_an_image_smaller_than_the_window_has_a_gradient():
    small = image(3, 9, 4).requires_grad_()
    structural_similarity(small, image(3, 9, 4, seed=5)).backward()
    assert float(small.grad.abs().max()) > 0


def test_gradient_correlation_knows_the_sign_only_if_asked():
    first = image(8, 9, 10)
    assert float(gradient_correlation(first, first, signed=True)) == pytest.approx(1.0, abs=1e-5)
    assert float(gradient_correlation(first, -first, signed=True)) == pytest.approx(-1.0, abs=1e-5)
    assert float(gradient_correlation(first, 3 - 2 * first, signed=False)) == pytest.approx(1.0, abs=1e-5)
    assert abs(float(gradient_correlation(first, image(8, 9, 10, seed=3), signed=True))) < 0.2


def test_gradient_correlation_of_a_constant_is_zero():
    assert float(gradient_correlation(torch.zeros(1, 1, 6, 6), image(6, 6), signed=True)) == 0.0
    assert float(gradient_correlation(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), signed=True)) == 0.0


KNOTS = ((-1.0, 0.5), (-0.2, 0.8), (0.6, -0.4), (1.0, -0.4))


def test_the_table_is_that_of_numpy():
    values = torch.linspace(-1.5, 1.5, 301).reshape(1, 1, 7, 43)
    expected = np.interp(values.numpy(), *zip(*KNOTS, strict=True))
    assert np.allclose(apply_table(values, KNOTS).numpy(), expected, atol=1e-6)


def test_the_smooth_distance_leaves_detail_free():
    table = torch.zeros(1, 1, 8, 8, 8)
    detail = torch.zeros(1, 1, 8, 8, 8)
    detail[..., ::2] = 0.5
    detail[..., 1::2] = -0.5
    assert float(smooth_distance(detail, table, None, window=4)) == pytest.approx(0.0)
    assert float(smooth_distance(detail + 0.25, table, None, window=4)) == pytest.approx(0.25)
    assert float(smooth_distance(detail, table, None, window=1)) == pytest.approx(0.5)


def test_the_smooth_distance_counts_the_body_alone():
    body = torch.zeros(1, 1, 8, 8)
    body[..., :3] = 1
    offset = torch.where(body > 0, 0.25, 9.0)
    assert float(smooth_distance(offset, torch.zeros(1, 1, 8, 8), body, window=4)) == pytest.approx(0.25)
    assert float(smooth_distance(offset, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), window=4)) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 5}, "at least 2 knots"),
        ({"anchor_weight": 1.0, "knots": ((0.0, 1.0),)}, "at least 2 knots"),
        ({"steps": 5, "knots": ((0.0, 1.0), (0.0, 2.0))}, r"rising source values: found sources \[0.0, 0.0\]"),
        ({"steps": -1}, "steps at least 0: found -1"),
        ({"ramp_steps": -1}, "ramp_steps at least 0: found -1"),
        ({"anchor_steps": 0}, "anchor_steps at least 1: found 0"),
        ({"anchor_window": 0}, "anchor_window at least 1: found 0"),
        ({"anchor_weight": 1.0, "anchor_floor": 2.0, "knots": KNOTS}, r"from 0 to anchor_weight \(1.0\): found 2.0"),
    ],
)
def test_refused_warm_starts(options, message):
    with pytest.raises(TrainingError, match=message):
        WarmStart(**{"knots": KNOTS if options.get("steps", 0) < 0 else (), **options})


def test_a_configuration_file_may_give_lists():
    assert WarmStart(steps=1, knots=[[-1, 0], [1, 1]]).knots == ((-1.0, 0.0), (1.0, 1.0))


SETTINGS = CycleGANSettings(spatial_dims=2, steps=1, warm_start=WarmStart(steps=1, knots=KNOTS))


class TestPriorImage:
    """A prior image takes the place of the table, in the warm start and as the anchor."""

    @staticmethod
    def batch(prior):
        source = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
        return CycleGANBatch(source=source, target=source.clone(), source_prior=prior)

    def test_the_warm_start_follows_it(self):
        prior = torch.full((1, 1, 8, 8), 0.25)
        terms = warm_start_terms(lambda x, _: x * 0 + 0.25, lambda x, _: x, self.batch(prior), SETTINGS)
        assert float(terms.table_target) == 0
        terms = warm_start_terms(lambda x, _: x * 0, lambda x, _: x, self.batch(prior), SETTINGS)
        assert float(terms.table_target) == pytest.approx(0.25)

    def test_without_one_the_table_holds(self):
        batch = self.batch(None)
        table = apply_table(batch.source, KNOTS)
        assert float(warm_start_terms(lambda x, _: table, lambda x, _: x, batch, SETTINGS).table_target) == 0
        prior = self.batch(table + 0.5)
        terms = warm_start_terms(lambda x, _: table, lambda x, _: x, prior, SETTINGS)
        assert float(terms.table_target) == pytest.approx(0.5)
