"""Compressed frames are decoded by independent libraries to the same integers."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from medgan.errors import VolumeError
from medgan.phantoms.lossless_jpeg import lossless_jpeg
from medgan.phantoms.pixel_codec import JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS, LOSSLESS, RLE, encoded_frame

FRAMES = {
    "noise": lambda rng, high: rng.integers(0, high, (21, 17)),
    "one row": lambda rng, high: rng.integers(0, high, (1, 40)),
    "one column": lambda rng, high: rng.integers(0, high, (40, 1)),
    "constant": lambda rng, high: np.full((16, 9), high - 1),
    "extremes": lambda rng, high: rng.integers(0, 2, (19, 23)) * (high - 1),
    "ramp": lambda rng, high: np.arange(30 * 20).reshape(30, 20) * (high - 1) // 600,
}


def decoded(code: bytes, syntax: str, frame: np.ndarray, bits: int, plugin: str = "") -> np.ndarray:
    array, _ = get_decoder(syntax).as_array(
        encapsulate([code]),
        rows=frame.shape[0],
        columns=frame.shape[1],
        samples_per_pixel=1,
        bits_allocated=frame.dtype.itemsize * 8,
        bits_stored=bits,
        pixel_representation=int(frame.dtype.kind == "i"),
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
        pixel_keyword="PixelData",
        decoding_plugin=plugin,
    )
    return array


CASES = [
    (syntax, dtype, bits, kind)
    for syntax in LOSSLESS
    for dtype, bits in ((np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 16))
    for kind in FRAMES
    # No encoder: Pillow's JPEG 2000 has 8 or 16 bits, JPEG-LS may not be much longer than the pixels.
    if not (syntax == JPEG_2000 and bits == 12) and not (syntax == JPEG_LS and kind not in ("constant", "ramp"))
]


@pytest.mark.parametrize(("syntax", "dtype", "bits", "kind"), CASES)
def test_lossless_codes(syntax, dtype, bits, kind, rng):
    values = FRAMES[kind](rng, 2**bits)
    frame = (values - (2**15 if dtype == np.int16 else 0)).astype(dtype)
    code = encoded_frame(frame, syntax=syntax, bits_stored=bits)
    assert len(code) % 2 == 0
    assert np.array_equal(decoded(code, syntax, frame, bits), frame)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_lossless_jpeg(predictor, rng):
    frame = rng.integers(0, 65536, (24, 24)).astype(np.uint16)
    code = lossless_jpeg(frame, precision=16, predictor=predictor)
    assert np.array_equal(decoded(code + bytes(len(code) % 2), "1.2.840.10008.1.2.4.57", frame, 16), frame)
    assert code != lossless_jpeg(frame, precision=16, predictor=predictor % 7 + 1)


def test_the_largest_difference_needs_no_further_bits():
    frame = np.array([[0, 32768, 0, 32768]] * 8, dtype=np.uint16)
    code = lossless_jpeg(frame, precision=16)
    assert np.array_equal(decoded(code + bytes(len(code) % 2), "1.2.840.10008.1.2.4.70", frame, 16), frame)


@pytest.mark.parametrize(
    ("syntax", "frame", "bits", "words"),
    [
        (JPEG_BASELINE, np.zeros((8, 8), np.uint16), 12, "8 bits"),
        (JPEG_EXTENDED, np.zeros((8, 8), np.uint16), 12, "1024"),
        (JPEG_2000, np.zeros((8, 8), np.uint16), 12, "8 or 16 bits"),
        (JPEG_LS, np.arange(4, dtype=np.uint16).reshape(2, 2), 16, "take a larger one"),
        (RLE, np.zeros((8, 8), np.uint8), 12, "store 1 bit or more"),
        (RLE, np.zeros((8, 8), np.uint16), 0, "store 1 bit or more"),
        (LOSSLESS[1], np.zeros((8, 8, 3), np.uint8), 8, "gray image"),
        ("1.2.3", np.zeros((8, 8), np.uint8), 8, "found 1.2.3"),
    ],
)
def test_what_has_no_encoder_is_refused(syntax, frame, bits, words):
    with pytest.raises(VolumeError, match=words):
        encoded_frame(frame, syntax=syntax, bits_stored=bits)
