"""One section of an EM stack in several versions: image, boundaries, instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.reporting.png import png_bytes
from medgan.reporting.sheet import INK, PAPER

SIDE_INCH, HEAD_INCH = 2.5, 0.35
MOST_COLUMNS = 4


@dataclass(frozen=True, eq=False)
class ShownSection:
    """One version of a section and what a segmenter makes of it.

    Parameters
    ----------
    title : str
    image : (I, J) uint8
        x and y; shown with x to the right and y down.
    boundary : (I, J) uint8, optional
        Probability of a boundary, 255 is 1.
    instances : (I, J) integers
        0 is drawn black.
    """

    title: str
    image: npt.NDArray[np.uint8]
    boundary: npt.NDArray[np.uint8] | None
    instances: npt.NDArray[np.integer]


def section_sheet(shown: Sequence[ShownSection], *, title: str = "") -> bytes:
    """Return a PNG with one column a version, image above boundaries above instances; four to a band.

    Raises
    ------
    ReportError
        If there is nothing to show, or versions differ in size.
    """
    from matplotlib.figure import Figure

    sizes = {one.image.shape for one in shown}
    if len(sizes) != 1:
        raise ReportError(f"A sheet of sections needs at least one, all of one size: found {sorted(sizes)}.")
    columns = min(MOST_COLUMNS, len(shown))
    bands = -(-len(shown) // columns)
    size = (SIDE_INCH * columns, SIDE_INCH * 3 * bands + HEAD_INCH)
    figure = Figure(figsize=size, facecolor=PAPER, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, weight="bold", color=INK, x=0.01, ha="left")
    for number, one in enumerate(shown):
        band, column = divmod(number, columns)
        pictures = {"image": one.image, "boundary": one.boundary, "instances": instance_colors(one.instances)}
        for row, (name, picture) in enumerate(pictures.items()):
            axes = figure.add_subplot(3 * bands, columns, (3 * band + row) * columns + column + 1)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(one.title, fontsize=9, color=INK)
            if picture is None:
                axes.text(0.5, 0.5, f"no {name}", color=INK, ha="center", va="center", transform=axes.transAxes)
                continue
            axes.imshow(picture.swapaxes(0, 1), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return png_bytes(figure)


def instance_colors(instances: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Return a color for every instance, (I, J, 3); black for 0.

    Notes
    -----
    Hue, by the golden ratio of the number, so that neighbors in number differ; brightness takes three levels. The same
    number has the same color in every picture, but an object's number differs between segmentations.
    """
    from matplotlib.colors import hsv_to_rgb

    numbers = instances.astype(np.float64)
    hue = np.mod(numbers * 0.6180339887498949, 1.0)
    value = 0.65 + 0.15 * np.mod(numbers, 3)
    colors = hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.55), value], axis=-1))
    colors[instances == 0] = 0
    return np.rint(colors * 255).astype(np.uint8)
