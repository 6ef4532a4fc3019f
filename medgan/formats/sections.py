"""A stack of sections in a folder: one PNG or TIFF image each, in the natural order of their names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats.chunked_array import SECTION_SUFFIXES, Index3
from medgan.formats.stored_file import natural_key

_TYPES = {"1": np.uint8, "L": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "F": np.float32}
"""NumPy type of each of Pillow's modes that is one plain number a pixel."""


@dataclass(frozen=True)
class SectionStack:
    """Sections of one size and type; z counts files, y rows, x columns.

    Parameters
    ----------
    label : str
        Name of the folder.
    files : tuple of Path
    rows, columns : int
    dtype : numpy dtype
        bool images become 0 and 255.
    """

    label: str
    files: tuple[Path, ...] = field(repr=False)
    rows: int
    columns: int
    dtype: np.dtype[Any]

    @property
    def shape_zyx(self) -> Index3:
        """Voxels along z, y, x."""
        return len(self.files), self.rows, self.columns

    @property
    def chunk_zyx(self) -> Index3:
        """A whole section is decoded at once."""
        return 1, self.rows, self.columns

    def read_zyx(self, start_zyx: Sequence[int], stop_zyx: Sequence[int]) -> npt.NDArray[Any]:
        """Return the voxels of a box.

        Raises
        ------
        FormatError
            If a section is damaged, or is another than when the stack was opened; it is named.
        """
        (z0, y0, x0), (z1, y1, x1) = start_zyx, stop_zyx
        box = np.empty((z1 - z0, y1 - y0, x1 - x0), dtype=self.dtype)
        for n, file in enumerate(self.files[z0:z1]):
            pixels = _decoded(file, self.label)
            if pixels.shape != (self.rows, self.columns) or pixels.dtype != self.dtype:
                raise FormatError(
                    f"{self.label}: the section {file.name} has changed: found {pixels.shape}, {pixels.dtype}."
                )
            box[n] = pixels[y0:y1, x0:x1]
        return box


def section_files(folder: Path) -> tuple[Path, ...]:
    """Return the PNG and TIFF files of a folder in natural order; none where they are not of one kind."""
    if not folder.is_dir():
        return ()
    found = [file for file in folder.iterdir() if file.suffix.lower() in SECTION_SUFFIXES and file.name[0] != "."]
    kinds = {".tif" if file.suffix.lower().startswith(".tif") else ".png" for file in found}
    if len(kinds) != 1:
        return ()
    return tuple(sorted(found, key=lambda file: natural_key(file.name)))


def open_sections(folder: Path) -> SectionStack:
    """Return the stack in a folder after comparing the headers of all its sections.

    Raises
    ------
    FormatError
        If there are no sections, PNG and TIFF are mixed, they differ in size or type, or hold colors.
    """
    label, files = folder.name, section_files(folder)
    if not files:
        raise FormatError(
            f"{label} holds no stack of sections: a folder of PNG files or of TIFF files (not both) is needed."
        )
    sizes = [_header(file, label) for file in files]
    for file, found in zip(files, sizes):
        if found != sizes[0]:
            raise FormatError(
                f"{label}: all sections need one size and type: {files[0].name} has {_words(sizes[0])}, "
                f"{file.name} has {_words(found)}."
            )
    rows, columns, dtype = sizes[0]
    return SectionStack(label, files, rows, columns, dtype)


def metadata_text(stack: SectionStack) -> str:
    """Return names and sizes of the files as text, for a digest."""
    return json.dumps([[file.name, file.stat().st_size] for file in stack.files])


def _words(header: tuple[int, int, np.dtype[Any]]) -> str:
    return f"{header[0]} x {header[1]} pixels of {header[2]}"


def _header(file: Path, label: str) -> tuple[int, int, np.dtype[Any]]:
    with _opened(file, label) as image:
        if image.mode not in _TYPES:
            raise FormatError(
                f"{label}: sections need one gray value a pixel: {file.name} holds {image.mode} pixels. Convert it."
            )
        return image.height, image.width, np.dtype(_TYPES[image.mode])


def _opened(file: Path, label: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of sections above 90 million pixels, and refuses those of twice that.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file)
    except Image.DecompressionBombError:
        raise FormatError(
            f"{label}: the section {file.name} has more pixels than are decoded at once. Convert the stack to OME-Zarr."
        ) from None
    except (UnidentifiedImageError, OSError):
        raise FormatError(f"{label}: the section {file.name} is damaged or no image: copy it again.") from None


def _decoded(file: Path, label: str) -> npt.NDArray[Any]:
    with _opened(file, label) as image:
        try:
            pixels = np.asarray(image)
        except (OSError, ValueError, SyntaxError):
            raise FormatError(f"{label}: the section {file.name} is damaged: copy it again.") from None
    if pixels.dtype == np.bool_:
        return np.where(pixels, 255, 0).astype(np.uint8)
    return np.asarray(pixels, dtype=pixels.dtype.newbyteorder("="))
