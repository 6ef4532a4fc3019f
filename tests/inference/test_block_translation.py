"""Blocks, what they read, and gray values counted box by box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medgan.errors import FormatError, InferenceError, OutputError, PatchError
from medgan.geometry import Box, Grid
from medgan.inference.block_counts import (
    COUNTS_FILE,
    SectionCounts,
    read_counts,
    require_some_signal,
    section_counts,
)
from medgan.inference.block_grid import BlockGrid, whole_chunks
from medgan.inference.block_source import HeldSource, box_around, needed_indices
from medgan.patches.em_matching import gray_counts
from medgan.patches.valid_reading import read_reflected, tiles_in
from medgan.volume import Quantity, Volume

GRID = Grid.axis_aligned((30, 26, 22), spacing=(10, 10, 10), unit="nm", frame="specimen")


@pytest.fixture
def stack(rng):
    return Volume(rng.integers(0, 255, GRID.shape).astype(np.uint8), GRID, Quantity.EM_SIGNAL)


class Damaged:
    """A stack with a damaged box."""

    def __init__(self, whole: Volume, box: Box) -> None:
        self.whole, self.box = whole, box
        self.grid, self.quantity, self.provenance = whole.grid, whole.quantity, whole.provenance

    def read(self, box: Box) -> Volume:
        if box.intersects(self.box):
            raise FormatError("the chunk c/0/1/2 is damaged")
        return self.whole.read(box)


class TestBlocks:
    def test_blocks_cover_every_voxel_once(self):
        blocks = BlockGrid((30, 26, 22), (8, 26, 10))
        seen = np.zeros((30, 26, 22), dtype=int)
        for key in blocks.keys:
            seen[blocks.box(key).slices] += 1
        assert (seen == 1).all()
        assert len(set(blocks.keys)) == 4 * 1 * 3
        assert blocks.in_words("2-0-3") == "2-0-3 (voxels 20-22, 0-26, 24-30 along z, y, x)"

    @pytest.mark.parametrize("key", ["3-0-0", "0-0", "prepared", "0-0-0-0", "-1-0-0"])
    def test_no_such_block(self, key):
        with pytest.raises(InferenceError, match="There is no block"):
            BlockGrid((30, 26, 22), (8, 26, 10)).box(key)

    def test_no_voxels(self):
        with pytest.raises(InferenceError, match="at least one voxel"):
            BlockGrid((30, 26, 22), (8, 0, 10))

    def test_blocks_grow_to_whole_chunks(self):
        assert whole_chunks((64, 65, 0), (64, 64, 64)) == (64, 128, 64)


class TestReading:
    @pytest.mark.parametrize("box", [Box((0, 0, 0), (8, 8, 8)), Box((24, 16, 16), (30, 26, 22)), GRID.box])
    def test_what_is_held_is_all_that_the_tiles_look_at(self, stack, box):
        needed = box_around(needed_indices(box, tile=(8, 8, 8), halo=(4, 4, 4), shape=GRID.shape))
        reads = []

        class Watched(Damaged):
            def read(self, box):
                reads.append(box)
                return super().read(box)

        held = HeldSource.of(Watched(stack, Box((99, 99, 99), (100, 100, 100))), needed)
        for tile in tiles_in(box, (8, 8, 8)):
            around = tile.expanded(4)
            np.testing.assert_array_equal(read_reflected(held, around), read_reflected(stack, around))
        assert reads == [needed], "the disk is read once a block"
        assert (held.grid, held.quantity, held.provenance) == (stack.grid, stack.quantity, stack.provenance)

    def test_what_is_not_held_is_read(self, stack):
        held = HeldSource.of(stack, Box((0, 0, 0), (8, 8, 8)))
        box = Box((5, 5, 5), (12, 12, 12))
        np.testing.assert_array_equal(held.read(box).array, stack.read(box).array)


class TestCounts:
    @pytest.mark.parametrize("box", [(30, 26, 22), (7, 26, 5), (64, 64, 64)])
    def test_counts_are_those_of_whole_sections(self, stack, box):
        seen = []
        counts = section_counts(stack, box_ijk=box, progress=lambda done, total: seen.append((done, total)))
        np.testing.assert_array_equal(counts.counts, gray_counts(stack))
        assert counts.unreadable == {}
        assert seen[-1][0] == seen[-1][1]

    def test_sections_that_cannot_be_read_are_kept_apart_and_read_again_later(self, stack):
        damaged = Damaged(stack, Box((3, 3, 6), (5, 5, 8)))
        counts = section_counts(damaged, box_ijk=(16, 16, 16))
        assert sorted(counts.unreadable) == [6, 7]
        known = [n for n in range(22) if n not in (6, 7)]
        np.testing.assert_array_equal(counts.counts[known], gray_counts(stack)[known])
        counts.require(np.array([0, 5, 8]))
        with pytest.raises(FormatError, match=r"Section 7 .* the chunk c/0/1/2 is damaged"):
            counts.require(np.arange(7, 12))
        again = SectionCounts.of_bytes(counts.as_bytes())
        assert again.unreadable == counts.unreadable
        np.testing.assert_array_equal(
            section_counts(stack, box_ijk=(16, 16, 16), known=again).counts, gray_counts(stack)
        )

    def test_what_is_refused(self, stack):
        zero = replace(stack, array=np.zeros(GRID.shape, np.uint8))
        with pytest.raises(PatchError, match="The source is all zero"):
            section_counts(zero, box_ijk=(16, 16, 16))
        with pytest.raises(PatchError, match="found uint16"):
            section_counts(replace(stack, array=np.ones(GRID.shape, np.uint16)), box_ijk=(16, 16, 16))
        with pytest.raises(PatchError, match=r"raw\.zarr is all zero: there is nothing to work on"):
            require_some_signal(zero, "raw.zarr", box_ijk=(16, 16, 16))
        last = np.zeros(GRID.shape, np.uint8)
        last[-1, -1, -1] = 1
        require_some_signal(replace(stack, array=last), "raw.zarr", box_ijk=(16, 16, 16))
        require_some_signal(Damaged(zero, Box((0, 0, 0), (1, 1, 1))), "raw.zarr", box_ijk=(16, 16, 16))

    def test_damaged_counts_are_no_counts(self, tmp_path):
        assert read_counts(tmp_path) is None
        (tmp_path / COUNTS_FILE).write_bytes(b"PK")
        with pytest.raises(OutputError, match=r"counts\.npz in .* is damaged"):
            read_counts(tmp_path)
