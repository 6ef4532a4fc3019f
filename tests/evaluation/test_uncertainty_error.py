"""Rank correlation of uncertainty and error over blocks: literal cases and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import EvaluationError, GeometryError
from medgan.evaluation.uncertainty_error import uncertainty_error_correlation
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((20, 20, 12), spacing=(2, 2, 5))


def volume(array, grid=GRID) -> Volume:
    return Volume(np.asarray(array, np.float32), grid, Quantity.HOUNSFIELD)


def correlation(uncertainty, error, mask=None, **options):
    mask = np.ones(GRID.shape, bool) if mask is None else mask
    return uncertainty_error_correlation(
        uncertainty=volume(uncertainty),
        result=volume(error),
        reference=volume(np.zeros(GRID.shape)),
        mask=LabelMap(mask, GRID),
        **options,
    )


def test_it_is_one_where_uncertainty_ranks_the_size_of_the_error_whatever_its_sign(rng):
    blocks = rng.permutation(4 * 4 * 6).reshape(4, 4, 6).astype(np.float32)
    error = np.kron(blocks, np.ones((5, 5, 2)))
    found = correlation(error**2, error * rng.choice((-1, 1), GRID.shape))
    assert (found.rho, found.blocks, found.block_voxels) == (pytest.approx(1), 96, (5, 5, 2))
    assert correlation(-error, error).rho == pytest.approx(-1)


def test_noise_knows_nothing(rng):
    found = correlation(rng.uniform(size=GRID.shape), rng.normal(size=GRID.shape), block_mm=4)
    assert abs(found.rho) < 0.2


def test_blocks_average_noise_away_that_single_voxels_drown_in(rng):
    truth = np.kron(rng.uniform(size=(4, 4, 6)), np.ones((5, 5, 2)))
    error = truth * rng.normal(size=GRID.shape)
    assert correlation(truth, error).rho > correlation(truth, error, block_mm=1).rho + 0.2


def test_only_the_body_counts(rng):
    mask = np.zeros(GRID.shape, bool)
    mask[:, :10] = True
    error = rng.uniform(size=GRID.shape)
    uncertainty = np.where(mask, error, -1000 * error)
    assert correlation(uncertainty, error, mask).rho == pytest.approx(1)
    assert correlation(uncertainty, error, mask).blocks == 48
    assert correlation(uncertainty, error).rho < 0.5


def test_what_is_undefined_says_why():
    flat = np.zeros(GRID.shape)
    assert correlation(flat, flat).reason == "one of the two is constant"
    few = correlation(flat, flat, block_mm=40)
    assert few.rho is None
    assert few.reason.startswith(f"{few.blocks} blocks lie in the body")
    assert correlation(flat, flat, np.zeros(GRID.shape, bool)).reason == "the mask is empty"


def test_refusals():
    flat = np.zeros(GRID.shape)
    for block_mm in (0, -1, float("nan")):
        with pytest.raises(EvaluationError, match="positive edge in mm"):
            correlation(flat, flat, block_mm=block_mm)
    other = Grid.axis_aligned((20, 20, 12), spacing=(2, 2, 5), origin=(9, 0, 0))
    with pytest.raises(GeometryError):
        uncertainty_error_correlation(
            uncertainty=volume(flat, other),
            result=volume(flat),
            reference=volume(flat),
            mask=LabelMap(np.ones(GRID.shape, bool), GRID),
        )
