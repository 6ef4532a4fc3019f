"""A small stack and a small model of contrast for the tests of work in many blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgan.formats.chunked import open_chunked
from medgan.formats.ome_zarr_write import write_ome_zarr
from medgan.geometry import Grid
from medgan.inference.bundle import ModelBundle
from medgan.inference.contrast_translation import ContrastTranslator
from medgan.networks.initialization import initialize
from medgan.networks.valid_residual_generator import ValidResidualGenerator
from medgan.volume import Quantity, Volume

SHAPE = (100, 70, 90)
"""Voxels x, y, z: 2 x 2 x 2 blocks of one chunk, of 64 voxels."""


def write_stack(place: Path, *, shape: tuple[int, int, int] = SHAPE, seed: int = 0, nm: float = 10.0) -> Path:
    grid = Grid.axis_aligned(shape, spacing=(nm, nm, nm), unit="nm", frame="specimen")
    # Each section has gray values of its own, so that tables by section matter.
    rng = np.random.default_rng(seed)
    array = np.clip(rng.normal(128, 20, shape) + 30 * np.sin(np.arange(shape[2])), 1, 255).astype(np.uint8)
    return write_ome_zarr(Volume(array, grid, Quantity.EM_SIGNAL), place)


def write_contrast_model(folder: Path, *, seed: int = 1, **changes: Any) -> Path:
    settings = {"depth": 1, "width": 2, "head": "residual"}
    network = ValidResidualGenerator(**settings)
    initialize(network, torch.Generator().manual_seed(seed))
    facts = {
        "name": "tiny-contrast",
        "task": "em_contrast",
        "trained_anatomy": "nothing",
        "network": {"name": "valid_residual_generator", "settings": settings},
        "training": {
            "method": "secgan",
            "config_sha256": "0" * 64,
            "manifest_sha256": "0" * 64,
            "steps": 0,
            "seed": 0,
            "data": "none",
            "data_license": "none",
        },
        "license": "Apache-2.0",
        "intended_use": "tests",
        "voxel_size_zyx_nm": [10, 10, 10],
        "input_range": [0, 255],
        "tile": [24, 24, 24],
        "halo": [2, 2, 2],
        "matching": "sections",
        "reference_counts": [0, *range(1, 256)],
    }
    ModelBundle.write(folder, facts={**facts, **changes}, weights=network.state_dict(), card="# Tiny\n")
    return folder


def whole(model: Path, stack: Path) -> np.ndarray:
    """Return the translation of a stack in one piece, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return ContrastTranslator(ModelBundle.load(model)).translate(open_chunked(stack)).array
    finally:
        torch.set_num_threads(before)


def voxels(store: Path) -> np.ndarray:
    source = open_chunked(store)
    return source.read(source.grid.box).array
