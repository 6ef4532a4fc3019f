"""One digest for an image, however many files it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from medgan.formats.byte_stream import sha256_of
from medgan.formats.dicom_directory import listed_files
from medgan.formats.file_tree import DIRECTORY_NAME, files_below
from medgan.formats.files import header_of, is_supported

_MAY_HAVE_OTHER_FILES = (".mhd", ".nhdr", ".hdr", ".img")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of what an image is read from, in hexadecimal.

    Parameters
    ----------
    path : Path
        An image file; a header with its data in other files (.mhd, .nhdr, .hdr); a folder or a DICOMDIR.

    Returns
    -------
    str
        One file: its own digest. Several, and always for a folder or a DICOMDIR: :func:`combined` of theirs. All files
        below a folder count, of the other series in it as well: the index of a series depends on them.

    Raises
    ------
    FormatError
        If a file is missing or cannot be read, or a header names none.

    Notes
    -----
    A folder's digest is what a shell gives by
    ``find -L FOLDER -type f -exec sha256sum {} + | cut -c1-64 | sort | sha256sum``.
    """
    if path.is_dir():
        return combined(sha256_of(file) for file in files_below(path) if file.is_file())
    if path.name.upper() == DIRECTORY_NAME:
        listed, _, _ = listed_files(path)
        return combined(sha256_of(file) for file in dict.fromkeys([path, *listed]))
    files: tuple[Path, ...] = (path,)
    if path.name.lower().endswith(_MAY_HAVE_OTHER_FILES) and is_supported(path):
        files = header_of(path, assume_axes=True).files
    return sha256_of(path) if len(files) == 1 else combined(map(sha256_of, files))


def combined(digests: Iterable[str]) -> str:
    """Return the SHA-256 of digests: sorted, so that names and order do not count, one a line.

    Examples
    --------
    >>> combined(["b", "a"]) == combined(["a", "b"]) != combined(["a"])
    True
    """
    return hashlib.sha256("".join(f"{digest}\n" for digest in sorted(digests)).encode()).hexdigest()
