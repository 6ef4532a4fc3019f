"""Faults of headers and file names: how the same image is written differently, or with something missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from medgan.phantoms.dicom_file import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE, DicomFile, decimal
from medgan.phantoms.dicom_series import DicomSeries

_SYNTAXES = {"implicit": IMPLICIT_LITTLE, "big-endian": EXPLICIT_BIG, "deflated": DEFLATED}


@dataclass(frozen=True)
class ShuffledOrder:
    """InstanceNumber, SliceLocation and file names each in an order of their own, none of them the positions'."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with its files shuffled."""
        count = len(series.slices)
        files = []
        numbers, places, names = (generator.permutation(count) for _ in range(3))
        for file, number, place, name in zip(series.slices, numbers, places, names):
            changed = file.with_elements(
                InstanceNumber=series.slices[number].dataset.InstanceNumber,
                SliceLocation=series.slices[place].dataset.SliceLocation,
            )
            files.append(replace(changed, name=series.slices[name].name).touched(self))
        order = generator.permutation(count)
        return replace(series, slices=tuple(files[n] for n in order))


@dataclass(frozen=True)
class OtherEncoding:
    """The data set in another encoding: implicit VR, big-endian or deflated."""

    encoding: Literal["implicit", "big-endian", "deflated"] = "implicit"

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series in that encoding."""
        syntax = _SYNTAXES[self.encoding]
        return series.mapped(lambda file: replace(file, syntax=syntax).touched(self))


@dataclass(frozen=True)
class UnknownSyntax:
    """A transfer syntax that no reader knows."""

    uid: str = "1.2.826.0.1.3680043.8.498.999"

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with that UID in the file meta information."""
        return series.mapped(lambda f: replace(f, meta={**f.meta, "TransferSyntaxUID": self.uid}).touched(self))


@dataclass(frozen=True)
class LongDecimals:
    """Positions, orientations and spacings as decimal strings of more than the 16 characters allowed."""

    keywords: tuple[str, ...] = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with long numbers."""
        return series.mapped(self._lengthened)

    def _lengthened(self, file: DicomFile) -> DicomFile:
        longer = {k: [f"{float(x):+.20f}" for x in file.dataset[k].value] for k in self.keywords}
        return file.with_elements(**longer).touched(self)


@dataclass(frozen=True)
class EmptyClassInMeta:
    """An empty MediaStorageSOPClassUID in the file meta information."""

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with the empty element."""
        return series.mapped(lambda f: replace(f, meta={**f.meta, "MediaStorageSOPClassUID": ""}).touched(self))


@dataclass(frozen=True)
class WithoutPreamble:
    """Bare data sets: no preamble, no prefix and no file meta information, as old archives hold them."""

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series as bare data sets in implicit VR."""
        absent = dict.fromkeys(
            (
                "FileMetaInformationGroupLength",
                "FileMetaInformationVersion",
                "MediaStorageSOPClassUID",
                "MediaStorageSOPInstanceUID",
                "TransferSyntaxUID",
                "ImplementationClassUID",
            )
        )
        return series.mapped(lambda f: replace(f, syntax=IMPLICIT_LITTLE, preamble=b"", meta=absent).touched(self))


@dataclass(frozen=True)
class WithoutElements:
    """Elements missing from all slices, or from one that is drawn."""

    keywords: tuple[str, ...]
    only_one: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series without the elements."""
        chosen = _chosen(series, generator, only_one=self.only_one)
        files = [f.without(*self.keywords).touched(self) if n in chosen else f for n, f in enumerate(series.slices)]
        return replace(series, slices=tuple(files))


NO_ROWS = WithoutElements(("Rows",))
NO_RESCALE = WithoutElements(("RescaleSlope", "RescaleIntercept", "RescaleType"))
NO_POSITION = WithoutElements(("ImagePositionPatient",))
NO_ORIENTATION = WithoutElements(("ImageOrientationPatient",))
NO_SPACING = WithoutElements(("PixelSpacing",))


@dataclass(frozen=True)
class AlteredElement:
    """An element with any value, in all slices or in one that is drawn."""

    keyword: str
    value: Any
    only_one: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the value, valid or not."""
        chosen = _chosen(series, generator, only_one=self.only_one)
        change = {self.keyword: list(self.value) if isinstance(self.value, tuple) else self.value}
        files = [f.with_elements(**change).touched(self) if n in chosen else f for n, f in enumerate(series.slices)]
        return replace(series, slices=tuple(files))


@dataclass(frozen=True)
class ImagerSpacing:
    """An ImagerPixelSpacing larger than PixelSpacing: at the detector, not in the patient.

    Parameters
    ----------
    factor : float
        Magnification.
    only : bool
        Leave PixelSpacing out.
    """

    factor: float = 1.25
    only: bool = False

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with both spacings, or with the detector's alone."""
        return series.mapped(self._with_imager)

    def _with_imager(self, file: DicomFile) -> DicomFile:
        spacing = [decimal(float(x) * self.factor) for x in file.dataset.PixelSpacing]
        changed = file.with_elements(ImagerPixelSpacing=spacing).touched(self)
        return changed.without("PixelSpacing") if self.only else changed


@dataclass(frozen=True)
class OtherNames:
    """File names without extension, below folders, as archives and discs give them."""

    folders: tuple[str, ...] = ("DICOM", "ST000001", "SE000001")

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with its files renamed."""
        named = [f"{'/'.join((*self.folders, ''))}IM{n:06d}" for n in range(len(series.slices))]
        files = [replace(file, name=name).touched(self) for file, name in zip(series.slices, named)]
        return replace(series, slices=tuple(files))


def _chosen(series: DicomSeries, generator: np.random.Generator, *, only_one: bool) -> Sequence[int]:
    count = len(series.slices)
    return [int(generator.integers(count))] if only_one else range(count)
