"""A volume as a DICOM series: one file a slice, clean, or with planted faults, and what a reader should find in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from medgan.errors import VolumeError
from medgan.phantoms.dicom_file import DicomFile, RawFile
from medgan.phantoms.dicom_slices import (
    CT_PIXELS,
    MR_PIXELS,
    Modality,
    PixelForm,
    SeriesHeader,
    new_uid,
    quantized,
    slices_of,
)
from medgan.volume import Quantity, Volume

_MODALITY: dict[Quantity, Modality] = {Quantity.HOUNSFIELD: "CT", Quantity.MR_SIGNAL: "MR"}


class Fault(Protocol):
    """A named, frozen way in which a series differs from the simplest correct one."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator, /) -> DicomSeries:
        """Return the series with the fault planted."""


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """A planned series.

    Parameters
    ----------
    header : SeriesHeader
    slices : tuple of DicomFile
        Image files, in the order of the grid's third axis until a fault says otherwise.
    truth : tuple of Volume
        The stacks in it, with the values that a correct reader returns, each on its true grid (axis order: along a
        row, down a column, from slice to slice). What a fault makes unreadable keeps the truth from before it.
    beside : tuple of DicomFile or RawFile
        Other files in the folder.
    faults : tuple of Fault
        In the order in which they were planted.
    """

    header: SeriesHeader
    slices: tuple[DicomFile, ...]
    truth: tuple[Volume, ...]
    beside: tuple[DicomFile | RawFile, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def files(self) -> tuple[DicomFile | RawFile, ...]:
        """All files, those beside last."""
        return (*self.slices, *self.beside)

    def touched_by(self, fault: type[Fault]) -> tuple[str, ...]:
        """Return the names, without folder, of the files that a fault changed or added."""
        touched = [f for f in self.files if isinstance(f, DicomFile) and fault.__name__ in f.faults]
        return tuple(PurePosixPath(file.name).name for file in touched)

    def mapped(self, change: Callable[[DicomFile], DicomFile]) -> DicomSeries:
        """Return the series with every slice changed."""
        return replace(self, slices=tuple(change(file) for file in self.slices))


def dicom_series(
    volume: Volume,
    *faults: Fault,
    generator: np.random.Generator,
    pixel_form: PixelForm | None = None,
) -> DicomSeries:
    """Return a volume as a series of one file a slice, with faults planted one after the other.

    Parameters
    ----------
    volume : Volume
        HOUNSFIELD becomes a CT, MR_SIGNAL an MR. The first axis runs along the rows of an image, the second down its
        columns, the third from slice to slice, in any direction and also at a slant to the image.
    *faults : Fault
    generator : numpy.random.Generator
        Source of UIDs and of whatever the faults draw: the same generator gives the same bytes.
    pixel_form : PixelForm, optional
        16 bits unsigned if None: CT with intercept -1024, MR without rescale elements.

    Raises
    ------
    GeometryError
        If rows and columns are not at right angles, or the grid is not a patient's.
    VolumeError
        If the quantity has no modality here, or a value does not fit into its bits.

    Examples
    --------
    >>> from medgan.geometry import Grid
    >>> grid = Grid.axis_aligned((4, 3, 2), spacing=(1, 1, 2))
    >>> ct = Volume(np.zeros((4, 3, 2), np.float32), grid, Quantity.HOUNSFIELD)
    >>> series = dicom_series(ct, generator=np.random.default_rng(1))
    >>> [file.name for file in series.files]
    ['IM_0001.dcm', 'IM_0002.dcm']
    """
    if volume.quantity not in _MODALITY:
        raise VolumeError(f"A phantom series is a CT or an MR: found {volume.quantity.label}.")
    modality = _MODALITY[volume.quantity]
    form = pixel_form or (CT_PIXELS if modality == "CT" else MR_PIXELS)
    study_uid, series_uid, frame_uid = (new_uid(generator) for _ in range(3))
    header = SeriesHeader(modality, study_uid, series_uid, frame_uid, pixel_form=form)
    slices = slices_of(volume, header, generator)
    series = DicomSeries(header, slices, (quantized(volume, form),))
    for fault in faults:
        series = replace(fault(series, generator), faults=(*series.faults, fault))
    return series
