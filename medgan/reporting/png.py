"""From a Matplotlib figure to the bytes of a small PNG, the same bytes every time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = (110, 96, 84, 72)

LARGEST_BYTES = 400_000
"""A report embeds several figures and should still be mailed."""

COLORED, COLORED_SHARE = 48, 0.03
"""From which difference of the channels on (of 255) a pixel is colored, and for what share such pixels count."""

PACKING = 6
"""Of zlib's nine levels: the last is 1 % smaller and takes three times as long."""


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as a PNG of 256 colors, without metadata.

    Notes
    -----
    Figures are made as objects, never by ``pyplot``: nothing global is left behind, and threads do not meet. The 256
    colors are chosen for each figure by median cut without dithering: fine for reading, not for measuring a pixel. What
    is colored counts for at least 3 % of the pixels, so that a mark in an image of many grays keeps its color. A
    figure that is larger than 400 kB is drawn again with fewer dots, down to 72 an inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    for dots in DOTS_PER_INCH:
        figure.set_dpi(dots)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        counted = Image.fromarray(np.concatenate((pixels, _rare_colors(pixels))))
        image = counted.quantize(256, dither=Image.Dither.NONE).crop((0, 0, pixels.shape[1], pixels.shape[0]))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=PACKING)
        if buffer.tell() <= LARGEST_BYTES:
            break
    return buffer.getvalue()


def _rare_colors(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return further rows of an (I, J, 3) image that repeat its colored pixels, none where there are enough or none."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    is_colored = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue) > COLORED
    colored = pixels[is_colored]
    missing = int(COLORED_SHARE * is_colored.size) - len(colored)
    rows = -(-missing // pixels.shape[1]) if len(colored) and missing > 0 else 0
    return np.resize(colored, (rows, *pixels.shape[1:])) if rows else pixels[:0]
