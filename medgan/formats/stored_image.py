"""An image in its files, judged but not yet decoded: where its voxels lie and how their bytes are stored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError, GeometryError
from medgan.geometry import Grid

Compression = Literal["none", "gzip", "zlib"]

DEFLATE_LARGEST_RATIO = 1032
"""Deflate codes at most 258 bytes in two bits, so no byte of it ever grows to more (zlib technical details)."""

ASSUMED_AXES = (
    "they were assumed to be right, anterior, superior, with the first voxel at the origin. "
    "Left and right may be swapped."
)

_SPACING_RANGE_MM = (1e-6, 1e4)
_FARTHEST_MM = 1e7


@dataclass(frozen=True)
class Segment:
    """A run of voxels in one file.

    Parameters
    ----------
    path : Path
    size : int
        Bytes of voxels after decompression.
    offset : int
        Bytes of the file before the (possibly compressed) data.
    skip : int
        Decompressed bytes before the voxels.
    compression : {"none", "gzip", "zlib"}
    """

    path: Path
    size: int
    offset: int = 0
    skip: int = 0
    compression: Compression = "none"

    def require_plausible(self) -> None:
        """Compare the declared size with the file's length, before anything is allocated.

        Raises
        ------
        FormatError
            If the file is missing, too short, longer than declared, or too small to expand to what is declared.
        """
        name = self.path.name
        held = file_size(self.path) - self.offset
        wanted = self.skip + self.size
        if self.compression != "none":
            if held * DEFLATE_LARGEST_RATIO < wanted:
                raise FormatError(
                    f"{name}: the header declares {self.size} bytes of voxels, more than {max(held, 0)} compressed "
                    "bytes can ever hold. The header is damaged or the file is truncated: copy it again."
                )
        elif held < wanted:
            raise FormatError(
                f"{name}: the header declares {self.size} bytes of voxels, the file holds {max(held - self.skip, 0)}. "
                "It is truncated, or the header is damaged: copy it again."
            )
        elif held > wanted:
            raise FormatError(longer_than_declared(name, f"{held - wanted}"))


@dataclass(frozen=True)
class StoredImage:
    """What a header says about an image, in medgan's conventions, with its voxels still in the files.

    Parameters
    ----------
    name : str
        File name for messages.
    grid : Grid
        Patient frame, RAS+, mm.
    dtype : numpy dtype
        As stored, byte order included.
    segments : tuple of Segment
        The voxels in file order, first axis fastest.
    files : tuple of Path
        Every file that takes part, in the order of their digests: header first, then data files as the header lists
        them; each once.
    slope, intercept : float
        The value is ``slope * stored + intercept``.
    notices : tuple of str
        One sentence for each thing that was corrected or assumed.
    is_marked_synthetic : bool
        Whether the metadata says that a generator took part.
    modality_hint : str or None
        DICOM-like modality code, where the metadata states a known one.
    """

    name: str
    grid: Grid
    dtype: np.dtype[Any]
    segments: tuple[Segment, ...]
    files: tuple[Path, ...]
    slope: float = 1.0
    intercept: float = 0.0
    notices: tuple[str, ...] = ()
    is_marked_synthetic: bool = False
    modality_hint: str | None = None

    @property
    def is_scaled(self) -> bool:
        """Tell whether stored numbers are not the values themselves."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def voxel_count(self) -> int:
        """Number of voxels, exact for any shape."""
        i, j, k = self.grid.shape
        return i * j * k


def require_file(path: Path) -> None:
    """Raise a :class:`FormatError` unless ``path`` is a regular file that exists."""
    if path.is_dir():
        raise FormatError(
            f"{path.name} is a folder: an image file is needed. A folder of DICOM slices is a series, not "
            "an image file."
        )
    if not path.exists():
        raise FormatError(f"{path.name} does not exist: check the name and the folder.")
    if not path.is_file():
        raise FormatError(f"{path.name} is not a regular file: an image is never read from a device or pipe.")


def file_size(path: Path) -> int:
    """Return the length of a regular file in bytes."""
    require_file(path)
    return path.stat().st_size


def longer_than_declared(name: str, how_much: str) -> str:
    """Return the sentence for a file that holds more than its header says."""
    return (
        f"{name}: the data hold {how_much} bytes more than the header declares. Header and data do not belong "
        "together, or the header is damaged: convert the image again from its source."
    )


def placed_grid(shape: tuple[int, int, int], affine_mm: npt.NDArray[np.float64]) -> Grid:
    """Return the grid of a stored image after judging its affine.

    Raises
    ------
    GeometryError
        If it is not finite, not invertible, or has lengths that no scan has (a spacing outside 1 nm to 10 m, a position
        10 km away): damaged bytes often give a valid but absurd number.
    """
    if not np.isfinite(affine_mm).all():
        raise GeometryError("it holds NaN or infinity")
    if np.abs(affine_mm[:3]).max() > _FARTHEST_MM:
        raise GeometryError(f"it holds a length of {np.abs(affine_mm[:3]).max():.3g} mm")
    spacing = np.linalg.norm(affine_mm[:3, :3], axis=0)
    if spacing.min() < _SPACING_RANGE_MM[0] or spacing.max() > _SPACING_RANGE_MM[1]:
        raise GeometryError("it gives a voxel of " + " x ".join(f"{s:.4g}" for s in spacing) + " mm")
    try:
        return Grid(shape, affine_mm)
    except GeometryError:
        raise GeometryError("its axes do not span space") from None


def says_synthetic(*texts: str) -> bool:
    """Tell whether a text of the metadata marks the image as synthetic.

    Examples
    --------
    >>> says_synthetic("SYNTHETIC medgan"), says_synthetic("photosynthetic")
    (True, False)
    """
    return any(re.search(r"(?i)(?<![a-z])synthetic(?![a-z])", text) for text in texts)
