"""What headers say about one image, before it has a number: kind, place, verdict and reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from medgan.formats.files import ImageFile
from medgan.geometry import Grid
from medgan.volume import Quantity

Verdict = Literal["accepted", "corrected", "refused"]


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
        ``dicom_file`` (cannot be read), ``nifti``, ``metaimage``, ``nrrd``; ``archive`` (a damaged one, or a damaged
        DICOMDIR), ``archive_member`` (refused members), ``missing_files`` (of a DICOMDIR).
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
        Where it is known without a grid.
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
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class OtherObject:
    """Something that belongs to a study and is no volume: a localizer, a report, a radiograph, contours.

    Parameters
    ----------
    kind : str
        Such as ``localizer``, ``report``, ``radiograph`` or ``structure_set``.
    modality : str or None
    files : int
    """

    kind: str
    modality: str | None
    files: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"kind": self.kind, "modality": self.modality, "files": self.files}
