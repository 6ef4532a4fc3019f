"""One DICOM file after its header was read: what its pixels need, and a name for messages."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_header import Header
from medgan.formats.dicom_object import (
    is_dicom_object,
    is_directory,
    is_image,
    is_mosaic,
    modality_of,
    other_kind,
)
from medgan.formats.dicom_parsing import LONGEST_HEADER, begins_as_dicom, is_marked_dicom, parsed
from medgan.formats.finding import RADIOGRAPH
from medgan.formats.pseudonym import PatientIdentity
from medgan.formats.stored_file import StoredFile

FIRST_READ = 1 << 15
"""Bytes of a file that are read at first: enough for most headers, little enough for thousands of files."""
_LONG_PART, _LONG_NUMBER = 4, 6


@dataclass(frozen=True)
class PixelLayout:
    """How the pixels of a file are stored.

    Parameters
    ----------
    transfer_syntax : str
    is_little_endian : bool
    tag : int or None
        Attribute that holds them.
    offset : int
        Their first byte in the data set.
    length : int or None
        Bytes as declared, None where left open.
    rows, columns, frames, samples : int or None
        None where the header does not say.
    photometric : str
    bits_allocated, bits_stored, high_bit : int or None
    is_signed : bool
    padding : tuple of two int, or None
        Lowest and highest stored number that stands for no measurement.
    """

    transfer_syntax: str
    is_little_endian: bool
    tag: int | None
    offset: int
    length: int | None
    rows: int | None
    columns: int | None
    frames: int | None
    samples: int | None
    photometric: str
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    is_signed: bool
    padding: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A file with its header.

    Parameters
    ----------
    stored : StoredFile
    label : str
        Name for messages: the file's own, or an ordinal where that would repeat an identity.
    header : Header
    pixels : PixelLayout
    modality : str or None
    other : str or None
        What the object is if it is no slice of a volume.
    """

    stored: StoredFile
    label: str
    header: Header
    pixels: PixelLayout
    modality: str | None
    other: str | None

    @property
    def identity(self) -> frozenset[str]:
        """Words of the header that identify a person."""
        texts = (self.header.data(tag) or b"" for tag in tags.IDENTITY)
        return frozenset(
            word
            for data in texts
            for encoding in ("utf-8", "latin-1")
            for word in _words(data.decode(encoding, "ignore"))
        )

    @property
    def patient(self) -> PatientIdentity:
        """Of whom the image is."""
        return PatientIdentity(self.header.text(tags.PATIENT_ID), self.header.text(tags.STUDY_INSTANCE))

    def labeled(self, ordinal: int, identity: Collection[str]) -> DicomFile:
        """Return the file with a label that repeats no word of ``identity``: an ordinal where its name would."""
        return replace(self, label=safe_label(self.stored.name, ordinal, identity))


def safe_label(name: str, ordinal: int, identity: Collection[str]) -> str:
    """Return a file name for messages, or an ordinal where the name shares a word, or a part of one, with an identity.

    Examples
    --------
    >>> safe_label("IM_0041.dcm", 41, {"doe", "jane"}), safe_label("doe_041.dcm", 41, {"doe", "jane"})
    ('IM_0041.dcm', 'file 0041')
    """
    words = _words(name)
    joined = "".join(words)
    parts = [word for word in words if len(word) >= _LONG_PART and word.isalpha()]
    is_told = any(
        word in words
        # Digits of several numbers in a row hold any short number by chance.
        or (len(word) >= (_LONG_PART if word.isalpha() else _LONG_NUMBER) and word in joined)
        or any(part in word for part in parts)
        for word in identity
    )
    return f"file {ordinal:04d}" if is_told else name


def opened_dicom(stored: StoredFile, *, first_read: int = FIRST_READ) -> DicomFile | None:
    """Read the header of a file, or return None if it is no DICOM.

    Parameters
    ----------
    stored : StoredFile
    first_read : int
        Bytes that are read at first: all of the file where tables of grays before the pixels are wanted.

    Raises
    ------
    FormatError
        If the file is DICOM, or may be, and cannot be read.
    """
    size = first_read
    while True:
        data = stored.head(size)
        if not begins_as_dicom(data):
            return None
        found = parsed(data, is_whole=len(data) < size or size >= stored.size)
        header = found.header
        other = other_kind(header)
        is_enough = found.is_complete or len(data) < size or size >= LONGEST_HEADER
        if is_enough or (other not in (None, "localizer", RADIOGRAPH) and size > first_read):
            break
        size *= 4
    if is_directory(header):
        return None
    if not is_dicom_object(header):
        if not is_marked_dicom(data):
            return None
        raise FormatError("The header is damaged: it names neither a class nor a modality. Copy the file again.")
    if other is None and not is_image(header):
        other = "other"
    if not is_mosaic(header):
        # Siemens writes its own header, a hundred kilobytes, into every file; only mosaics need it.
        header = header.without(tags.CSA_IMAGE_HEADER)
    layout = _pixel_layout(header, found.transfer_syntax, found.is_little_endian)
    layout = replace(layout, tag=found.pixel_tag, offset=found.pixel_offset, length=found.pixel_length)
    return DicomFile(stored, stored.name, header, layout, modality_of(header), other)


def _pixel_layout(header: Header, transfer_syntax: str, is_little_endian: bool) -> PixelLayout:
    bits_stored = header.whole(tags.BITS_STORED)
    high_bit = header.whole(tags.HIGH_BIT)
    is_signed = header.whole(tags.PIXEL_REPRESENTATION) == 1
    return PixelLayout(
        transfer_syntax=transfer_syntax,
        is_little_endian=is_little_endian,
        tag=None,
        offset=0,
        length=None,
        rows=header.whole(tags.ROWS),
        columns=header.whole(tags.COLUMNS),
        frames=header.whole(tags.FRAMES),
        samples=header.whole(tags.SAMPLES),
        photometric=header.text(tags.PHOTOMETRIC).upper(),
        bits_allocated=header.whole(tags.BITS_ALLOCATED),
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None and bits_stored else high_bit,
        is_signed=is_signed,
        padding=_padding(header, is_signed, is_little_endian),
    )


def _padding(header: Header, is_signed: bool, is_little_endian: bool) -> tuple[int, int] | None:
    """Return the range of padding; its bits are read as the pixels' are, whatever representation it is stated in."""
    ends = []
    for tag in (tags.PADDING_VALUE, tags.PADDING_LIMIT):
        data = header.data(tag)
        if data is not None and len(data) in (2, 4):
            ends.append(int.from_bytes(data, "little" if is_little_endian else "big", signed=is_signed))
    return (min(ends), max(ends)) if ends and header.data(tags.PADDING_VALUE) else None


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text.lower()) if len(word) >= 2]
