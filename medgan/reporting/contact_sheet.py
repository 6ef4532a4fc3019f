"""Many images on one page, each as two small slices: what went wrong with one is seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.geometry import axis_map_to
from medgan.reporting.png import png_bytes
from medgan.reporting.sheet import AMBER, INK, PAPER
from medgan.volume import LabelMap, Volume

Pixels = npt.NDArray[np.uint8]

SIDE_PX = 110
COLUMNS = 5
TILE_INCH, GAP_INCH, WORDS_INCH, MARGIN_INCH = 2.1, 0.12, 0.34, 0.12
RED = "#ff6b5e"
TONES = {"plain": INK, "amber": AMBER, "red": RED}


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Parameters
    ----------
    title : str
        Set in bold below the image.
    words : str
        A second line, such as the verdict.
    pixels : (rows, columns) uint8, optional
        As :func:`thumbnail` gives them; an empty frame if there is none.
    tone : {"plain", "amber", "red"}
        Color of the second line.

    Raises
    ------
    ReportError
        If the tone is none of these.
    """

    title: str
    words: str
    pixels: Pixels | None = None
    tone: str = "plain"

    def __post_init__(self) -> None:
        if self.tone not in TONES:
            raise ReportError(f"A tile's tone is one of {', '.join(TONES)}: found {self.tone!r}.")


def thumbnail(volume: Volume, *, window: tuple[float, float], mask: LabelMap | None = None) -> Pixels:
    """Return two slices side by side as gray values, (110, 220) uint8, at one scale and with square pixels.

    Parameters
    ----------
    volume : Volume
        A patient's is shown axial and coronal with the right side at the left; a specimen's as a section (x to the
        right, y down) and from the side (z down).
    window : (low, high)
        Values shown as black and as white.
    mask : LabelMap, optional
        The slices go through its middle instead of the image's; must be on the volume's grid.

    Raises
    ------
    ReportError
        If the window does not rise.
    GeometryError
        If the mask is on another grid.
    """
    low, high = window
    if not low < high:
        raise ReportError(f"The window of a thumbnail must rise: found {low:g} to {high:g}.")
    if mask is not None:
        volume.grid.require_same_as(mask.grid, this="volume", that="mask", what="A thumbnail")
    is_patient = volume.grid.frame == "patient"
    if is_patient:
        to_ras = axis_map_to(volume.grid, "RAS")
        volume, mask = volume.reordered(to_ras), None if mask is None else mask.reordered(to_ras)
    _, j, k = _middle(volume, mask)
    spacing = volume.grid.spacing
    largest = max(n * s for n, s in zip(volume.shape, spacing))
    tile = np.zeros((SIDE_PX, 2 * SIDE_PX), dtype=np.uint8)
    for column, (plane, up) in enumerate(((volume.array[:, :, k], 1), (volume.array[:, j, :], 2))):
        # Columns of the page run with the first axis and rows with the other one, downward.
        pixels = plane.T[::-1, ::-1] if is_patient else plane.T
        gray = np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1) * 255
        size = [max(round(SIDE_PX * n * s / largest), 1) for n, s in zip(plane.shape, (spacing[0], spacing[up]))]
        small = _resized(np.rint(gray).astype(np.uint8), size)
        top, left = (SIDE_PX - size[1]) // 2, column * SIDE_PX + (SIDE_PX - size[0]) // 2
        tile[top : top + size[1], left : left + size[0]] = small
    return tile


def contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """Return a PNG with all tiles, five a row, in reading order.

    Raises
    ------
    ReportError
        If there is no tile.
    """
    from matplotlib.figure import Figure

    if not tiles:
        raise ReportError("A contact sheet needs at least one image: found none.")
    rows = -(-len(tiles) // COLUMNS)
    columns = min(len(tiles), COLUMNS)
    picture_inch = TILE_INCH / 2
    width = 2 * MARGIN_INCH + columns * TILE_INCH + (columns - 1) * GAP_INCH
    row_inch = picture_inch + WORDS_INCH + GAP_INCH
    height = 2 * MARGIN_INCH + rows * row_inch - GAP_INCH
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        left, top = MARGIN_INCH + column * (TILE_INCH + GAP_INCH), MARGIN_INCH + row * row_inch
        axes = figure.add_axes(
            (left / width, 1 - (top + picture_inch) / height, TILE_INCH / width, picture_inch / height)
        )
        axes.set(xticks=[], yticks=[], facecolor="k")
        axes.spines[:].set(color=TONES[tile.tone], visible=tile.tone != "plain", linewidth=1.2)
        if tile.pixels is not None:
            axes.imshow(tile.pixels, cmap="gray", vmin=0, vmax=255, interpolation="antialiased", aspect="auto")
        for below, words, color, weight in (
            (0.11, tile.title, INK, "bold"),
            (0.25, tile.words, TONES[tile.tone], "normal"),
        ):
            y = 1 - (top + picture_inch + below) / height
            figure.text(left / width, y, words, color=color, fontsize=7.5, weight=weight, va="center")
    return png_bytes(figure)


def _middle(volume: Volume, mask: LabelMap | None) -> tuple[int, int, int]:
    """Return the voxel at the middle of the image, or that of the mask closest to the mask's."""
    inside = np.argwhere(mask.mask()) if mask is not None else np.empty((0, 3))
    if len(inside) == 0:
        return tuple(n // 2 for n in volume.shape)  # type: ignore[return-value]
    nearest = np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()
    return tuple(int(n) for n in inside[nearest])  # type: ignore[return-value]


def _resized(pixels: Pixels, size: Sequence[int]) -> npt.NDArray[Any]:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.BOX))
