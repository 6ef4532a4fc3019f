"""Lossless JPEG (process 14): predicted differences in Huffman code."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError

_CODE_LENGTH = 5
"""All 17 categories of differences get a code of five bits: short enough, and never all ones."""


def lossless_jpeg(frame: npt.NDArray[Any], *, precision: int, predictor: int = 1) -> bytes:
    """Return the code of a gray image.

    Parameters
    ----------
    frame : (rows, columns)
        uint8, uint16 or int16; of signed ones the lowest ``precision`` bits are coded as they are.
    precision : int
        Bits of a sample, 2 to 16.
    predictor : int
        Selection value 1 to 7; 1 is the left neighbor.

    Raises
    ------
    VolumeError
        If the image is in color, or precision or predictor are none of these.

    Notes
    -----
    ITU-T T.81, annex H: the first sample is predicted by half the range, the rest of the first row by the left and the
    first column by the upper neighbor (H.1.2.1, table H.1). Differences are modulo 2**16, in categories (table H.2)
    with as many further bits. One Huffman table of equal lengths for all images instead of an optimal one, no restart
    intervals, no point transform.
    """
    if frame.ndim != 2 or not 2 <= precision <= 16 or not 1 <= predictor <= 7:
        raise VolumeError(
            "Lossless JPEG needs a gray image, 2 to 16 bits and a predictor of 1 to 7: "
            f"found {frame.shape}, {precision}, {predictor}."
        )
    samples = frame.astype(np.int64) & (2**precision - 1)
    difference = ((samples - _predicted(samples, precision, predictor) + 32767) % 65536 - 32767).ravel()
    size = np.abs(difference)
    category = np.where(size > 0, np.floor(np.log2(np.maximum(size, 1))) + 1, 0).astype(int)
    # A negative difference is coded by its ones' complement; 32768, the only one of category 16, needs no more bits.
    further = np.where(difference < 0, difference + (1 << category) - 1, difference)
    bits = "".join(
        f"{c:0{_CODE_LENGTH}b}" + (f"{f:0{c}b}" if 0 < c < 16 else "")
        for c, f in zip(category.tolist(), further.tolist())
    )
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    rows, columns = frame.shape
    table = bytes([0, *(17 if n == _CODE_LENGTH else 0 for n in range(1, 17)), *range(17)])
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHBBBB", precision, rows, columns, 1, 1, 0x11, 0)),
            _segment(0xC4, table),
            _segment(0xDA, bytes([1, 1, 0, predictor, 0, 0])),
            scan,
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _predicted(samples: npt.NDArray[np.int64], precision: int, predictor: int) -> npt.NDArray[np.int64]:
    left = np.zeros_like(samples)
    above, corner = left.copy(), left.copy()
    left[:, 1:], above[1:], corner[1:, 1:] = samples[:, :-1], samples[:-1], samples[:-1, :-1]
    by_selection = (
        left,
        above,
        corner,
        left + above - corner,
        left + ((above - corner) >> 1),
        above + ((left - corner) >> 1),
        (left + above) >> 1,
    )
    predicted = by_selection[predictor - 1].copy()
    predicted[0] = left[0]
    predicted[:, 0] = above[:, 0]
    predicted[0, 0] = 1 << (precision - 1)
    return predicted
