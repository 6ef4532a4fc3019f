"""From boundaries or affinities to instances: seeded watershed with agglomeration, and the mutex watershed."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from medgan.errors import InferenceError

Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint64]
Index3 = tuple[int, int, int]


class WatershedSettings(BaseModel):
    """How instances are made of probabilities (every default is a free choice; a training tunes some on validation).

    ``kind``: ``seeded`` (boundaries, or affinities made boundaries) or ``mutex`` (affinities). ``threshold``: below it
    a voxel is inside, for the distances that seeds stand on. ``seed_distance_nm``: a seed is a place farther from
    boundaries than all within this distance. ``agglomeration``: two segments become one while the mean boundary on
    their common face is below it; 0 for none. ``smallest_voxels``: smaller segments join a neighbor. ``bias``: added to
    affinities before the mutex watershed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["seeded", "mutex"] = "seeded"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    seed_distance_nm: float = Field(default=60.0, ge=0)
    agglomeration: float = Field(default=0.3, ge=0, le=1)
    smallest_voxels: int = Field(default=50, ge=0)
    bias: float = Field(default=0.0, ge=-1, le=1)


def instances_of(
    probabilities: Float32, *, offsets: Sequence[Index3], spacing: Sequence[float], settings: WatershedSettings
) -> Labels:
    """Return instances from 1 of one block.

    Parameters
    ----------
    probabilities : (C, I, J, K) float32
        Of boundaries (C = 1, no offsets) or affinities.
    offsets : sequence of three integers
    spacing : three floats
        In nm.
    settings : WatershedSettings

    Raises
    ------
    InferenceError
        If a mutex watershed is asked of boundaries, or channels and offsets differ in number.
    """
    if len(probabilities) != max(len(offsets), 1):
        raise InferenceError(
            f"Affinities need one channel an offset: found {len(probabilities)} channels, {len(offsets)} offsets."
        )
    if settings.kind == "mutex":
        if not offsets:
            raise InferenceError("A mutex watershed needs affinities: this segmenter gives boundaries. Use 'seeded'.")
        return _without_crumbs(mutex_watershed(probabilities, offsets, bias=settings.bias), settings.smallest_voxels)
    boundary = probabilities[0] if not offsets else boundary_of(probabilities, offsets)
    fragments = seeded_watershed(
        boundary, spacing=spacing, threshold=settings.threshold, seed_distance=settings.seed_distance_nm
    )
    return agglomerated(fragments, boundary, threshold=settings.agglomeration, smallest_voxels=settings.smallest_voxels)


def boundary_of(affinities: Float32, offsets: Sequence[Index3]) -> Float32:
    """Return one minus the mean of the affinities to direct neighbors, (I, J, K).

    Raises
    ------
    InferenceError
        If there is no offset of one voxel.
    """
    near = [n for n, offset in enumerate(offsets) if sum(map(abs, offset)) == 1]
    if not near:
        raise InferenceError(f"Boundaries are made of affinities to direct neighbors: found offsets {list(offsets)}.")
    return np.asarray(1 - affinities[near].mean(axis=0), dtype=np.float32)


def seeded_watershed(boundary: Float32, *, spacing: Sequence[float], threshold: float, seed_distance: float) -> Labels:
    """Return fragments from 1: basins of the boundary around places that are far from it.

    Parameters
    ----------
    boundary : (I, J, K) float32 in [0, 1]
    spacing : three floats
    threshold, seed_distance
        See :class:`WatershedSettings`; the distance in the unit of the spacing.
    """
    from skimage.segmentation import watershed

    inside = boundary < threshold
    if not inside.any():
        return np.ones(boundary.shape, dtype=np.uint64)
    padded = np.pad(inside, 1, mode="edge")  # a neurite does not end with its block
    distance = ndimage.distance_transform_edt(padded, sampling=tuple(spacing))[1:-1, 1:-1, 1:-1]
    distance = ndimage.gaussian_filter(distance.astype(np.float32), 1.0)
    reach = [2 * int(seed_distance / (2 * s)) + 1 for s in spacing]
    is_peak = (distance == ndimage.maximum_filter(distance, size=reach)) & inside
    seeds, count = ndimage.label(is_peak, structure=np.ones((3, 3, 3)))
    if not count:
        return np.ones(boundary.shape, dtype=np.uint64)
    height = np.rint(boundary * 255).astype(np.uint8)
    return np.asarray(watershed(height, seeds), dtype=np.uint64)


def agglomerated(fragments: Labels, boundary: Float32, *, threshold: float, smallest_voxels: int) -> Labels:
    """Join fragments, the pair with the weakest common face first, and number the result from 1.

    Notes
    -----
    The face of a pair is all pairs of touching voxels, each with the larger of the two boundary values; a face that
    grows by joining has the mean of all its voxels. While the weakest mean is below the threshold, or a fragment is too
    small, that pair is joined.
    """
    numbers, dense = np.unique(fragments, return_inverse=True)
    labels = dense.reshape(fragments.shape).astype(np.int64)
    size = np.bincount(labels.ravel(), minlength=len(numbers)).astype(np.int64)
    faces: dict[int, dict[int, tuple[float, int]]] = defaultdict(dict)
    for (one, other), (total, count) in _faces(labels, boundary).items():
        faces[one][other] = faces[other][one] = (total, count)
    parent = list(range(len(numbers)))
    heap = [(total / n, a, b, n) for a, of in faces.items() for b, (total, n) in of.items() if a < b]
    heapq.heapify(heap)
    while heap:
        mean, one, other, count = heapq.heappop(heap)
        current = faces.get(one, {}).get(other)
        if current is None or current[1] != count or abs(current[0] / current[1] - mean) > 1e-12:
            continue  # one of the two has joined another meanwhile
        if mean >= threshold and min(size[one], size[other]) >= smallest_voxels:
            continue
        keep, gone = (one, other) if size[one] >= size[other] else (other, one)
        parent[gone] = keep
        size[keep] += size[gone]
        for neighbor, (total, voxels) in faces.pop(gone).items():
            faces[neighbor].pop(gone, None)
            if neighbor == keep:
                continue
            before = faces[keep].get(neighbor, (0.0, 0))
            joined = (before[0] + total, before[1] + voxels)
            faces[keep][neighbor] = faces[neighbor][keep] = joined
            low, high = min(keep, neighbor), max(keep, neighbor)
            heapq.heappush(heap, (joined[0] / joined[1], low, high, joined[1]))
    return _numbered(np.array([_root(parent, n) for n in range(len(parent))])[labels])


def mutex_watershed(affinities: Float32, offsets: Sequence[Index3], *, bias: float = 0.0) -> Labels:
    """Return instances by the mutex watershed (Wolf et al. 2018, doi 10.1007/978-3-030-01225-0_34).

    Parameters
    ----------
    affinities : (C, I, J, K) float32 in [0, 1]
        Above one half attracts, below repels, the farther the earlier.
    offsets : sequence of three integers
    bias : float
        Added to all affinities: positive joins more.

    Raises
    ------
    InferenceError
        If the package mwatershed is not installed.
    """
    try:
        import mwatershed
    except ImportError:
        raise InferenceError(
            "A mutex watershed needs the package mwatershed: pip install 'medgan[em]', or use the seeded watershed."
        ) from None
    signed = affinities.astype(np.float64) - 0.5 + bias
    return np.asarray(mwatershed.agglom(signed, [list(offset) for offset in offsets]), dtype=np.uint64)


def _faces(labels: npt.NDArray[np.int64], boundary: Float32) -> dict[tuple[int, int], tuple[float, int]]:
    """Return the sum of boundary values and the number of voxel pairs of every face between two labels."""
    count = int(labels.max()) + 1
    sums: dict[tuple[int, int], tuple[float, int]] = {}
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        differs = labels[low] != labels[high]
        one, other = labels[low][differs], labels[high][differs]
        height = np.maximum(boundary[low][differs], boundary[high][differs]).astype(np.float64)
        pairs, place = np.unique(np.minimum(one, other) * count + np.maximum(one, other), return_inverse=True)
        totals, voxels = np.bincount(place.ravel(), height), np.bincount(place.ravel())
        for pair, total, n in zip(pairs.tolist(), totals.tolist(), voxels.tolist()):
            before = sums.get((pair // count, pair % count), (0.0, 0))
            sums[pair // count, pair % count] = (before[0] + total, before[1] + n)
    return sums


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def _without_crumbs(labels: Labels, smallest_voxels: int) -> Labels:
    """Give the voxels of small segments to the nearest larger one."""
    numbered = _numbered(labels)
    sizes = np.bincount(numbered.ravel().astype(np.int64))
    if smallest_voxels < 2 or len(sizes) < 3 or sizes.max() < smallest_voxels:
        return numbered
    small = (sizes < smallest_voxels)[numbered.astype(np.int64)]
    if not small.any():
        return numbered
    nearest = ndimage.distance_transform_edt(small, return_distances=False, return_indices=True)
    return _numbered(numbered[tuple(nearest)])


def _numbered(labels: npt.NDArray[np.integer]) -> Labels:
    _, dense = np.unique(labels, return_inverse=True)
    return dense.reshape(labels.shape).astype(np.uint64) + np.uint64(1)
