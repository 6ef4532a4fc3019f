"""From a figure or a page to the bytes of a small PNG, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

DOTS_PER_INCH = (110, 96, 84, 72)

LARGEST_BYTES = 400_000
"""A report embeds several figures and should still be mailed."""

COLORED, COLORED_SHARE = 48, 0.03
"""From which difference of the channels on (of 255) a pixel is colored, and for what share such pixels count."""

PACKING = 6
"""Of zlib's nine levels: the last is 1 % smaller and takes three times as long."""


def png_bytes(figure: Figure) -> bytes:
    """Return a Matplotlib figure as a PNG; see :func:`small_png`.

    Notes
    -----
    Figures are made as objects, never by ``pyplot``: nothing global is left behind, and threads do not meet.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def painted(dots_per_inch: int) -> npt.NDArray[np.uint8]:
        figure.set_dpi(dots_per_inch)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]

    return small_png(painted)


def small_png(
    painted: Callable[[int], npt.NDArray[np.uint8]], *, palette: npt.NDArray[np.uint8] | None = None
) -> bytes:
    """Return a page as a PNG of 256 colors, without metadata.

    Parameters
    ----------
    painted : callable
        Given dots per inch, returns the page, (rows, columns, 3) uint8.
    palette : (256, 3) uint8, optional
        Every pixel gets the nearest of these colors.

    Notes
    -----
    Without a palette the colors are chosen for each page by median cut without dithering: fine for reading, not for
    measuring a pixel. What is colored counts for at least 3 % of the pixels then, so that a mark in an image of many
    grays keeps its color. A page that is larger than 400 kB is drawn again with fewer dots, down to 72 an inch.
    """

    for dots in DOTS_PER_INCH:
        pixels = painted(dots)
        image = _chosen_colors(pixels) if palette is None else _given_colors(pixels, palette)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=PACKING)
        if buffer.tell() <= LARGEST_BYTES:
            break
    return buffer.getvalue()


def _given_colors(pixels: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> Image:
    from PIL import Image

    # Pillow rounds to 64 levels before it looks for the nearest color: enough for all but grays.
    is_gray = (pixels[..., 0] == pixels[..., 1]) & (pixels[..., 1] == pixels[..., 2])
    grays = np.abs(palette.astype(np.int16)[None] - np.arange(256, dtype=np.int16)[:, None, None]).sum(axis=2)
    numbers = grays.argmin(axis=1).astype(np.uint8)[pixels[..., 0]]
    if not is_gray.all():
        colors = Image.new("P", (1, 1))
        colors.putpalette(palette.tobytes())
        colored = Image.fromarray(pixels[~is_gray][None]).quantize(palette=colors, dither=Image.Dither.NONE)
        numbers[~is_gray] = np.asarray(colored)[0]
    image = Image.fromarray(numbers, "P")
    image.putpalette(palette.tobytes())
    return image


def _chosen_colors(pixels: npt.NDArray[np.uint8]) -> Image:
    from PIL import Image

    counted = Image.fromarray(np.concatenate((pixels, _rare_colors(pixels))))
    return counted.quantize(256, dither=Image.Dither.NONE).crop((0, 0, pixels.shape[1], pixels.shape[0]))


def _rare_colors(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return further rows of an (I, J, 3) image that repeat its colored pixels, none where there are enough or none."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    is_colored = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue) > COLORED
    colored = pixels[is_colored]
    missing = int(COLORED_SHARE * is_colored.size) - len(colored)
    rows = -(-missing // pixels.shape[1]) if len(colored) and missing > 0 else 0
    return np.resize(colored, (rows, *pixels.shape[1:])) if rows else pixels[:0]
