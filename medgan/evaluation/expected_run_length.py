"""Expected run length: how far one can follow a neurite from a random point before the segmentation errs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medgan.errors import EvaluationError
from medgan.evaluation.skeletons import Skeleton

Lookup = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.unsignedinteger]]
"""Gives the result's instance number at (n, 3) voxels."""


@dataclass(frozen=True)
class RunLength:
    """Run lengths of some skeletons, as sums that add up over blocks.

    Parameters
    ----------
    squared : float
        Sum of squared lengths of error-free runs.
    best : float
        The same for a perfect result: sum of squared lengths of connected skeletons.
    length : float
        Length of all skeletons.
    split_edges, merged_edges, omitted_edges : int
        Edges whose ends lie in two instances; in an instance that holds another skeleton, too; in the background.
    """

    squared: float
    best: float
    length: float
    split_edges: int = 0
    merged_edges: int = 0
    omitted_edges: int = 0

    @property
    def expected(self) -> float:
        """Expected length of the error-free run that holds a random point of the skeletons."""
        return self.squared / self.length if self.length else 0.0

    @property
    def greatest(self) -> float:
        """Expected run length of a perfect result."""
        return self.best / self.length if self.length else 0.0

    def as_dict(self) -> dict[str, float]:
        """Return all numbers by name."""
        return {
            "expected_run_length": self.expected,
            "greatest_run_length": self.greatest,
            "skeleton_length": self.length,
            "split_edges": self.split_edges,
            "merged_edges": self.merged_edges,
            "omitted_edges": self.omitted_edges,
        }


def run_length(skeletons: Sequence[Skeleton], instance_at: Lookup, *, merge_nodes: int = 1) -> RunLength:
    """Follow skeletons of the reference through a result.

    Parameters
    ----------
    skeletons : sequence of Skeleton
        Of the reference; one instance may have several (its parts).
    instance_at : callable
        The result's instance number at voxels.
    merge_nodes : int
        An instance merges two reference instances if it holds at least so many nodes of each; 1 is the strictest. More
        forgives a stray voxel where a skeleton comes near a membrane.

    Raises
    ------
    EvaluationError
        If there are no skeletons.

    Notes
    -----
    Januszewski et al. 2018 (doi 10.1038/s41592-018-0049-4), in own words: an edge is right if both ends lie in one
    instance that is not background and holds no other reference instance. ``ERL = sum over runs of length^2 / length
    of all skeletons``, a run being a connected part of right edges. Deviation from other implementations, which add up
    all edges of a skeleton in one instance: an instance that leaves a skeleton and comes back has two runs.
    """
    if not skeletons:
        raise EvaluationError("A run length needs skeletons: the reference has no instance long enough.")
    if merge_nodes < 1:
        raise EvaluationError(f"A merge needs at least one node: found {merge_nodes}.")
    inside = [np.asarray(instance_at(skeleton.nodes_ijk)) for skeleton in skeletons]
    merging = _merging(skeletons, inside, merge_nodes)
    squared = best = length = 0.0
    split = merged = omitted = 0
    for skeleton, found in zip(skeletons, inside):
        lengths = skeleton.edge_lengths
        ends = found[skeleton.edges]
        is_omitted = (ends == 0).any(axis=1)
        is_split = ~is_omitted & (ends[:, 0] != ends[:, 1])
        is_merged = ~is_omitted & ~is_split & np.isin(ends[:, 0], merging)
        right = ~(is_omitted | is_split | is_merged)
        squared += _squared_runs(skeleton, right, lengths)
        best += _squared_runs(skeleton, np.ones_like(right), lengths)
        length += float(lengths.sum())
        split, merged, omitted = (
            split + int(is_split.sum()),
            merged + int(is_merged.sum()),
            omitted + int(is_omitted.sum()),
        )
    return RunLength(squared, best, length, split, merged, omitted)


def pooled_run_length(parts: Sequence[RunLength]) -> RunLength:
    """Return the run length over the skeletons of several blocks.

    Raises
    ------
    EvaluationError
        If there are none.
    """
    if not parts:
        raise EvaluationError("Run lengths can be pooled where there are some: found none.")
    fields = ("squared", "best", "length", "split_edges", "merged_edges", "omitted_edges")
    return RunLength(*(sum(getattr(part, field) for part in parts) for field in fields))


def _merging(
    skeletons: Sequence[Skeleton], inside: Sequence[npt.NDArray[np.unsignedinteger]], merge_nodes: int
) -> npt.NDArray[np.uint64]:
    """Return the result's instances that hold enough nodes of two reference instances."""
    counts: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for skeleton, found in zip(skeletons, inside):
        for number, nodes in zip(*np.unique(found, return_counts=True)):
            counts[int(number)][skeleton.instance] += int(nodes)
    bad = [n for n, of in counts.items() if n and sum(nodes >= merge_nodes for nodes in of.values()) > 1]
    return np.array(sorted(bad), dtype=np.uint64)


def _squared_runs(skeleton: Skeleton, right: npt.NDArray[np.bool_], lengths: npt.NDArray[np.float64]) -> float:
    """Return the sum of squared lengths of the connected parts of some edges."""
    edges = skeleton.edges[right]
    if not len(edges):
        return 0.0
    nodes = len(skeleton.nodes_ijk)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))
    _, part = connected_components(graph.tocsr(), directed=False)
    return float((np.bincount(part[edges[:, 0]], lengths[right]) ** 2).sum())
