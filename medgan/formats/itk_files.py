"""What the two text headers of the ITK world, MetaImage and NRRD, have in common."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError, GeometryError
from medgan.formats.byte_stream import read_prefix
from medgan.formats.stored_image import file_size, placed_grid
from medgan.geometry import Grid

LONGEST_HEADER = 1 << 20
MOST_DATA_FILES = 100_000

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
"""World axes of ITK and DICOM point left, posterior, superior; medgan's right, anterior, superior."""

_MODALITIES = {"CT", "MR", "PT", "NM", "US", "CR", "DX", "XA"}


def read_header_text(path: Path) -> bytes:
    """Return the beginning of a file with a text header, at most 1 MiB.

    Raises
    ------
    FormatError
        If the file cannot be read or is empty.
    """
    head = read_prefix(path, min(LONGEST_HEADER, file_size(path)))
    if not head:
        raise FormatError(f"{path.name} is empty: copy the file again.")
    return head


def numbers(text: str, count: int, field: str, name: str) -> list[float]:
    """Return exactly ``count`` finite numbers separated by blanks.

    Raises
    ------
    FormatError
        Naming field, file and what was found.
    """
    parts = text.split()
    try:
        values = [float(part) for part in parts if "_" not in part]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise FormatError(f"{name}: {field} needs {count} finite numbers: found {_short(text)}.")
    return values


def whole_number(text: str, field: str, name: str) -> int:
    """Return one whole number.

    Raises
    ------
    FormatError
        Naming field, file and what was found.
    """
    value = numbers(text, 1, field, name)[0]
    if value != int(value) or abs(value) > 2**53:
        raise FormatError(f"{name}: {field} needs a whole number: found {_short(text)}.")
    return int(value)


def axis_lengths(text: str, axes: int, field: str, name: str) -> tuple[int, int, int]:
    """Return the three lengths of an image, positive and whole.

    Raises
    ------
    FormatError
        If there are not three axes, or a length is not a positive whole number.
    """
    lengths = numbers(text, axes, field, name)
    if min(lengths) < 1 or any(n != int(n) or n > 2**53 for n in lengths):
        raise FormatError(f"{name}: {field} needs positive whole numbers: found {_short(text)}.")
    if axes != 3:
        raise FormatError(
            f"{name}: one scalar volume has three axes: found {axes} ({_short(text)}): a slice, a series or a "
            "vector in each voxel. Extract one volume."
        )
    i, j, k = (int(n) for n in lengths)
    return i, j, k


def ras_grid(
    shape: tuple[int, int, int],
    columns: npt.NDArray[np.float64],
    origin: npt.NDArray[np.float64],
    *,
    to_ras: npt.NDArray[np.float64],
    name: str,
) -> Grid:
    """Return the grid of an image whose file has another world.

    Parameters
    ----------
    shape : (I, J, K)
    columns : (3, 3) float64
        Step to the next voxel along each axis, one a column, in the file's world, in mm.
    origin : (3,) float64
        Center of the first voxel, in the file's world, in mm.
    to_ras : (3, 3) float64
        The file's world to RAS+.
    name : str
        File name for messages.

    Raises
    ------
    FormatError
        If that is no grid, or an absurd one.
    """
    affine = np.eye(4)
    affine[:3, :3] = to_ras @ columns
    affine[:3, 3] = to_ras @ origin
    try:
        return placed_grid(shape, affine)
    except GeometryError as error:
        raise FormatError(f"{name}: the geometry of the header is unusable: {error}. Copy the file again.") from None


def file_beside(header: Path, stated: str) -> Path:
    """Return the data file that a header names, which must lie in the header's folder.

    Raises
    ------
    FormatError
        If the name leads out of the folder, or no such file is there. The message never shows a folder.
    """
    plain = stated.removeprefix("./")
    if not plain or plain in (".", "..") or re.search(r"[/\\:\0]", plain) or len(plain) > 255:
        last = _printable(re.split(r"[/\\:]", plain)[-1])
        raise FormatError(
            f"{header.name}: its data file must lie in the same folder: it names {last!r} elsewhere. Put the file "
            "beside the header and write only its name there."
        )
    data = header.with_name(plain)
    if not data.is_file():
        raise FormatError(f"{header.name}: its data file {_printable(plain)} is missing: put it beside the header.")
    return data


def numbered_names(pattern: str, first: int, last: int, step: int, wanted: int, name: str) -> list[str]:
    """Return the file names of a printf pattern such as ``slice.%03d``, numbered from ``first`` to ``last``.

    Raises
    ------
    FormatError
        If the pattern has anything but one decimal field, or the numbers are not ``wanted`` many.

    Examples
    --------
    >>> numbered_names("s.%02d", 8, 10, 1, 3, "x.nhdr")
    ['s.08', 's.09', 's.10']
    """
    if not re.fullmatch(r"[^%]*%0?\d{0,2}d[^%]*", pattern):
        raise FormatError(
            f"{name}: the pattern of its data files needs one field such as %03d: found {_short(pattern)}."
        )
    found = (last - first) // step + 1 if step else 0
    if found != wanted or wanted > MOST_DATA_FILES:
        raise FormatError(f"{name}: {wanted} data files are needed: the header numbers {found} of them.")
    return [pattern % number for number in range(first, first + step * wanted, step)]


def slice_files(header: Path, names: list[str], slices: int) -> tuple[Path, ...]:
    """Return the data files of a header that has one for each slice.

    Raises
    ------
    FormatError
        If there are not as many as slices, or as :func:`file_beside`.
    """
    if len(names) != slices:
        raise FormatError(f"{header.name}: {slices} data files are needed, one a slice: the header lists {len(names)}.")
    return tuple(file_beside(header, name) for name in names)


def modality_named(text: str | None) -> str | None:
    """Return a DICOM-like modality code if the text is one; MetaIO writes MET_MOD_CT for CT.

    Examples
    --------
    >>> modality_named("MET_MOD_MR"), modality_named("something else")
    ('MR', None)
    """
    code = (text or "").strip().upper().removeprefix("MET_MOD_")
    return code if code in _MODALITIES else None


def _short(text: str) -> str:
    """Return a value of the header for a message; anything longer than numbers need is cut."""
    return repr(text.strip()[:60])


def _printable(name: str) -> str:
    return re.sub(r"[^\w .()+-]", "?", name[:100])
