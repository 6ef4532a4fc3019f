"""Facts, images and outcomes that the tests of the commands share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgan.geometry import Grid
from medgan.inference.domain_check import Fingerprint, TrainedDomain
from medgan.volume import Quantity, Volume

NETWORK = {"spatial_dims": 3, "width": 4, "blocks": 1, "normalization": "none", "body_mask": True}
FEATURES = {
    "body_share": 0.6,
    "extent_i_mm": 60.0,
    "extent_j_mm": 60.0,
    "extent_k_mm": 60.0,
    "edge_density": 0.05,
    "finest_spacing_mm": 3.0,
    "coarsest_spacing_mm": 3.0,
}


def tiny_facts(**changes: Any) -> dict[str, Any]:
    """Facts of a bundle for a tiny network that translates MR into CT at 4 mm."""
    flat = tuple([0.05] * 20)
    domain = TrainedDomain(cases=tuple(Fingerprint(features=FEATURES, histogram=flat) for _ in range(3)))
    facts = {
        "name": "tiny-mr-to-ct",
        "task": "translation",
        "source": {"domain": "mr", "modality": "MR", "quantity": "mr_signal"},
        "target": {"domain": "ct", "modality": "CT", "quantity": "hounsfield"},
        "trained_anatomy": "nothing",
        "recipe": [
            {"stage": "reorient"},
            {"stage": "respace", "spacing_mm": [4, 4, 4]},
            {"stage": "body_mask"},
            {"stage": "crop"},
            {"stage": "mr_percentiles"},
        ],
        "target_knots": [[-1024, -1], [200, 0.5], [1500, 1]],
        "network": {"name": "residual_generator", "settings": NETWORK},
        "patch": {"shape": [16, 16, 16], "overlap": 0.25},
        "trained_domain": domain,
        "training": {
            "method": "cyclegan",
            "config_sha256": "0" * 64,
            "manifest_sha256": "0" * 64,
            "steps": 0,
            "seed": 0,
            "data": "none",
            "data_license": "none",
        },
        "license": "Apache-2.0",
        "intended_use": "tests",
    }
    return {**facts, **changes}


def ball_volume(grid: Grid, *, radius_mm: float, signal: float = 500.0) -> Volume:
    """A ball of tissue around the middle of the grid, in faint noise."""
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid.world(ijk) - grid.world((np.array(grid.shape) - 1) / 2), axis=-1)
    noise = np.random.default_rng(0).uniform(1, 4, grid.shape)
    array = np.where(distance < radius_mm, signal + 0.5 * distance, noise)
    return Volume(array.astype(np.float32), grid, Quantity.MR_SIGNAL)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))
