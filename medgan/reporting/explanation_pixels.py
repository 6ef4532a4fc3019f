"""Panels of a radiograph as small PNGs: one gray window and one signed scale for a whole report."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError

Float32 = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

GRAY_WINDOW = (-1.0, 1.0)
"""Of every gray panel, real or fake: no panel is rescaled by itself."""
LARGEST_SIDE = 256
SYNTHETIC = "SYNTHETIC - not for diagnosis"

# Blue, black, orange, as in the figures: distinct to the color-blind, and no difference does not glare beside grays.
_ANCHORS = ((0x9B, 0xE7, 0xFF), (0x1F, 0x7F, 0xE0), (0, 0, 0), (0xE0, 0x60, 0x1F), (0xFF, 0xE0, 0x8A))


def signed_table() -> Pixels:
    """Return the colors (255, 3) of a signed scale from its lower to its upper limit; the middle one is black.

    Examples
    --------
    >>> signed_table()[127].tolist(), len(signed_table())
    ([0, 0, 0], 255)
    """
    along = np.linspace(0, len(_ANCHORS) - 1, 255)
    channels = [np.interp(along, range(len(_ANCHORS)), [a[c] for a in _ANCHORS]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def gray_uri(values: npt.ArrayLike, *, window: tuple[float, float] = GRAY_WINDOW, synthetic: bool = False) -> str:
    """Return a gray panel (H, W) as a data URI; values outside the window are black or white."""
    low, high = window
    levels = np.clip((_reduced(values) - low) / (high - low), 0, 1)
    return _uri(np.rint(levels * 255).astype(np.uint8), None, synthetic)


def signed_uri(values: npt.ArrayLike, *, limit: float, synthetic: bool = False) -> str:
    """Return a signed panel (H, W) between ``-limit`` and ``limit`` as a data URI; 0 is black.

    Raises
    ------
    ReportError
        If the limit is not positive.
    """
    if not limit > 0:
        raise ReportError(f"A signed scale needs a positive limit: found {limit}.")
    places = np.rint(np.clip(_reduced(values) / limit, -1, 1) * 127 + 127).astype(np.uint8)
    return _uri(places, signed_table(), synthetic)


def scale_uri(*, signed: bool) -> str:
    """Return a horizontal color bar as a data URI, from the lower limit at the left to the upper at the right."""
    if signed:
        return _uri(np.tile(np.arange(255, dtype=np.uint8), (8, 1)), signed_table(), False)
    return _uri(np.tile(np.arange(256, dtype=np.uint8), (8, 1)), None, False)


def shared_limit(images: Iterable[npt.ArrayLike | None], *, percentile: float = 99.5) -> float:
    """Return one limit of a signed scale for many images: a percentile of |values| over all, rounded up to two digits.

    Examples
    --------
    >>> shared_limit([np.full((4, 4), -0.123), None])
    0.13
    """
    known = [np.abs(np.asarray(image, dtype=np.float64)).ravel() for image in images if image is not None]
    if not known:
        return 1.0
    value = float(np.percentile(np.concatenate(known), percentile))
    if not value > 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(round(value / unit, 6)) * unit:.6g}")


def _reduced(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return at most 256 pixels a side, by averaging, so that nothing thin is left out."""
    own = np.asarray(values, dtype=np.float64)
    if own.ndim != 2:
        raise ReportError(f"A panel shows a plane (H, W): found shape {own.shape}.")
    factor = -(-max(own.shape) // LARGEST_SIDE)
    if factor == 1:
        return own
    rows, columns = (n // factor * factor for n in own.shape)
    cut = own[:rows, :columns]
    return np.asarray(cut.reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3)))


def _uri(pixels: Pixels, palette: Pixels | None, synthetic: bool) -> str:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    image = Image.fromarray(pixels)
    if palette is not None:
        image = image.convert("P")
        image.putdata(pixels.ravel().tolist())
        image.putpalette(palette.ravel().tolist())
    info = PngInfo()
    if synthetic:
        # A panel that is saved out of the page still says what it is.
        info.add_text("Comment", SYNTHETIC)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=info)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
