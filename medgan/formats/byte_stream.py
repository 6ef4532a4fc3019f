"""The decoded bytes of a file, in bounded memory: plain, gzip or zlib."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol, cast

from isal import isal_zlib

from medgan.errors import FormatError
from medgan.formats.stored_image import Compression, Segment, longer_than_declared, require_file

_CHUNK = 1 << 16
# Shorter than what an allocator takes fresh pages for, which cost as much as decoding into them.
_DECODED_CHUNK = (1 << 16) - 64
_WINDOW_BITS: dict[Compression, int] = {"gzip": 31, "zlib": 15}
GZIP_MAGIC = b"\x1f\x8b"
# The stubs of isal declare the class as an instance.
_DECODING_ERROR = cast("type[Exception]", isal_zlib.error)


class ByteStream(Protocol):
    """Anything that gives its next decoded bytes."""

    def readinto(self, view: memoryview) -> int:
        """Fill the beginning of ``view``, return how many bytes; 0 only at the end of the data."""


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """Open a regular file for reading; every operating system error becomes one sentence without a path.

    Raises
    ------
    FormatError
        If it is missing, a folder, not permitted, or fails while being read.
    """
    require_file(path)
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except PermissionError:
        raise FormatError(f"{path.name} may not be read: its permissions do not allow it.") from None
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {error.strerror or type(error).__name__}.") from None


@contextmanager
def opened_segment(segment: Segment) -> Iterator[ByteStream]:
    """Open the voxels of one segment, positioned at their first byte."""
    with opened(segment.path) as file:
        file.seek(segment.offset)
        stream = _stream(file, segment.compression, segment.path.name)
        _skip(stream, segment.skip, segment.path.name)
        yield stream


def fill(stream: ByteStream, view: memoryview, name: str) -> None:
    """Read exactly ``len(view)`` bytes.

    Raises
    ------
    FormatError
        If the data end before.
    """
    done = _read_up_to(stream, view)
    if done < len(view):
        raise FormatError(
            f"{name}: the data end early. The file is truncated, or its header is damaged: copy it again."
        )


def require_end(stream: ByteStream, name: str) -> None:
    """Raise a :class:`FormatError` if data are left; reading to the end also verifies the checksum of gzip and zlib."""
    if stream.readinto(memoryview(bytearray(1))):
        raise FormatError(longer_than_declared(name, "some"))


def read_prefix(path: Path, size: int, compression: Compression = "none") -> bytes:
    """Return the first ``size`` decoded bytes of a file, fewer where it is shorter."""
    buffer = bytearray(size)
    with opened(path) as file:
        return bytes(buffer[: _read_up_to(_stream(file, compression, path.name), memoryview(buffer))])


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stream(file: FileIO, compression: Compression, name: str) -> ByteStream:
    if compression == "none":
        return file
    return _Inflated(file, compression, name)


def _read_up_to(stream: ByteStream, view: memoryview) -> int:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            break
        done += count
    return done


def _skip(stream: ByteStream, size: int, name: str) -> None:
    scratch = memoryview(bytearray(min(size, _CHUNK)))
    while size:
        fill(stream, scratch[: min(size, len(scratch))], name)
        size -= min(size, len(scratch))


class _Inflated:
    """Decompressed bytes of a gzip file (any number of members) or of one zlib stream."""

    def __init__(self, file: FileIO, compression: Compression, name: str) -> None:
        self._file = file
        self._is_gzip = compression == "gzip"
        self._bits = _WINDOW_BITS[compression]
        self._decoder = isal_zlib.decompressobj(wbits=self._bits)
        self._name = name

    def readinto(self, view: memoryview) -> int:
        while not self._decoder.eof or self._begin_next_member():
            data = self._decoder.unconsumed_tail or self._file.read(_CHUNK)
            try:
                # Without new input the decoder may still hold output that did not fit into the last view.
                decoded = self._decoder.decompress(data, min(len(view), _DECODED_CHUNK))
            except _DECODING_ERROR as error:
                reason = "checksum" if "checksum" in str(error).lower() else "compressed data"
                raise FormatError(f"{self._name}: the {reason} is damaged. Copy the file again.") from None
            if decoded:
                view[: len(decoded)] = decoded
                return len(decoded)
            if not data and not self._decoder.eof:
                raise FormatError(f"{self._name}: the compressed data end early. The file is truncated: copy it again.")
        return 0

    def _begin_next_member(self) -> bool:
        """Tell whether another gzip member follows; zeros after the last one are padding."""
        rest = self._decoder.unused_data
        while not rest.strip(b"\0"):
            rest = self._file.read(_CHUNK)
            if not rest:
                return False
        rest = rest.lstrip(b"\0")
        rest += self._file.read(2) if len(rest) < 2 else b""
        if not self._is_gzip or not rest.startswith(GZIP_MAGIC):
            raise FormatError(f"{self._name}: bytes that are no data follow the compressed data. Copy the file again.")
        self._file.seek(-len(rest), 1)
        self._decoder = isal_zlib.decompressobj(wbits=self._bits)
        return True
