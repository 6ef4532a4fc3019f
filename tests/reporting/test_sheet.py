"""Elements lie where they say, at any number of dots an inch."""

import io

import numpy as np
import pytest
from PIL import Image

from medgan.reporting.sheet import AMBER, Line, Pixels, Sheet, Words
from medgan.reporting.slice_pixels import colored

PAPER_RGB, AMBER_RGB = (16, 18, 20), (255, 176, 0)


def page(*elements, dots=100, width=4.0, height=3.0):
    return Sheet(width, height, elements).painted(dots).astype(int)


def ink(pixels):
    """Return (left, top, right, bottom) of what is not paper."""
    y, x = np.nonzero(np.abs(pixels - PAPER_RGB).max(axis=2) > 60)
    return x.min(), y.min(), x.max() + 1, y.max() + 1


@pytest.mark.parametrize("dots", [72, 110])
def test_pixels_fill_their_box(dots):
    asked = []

    def paint(shape):
        asked.append(shape)
        return np.full((*shape, 3), 200, dtype=np.uint8)

    pixels = page(Pixels(box=(1.0, 0.5, 3.0, 2.0), paint=paint), dots=dots)
    assert pixels.shape == (3 * dots, 4 * dots, 3)
    assert asked == [(round(2 * dots) - round(0.5 * dots), 2 * dots)]
    assert ink(pixels) == (dots, round(0.5 * dots), 3 * dots, 2 * dots)


@pytest.mark.parametrize(
    ("anchor", "edges"),
    [("lm", {"left": 200, "middle": 150}), ("rm", {"right": 200, "middle": 150}), ("mt", {"center": 200, "top": 150}),
     ("mb", {"center": 200, "bottom": 150}), ("mm", {"center": 200, "middle": 150})],
)  # fmt: skip
def test_words_hang_at_their_anchor(anchor, edges):
    left, top, right, bottom = ink(page(Words(text="HOH", at=(2.0, 1.5), anchor=anchor, points=20)))
    found = {"left": left, "right": right, "top": top, "bottom": bottom}
    found |= {"center": (left + right) / 2, "middle": (top + bottom) / 2}
    assert all(abs(found[name] - value) <= 4 for name, value in edges.items()), found
    assert 20 / 72 * 100 * 0.6 < bottom - top < 20 / 72 * 100, "capitals are some 0.7 of the size"


def test_words_upward_read_from_bottom_to_top():
    level = page(Words(text="LI", at=(2.0, 1.5), anchor="mm", points=30))
    upward = page(Words(text="LI", at=(2.0, 1.5), anchor="mm", points=30, upward=True))
    left, top, right, bottom = ink(level)
    turned = np.rot90(level[top:bottom, left:right])
    left, top, right, bottom = ink(upward)
    assert abs((left + right) / 2 - 200) <= 2
    assert abs((top + bottom) / 2 - 150) <= 2
    assert (upward[top:bottom, left:right] == turned).all()


def test_a_box_darkens_what_is_behind_and_nothing_further():
    white = Pixels(box=(0, 0, 4, 3), paint=lambda shape: np.full((*shape, 3), 255, dtype=np.uint8))
    words = {boxed: Words(text="L", at=(2.0, 1.5), anchor="mm", points=20, boxed=boxed) for boxed in (True, False)}
    plain, boxed = (page(white, words[value]) for value in (False, True))
    changed = np.nonzero((plain != boxed).any(axis=2))
    assert boxed[changed[0].min(), changed[1].min()].tolist() == [102] * 3
    assert np.ptp(changed[0]) < 40
    assert np.ptp(changed[1]) < 40
    assert not (plain[..., 0] == 102).all()


def test_lines_have_at_least_a_pixel_and_later_elements_lie_on_top():
    line = Line(start=(1.0, 1.5), end=(3.0, 1.5), points=0.1, color=AMBER)
    pixels = page(line)
    assert (pixels[150, 100:301] == AMBER_RGB).all()
    assert (pixels[[149, 151], 100:301] == PAPER_RGB).all()
    wide = page(Line(start=(1.0, 1.5), end=(3.0, 1.5), points=7.2, color=AMBER))
    assert (wide == AMBER_RGB).all(axis=2)[:, 200].sum() == 10
    cover = Pixels(box=(0, 0, 4, 3), paint=lambda shape: np.zeros((*shape, 3), dtype=np.uint8))
    assert not page(line, cover).any()
    assert page(cover, line).any()


def test_a_png_is_that_page():
    text = "Caf\u00e9 \N{GREEK SMALL LETTER MU} \N{MINUS SIGN}3"
    sheet = Sheet(2.0, 1.0, [Words(text=text, at=(0.1, 0.5), anchor="lm", points=14)])
    png = sheet.png()
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert np.abs(shown - sheet.painted(110)).max() <= 8
    assert png == sheet.png()
    missing, known = (
        page(Words(text=text, at=(2, 1), anchor="mm", points=30)) for text in ("\uffff", "\N{GREEK SMALL LETTER MU}")
    )
    assert (missing != known).any(), "letters that titles use are not drawn as the box of a missing one"


def test_a_png_keeps_grays_signed_colors_and_amber():
    ramps = [colored(np.linspace(-5, 5, 256), (-5, 5), diverging=diverging) for diverging in (False, True)]
    bands = [Pixels(box=(0, 1.0 * i, 4, 1.0 * (i + 1)), paint=_band(ramp)) for i, ramp in enumerate(ramps)]
    amber = Line(start=(0, 2.5), end=(4, 2.5), points=20, color=AMBER)
    sheet = Sheet(4.0, 3.0, [*bands, amber])
    shown = np.asarray(Image.open(io.BytesIO(sheet.png())).convert("RGB")).astype(int)
    off = np.abs(shown - sheet.painted(110)).max(axis=2)
    assert off[:110].max() <= 1
    assert off[110:220].max() <= 8
    assert (shown[275] == AMBER_RGB).all()


def _band(ramp):
    return lambda shape: np.broadcast_to(ramp[np.arange(shape[1]) * 256 // shape[1]], (*shape, 3)).copy()
