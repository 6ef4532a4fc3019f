"""A result's instances against a reference of any size: block by block, then pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.expected_run_length import RunLength, pooled_run_length, run_length
from medgan.evaluation.instances import (
    InstanceScores,
    Overlaps,
    added,
    instance_scores,
    overlaps,
    without_borders,
)
from medgan.evaluation.skeletons import skeletons_of
from medgan.geometry import Box
from medgan.volume import LabelSource

Index3 = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class BlockScores:
    """One block's counts and measures.

    Parameters
    ----------
    box : Box
    table : Overlaps
    scores : InstanceScores or None
        None where the reference has nothing in the block.
    runs : RunLength or None
        None where no skeleton is long enough.
    """

    box: Box
    table: Overlaps
    scores: InstanceScores | None
    runs: RunLength | None

    def as_dict(self) -> dict[str, Any]:
        """Return place and measures as JSON values."""
        place = {"start_ijk": list(self.box.start_ijk), "stop_ijk": list(self.box.stop_ijk)}
        return {
            **place,
            **(self.scores.as_dict() if self.scores is not None else {}),
            **(self.runs.as_dict() if self.runs is not None else {}),
        }


@dataclass(frozen=True, eq=False)
class InstanceTable:
    """All blocks of one comparison, and what they give together.

    Parameters
    ----------
    blocks : tuple of BlockScores
    scores : InstanceScores
        From the summed counts: equal to those of the whole volume at once.
    runs : RunLength or None
        Over the skeletons of all blocks; each skeleton ends with its block.
    """

    blocks: tuple[BlockScores, ...]
    scores: InstanceScores
    runs: RunLength | None

    def as_dict(self) -> dict[str, Any]:
        """Return pooled measures and every block's as JSON values."""
        runs = self.runs.as_dict() if self.runs is not None else {}
        return {"pooled": {**self.scores.as_dict(), **runs}, "blocks": [block.as_dict() for block in self.blocks]}


def blocks_of(shape: Index3, block: Index3) -> Iterator[Box]:
    """Yield the blocks that cover a volume, anchored at its first voxel; the last ones end with it."""
    for start in product(*(range(0, n, b) for n, b in zip(shape, block))):
        yield Box(start, tuple(min(s + b, n) for s, b, n in zip(start, block, shape)))  # type: ignore[arg-type]


def compare_instances(
    *,
    result: LabelSource,
    reference: LabelSource,
    block: Index3 | None = None,
    border_distance: float = 0.0,
    shortest_run: float = 0.0,
    merge_nodes: int = 1,
    with_runs: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> InstanceTable:
    """Compare two label maps of any size; memory is bounded by a block.

    Parameters
    ----------
    result, reference : LabelSource
        On one grid.
    block : three integers, optional
        The whole volume if not given.
    border_distance : float
        Voxels of the reference closer than this to a border between instances are not counted, in the grid's unit.
    shortest_run : float
        Skeletons shorter than this are left out, in the grid's unit.
    merge_nodes : int
        As for :func:`~medgan.evaluation.expected_run_length.run_length`.
    with_runs : bool
        Whether skeletons are made at all.
    progress : callable, optional
        Called with blocks done and blocks in all.

    Raises
    ------
    GeometryError
        If the grids differ.
    EvaluationError
        If a block's length is not positive, or the reference has no instance at all.
    """
    result.grid.require_same_as(reference.grid, this="result", that="reference", what="A comparison of instances")
    grid = reference.grid
    size = block or grid.shape
    if min(size) < 1:
        raise EvaluationError(f"A block needs at least one voxel along each axis: found {tuple(size)}.")
    boxes = list(blocks_of(grid.shape, size))
    found = []
    for done, box in enumerate(boxes, start=1):
        labels, truth = result.read(box).array, reference.read(box).array
        counted = without_borders(truth, distance=border_distance, spacing=grid.spacing)
        table = overlaps(result=labels, reference=counted)
        runs = _runs(labels, truth, grid.spacing, shortest_run, merge_nodes) if with_runs else None
        found.append(BlockScores(box, table, instance_scores(table) if table.total else None, runs))
        if progress is not None:
            progress(done, len(boxes))
    measured = [each.runs for each in found if each.runs is not None]
    return InstanceTable(
        tuple(found),
        instance_scores(added([each.table for each in found])),
        pooled_run_length(measured) if measured else None,
    )


def _runs(
    labels: npt.NDArray[np.unsignedinteger],
    truth: npt.NDArray[np.unsignedinteger],
    spacing: Sequence[float],
    shortest: float,
    merge_nodes: int,
) -> RunLength | None:
    skeletons = skeletons_of(truth, spacing=spacing, shortest=shortest)
    if not skeletons:
        return None
    return run_length(skeletons, lambda ijk: labels[tuple(ijk.T)], merge_nodes=merge_nodes)
