"""Hypothesis strategies for grids, boxes and images, oblique and sheared ones included."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from medgan.geometry import AxisMap, Box, Grid
from medgan.volume import LabelMap, Quantity, Volume

AXIS_MAPS = tuple(
    AxisMap(order, flips)
    for order in itertools.permutations((0, 1, 2))
    for flips in itertools.product((False, True), repeat=3)
)
"""The 48 axis orders."""

ORIENTATIONS = tuple(
    "".join(codes) for axes in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*axes)
)
"""The names of the 48 axis orders, such as ``"RAS"``."""

axis_maps = st.sampled_from(AXIS_MAPS)
orientations = st.sampled_from(ORIENTATIONS)


def shapes(low: int = 1, high: int = 9) -> st.SearchStrategy[tuple[int, int, int]]:
    """Three axis lengths."""
    side = st.integers(low, high)
    return st.tuples(side, side, side)


def rotation(quaternion: tuple[float, float, float, float]) -> np.ndarray:
    """Rotation matrix of a quaternion that need not be of unit length."""
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@st.composite
def affines(draw: Any, *, oblique: bool = True, sheared: bool = True) -> np.ndarray:
    """Affine of a rotation, an optional shear, one of the 48 axis orders, anisotropic spacing and an origin."""
    number = st.floats(-1, 1, allow_nan=False, width=32)
    turn = np.eye(3)
    if oblique:
        turn = rotation(draw(st.tuples(number, number, number, number).filter(lambda q: np.linalg.norm(q) > 0.1)))
    shear = np.eye(3)
    if sheared:
        shear[0, 1], shear[0, 2], shear[1, 2] = draw(st.tuples(*[st.floats(-0.5, 0.5, width=32)] * 3))
    axis_map = draw(axis_maps)
    signed = np.zeros((3, 3))
    for new, (old, flip) in enumerate(zip(axis_map.order, axis_map.flips)):
        signed[old, new] = -1 if flip else 1
    spacing = draw(st.tuples(*[st.floats(0.25, 6, width=32)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = turn @ shear @ signed * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300, width=32)] * 3))
    return affine


@st.composite
def grids(
    draw: Any, *, low: int = 1, high: int = 9, oblique: bool = True, sheared: bool = True, specimen: bool = True
) -> Grid:
    """Grids of a patient in mm; with ``specimen`` also some of a specimen in nm."""
    shape, affine = draw(shapes(low, high)), draw(affines(oblique=oblique, sheared=sheared))
    if specimen and draw(st.booleans()):
        return Grid(shape, affine, unit="nm", frame="specimen")
    return Grid(shape, affine)


@st.composite
def boxes(draw: Any, *, low: int = -6, high: int = 12) -> Box:
    """Boxes of at least one voxel anywhere between two bounds."""
    starts = draw(st.tuples(*[st.integers(low, high - 1)] * 3))
    stops = [draw(st.integers(start + 1, high)) for start in starts]
    return Box(starts, tuple(stops))


@st.composite
def boxes_in(draw: Any, shape: tuple[int, int, int]) -> Box:
    """Boxes within an array of this shape."""
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    stops = [draw(st.integers(start + 1, n)) for start, n in zip(starts, shape)]
    return Box(tuple(starts), tuple(stops))


DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


@st.composite
def volumes(draw: Any, *, grid: st.SearchStrategy[Grid] | None = None, quantity: Quantity | None = None) -> Volume:
    """Volumes of each stored type with random voxels."""
    on = draw(grids() if grid is None else grid)
    dtype = draw(st.sampled_from(DTYPES))
    values = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "f":
        array = values.normal(0, 500, on.shape).astype(dtype)
    else:
        array = values.integers(0, np.iinfo(dtype).max, on.shape, dtype=dtype, endpoint=True)
    return Volume(array, on, quantity or draw(st.sampled_from(tuple(Quantity))))


@st.composite
def label_maps(draw: Any, *, grid: st.SearchStrategy[Grid] | None = None, high: int = 5) -> LabelMap:
    """Label maps of 8, 16 or 32 bits."""
    on = draw(grids() if grid is None else grid)
    dtype = draw(st.sampled_from((np.uint8, np.uint16, np.uint32)))
    values = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return LabelMap(values.integers(0, high, on.shape, endpoint=True).astype(dtype), on)
