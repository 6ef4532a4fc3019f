"""Center lines of instances: what a neurite's run is measured along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from medgan.errors import EvaluationError


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The center line of one instance as a forest.

    Parameters
    ----------
    instance : int
        Number of the instance in the reference.
    nodes_ijk : (n, 3) int64
        Voxels on the line.
    edges : (m, 2) int64
        Pairs of nodes.
    spacing : three floats
        Of the voxels; lengths are in its unit.

    Raises
    ------
    EvaluationError
        If an edge names a node that is not there.
    """

    instance: int
    nodes_ijk: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    spacing: tuple[float, float, float]

    def __post_init__(self) -> None:
        nodes = np.asarray(self.nodes_ijk, dtype=np.int64).reshape(-1, 3)
        edges = np.asarray(self.edges, dtype=np.int64).reshape(-1, 2)
        if edges.size and not 0 <= edges.min() <= edges.max() < len(nodes):
            raise EvaluationError(f"An edge joins two of {len(nodes)} nodes: found {edges.max()}.")
        object.__setattr__(self, "nodes_ijk", nodes)
        object.__setattr__(self, "edges", edges)

    @property
    def edge_lengths(self) -> npt.NDArray[np.float64]:
        """(m,) in the unit of the spacing."""
        ends = self.nodes_ijk[self.edges] * np.asarray(self.spacing)
        return np.asarray(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))

    @property
    def length(self) -> float:
        """Sum over all edges."""
        return float(self.edge_lengths.sum())


def skeletons_of(
    instances: npt.NDArray[np.unsignedinteger], *, spacing: Sequence[float], shortest: float = 0.0
) -> tuple[Skeleton, ...]:
    """Return the center line of every instance, in the order of their numbers.

    Parameters
    ----------
    instances : (I, J, K) unsigned integers
        0 is no instance.
    spacing : three floats
    shortest : float
        Lines shorter than this are left out, in the unit of the spacing: crumbs have no run.

    Notes
    -----
    Topological thinning (Lee, Kashyap and Chu 1994, in scikit-image), then the minimum spanning forest of the
    26-neighborhood, so that a line has no loops. Thinning counts voxels and does not know that they may be longer along
    one axis; lengths do.
    """
    from skimage.morphology import skeletonize

    size = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    present, dense = np.unique(instances, return_inverse=True)
    found = []
    for number, where in enumerate(ndimage.find_objects(dense.reshape(instances.shape).astype(np.int32) + 1)):
        if present[number] == 0 or where is None:
            continue
        mask = np.pad(instances[where] == present[number], 1)
        line = skeletonize(mask)
        nodes = np.argwhere(line) - 1 + [part.start for part in where]
        skeleton = Skeleton(int(present[number]), nodes, _forest(nodes, size), size)
        if skeleton.length > 0 and skeleton.length >= shortest:
            found.append(skeleton)
    return tuple(found)


def _forest(nodes: npt.NDArray[np.int64], spacing: tuple[float, float, float]) -> npt.NDArray[np.int64]:
    """Return the edges of the minimum spanning forest of voxels that touch."""
    from scipy.spatial import cKDTree

    if len(nodes) < 2:
        return np.empty((0, 2), dtype=np.int64)
    pairs = cKDTree(nodes).query_pairs(1.8, output_type="ndarray")  # sqrt(3) is the farthest of 26 neighbors
    if not len(pairs):
        return np.empty((0, 2), dtype=np.int64)
    lengths = np.linalg.norm((nodes[pairs[:, 0]] - nodes[pairs[:, 1]]) * np.asarray(spacing), axis=1)
    graph = coo_array((lengths, (pairs[:, 0], pairs[:, 1])), shape=(len(nodes), len(nodes)))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return np.stack([tree.row, tree.col], axis=1).astype(np.int64)
