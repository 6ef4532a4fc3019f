"""A file to read from: on disk or inside an archive, seen alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medgan.formats.byte_stream import read_prefix
from medgan.formats.stored_image import file_size


class StoredFile(Protocol):
    """Bytes with a name."""

    @property
    def name(self) -> str:
        """Name of the file without its folder."""

    @property
    def folder(self) -> str:
        """Key of the folder it lies in; compared, never shown."""

    @property
    def size(self) -> int:
        """Length in bytes; of a member of an archive as it is declared."""

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes, fewer where the file is shorter; FormatError if it cannot be read."""

    def content(self) -> bytes:
        """Return all bytes; FormatError if it cannot be read."""


@dataclass(frozen=True)
class DiskFile:
    """A file on disk.

    Parameters
    ----------
    path : Path
    size : int
        Length in bytes when it was found.
    """

    path: Path
    size: int

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return self.path.name

    @property
    def folder(self) -> str:
        """Its folder."""
        return str(self.path.parent)

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes.

        Raises
        ------
        FormatError
            If it is missing, not permitted, or fails while being read.
        """
        return read_prefix(self.path, min(size, self.size))

    def content(self) -> bytes:
        """Return all bytes, as many as the file has now.

        Raises
        ------
        FormatError
            As :meth:`head`.
        """
        return read_prefix(self.path, file_size(self.path))


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts numbers within names by value.

    Examples
    --------
    >>> sorted(["s10", "s9", "S1"], key=natural_key)
    ['S1', 's9', 's10']
    """
    parts = re.findall(r"\d+|\D+", text.lower())
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)
