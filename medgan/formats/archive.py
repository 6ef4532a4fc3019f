"""Zip archives, read in place: no member is ever written to disk under a name of its own."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePosixPath

from isal import isal_zlib

from medgan.errors import FormatError
from medgan.formats.byte_stream import opened
from medgan.formats.stored_file import natural_key
from medgan.formats.stored_image import DEFLATE_LARGEST_RATIO

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
MOST_MEMBERS = 1_000_000
_STORED, _DEFLATED = 0, 8
_LOCAL_HEADER = 30
_CHUNK = 1 << 18


@dataclass(frozen=True)
class ArchiveMember:
    """One file inside a zip archive.

    Parameters
    ----------
    archive : Path
    inner : str
        Path inside the archive, for order and folders; never used to write.
    offset : int
        Where its local header begins.
    method : int
        0 stored, 8 deflated.
    packed_size, size : int
        Bytes before and after decompression, as declared.
    checksum : int
        CRC-32 of the content.
    """

    archive: Path
    inner: str
    offset: int
    method: int
    packed_size: int
    size: int
    checksum: int

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return PurePosixPath(self.inner).name

    @property
    def folder(self) -> str:
        """Its folder inside the archive."""
        return str(PurePosixPath(self.inner).parent)

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes, without a look at the checksum.

        Raises
        ------
        FormatError
            If the archive is damaged there.
        """
        return self._decoded(min(size, self.size))

    def content(self) -> bytes:
        """Return all bytes.

        Raises
        ------
        FormatError
            If the archive is damaged there, or the content is not what was declared.
        """
        data = self._decoded(self.size)
        if len(data) != self.size or zlib.crc32(data) != self.checksum:
            raise FormatError(f"{self.name}: the member of the archive is damaged. Copy the archive again.")
        return data

    def _decoded(self, wanted: int) -> bytes:
        if self.packed_size * DEFLATE_LARGEST_RATIO < wanted:
            raise FormatError(f"{self.name}: the archive declares more bytes than its data can hold.")
        with opened(self.archive) as file:
            file.seek(self.offset)
            local = file.read(_LOCAL_HEADER)
            if len(local) < _LOCAL_HEADER or not local.startswith(ZIP_MAGIC[0]):
                raise FormatError(f"{self.name}: the archive is damaged before this member. Copy the archive again.")
            file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), 1)
            return b"".join(self._pieces(file, wanted))

    def _pieces(self, file: FileIO, wanted: int) -> Iterator[bytes]:
        """Yield decompressed bytes until there are ``wanted`` of them, or no more."""
        decoder = isal_zlib.decompressobj(wbits=-15)
        unread = self.packed_size
        while wanted > 0 and not decoder.eof:
            data = decoder.unconsumed_tail
            if not data:
                data = file.read(min(_CHUNK, unread)) or b""
                unread -= len(data)
            try:
                piece = data[:wanted] if self.method == _STORED else decoder.decompress(data, wanted)
            except Exception:
                raise FormatError(f"{self.name}: the member of the archive is damaged. Copy it again.") from None
            if not piece and not data:
                return
            yield piece
            wanted -= len(piece)


def is_archive(head: bytes) -> bool:
    """Tell whether a file that begins so is a zip archive."""
    return head.startswith(ZIP_MAGIC)


def members_of(path: Path) -> tuple[list[ArchiveMember], list[str]]:
    """Return the files in a zip archive, and a sentence for every kind of member that is refused.

    Raises
    ------
    FormatError
        If the archive is damaged.

    Notes
    -----
    Refused are members whose name leads out of the archive (absolute, a drive, ``..``), links, encrypted members and
    compressions other than deflate.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {error.strerror or type(error).__name__}.") from None
    except Exception:
        # zipfile raises BadZipFile, but also struct and index errors on damaged directories.
        raise FormatError(f"{path.name} is a damaged zip archive: copy it again.") from None
    if len(listed) > MOST_MEMBERS:
        raise FormatError(f"{path.name} lists {len(listed)} members, more than {MOST_MEMBERS}: it is damaged.")
    members = []
    counts = {"outside": 0, "links": 0, "encrypted": 0, "packing": 0}
    for info in listed:
        fault = _fault_of(info)
        if fault is not None:
            counts[fault] += 1
        elif not info.is_dir():
            members.append(
                ArchiveMember(
                    path,
                    info.filename,
                    info.header_offset,
                    info.compress_type,
                    info.compress_size,
                    info.file_size,
                    info.CRC,
                )
            )
    sentences = {
        "outside": "have names that lead out of the archive: they are never read",
        "links": "are links: they are never followed",
        "encrypted": "are encrypted: unpack the archive first",
        "packing": "are compressed by another method than deflate: unpack the archive first",
    }
    members.sort(key=lambda member: natural_key(member.inner))
    return members, [f"{n} members of the archive {sentences[kind]}." for kind, n in counts.items() if n]


def _fault_of(info: zipfile.ZipInfo) -> str | None:
    # zipfile turns the separators of this system into slashes; other systems' are looked for as well.
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":" or "\0" in info.orig_filename:
        return "outside"
    if (info.external_attr >> 28) == 0xA:
        return "links"
    if info.flag_bits & 0x1:
        return "encrypted"
    return None if info.compress_type in (_STORED, _DEFLATED) else "packing"
