"""Where translations change images over a cohort: regions of a declared grid on the body box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

from medgan.errors import ExplanationError
from medgan.explanation.explanation import Atlas, RegionDifference
from medgan.explanation.subject_statistics import false_discovery, subject_bootstrap

Float32 = npt.NDArray[np.float32]
Box = tuple[slice, ...]

_ROWS = {1: ("",), 2: ("upper", "lower"), 3: ("upper", "middle", "lower")}
_COLUMNS = {1: ("",), 2: ("left", "right"), 3: ("left", "center", "right")}


def body_box(image: npt.ArrayLike, *, share: float = 0.1) -> Box:
    """Return the box of the pixels that are brighter than a share of the image's range.

    Parameters
    ----------
    image : (H, W) or (I, J, K)
    share : float
        Of the way from the darkest to the brightest pixel (a free choice).

    Examples
    --------
    >>> picture = np.zeros((6, 6)); picture[1:4, 2:6] = 1
    >>> body_box(picture)
    (slice(1, 4, None), slice(2, 6, None))
    """
    own = np.asarray(image, dtype=np.float64)
    bright = own > own.min() + share * np.ptp(own)
    if not bright.any():
        return tuple(slice(0, n) for n in own.shape)
    box = []
    for axis in range(own.ndim):
        inside = np.flatnonzero(bright.any(axis=tuple(a for a in range(own.ndim) if a != axis)))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def region_masks(
    shape: tuple[int, ...], *, grid: tuple[int, ...] = (3, 2), box: Box | None = None
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the regions of a grid on a box, by name; together they are the box, and no two overlap.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    grid : tuple of int
        Rows and columns of a radiograph (and slabs of a volume).
    box : tuple of slice, optional
        By default the whole image.

    Notes
    -----
    ``left`` and ``right`` are sides of the *image*; on a frontal radiograph the patient's right is on the left.

    Examples
    --------
    >>> list(region_masks((6, 4)))[:3]
    ['upper, image left', 'upper, image right', 'middle, image left']
    """
    box = tuple(slice(0, n) for n in shape) if box is None else box
    if len(grid) != len(shape) or len(box) != len(shape):
        raise ExplanationError(f"A grid of {len(grid)} axes cannot divide an image of {len(shape)}.")
    edges = []
    for count, part, size in zip(grid, box, shape):
        start, stop = part.indices(size)[:2]
        if stop - start < count:
            raise ExplanationError(f"A body box of {stop - start} pixels cannot hold {count} regions along one axis.")
        edges.append(np.rint(np.linspace(start, stop, count + 1)).astype(int))
    masks = {}
    for index in np.ndindex(*grid):
        mask = np.zeros(shape, dtype=bool)
        mask[tuple(slice(e[i], e[i + 1]) for e, i in zip(edges, index))] = True
        masks[_region_name(index, grid)] = mask
    return masks


def _region_name(index: tuple[int, ...], grid: tuple[int, ...]) -> str:
    if len(grid) == 2 and grid[0] in _ROWS and grid[1] in _COLUMNS:
        side = _COLUMNS[grid[1]][index[1]]
        parts = [_ROWS[grid[0]][index[0]], f"image {side}" if side else ""]
        return ", ".join(p for p in parts if p) or "whole"
    return " ".join(f"{name} {i + 1}/{n}" for name, i, n in zip(("row", "column", "slab"), index, grid))


def cohort_atlas(
    *,
    real: Sequence[Float32],
    fake: Sequence[Float32],
    subjects: Sequence[str],
    direction: str,
    generator: np.random.Generator,
    grid: tuple[int, ...] = (3, 2),
    boxes: Sequence[Box] | None = None,
    false_discovery_rate: float = 0.05,
    resamples: int = 2000,
    picture_shape: tuple[int, ...] | None = None,
) -> Atlas:
    """Return the mean signed difference fake - real of every region.

    Parameters
    ----------
    real, fake : sequences of (H, W) or (I, J, K)
        In [-1, 1]; pairs of one direction.
    subjects : sequence of str
        One a pair.
    direction : str
    generator : numpy.random.Generator
        Draws the resamples.
    grid : tuple of int
        Declared, not searched.
    boxes : sequence of tuple of slice, optional
        Body of each image; by default :func:`body_box` of the real one.
    false_discovery_rate : float
    resamples : int
    picture_shape : tuple of int, optional
        Of the mean difference on the body box; by default the first box's.

    Raises
    ------
    ExplanationError
        If there is no pair, or counts differ.
    """
    if not real or len(real) != len(fake) or len(real) != len(subjects):
        raise ExplanationError(
            f"An atlas needs a fake and a subject for each real image: found {len(real)}, {len(fake)}, {len(subjects)}."
        )
    boxes = [body_box(image) for image in real] if boxes is None else list(boxes)
    rows, pictures, names = [], [], []
    for one, other, box in zip(real, fake, boxes):
        difference = np.asarray(other, dtype=np.float64) - np.asarray(one, dtype=np.float64)
        masks = region_masks(difference.shape, grid=grid, box=box)
        names = list(masks)
        rows.append([difference[mask].mean() for mask in masks.values()])
        pictures.append(_resized(difference[box], picture_shape or difference[boxes[0]].shape))
    found = subject_bootstrap(np.array(rows), subjects, generator=generator, resamples=resamples)
    q_values = None if found.p_value is None else false_discovery(found.p_value)
    regions = []
    for number, name in enumerate(names):
        p = None if found.p_value is None else float(found.p_value[number])
        q = None if q_values is None else float(q_values[number])
        regions.append(
            RegionDifference(name, found.interval(number), p, q, q is not None and q <= false_discovery_rate)
        )
    return Atlas(direction, tuple(grid), tuple(regions), np.mean(pictures, axis=0), false_discovery_rate)


def _resized(image: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    if image.shape == tuple(shape):
        return image
    factors = [n / m for n, m in zip(shape, image.shape)]
    return np.asarray(zoom(image, factors, order=1, mode="nearest", grid_mode=True))
