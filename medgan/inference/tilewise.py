"""Run a network over any box of a stack, tile by tile; the bits do not depend on the box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from medgan.geometry import Box
from medgan.networks.valid_residual_generator import center
from medgan.patches.em_matching import Tables
from medgan.patches.em_sampler import normalized
from medgan.patches.valid_reading import read_reflected, tiles_in
from medgan.training.precision import autocast
from medgan.volume import VolumeSource

Index3 = tuple[int, int, int]
Progress = Callable[[int, int], None]


@torch.inference_mode()
def run_tilewise(
    network: torch.nn.Module,
    source: VolumeSource,
    box: Box,
    *,
    tile: Index3,
    halo: Index3,
    input_range: tuple[float, float],
    tables: Tables | None = None,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    progress: Progress | None = None,
) -> npt.NDArray[np.float32]:
    """Return the network's output in a box of the volume.

    Parameters
    ----------
    network : Module
        Takes (1, 1, I, J, K) in [-1, 1]; gives the size it was given, or what is left without the halo.
    source : VolumeSource
    box : Box
        Inside the volume.
    tile, halo : (I, J, K)
        Voxels of a tile that are kept, and those read around it.
    input_range : (low, high)
        Stored values that become -1 and 1.
    tables : (K, 256) uint8, optional
        Gray values to replace with, by section.
    device, precision
        Where, and in which number format convolutions run.
    progress : callable, optional
        Called with tiles done and tiles in all.

    Returns
    -------
    (C, I, J, K) float32
        Of the box's shape.

    Notes
    -----
    Tiles lie on a lattice anchored at the volume's first voxel, and each is computed whole at batch size 1, also where
    only a part is wanted or it reaches beyond the volume (which goes on as its reflection). So any blocking of the work
    gives the same bits at one number of threads.
    """
    tiles = list(tiles_in(box, tile))
    result: npt.NDArray[np.float32] | None = None
    for done, piece in enumerate(tiles, start=1):
        stored = read_reflected(source, piece.expanded(halo), tables=tables)
        image = torch.from_numpy(normalized(stored, input_range))[None, None].to(device)
        with autocast(precision, torch.device(device)):
            output = network(image)
        kept = center(output, like=torch.empty(1, 1, *tile)).float().cpu().numpy()[0]
        if result is None:
            result = np.empty((kept.shape[0], *box.shape), dtype=np.float32)
        common = piece.intersection(box)
        there = common.shifted([-s for s in box.start_ijk]).slices
        here = common.shifted([-s for s in piece.start_ijk]).slices
        result[(slice(None), *there)] = kept[(slice(None), *here)]
        if progress is not None:
            progress(done, len(tiles))
    return np.asarray(result)
