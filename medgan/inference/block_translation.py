"""Translate one block of a volume larger than memory; the bits are those of the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from medgan.formats.ome_zarr_write import OmeZarrOutput, reopen_ome_zarr
from medgan.geometry import Box
from medgan.inference.block_counts import SectionCounts, read_counts
from medgan.inference.block_grid import BlockGrid
from medgan.inference.block_source import HeldSource, box_around, needed_indices
from medgan.inference.block_work import Do
from medgan.inference.bundle import find_bundle
from medgan.inference.contrast_translation import ContrastTranslator
from medgan.patches.em_matching import Tables, matching_tables
from medgan.volume import VolumeSource

Index3 = tuple[int, int, int]
TranslateBox = Callable[[VolumeSource, Box], npt.NDArray[Any]]


class Reach(NamedTuple):
    """What the network is run on for a block: its tiles, and what it sees around each."""

    tile: Index3
    halo: Index3


@dataclass(frozen=True)
class BlockTranslation:
    """What a worker needs to translate the blocks of a volume; small, and can be sent to it.

    Parameters
    ----------
    source : VolumeSource
    model : str
        Folder of a bundle of the task ``em_contrast``.
    out : Path
        Of the store that is being written.
    manifest : Path
        Folder in which :data:`~medgan.inference.block_counts.COUNTS_FILE` lies, where gray values are matched.
    blocks : BlockGrid
    device, precision : str
    """

    source: VolumeSource
    model: str
    out: Path
    manifest: Path
    blocks: BlockGrid
    device: str = "cpu"
    precision: str = "float32"

    def opened(self) -> Do:
        """Load the network and the gray tables, and return what translates a block by its key."""
        translator = ContrastTranslator(find_bundle(self.model), device=self.device, precision=self.precision)
        counts = read_counts(self.manifest)
        tables = tables_of(translator, counts)

        def translated(source: VolumeSource, box: Box) -> npt.NDArray[Any]:
            return translator.block(source, box, tables=tables)

        reach = Reach(translator.facts.tile, translator.facts.halo)
        output = reopen_ome_zarr(self.out, self.source.grid)
        return WrittenBlocks(self.source, output, self.blocks, reach, translated, counts)


@dataclass(frozen=True, eq=False)
class WrittenBlocks:
    """Reads a block with its halo, translates it on one thread, and writes it.

    Parameters
    ----------
    source : VolumeSource
    output : OmeZarrOutput
    blocks : BlockGrid
    reach : Reach
    translate : callable
        Of a source and a box.
    counts : SectionCounts, optional
        Gray values of all sections, where the translation depends on them.
    """

    source: VolumeSource
    output: OmeZarrOutput
    blocks: BlockGrid
    reach: Reach
    translate: TranslateBox = field(repr=False)
    counts: SectionCounts | None = None

    def __call__(self, key: str) -> dict[str, Any]:
        """Do the block of this name.

        Returns
        -------
        dict
            ``voxels`` and ``seconds``.

        Raises
        ------
        FormatError
            If a chunk of the source is damaged; it is named.
        OutputError
            If the block cannot be written.
        """
        # Of the calling thread, and again for every block: a scheduler may run blocks on threads of its own. With more
        # threads a convolution may add in another order.
        torch.set_num_threads(1)
        begun = time.perf_counter()
        box = self.blocks.box(key)
        indices = needed_indices(box, tile=self.reach.tile, halo=self.reach.halo, shape=self.source.grid.shape)
        if self.counts is not None:
            self.counts.require(indices[2])
        array = self.translate(HeldSource.of(self.source, box_around(indices)), box)
        self.output.write(box, array)
        return {"voxels": int(np.prod(box.shape)), "seconds": round(time.perf_counter() - begun, 3)}


def tables_of(translator: ContrastTranslator, counts: SectionCounts | None) -> Tables | None:
    """Return the gray tables of the sections, the same as the translator makes of the whole volume."""
    facts = translator.facts
    if counts is None or facts.reference_counts is None:
        return None
    return matching_tables(counts.counts, np.array(facts.reference_counts), by=facts.matching)
