"""The resolutions of an OME-Zarr image: their shapes, where their voxels lie, and how one is made from the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid
from medgan.geometry.box import Index3

_COARSEST = 128
_MOST_LEVELS = 8


@dataclass(frozen=True)
class Level:
    """One resolution.

    Parameters
    ----------
    shape : (I, J, K)
    factors : three of 1 and 2
        How many voxels of the finer level one voxel spans.
    spacing, origin : three floats
        In the grid's unit.
    """

    shape: Index3
    factors: Index3
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]


def planned_levels(grid: Grid, *, is_labels: bool) -> tuple[Level, ...]:
    """Return the resolutions of an image, the finest first, until none of the axes is long.

    Parameters
    ----------
    grid : Grid
    is_labels : bool
        Labels are picked, not averaged: the voxel that stands for others keeps its place.

    Notes
    -----
    Axes are halved unless their voxels are already twice as long as the shortest (a free choice): of thick sections
    only the planes are halved, until voxels are about cubic.
    """
    levels = [Level(grid.shape, (1, 1, 1), grid.spacing, grid.origin)]
    while max(levels[-1].shape) > _COARSEST and len(levels) < _MOST_LEVELS:
        last = levels[-1]
        shortest = min(spacing for spacing, n in zip(last.spacing, last.shape) if n > 1)
        factors = tuple(2 if n > 1 and s < 2 * shortest else 1 for n, s in zip(last.shape, last.spacing))
        levels.append(
            Level(
                tuple(-(-n // f) for n, f in zip(last.shape, factors)),  # type: ignore[arg-type]
                factors,  # type: ignore[arg-type]
                tuple(s * f for s, f in zip(last.spacing, factors)),  # type: ignore[arg-type]
                tuple(o if is_labels else o + (f - 1) / 2 * s for o, f, s in zip(last.origin, factors, last.spacing)),  # type: ignore[arg-type]
            )
        )
    return tuple(levels)


def multiscales(levels: tuple[Level, ...], *, name: str, unit: str) -> list[dict[str, Any]]:
    """Return the list that OME-Zarr metadata hold under ``multiscales``, axes z, y, x."""
    long_unit = {"nm": "nanometer", "mm": "millimeter"}[unit]
    return [
        {
            "name": name,
            "axes": [{"name": axis, "type": "space", "unit": long_unit} for axis in "zyx"],
            "datasets": [
                {
                    "path": str(number),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": list(level.spacing[::-1])},
                        {"type": "translation", "translation": list(level.origin[::-1])},
                    ],
                }
                for number, level in enumerate(levels)
            ],
        }
    ]


def group_attributes(
    levels: tuple[Level, ...], *, name: str, unit: str, version: str, is_labels: bool, marks: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes of an image's group: OME-Zarr's own, and ``medgan`` with marks of where it came from."""
    images = multiscales(levels, name=name, unit=unit)
    if version == "0.5":
        ome: dict[str, Any] = {"version": version, "multiscales": images}
        if is_labels:
            ome["image-label"] = {}
        return {"ome": ome, "medgan": dict(marks)}
    labels = {"image-label": {"version": version}} if is_labels else {}
    return {"multiscales": [{"version": version, **images[0]}], **labels, "medgan": dict(marks)}


def coarsened(array: npt.NDArray[Any], factors: Index3, *, is_labels: bool) -> npt.NDArray[Any]:
    """Return an array with blocks of voxels made one: their mean, or the first of them for labels.

    A last block that is not complete is filled up by repeating its last voxel; whole numbers are rounded.
    """
    if is_labels:
        return array[tuple(slice(None, None, factor) for factor in factors)]
    pad = [(0, -n % f) for n, f in zip(array.shape, factors)]
    full = np.pad(array, pad, mode="edge") if any(after for _, after in pad) else array
    i, j, k = (n // f for n, f in zip(full.shape, factors))
    wide = np.float64 if array.dtype.itemsize > 4 else np.float32
    mean = full.reshape(i, factors[0], j, factors[1], k, factors[2]).mean(axis=(1, 3, 5), dtype=wide)
    return np.rint(mean).astype(array.dtype) if array.dtype.kind in "ui" else mean.astype(array.dtype)
