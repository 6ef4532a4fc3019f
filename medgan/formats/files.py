"""Read and write images by the suffix of their file name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import numpy as np

from medgan.errors import FormatError, OutputError, VolumeError
from medgan.formats.byte_stream import sha256_of
from medgan.formats.decoding import decoded_labels, decoded_values
from medgan.formats.itk_writers import write_metaimage, write_nrrd
from medgan.formats.metaimage import open_metaimage
from medgan.formats.nifti import open_nifti, open_nifti_pair, write_nifti
from medgan.formats.nrrd import open_nrrd
from medgan.formats.output import write_with
from medgan.formats.stored_image import StoredImage
from medgan.volume import LabelMap, Provenance, Quantity, Volume


class _Opener(Protocol):
    def __call__(self, path: Path, *, assume_axes: bool = False) -> StoredImage: ...


class _Writer(Protocol):
    def __call__(self, file: IO[bytes], image: Volume | LabelMap, *, name: str) -> None: ...


class _Format(NamedTuple):
    kind: str
    opener: _Opener
    writer: _Writer | None


# Longest suffix first: .nii.gz before .nii would matter if one were the end of the other.
_FORMATS: dict[str, _Format] = {
    ".nii.gz": _Format("nifti", open_nifti, write_nifti),
    ".nii": _Format("nifti", open_nifti, write_nifti),
    ".hdr": _Format("nifti", open_nifti_pair, None),
    ".img": _Format("nifti", open_nifti_pair, None),
    ".mha": _Format("metaimage", open_metaimage, write_metaimage),
    ".mhd": _Format("metaimage", open_metaimage, None),
    ".nrrd": _Format("nrrd", open_nrrd, write_nrrd),
    ".nhdr": _Format("nrrd", open_nrrd, None),
}


@dataclass(frozen=True)
class ImageFile:
    """An image as read from its file.

    Parameters
    ----------
    volume : Volume
        Its provenance holds the SHA-256 of every file that took part: header first, then data files as the header
        lists them; it is synthetic if the file is marked so.
    notices : tuple of str
        One sentence, without the file's name, for each thing that was corrected or assumed.
    is_marked_synthetic : bool
        Whether the metadata (``descrip``, comments, key-value pairs) says SYNTHETIC.
    modality_hint : str or None
        Modality code such as CT or MR, where the metadata states one. NIfTI never does.
    name : str
        What outputs made from it are named after: the file's stem, or ``mr_series01`` for DICOM.
    """

    volume: Volume
    notices: tuple[str, ...]
    is_marked_synthetic: bool
    modality_hint: str | None
    name: str = ""


@dataclass(frozen=True)
class LabelFile:
    """A label map as read from its file.

    Parameters
    ----------
    labels : LabelMap
    notices : tuple of str
        One sentence, without the file's name, for each thing that was corrected or assumed.
    sources : tuple of str
        SHA-256 of every file that took part, as in :class:`ImageFile`.
    """

    labels: LabelMap
    notices: tuple[str, ...]
    sources: tuple[str, ...]


def read_image(path: str | Path, *, quantity: Quantity, assume_axes: bool = False) -> ImageFile:
    """Read one scalar volume from a file, or refuse it in one sentence.

    Parameters
    ----------
    path : path
        .nii, .nii.gz, .hdr or .img (a NIfTI pair), .mha, .mhd, .nrrd or .nhdr.
    quantity : Quantity
        What the values mean; no file says so.
    assume_axes : bool
        Read a file that does not say where its axes point as right, anterior, superior, with a notice.

    Raises
    ------
    FormatError
        If the file is missing, damaged, not one scalar volume, or does not say where its voxels lie.

    Notes
    -----
    The world is turned to RAS+ in mm; voxels keep their order in the file. NaN and infinity become
    ``quantity.outside``, with a notice.
    """
    stored = _opened(Path(path), assume_axes)
    with ThreadPoolExecutor(1, "medgan-digest") as beside:
        digests = beside.submit(_digests, stored)
        array, notices = decoded_values(stored, outside=quantity.outside)
    provenance = Provenance(digests.result(), is_synthetic=stored.is_marked_synthetic)
    try:
        volume = Volume.of_finite(array, stored.grid, quantity, provenance)
    except VolumeError as error:
        raise FormatError(f"{stored.name}: {error}") from None
    return ImageFile(
        volume, (*stored.notices, *notices), stored.is_marked_synthetic, stored.modality_hint, stem_of(path)
    )


def header_of(path: str | Path, *, assume_axes: bool = False) -> StoredImage:
    """Return what the header of an image file says, judged, with its voxels still in the file.

    Raises
    ------
    FormatError
        As :func:`read_image`, except for what only the voxels show.
    """
    return _opened(Path(path), assume_axes)


def kind_of(path: str | Path) -> str:
    """Return ``nifti``, ``metaimage`` or ``nrrd`` by the suffix, ``unknown`` for any other.

    Examples
    --------
    >>> kind_of("scan.nii.gz"), kind_of("scan.mhd"), kind_of("scan.dcm")
    ('nifti', 'metaimage', 'unknown')
    """
    suffix = _suffix(Path(path))
    return "unknown" if suffix is None else _FORMATS[suffix].kind


def read_volume(path: str | Path, *, quantity: Quantity, assume_axes: bool = False) -> Volume:
    """Return :func:`read_image`'s volume alone."""
    return read_image(path, quantity=quantity, assume_axes=assume_axes).volume


def read_label_file(path: str | Path, *, assume_axes: bool = False) -> LabelFile:
    """Read one label map from a file, or refuse it in one sentence.

    Raises
    ------
    FormatError
        If a value is negative or not whole, or as :func:`read_image`.
    """
    stored = _opened(Path(path), assume_axes)
    labels = LabelMap(decoded_labels(stored), stored.grid)
    return LabelFile(labels, stored.notices, _digests(stored))


def read_labels(path: str | Path, *, assume_axes: bool = False) -> LabelMap:
    """Return :func:`read_label_file`'s labels alone."""
    return read_label_file(path, assume_axes=assume_axes).labels


def write_volume(volume: Volume, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a volume; the file appears when it is complete.

    Parameters
    ----------
    volume : Volume
        HOUNSFIELD becomes int16, rounded and clipped; uint8 and uint16 stay; else float32. A synthetic one is marked.
    path : path
        .nii, .nii.gz, .mha or .nrrd.
    overwrite : bool

    Raises
    ------
    OutputError
        If the file exists already, cannot be written, or its format cannot hold the grid.
    """
    return _written(volume, Path(path), overwrite)


def write_labels(labels: LabelMap, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a label map in its own type; the file appears when it is complete.

    Raises
    ------
    OutputError
        As :func:`write_volume`.
    """
    return _written(labels, Path(path), overwrite)


def is_supported(path: str | Path) -> bool:
    """Tell whether the suffix is one that :func:`read_image` reads.

    Examples
    --------
    >>> is_supported("scan.NII.GZ"), is_supported("scan.dcm")
    (True, False)
    """
    return _suffix(Path(path)) is not None


def is_writable(path: str | Path) -> bool:
    """Tell whether the suffix is one that :func:`write_volume` writes.

    Examples
    --------
    >>> is_writable("ct.nrrd"), is_writable("ct.mhd")
    (True, False)
    """
    suffix = _suffix(Path(path))
    return suffix is not None and _FORMATS[suffix].writer is not None


def stem_of(path: str | Path) -> str:
    """Return the file name without its (possibly double) suffix.

    Examples
    --------
    >>> stem_of("ct/volume.nii.gz"), stem_of("volume.1.mha"), stem_of("table.csv")
    ('volume', 'volume.1', 'table')
    """
    path = Path(path)
    suffix = _suffix(path)
    return path.stem if suffix is None else path.name[: -len(suffix)]


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in _FORMATS if name.endswith(suffix) and len(name) > len(suffix)), None)


def _opened(path: Path, assume_axes: bool) -> StoredImage:
    suffix = _suffix(path)
    if suffix is None and not path.is_dir():
        raise FormatError(
            f"{path.name}: an image file is recognized by its suffix, one of {', '.join(_FORMATS)}. "
            "Rename or convert it."
        )
    # Damaged headers hold NaN and infinity; every number is judged, so NumPy need not warn. A folder is refused by any
    # opener, in its own sentence.
    with np.errstate(all="ignore"):
        return _FORMATS[suffix or ".nii"].opener(path, assume_axes=assume_axes)


def _digests(stored: StoredImage) -> tuple[str, ...]:
    return tuple(sha256_of(path) for path in stored.files)


def _written(image: Volume | LabelMap, path: Path, overwrite: bool) -> Path:
    suffix = _suffix(path)
    writer = None if suffix is None else _FORMATS[suffix].writer
    if writer is None:
        known = ", ".join(name for name, each in _FORMATS.items() if each.writer)
        raise OutputError(f"{path.name}: an image is written in the format of its suffix, one of {known}.")
    write: Callable[[IO[bytes]], None] = lambda file: writer(file, image, name=path.name)  # noqa: E731
    return write_with(path, write, overwrite=overwrite)
