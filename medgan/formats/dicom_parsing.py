"""From the bytes of a file to its DICOM header and the place of its pixels, in bounded memory and without guessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from isal import isal_zlib
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag

from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_header import Header

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

LONGEST_HEADER = 1 << 26
"""Bytes before the pixels that are looked through: 64 MiB, ten times what the largest multi-frame headers need."""

_PREAMBLE = 128
_MAGIC = b"DICM"
_READ: list[BaseTag | int] = [*tags.READ]
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}


@dataclass(frozen=True, eq=False)
class ParsedFile:
    """What the beginning of a file says.

    Parameters
    ----------
    header : Header
        Of the data set, with the elements of the file meta information.
    transfer_syntax : str
        UID as stated; as found where the file states none.
    is_little_endian : bool
    pixel_tag : int or None
        Which attribute holds pixels, None where the data end without.
    pixel_offset : int
        Where the pixels begin, in the data set after inflation.
    pixel_length : int or None
        Their bytes as declared; None where the length is left open, as it is for compressed pixels.
    is_complete : bool
        Whether the header was seen to its end; more bytes are needed otherwise.
    """

    header: Header
    transfer_syntax: str
    is_little_endian: bool
    pixel_tag: int | None
    pixel_offset: int
    pixel_length: int | None
    is_complete: bool


def is_marked_dicom(head: bytes) -> bool:
    """Tell whether a file that begins so says that it is DICOM."""
    return head[_PREAMBLE : _PREAMBLE + 4] == _MAGIC


def begins_as_dicom(head: bytes) -> bool:
    """Tell whether a file that begins so is DICOM: by its magic, or by a first element that only DICOM begins with."""
    if is_marked_dicom(head):
        return True
    # Files of the ACR-NEMA age, and data sets saved bare, begin with an element of group 2 or 8.
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    if group not in (0x0002, 0x0008) or element > 0x0020 or len(head) < 12:
        return False
    is_explicit = head[4:6].isalpha() and head[4:6].isupper()
    return is_explicit or int.from_bytes(head[4:8], "little") <= 64


def parsed(data: bytes, *, is_whole: bool) -> ParsedFile:
    """Parse the beginning of a file.

    Parameters
    ----------
    data : bytes
        First bytes of the file.
    is_whole : bool
        Whether that is all of it.

    Notes
    -----
    Byte order and explicit or implicit value representation are taken from the bytes themselves, as they are
    sometimes stated wrong. pydicom reads the elements; those not in :data:`medgan.formats.dicom_tags.READ` are skipped.
    Damage ends the reading: what was read until there is returned.
    """
    stream = BytesIO(data)
    stream.seek(_PREAMBLE + 4 if is_marked_dicom(data) else 0)
    meta, _ = _elements(stream, False, True, _is_past_meta)
    stated = Header(Dataset(meta)).text(tags.TRANSFER_SYNTAX)
    if stated == DEFLATED:
        stream = BytesIO(inflated(data[stream.tell() :], LONGEST_HEADER if is_whole else 4 * len(data)))
    is_implicit, is_little = _encoding(stream)
    elements, is_sound = _elements(stream, is_implicit, is_little, _is_at_pixels, _READ)
    tag, offset, length = _pixels(stream, is_implicit, is_little)
    found = EXPLICIT if is_little else BIG_ENDIAN
    return ParsedFile(
        header=Header(Dataset({**meta, **elements})),
        transfer_syntax=stated or (IMPLICIT if is_implicit else found),
        is_little_endian=is_little,
        pixel_tag=tag,
        pixel_offset=offset,
        pixel_length=length,
        is_complete=tag is not None or (is_whole and is_sound),
    )


def inflated(data: bytes, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a raw deflate stream; what is damaged is missing at the end."""
    decoder = isal_zlib.decompressobj(wbits=-15)
    try:
        return bytes(decoder.decompress(data, limit))
    except Exception:
        # The error class of isal is an instance in its stubs and a class at run time.
        return b""


def dataset_bytes(data: bytes, transfer_syntax: str, limit: int) -> bytes:
    """Return the bytes that ``pixel_offset`` counts in: the file, or its inflated data set."""
    if transfer_syntax != DEFLATED:
        return data
    stream = BytesIO(data)
    stream.seek(_PREAMBLE + 4 if is_marked_dicom(data) else 0)
    _elements(stream, False, True, _is_past_meta)
    return inflated(data[stream.tell() :], limit)


def _is_past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.real >> 16 != 2


def _is_at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.real >= tags.FLOAT_PIXELS


def _encoding(stream: BytesIO) -> tuple[bool, bool]:
    at = stream.tell()
    first = stream.read(6)
    stream.seek(at)
    is_explicit = first[4:6].isalpha() and first[4:6].isupper()
    # The first group of a data set is 8 or a little more; swapped it would be 2048 or more.
    is_little = int.from_bytes(first[:2], "little") <= int.from_bytes(first[:2], "big")
    return not is_explicit, is_little


def _elements(
    stream: BytesIO,
    is_implicit: bool,
    is_little: bool,
    stop: Callable[[BaseTag, str | None, int], bool],
    wanted: list[BaseTag | int] | None = None,
) -> tuple[dict[BaseTag, RawDataElement | DataElement], bool]:
    """Return the elements until ``stop``, and whether none of them was damaged."""
    found: dict[BaseTag, RawDataElement | DataElement] = {}
    try:
        for element in data_element_generator(stream, is_implicit, is_little, stop, specific_tags=wanted):
            found[element.tag] = element
    except Exception:
        # Damaged bytes make pydicom raise almost anything: OSError, struct.error, UnicodeDecodeError, RecursionError.
        return found, False
    return found, True


def _pixels(stream: BytesIO, is_implicit: bool, is_little: bool) -> tuple[int | None, int, int | None]:
    """Return tag, offset and length of the pixels that the stream stands before."""
    order = "little" if is_little else "big"
    start = stream.read(12)
    tag = (int.from_bytes(start[:2], order) << 16) | int.from_bytes(start[2:4], order)  # type: ignore[arg-type]
    if len(start) < 8 or tag not in (tags.PIXELS, tags.FLOAT_PIXELS, tags.DOUBLE_PIXELS):
        return None, 0, None
    at = stream.tell() - len(start)
    is_long = not is_implicit and start[4:6] in _LONG
    field = start[8:12] if is_long else (start[4:8] if is_implicit else start[6:8])
    length = int.from_bytes(field, order)  # type: ignore[arg-type]
    return tag, at + (12 if is_long else 8), None if length == 0xFFFFFFFF else length
