"""What every slice of a stack must have before its place is looked at; each refusal names the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import isnan

import numpy as np

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_codec import NATIVE, missing_decoder
from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_parsing import DEFLATED

MOST_PIXELS = 1 << 26
"""Pixels of one slice at most: 8192 x 8192, four times the largest scanner matrix along each axis."""
LARGEST_COMPRESSION = 5000
"""A compressed file may expand this much: a constant image in JPEG 2000 reaches about half of it."""
FAR_END_VOXEL = 0.05
"""The last pixel of a row or column may lie this far from where the other slices have theirs."""
_FARTHEST_MM = 1e7
_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
_NAMES_IN_A_SENTENCE = 4


def name_of_frame(frame: DicomFrame) -> str:
    """Return a slice for a message: its file, with the frame where the file holds several."""
    if (frame.file.pixels.frames or 1) > 1:
        return f"frame {frame.index + 1} of {frame.file.label}"
    return frame.file.label


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence, the first few of many."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - _NAMES_IN_A_SENTENCE
    return ", ".join(unique[:_NAMES_IN_A_SENTENCE]) + (f" and {more} more" if more > 0 else "")


def _refuse_where(frames: Sequence[DicomFrame], is_faulty: Callable[[DicomFrame], bool], sentence: str) -> None:
    names = [name_of_frame(frame) for frame in frames if is_faulty(frame)]
    if names:
        raise FormatError(f"{sentence} {listed(names)}.")


def require_pixels(frames: Sequence[DicomFrame]) -> None:
    """Require one whole, decodable array of single values in each slice.

    Raises
    ------
    FormatError
        Naming the first requirement that is not met, and the slices.
    """
    _refuse_where(
        frames,
        lambda f: not f.rows or not f.columns or f.rows < 1 or f.columns < 1,
        "An image needs Rows and Columns: they are missing or zero in",
    )
    for photometric in _COLORS:
        _refuse_where(
            frames,
            lambda f, p=photometric: f.file.pixels.photometric == p,  # type: ignore[misc]
            f"An image must have one value for each pixel: colors ({photometric}) are in",
        )
    _refuse_where(
        frames,
        lambda f: f.file.pixels.samples not in (None, 1) or not f.file.pixels.photometric.startswith("MONOCHROME"),
        "An image must have one value for each pixel: samples or colors are declared otherwise in",
    )
    _refuse_where(
        frames,
        lambda f: f.file.pixels.tag in (tags.FLOAT_PIXELS, tags.DOUBLE_PIXELS),
        "Pixels must be whole numbers: they are floating point in",
    )
    _refuse_where(
        frames, _has_odd_bits, "BitsAllocated, BitsStored and HighBit are missing or contradict each other in"
    )
    _refuse_where(
        frames,
        lambda f: (f.rows or 0) * (f.columns or 0) > MOST_PIXELS,
        f"A slice has at most {MOST_PIXELS} pixels: more are declared in",
    )
    for coding in sorted({_coding(frame) for frame in frames}):
        missing = missing_decoder(*coding)
        if missing is not None:
            _refuse_where(frames, lambda f, c=coding: _coding(f) == c, f"A slice must be decoded: {missing}, in")  # type: ignore[misc]
    _refuse_where(frames, lambda f: f.file.pixels.tag is None, "An image needs pixel data: there are none in")
    _refuse_where(
        frames,
        _is_truncated,
        "Pixel data are truncated (fewer bytes than Rows, Columns and BitsAllocated need) in",
    )


def _coding(frame: DicomFrame) -> tuple[str, int]:
    return frame.file.pixels.transfer_syntax, frame.file.pixels.bits_stored or 0


def _has_odd_bits(frame: DicomFrame) -> bool:
    layout = frame.file.pixels
    allocated, stored, high = layout.bits_allocated, layout.bits_stored, layout.high_bit
    return (
        allocated not in (8, 16, 32)
        or stored is None
        or high is None
        or not (1 <= stored <= allocated and stored - 1 <= high < allocated)
    )


def _is_truncated(frame: DicomFrame) -> bool:
    layout, stored = frame.file.pixels, frame.file.stored
    pixels = (layout.rows or 0) * (layout.columns or 0) * (layout.frames or 1)
    needed = pixels * (layout.bits_allocated or 0) // 8
    if layout.transfer_syntax not in NATIVE:
        return (stored.size - layout.offset) * LARGEST_COMPRESSION < needed
    if layout.transfer_syntax == DEFLATED:
        return stored.size * LARGEST_COMPRESSION < needed
    held = stored.size - layout.offset
    return (held if layout.length is None else min(held, layout.length)) < needed


def require_geometry(frames: Sequence[DicomFrame]) -> None:
    """Require orientation, position and pixel spacing in each slice, and one size in all.

    Raises
    ------
    FormatError
        As :func:`require_pixels`.
    """
    _refuse_where(frames, lambda f: f.orientation is None, "A slice needs ImageOrientationPatient: missing in")
    _refuse_where(frames, lambda f: f.position is None, "A slice needs ImagePositionPatient: missing in")
    _refuse_where(
        frames,
        lambda f: f.position is not None and max(map(abs, f.position)) > _FARTHEST_MM,
        "A position in the patient must be within 10 km: further in",
    )
    _refuse_where(
        frames,
        lambda f: f.pixel_spacing is None or not 1e-6 < min(f.pixel_spacing) <= max(f.pixel_spacing) < 1e4,
        "A slice needs PixelSpacing, two lengths in mm: missing or unusable in",
    )
    pixels = max(max(_size(frame)) for frame in frames)
    for what, key, tolerance in (("Rows and Columns", _size, 0.0), ("PixelSpacing", _spacing, FAR_END_VOXEL / pixels)):
        common = Counter(map(key, frames)).most_common(1)[0][0]
        odd = [f for f in frames if not np.allclose(key(f), common, rtol=tolerance, atol=0)]
        if odd:
            raise FormatError(
                f"Slices of one volume need one size: {what} are {_numbers(common)}, but {_numbers(key(odd[0]))} in "
                f"{listed([name_of_frame(f) for f in odd])}."
            )


def require_one_patient(frames: Sequence[DicomFrame]) -> None:
    """Require one PatientID in all slices that have one; the message names files, never an id.

    Raises
    ------
    FormatError
        As :func:`require_pixels`.
    """
    stated = [(frame, frame.file.patient.patient_id) for frame in frames if frame.file.patient.patient_id]
    if not stated:
        return
    common = Counter(patient for _, patient in stated).most_common(1)[0][0]
    odd = [name_of_frame(frame) for frame, patient in stated if patient != common]
    if odd:
        raise FormatError(f"Slices of one volume need one patient: PatientID is another in {listed(odd)}.")


def require_one_meaning(frames: Sequence[DicomFrame], modality: str | None) -> None:
    """Require a scale of values in all slices or in none, and HU in a CT.

    Raises
    ------
    FormatError
        As :func:`require_pixels`.
    """
    _refuse_where(
        frames,
        lambda f: isnan(f.slope or 0) or isnan(f.intercept or 0),
        "RescaleSlope and RescaleIntercept must be numbers: they are not in",
    )
    has_no_slope = [f.slope is None or f.intercept is None for f in frames]
    if modality == "CT":
        _refuse_where(
            frames,
            lambda f: f.slope is None or f.intercept is None,
            "A CT needs RescaleSlope and RescaleIntercept, without which its values are no HU: missing in",
        )
        _refuse_where(frames, lambda f: f.has_other_unit, "A CT in HU is needed: RescaleType names another unit in")
    elif any(has_no_slope) and not all(has_no_slope):
        _refuse_where(
            frames,
            lambda f: f.slope is None or f.intercept is None,
            "Slices of one volume need one scale: others have RescaleSlope and RescaleIntercept, they are missing in",
        )
    _refuse_where(frames, lambda f: f.slope == 0, "RescaleSlope must not be zero: it is in")
    _refuse_where(
        frames,
        lambda f: max(abs(f.slope or 0), abs(f.intercept or 0)) > 1e30,
        "RescaleSlope and RescaleIntercept must be finite in 32 bits: they are not in",
    )


def _size(frame: DicomFrame) -> tuple[float, ...]:
    return float(frame.rows or 0), float(frame.columns or 0)


def _spacing(frame: DicomFrame) -> tuple[float, ...]:
    return frame.pixel_spacing or (0.0, 0.0)


def _numbers(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.6g}" for value in values)
