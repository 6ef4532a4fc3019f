"""What headers say about one image, before it has a number: kind, place, verdict and reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from medgan.formats.files import ImageFile
from medgan.formats.pseudonym import PatientIdentity
from medgan.geometry import Grid
from medgan.volume import Quantity

Verdict = Literal["accepted", "corrected", "refused"]
RADIOGRAPH = "radiograph"
"""Kind of the items that are one projection each, no volumes."""
LOSSY_WORDS = "The compression is lossy: the values are not exactly those that were measured."


class Progress(Protocol):
    """Told how far the reading of headers is."""

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` files are done."""


class ImageSource(Protocol):
    """Where the voxels of an item come from."""

    def read(self, *, name: str, quantity: Quantity, allow_gap: bool, assume_axes: bool) -> ImageFile:
        """Read the voxels, or refuse them in one sentence that begins with ``name``."""


@dataclass(frozen=True, eq=False)
class Finding:
    """An image as its headers describe it, before it has an index.

    Parameters
    ----------
    kind : str
        ``dicom_series``, ``dicom_stack`` (one of several in a series), ``dicom_multiframe``, ``dicom_mosaic``,
        ``dicom_file`` (cannot be read), ``radiograph`` (no volume), ``nifti``, ``metaimage``, ``nrrd``; ``archive`` (a
        damaged one, or a damaged DICOMDIR), ``archive_member`` (refused members), ``missing_files`` (of a DICOMDIR).
    modality : str or None
        A code that DICOM defines, never other text of a header.
    grid : Grid or None
        None where the headers do not place the voxels.
    verdict : {"accepted", "corrected", "refused"}
    reasons : tuple of str
        Why; also what is to be known of an accepted image.
    files : int
        How many files take part.
    source : ImageSource or None
        None where nothing can be read.
    stem : str or None
        Name that outputs take, where the file's own is kept.
    label : str or None
        Name in messages, where the file's own is kept.
    has_gap : bool
        Refused for one missing slice only, which may be interpolated.
    shape : (I, J, K) or None
        Where it is known without a grid; (rows, columns) of a radiograph.
    spacing : (row, column) or None
        Of a radiograph, in mm.
    identity : PatientIdentity or None
        Of whom the image is, where the format says so; only ever hashed.
    """

    kind: str
    modality: str | None
    grid: Grid | None
    verdict: Verdict
    reasons: tuple[str, ...]
    files: int
    source: ImageSource | None
    stem: str | None = None
    label: str | None = None
    has_gap: bool = False
    shape: tuple[int, int, int] | tuple[int, int] | None = None
    spacing: tuple[float, float] | None = None
    identity: PatientIdentity | None = field(default=None, repr=False)


@dataclass(frozen=True)
class OtherObject:
    """Something that belongs to a study and is no image to work on: a localizer, a report, contours, a screenshot.

    Parameters
    ----------
    kind : str
        Such as ``localizer``, ``report`` or ``structure_set``; ``archive`` for a zip inside a folder: not opened.
    modality : str or None
    files : int
    """

    kind: str
    modality: str | None
    files: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"kind": self.kind, "modality": self.modality, "files": self.files}
