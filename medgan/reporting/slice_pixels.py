"""One slice of a volume as pixels of a page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]

# Blue, black, orange: distinct to the color-blind, and no difference does not glare on a dark page.
_SIGNED = ((155, 231, 255), (31, 127, 224), (0, 0, 0), (224, 96, 31), (255, 224, 138))
_LEVELS = 256

GRAYS, SIGNED_COLORS = 152, 90
"""How many of each a page needs: neighbors of such ramps cannot be told apart."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SlicePixels:
    """A slice between two values, on as many pixels as the page has.

    Parameters
    ----------
    values : (rows, columns) float32
        Of the voxels.
    rows_mm, columns_mm : (first edge, last edge)
        Where the voxels lie, from the first row or column to the last.
    shown_rows_mm : (top, bottom)
    shown_columns_mm : (left, right)
        What the page shows; it may run the other way, lie within, or reach beyond, which is black.
    window : (low, high)
    diverging : bool
        Blue over black to orange instead of black to white.

    Notes
    -----
    A pixel has the mean of what it covers: enlarged voxels keep their edges, and of shrunk ones none is left out, which
    would hide thin bone. A voxel that is no number is black.
    """

    values: npt.NDArray[np.float32]
    rows_mm: Interval
    columns_mm: Interval
    shown_rows_mm: Interval
    shown_columns_mm: Interval
    window: Interval
    diverging: bool = False

    def __call__(self, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Return (rows, columns, 3) pixels."""
        is_number = np.isfinite(self.values)
        values = self.values if is_number.all() else np.where(is_number, self.values, self._black)
        down = _coverage(shape[0], self.shown_rows_mm, len(values), self.rows_mm)
        across = _coverage(shape[1], self.shown_columns_mm, values.shape[1], self.columns_mm)
        share = np.outer(down.sum(axis=1), across.sum(axis=1))
        means = down @ np.ascontiguousarray(values) @ across.T / np.maximum(share, 0.5)
        return colored(np.where(share >= 0.5, means, self._black), self.window, diverging=self.diverging)

    @property
    def _black(self) -> np.float32:
        return np.float32(0.0 if self.diverging else self.window[0])


def colored(values: npt.NDArray[np.floating], window: Interval, *, diverging: bool = False) -> npt.NDArray[np.uint8]:
    """Return the colors of values (…) between the ends of a window, (…, 3) uint8."""
    low, high = window
    levels = np.clip((values - low) * (_LEVELS / (high - low)), 0, _LEVELS - 1).astype(np.uint8)
    return _signed(np.arange(_LEVELS))[levels] if diverging else np.repeat(levels[..., None], 3, axis=-1)


def page_colors() -> npt.NDArray[np.uint8]:
    """Return the colors of both kinds of slices, (n, 3) uint8."""
    grays = np.rint(np.linspace(0, _LEVELS - 1, GRAYS)).astype(np.uint8)
    return np.concatenate((np.repeat(grays[:, None], 3, axis=1), _signed(np.linspace(0, _LEVELS - 1, SIGNED_COLORS))))


def _signed(levels: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    places = np.linspace(0, _LEVELS, len(_SIGNED))  # 0 is level 128, exactly black
    return np.rint(np.stack([np.interp(levels, places, channel) for channel in zip(*_SIGNED)], axis=1)).astype(np.uint8)


def _coverage(pixels: int, shown: Interval, voxels: int, span: Interval) -> npt.NDArray[np.float32]:
    """Return (pixels, voxels): the share of each pixel that each voxel covers along one axis."""
    edges = (np.linspace(*shown, pixels + 1) - span[0]) * (voxels / (span[1] - span[0]))
    low, high = np.minimum(edges[:-1], edges[1:])[:, None], np.maximum(edges[:-1], edges[1:])[:, None]
    voxel = np.arange(voxels)
    covered = np.minimum(high, voxel + 1) - np.maximum(low, voxel)
    return (np.maximum(covered, 0) / (high - low)).astype(np.float32)
