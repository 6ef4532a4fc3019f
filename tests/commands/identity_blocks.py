"""Program: write a stack in blocks, take it through the way of blocks with the identity network, and print the peak.

Arguments: folder, voxels along x, y, z, voxels of a block along z, y, x.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from medgan.formats.chunked import open_chunked
from medgan.formats.ome_zarr_write import CHUNK, create_ome_zarr, partial_path
from medgan.geometry import Box, Grid
from medgan.inference.block_grid import BlockGrid
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_translation import Reach, WrittenBlocks
from medgan.inference.block_work import Rules, take
from medgan.inference.tilewise import run_tilewise
from medgan.patches.em_sampler import denormalized
from medgan.volume import Provenance, Quantity, VolumeSource

REACH = Reach((64, 64, 64), (10, 10, 10))
RANGE = (0.0, 255.0)


def unchanged(network: torch.nn.Module, source: VolumeSource, box: Box) -> np.ndarray:
    values = run_tilewise(network, source, box, tile=REACH.tile, halo=REACH.halo, input_range=RANGE)[0]
    return denormalized(values, RANGE, np.dtype(np.uint8))


def written(place: Path, shape: tuple[int, ...]) -> Path:
    """Write a stack of faint noise on a ramp, block by block."""
    grid = Grid.axis_aligned(shape, spacing=(10, 10, 10), unit="nm", frame="specimen")
    output = create_ome_zarr(place, grid, np.uint8, provenance=Provenance(), quantity=Quantity.EM_SIGNAL)
    blocks = BlockGrid(shape, (256, 256, 64))
    rng = np.random.default_rng(0)
    for key in blocks.keys:
        box = blocks.box(key)
        ramp = (np.arange(box.start_ijk[0], box.stop_ijk[0]) // 16 % 200)[:, None, None]
        output.write(box, ramp.astype(np.uint8) + rng.integers(0, 4, box.shape, dtype=np.uint8))
    return output.completed()


def peak_mib() -> float:
    # Not getrusage: what it counts begins with the memory of the process that started this one.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    folder = Path(sys.argv[1])
    x, y, z, *block_zyx = map(int, sys.argv[2:8])
    torch.set_num_threads(1)
    source = open_chunked(written(folder / "raw.zarr", (x, y, z)))
    # From here on: what it took to write the stack does not count.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mib()
    output = create_ome_zarr(
        folder / "out.zarr", source.grid, np.uint8, provenance=Provenance(), quantity=Quantity.EM_SIGNAL
    )
    blocks = BlockGrid(source.grid.shape, tuple(block_zyx[::-1]))
    do = WrittenBlocks(source, output, blocks, REACH, partial(unchanged, torch.nn.Identity()))
    manifest = BlockManifest.opened(folder / "out.zarr.manifest", {})
    begun, cpu = time.perf_counter(), time.process_time()
    take(manifest, blocks.keys, do, rules=Rules("r"), tell=lambda event: None)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    same = all(
        np.array_equal(output.read(blocks.box(key)), source.read(blocks.box(key)).array)
        for key in (blocks.keys[0], blocks.keys[len(blocks.keys) // 2], blocks.keys[-1])
    )
    facts = {
        "peak_mib": round(peak_mib(), 1),
        "before_mib": round(before, 1),
        "blocks": len(manifest.done_keys()),
        "same": same,
        "chunk": CHUNK,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "partial": partial_path(folder / "out.zarr").is_dir(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
