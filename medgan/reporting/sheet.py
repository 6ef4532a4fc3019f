"""A page of pixels, words and lines, painted with Pillow.

Slices with a few letters on them need no plot: painted so, they take a third of the time that axes take.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.reporting.png import small_png
from medgan.reporting.slice_pixels import page_colors

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Place = tuple[float, float]
Anchor = Literal["lm", "mm", "rm", "mt", "mb"]

PAPER, INK, AMBER = "#101214", "#e8eaed", "#ffb000"

POINTS_PER_INCH = 72
BOX_POINTS, BOX_LIGHT = 1.5, 0.4
"""How far the darkened box around words reaches beyond them, and what share of the light it leaves."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words on the page.

    Parameters
    ----------
    text : str
    at : (x, y)
        In inches from the upper left corner.
    anchor : str
        What of the words lies there, as Pillow has it: left, middle or right, then top, middle or bottom.
    points : float
        Size of the letters.
    color : str
    bold : bool
    boxed : bool
        Darken what is behind.
    upward : bool
        Written from bottom to top, with the middle at the place whatever the anchor.
    """

    text: str
    at: Place
    anchor: Anchor
    points: float
    color: str = INK
    bold: bool = False
    boxed: bool = False
    upward: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line between two places, its width in points (at least one pixel)."""

    start: Place
    end: Place
    points: float
    color: str = INK


@dataclass(frozen=True, eq=False, kw_only=True)
class Pixels:
    """A rectangle of pixels.

    Parameters
    ----------
    box : (left, top, right, bottom)
        In inches from the upper left corner.
    paint : callable
        Given (rows, columns), returns so many pixels, (rows, columns, 3) uint8.
    """

    box: tuple[float, float, float, float]
    paint: Callable[[tuple[int, int]], npt.NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A page: later elements lie on earlier ones.

    Parameters
    ----------
    width, height : float
        Inches.
    elements : sequence of Words, Line and Pixels
    """

    width: float
    height: float
    elements: Sequence[Words | Line | Pixels]

    def png(self) -> bytes:
        """Return the page as a small PNG; see :func:`medgan.reporting.png.small_png`."""
        return small_png(self.painted, palette=_palette())

    def painted(self, dots_per_inch: int) -> npt.NDArray[np.uint8]:
        """Return the page as (rows, columns, 3) pixels."""
        from PIL import Image

        size = (round(self.width * dots_per_inch), round(self.height * dots_per_inch))
        page = Image.new("RGB", size, PAPER)
        for element in self.elements:
            if isinstance(element, Pixels):
                left, top, right, bottom = (round(edge * dots_per_inch) for edge in element.box)
                shape = (max(bottom - top, 1), max(right - left, 1))
                page.paste(Image.fromarray(element.paint(shape)), (left, top))
            elif isinstance(element, Line):
                _draw_line(page, element, dots_per_inch)
            else:
                _write(page, element, dots_per_inch)
        return np.asarray(page)


@cache
def _palette() -> npt.NDArray[np.uint8]:
    """Return 256 colors: of slices, of the page, and amber on its way from black and from white."""
    from PIL import ImageColor

    amber = np.array(ImageColor.getrgb(AMBER))
    ends = [ImageColor.getrgb(PAPER), ImageColor.getrgb(INK)]
    blends = [amber * share for share in np.linspace(1, 0.1, 7)] + [255 + (amber - 255) * share for share in (0.7, 0.4)]
    colors = np.concatenate((page_colors(), ends, np.rint(blends))).astype(np.uint8)
    return np.concatenate((colors, np.repeat(colors[-1:], 256 - len(colors), axis=0)))


def _draw_line(page: Image, line: Line, dots: int) -> None:
    from PIL import ImageDraw

    ends = [(round(x * dots), round(y * dots)) for x, y in (line.start, line.end)]
    width = max(1, round(line.points / POINTS_PER_INCH * dots))
    ImageDraw.Draw(page).line(ends, fill=line.color, width=width)


def _write(page: Image, words: Words, dots: int) -> None:
    from PIL import Image, ImageDraw

    font = _font(words.bold, words.points / POINTS_PER_INCH * dots)
    at = (round(words.at[0] * dots), round(words.at[1] * dots))
    draw = ImageDraw.Draw(page)
    if words.upward:
        left, top, right, bottom = (round(edge) for edge in draw.textbbox((0, 0), words.text, font=font))
        mask = Image.new("L", (right - left + 1, bottom - top + 1))
        ImageDraw.Draw(mask).text((-left, -top), words.text, font=font, fill=255)
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        page.paste(words.color, (at[0] - mask.width // 2, at[1] - mask.height // 2), mask)
        return
    if words.boxed:
        pad = BOX_POINTS / POINTS_PER_INCH * dots
        edges = draw.textbbox(at, words.text, font=font, anchor=words.anchor)
        box = (round(edges[0] - pad), round(edges[1] - pad), round(edges[2] + pad), round(edges[3] + pad))
        page.paste(page.crop(box).point(lambda value: int(value * BOX_LIGHT)), box[:2])
    draw.text(at, words.text, font=font, fill=words.color, anchor=words.anchor, align="center")


@cache
def _font(bold: bool, size: float) -> FreeTypeFont:
    from PIL import ImageFont

    # Matplotlib brings the letters, and knows the folder too, but takes 0.3 s to be imported.
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ReportError(
            "Pictures need the letters that Matplotlib brings: it is not installed (pip install matplotlib)."
        )
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
