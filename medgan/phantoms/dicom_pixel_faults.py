"""Faults of pixels: compression, garbage in unused bits, padding, scaling that changes, bytes that are missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medgan.errors import VolumeError
from medgan.phantoms import pixel_codec
from medgan.phantoms.dicom_file import DicomFile, decimal
from medgan.phantoms.dicom_series import DicomSeries

Code = Literal["rle", "jpeg", "jpeg-12-bit", "jpeg-lossless", "jpeg-lossless-first-order", "jpeg-ls", "jpeg-2000"]
_SYNTAX_OF: dict[Code, str] = {
    "rle": pixel_codec.RLE,
    "jpeg": pixel_codec.JPEG_BASELINE,
    "jpeg-12-bit": pixel_codec.JPEG_EXTENDED,
    "jpeg-lossless": pixel_codec.JPEG_LOSSLESS,
    "jpeg-lossless-first-order": pixel_codec.JPEG_LOSSLESS_FIRST_ORDER,
    "jpeg-ls": pixel_codec.JPEG_LS,
    "jpeg-2000": pixel_codec.JPEG_2000,
}


@dataclass(frozen=True)
class Compressed:
    """Compressed pixels.

    Parameters
    ----------
    code : str
        ``jpeg`` is lossy and needs a pixel form of 8 bits, ``jpeg-12-bit`` one of 12: for that one, the libraries that
        medgan depends on have no decoder. All others are lossless.
    """

    code: Code = "jpeg-2000"

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series in that transfer syntax."""
        syntax = _SYNTAX_OF[self.code]
        lossy = {"LossyImageCompression": "01", "LossyImageCompressionMethod": "ISO_10918_1"}
        extra = lossy if syntax in pixel_codec.LOSSY else {}
        return series.mapped(lambda file: replace(file.with_elements(**extra), syntax=syntax).touched(self))


@dataclass(frozen=True)
class PerSliceRescale:
    """A slope and an intercept of its own for each slice, as in PET and in MR of some vendors."""

    slopes: tuple[float, ...] = (1.0, 0.5, 0.25)

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with other stored integers for the same values."""
        return replace(series, slices=tuple(self._rescaled(file, generator) for file in series.slices))

    def _rescaled(self, file: DicomFile, generator: np.random.Generator) -> DicomFile:
        values = _pixels(file).astype(np.float64) * float(file.dataset.get("RescaleSlope", 1))
        values += float(file.dataset.get("RescaleIntercept", 0))
        slope = float(generator.choice(self.slopes))
        # Whole intercepts and binary slopes: the values come back exactly.
        intercept = float(np.floor(values.min()) - generator.integers(1, 50))
        stored = np.rint((values - intercept) / slope)
        if stored.max() > 65535:
            raise VolumeError(f"Values of a range of {np.ptp(values):.0f} do not fit 16 bits with a slope of {slope}.")
        return replace(
            file.with_elements(
                RescaleSlope=decimal(slope),
                RescaleIntercept=decimal(intercept),
                RescaleType=file.dataset.get("RescaleType", "US"),
                BitsAllocated=16,
                BitsStored=16,
                HighBit=15,
                PixelRepresentation=0,
            ),
            pixels=stored.astype(np.uint16),
        ).touched(self)


@dataclass(frozen=True)
class GarbageHighBits:
    """Random bits above BitsStored, as overlays and careless software leave them."""

    bits_stored: int = 12

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with fewer bits stored and garbage above them."""
        return replace(series, slices=tuple(self._spoiled(file, generator) for file in series.slices))

    def _spoiled(self, file: DicomFile, generator: np.random.Generator) -> DicomFile:
        stored = _pixels(file).astype(np.int64)
        signed = int(file.dataset.PixelRepresentation)
        low = -(2 ** (self.bits_stored - 1)) if signed else 0
        if stored.min() < low or stored.max() >= low + 2**self.bits_stored:
            raise VolumeError(f"Stored values {stored.min()} to {stored.max()} do not fit {self.bits_stored} bits.")
        garbage = generator.integers(1, 2 ** (16 - self.bits_stored), size=stored.shape) << self.bits_stored
        spoiled = (stored & (2**self.bits_stored - 1)) | garbage
        pixels = spoiled.astype(np.uint16).view(np.int16 if signed else np.uint16)
        changed = file.with_elements(BitsAllocated=16, BitsStored=self.bits_stored, HighBit=self.bits_stored - 1)
        return replace(changed, pixels=pixels).touched(self)


@dataclass(frozen=True)
class ShiftedBits:
    """Stored bits at the upper end of the word, HighBit 15, as ACR-NEMA allowed; the lower ones hold garbage."""

    bits_stored: int = 12

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with its values shifted up."""
        return replace(series, slices=tuple(self._shifted(file, generator) for file in series.slices))

    def _shifted(self, file: DicomFile, generator: np.random.Generator) -> DicomFile:
        stored = _pixels(file).astype(np.int64)
        room = 16 - self.bits_stored
        if stored.min() < 0 or stored.max() >= 2**self.bits_stored:
            raise VolumeError(f"Stored values {stored.min()} to {stored.max()} do not fit {self.bits_stored} bits.")
        pixels = ((stored << room) | generator.integers(0, 2**room, size=stored.shape)).astype(np.uint16)
        changed = file.with_elements(BitsAllocated=16, BitsStored=self.bits_stored, HighBit=15, PixelRepresentation=0)
        return replace(changed, pixels=pixels).touched(self)


@dataclass(frozen=True)
class PaddingOutsideCircle:
    """A stored value that marks pixels outside the scanner's circle.

    Parameters
    ----------
    stored : int
        With the usual intercept of -1024, the default is -3024 HU if it is taken for a measurement.
    is_tagged : bool
        Whether PixelPaddingValue says so.
    range_limit : int, optional
        PixelPaddingRangeLimit; half of the padded pixels then hold this value.
    """

    stored: int = -2000
    is_tagged: bool = True
    range_limit: int | None = None

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series, signed, with padded corners; the truth there is the quantity's outside value."""
        truth = []
        for volume in series.truth:
            outside = _outside_circle(volume.shape[0], volume.shape[1])
            array = np.where(outside[:, :, np.newaxis], np.float32(volume.quantity.outside), volume.array)
            truth.append(replace(volume, array=array))
        return replace(series.mapped(self._padded), truth=tuple(truth))

    def _padded(self, file: DicomFile) -> DicomFile:
        pixels = _pixels(file).astype(np.int64)
        outside = _outside_circle(*pixels.shape[1:3])
        pixels[:, outside] = self.stored
        if self.range_limit is not None:
            outside[::2] = False
            pixels[:, outside] = self.range_limit
        if pixels.min() < -32768 or pixels.max() > 32767:
            raise VolumeError(f"Padded pixels need signed 16 bits: found {pixels.min()} to {pixels.max()}.")
        changed = file.with_elements(PixelRepresentation=1, BitsAllocated=16, BitsStored=16, HighBit=15)
        if self.is_tagged:
            changed = changed.with_elements(PixelPaddingValue=self.stored)
            if self.range_limit is not None:
                changed = changed.with_elements(PixelPaddingRangeLimit=self.range_limit)
        return replace(changed, pixels=pixels.astype(np.int16)).touched(self)


@dataclass(frozen=True)
class TruncatedPixels:
    """One slice whose pixels end early.

    Parameters
    ----------
    how : {"file", "element"}
        The file ends within the pixels, or their element is shorter than rows and columns need.
    share : float
        Share of the pixel bytes that is lost.
    """

    how: Literal["file", "element"] = "file"
    share: float = 0.5

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one damaged slice."""
        at = int(generator.integers(len(series.slices)))
        file = series.slices[at]
        lost = max(2, int(_pixels(file).nbytes * self.share) // 2 * 2)
        field = {"lost_file_bytes": lost} if self.how == "file" else {"lost_pixel_bytes": lost}
        damaged = replace(file, **field).touched(self)  # type: ignore[arg-type]
        return replace(series, slices=(*series.slices[:at], damaged, *series.slices[at + 1 :]))


@dataclass(frozen=True)
class RgbPixels:
    """Color pixels of 8 bits instead of gray values."""

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series in color."""
        return series.mapped(self._colored)

    def _colored(self, file: DicomFile) -> DicomFile:
        gray = (_pixels(file).astype(np.int64) % 256).astype(np.uint8)
        colored = file.without("RescaleSlope", "RescaleIntercept", "RescaleType").with_elements(
            SamplesPerPixel=3,
            PhotometricInterpretation="RGB",
            PlanarConfiguration=0,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PixelRepresentation=0,
        )
        return replace(colored, pixels=np.stack([gray, 255 - gray, gray // 2], axis=-1)).touched(self)


@dataclass(frozen=True)
class MixedMatrix:
    """One slice with a row fewer than the others."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one smaller slice."""
        at = int(generator.integers(len(series.slices)))
        file = series.slices[at]
        smaller = replace(file.with_elements(Rows=_pixels(file).shape[1] - 1), pixels=_pixels(file)[:, :-1])
        return replace(series, slices=(*series.slices[:at], smaller.touched(self), *series.slices[at + 1 :]))


def _pixels(file: DicomFile) -> np.ndarray:
    if file.pixels is None:
        raise VolumeError(f"{file.name}: a fault of pixels needs a file that has some.")
    return file.pixels


def _outside_circle(first: int, second: int) -> np.ndarray:
    """Where a (first, second) image lies outside its inscribed ellipse."""
    a, b = np.linspace(-1, 1, first + 2)[1:-1, np.newaxis], np.linspace(-1, 1, second + 2)[np.newaxis, 1:-1]
    return np.asarray(a**2 + b**2 > 1)
