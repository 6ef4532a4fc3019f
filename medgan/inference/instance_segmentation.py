"""Find instances in stacks of any size: probabilities tile by tile, watersheds block by block, faces joined after."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medgan.errors import InferenceError
from medgan.geometry import Box
from medgan.inference.bundle import ModelBundle
from medgan.inference.contrast_facts import BoundaryFacts
from medgan.inference.tilewise import Progress, run_tilewise
from medgan.inference.watershed import Labels, instances_of
from medgan.methods.boundary_segmentation import ProbabilitySegmenter
from medgan.networks.form import preferred_form
from medgan.patches.valid_reading import require_reflectable
from medgan.volume import LabelMap, Quantity, VolumeSource

Index3 = tuple[int, int, int]
_BLOCK_BITS = 32
_SAME_SHARE = 0.5
"""Two blocks' segments are one where each holds at least this share of the other's voxels on their common slab."""


class InstanceSegmenter:
    """A model ready to segment stacks.

    Parameters
    ----------
    bundle : ModelBundle
        Of the task ``boundaries``.
    device : str
    precision : {"float32", "bfloat16"}
    """

    def __init__(self, bundle: ModelBundle[BoundaryFacts], *, device: str = "cpu", precision: str = "float32") -> None:
        self.bundle, self.facts = bundle, bundle.facts
        self._device, self._precision = torch.device(device), precision
        network: Any = bundle.network()
        network.set_form(preferred_form(self._device, precision))
        self.module = ProbabilitySegmenter(network.to(self._device)).eval().requires_grad_(False)

    def require_segmentable(self, source: VolumeSource, label: str) -> None:
        """Refuse a stack that the model cannot segment.

        Raises
        ------
        InferenceError
            If it measures something else or has other voxels.
        PatchError
            If it is smaller than the margin that the network needs.
        """
        if source.quantity is not Quantity.EM_SIGNAL:
            raise InferenceError(f"Model {self.facts.name} takes EM stacks: {label} is {source.quantity.label}.")
        self.facts.require_voxel_size(source.grid, label)
        require_reflectable(source.grid.shape, self.facts.halo, label)

    def probabilities(
        self, source: VolumeSource, box: Box, *, progress: Progress | None = None
    ) -> npt.NDArray[np.float32]:
        """Return probabilities of boundaries or affinities in a box, (C, I, J, K), the same bits for any box."""
        return run_tilewise(
            self.module,
            source,
            box,
            tile=self.facts.tile,
            halo=self.facts.halo,
            input_range=self.facts.input_range,
            device=self._device,
            precision=self._precision,
            progress=progress,
        )

    def instances_in(self, source: VolumeSource, box: Box, *, progress: Progress | None = None) -> Labels:
        """Return the instances of a box by themselves, from 1."""
        return instances_of(
            self.probabilities(source, box, progress=progress),
            offsets=self.facts.offsets,
            spacing=source.grid.spacing,
            settings=self.facts.watershed,
        )

    def segment(
        self,
        source: VolumeSource,
        *,
        write: Callable[[Box, Labels], None],
        read: Callable[[Box], Labels],
        block: Index3,
        overlap: int = 16,
        label: str = "image",
        progress: Progress | None = None,
    ) -> int:
        """Segment a stack of any size, and return how many instances there are.

        Parameters
        ----------
        source : VolumeSource
        write, read : callable
            Put and get uint64 labels of a box; both see the same store.
        block : (I, J, K)
            Kept voxels of a block; memory is bounded by it and the overlap.
        overlap : int
            Voxels beyond each side that a block's watershed sees, and on which neighbors are compared.
        label : str
            Of the source, for messages.
        progress : callable, optional
            Called with blocks done and blocks in all, the joining pass included.

        Raises
        ------
        InferenceError
            If the stack does not fit the model, or block and overlap are not positive.

        Notes
        -----
        Each block is segmented with its overlap. Two segments of neighboring blocks are one if, on the slab beyond
        their common face that both have seen, each holds at least half of the other's voxels. Deviation from the
        whole-volume result: seeds and agglomeration know a block and its overlap only.
        """
        if min(block) < 1 or overlap < 1:
            raise InferenceError(f"Blocks and their overlap need at least one voxel: found {block} and {overlap}.")
        self.require_segmentable(source, label)
        shape = source.grid.shape
        boxes = {
            place: Box(
                tuple(p * b for p, b in zip(place, block)),  # type: ignore[arg-type]
                tuple(min((p + 1) * b, n) for p, b, n in zip(place, block, shape)),  # type: ignore[arg-type]
            )
            for place in product(*(range(-(-n // b)) for n, b in zip(shape, block)))
        }
        parents: dict[int, int] = {}
        waiting: dict[tuple[tuple[int, ...], int], Labels] = {}
        for number, (place, box) in enumerate(boxes.items()):
            seen = box.expanded(overlap).intersection(source.grid.box)
            local = self.instances_in(source, seen) + np.uint64(number << _BLOCK_BITS)
            core = local[box.shifted([-s for s in seen.start_ijk]).slices]
            write(box, core)
            for axis in range(3):
                before = tuple(p - (a == axis) for a, p in enumerate(place))
                slab = waiting.pop((before, axis), None)
                if slab is not None:
                    _join(parents, slab, _first(core, axis, slab.shape[axis]))
                beyond = seen.stop_ijk[axis] - box.stop_ijk[axis]
                if beyond:
                    waiting[place, axis] = _slab(local, box, seen, axis, beyond)
            if progress is not None:
                progress(number + 1, 2 * len(boxes))
        numbers: dict[int, int] = {}
        for done, box in enumerate(boxes.values(), start=len(boxes) + 1):
            stored = read(box)
            present, dense = np.unique(stored, return_inverse=True)
            roots = [numbers.setdefault(_root(parents, int(n)), len(numbers) + 1) for n in present]
            write(box, np.array(roots, dtype=np.uint64)[dense].reshape(stored.shape))
            if progress is not None:
                progress(done, 2 * len(boxes))
        return len(numbers)

    def instances(
        self, source: VolumeSource, *, block: Index3 | None = None, overlap: int = 16, label: str = "image"
    ) -> LabelMap:
        """Return the instances of a stack that fits in memory, in one block if none is given."""
        labels = np.zeros(source.grid.shape, dtype=np.uint64)

        def write(box: Box, values: Labels) -> None:
            labels[box.slices] = values

        self.segment(
            source,
            write=write,
            read=lambda box: labels[box.slices],
            block=block or source.grid.shape,
            overlap=overlap,
            label=label,
        )
        return LabelMap(labels, source.grid)


def _slab(local: Labels, box: Box, seen: Box, axis: int, beyond: int) -> Labels:
    """Return the labels that a block gave the voxels just beyond its far face."""
    start, stop = list(box.start_ijk), list(box.stop_ijk)
    start[axis], stop[axis] = box.stop_ijk[axis], box.stop_ijk[axis] + beyond
    there = Box(tuple(start), tuple(stop)).shifted([-s for s in seen.start_ijk])  # type: ignore[arg-type]
    return local[there.slices].copy()


def _first(core: Labels, axis: int, depth: int) -> Labels:
    return core[tuple(slice(0, depth) if a == axis else slice(None) for a in range(3))]


def _join(parents: dict[int, int], one: Labels, other: Labels) -> None:
    """Make segments one that hold at least half of each other on a slab that both blocks have segmented."""
    depth = tuple(slice(0, min(a, b)) for a, b in zip(one.shape, other.shape))
    firsts, seconds = one[depth].ravel(), other[depth].ravel()
    sizes = [dict(zip(*np.unique(each, return_counts=True))) for each in (firsts, seconds)]
    pairs, counts = np.unique(np.stack([firsts, seconds]), axis=1, return_counts=True)
    for first, second, count in zip(pairs[0], pairs[1], counts):
        if count >= _SAME_SHARE * sizes[0][first] and count >= _SAME_SHARE * sizes[1][second]:
            low, high = sorted((_root(parents, int(first)), _root(parents, int(second))))
            if low != high:
                parents[high] = low


def _root(parents: dict[int, int], number: int) -> int:
    while number in parents:
        number = parents[number]
    return number
