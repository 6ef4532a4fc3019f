"""One planned DICOM file: a header and stored pixels that become bytes, correct or damaged in a chosen way."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.phantoms.pixel_codec import encoded_frame

if TYPE_CHECKING:
    from pydicom import Dataset

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED)
"""Transfer syntaxes whose pixels are not compressed."""

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class RawFile:
    """A file that is no DICOM object, or one damaged beyond a plan: a name and its bytes."""

    name: str
    data: bytes

    @property
    def as_bytes(self) -> bytes:
        """Content of the file."""
        return self.data


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file as planned, not yet written.

    Parameters
    ----------
    name : str
        Path below the folder, with ``/`` between parts.
    dataset : pydicom.Dataset
        Header without pixels. Shared between files that differ little: never changed in place.
    pixels : (frames, rows, columns) or (frames, rows, columns, 3), optional
        Stored integers, uint8, uint16 or int16, bits above BitsStored included. None for an object without pixels.
    syntax : str
        UID of the transfer syntax.
    meta : mapping
        Elements of the file meta information by keyword that replace the correct ones; None leaves one out.
    preamble : 128 bytes
    lost_pixel_bytes : int
        Bytes that the pixel element lacks at its end, with a length that says so.
    lost_file_bytes : int
        Bytes that the file lacks at its end.
    faults : tuple of str
        Names of the faults that touched this file.
    """

    name: str
    dataset: Dataset
    pixels: Pixels | None
    syntax: str = EXPLICIT_LITTLE
    meta: Mapping[str, Any] = field(default_factory=dict)
    preamble: bytes = bytes(128)
    lost_pixel_bytes: int = 0
    lost_file_bytes: int = 0
    faults: tuple[str, ...] = ()

    def with_elements(self, **elements: Any) -> DicomFile:
        """Return the file with header elements set by keyword; nothing checks that a value is valid."""
        dataset = copied(self.dataset)
        for keyword, value in elements.items():
            set_element(dataset, keyword, value)
        return replace(self, dataset=dataset)

    def without(self, *keywords: str) -> DicomFile:
        """Return the file without some header elements."""
        dataset = copied(self.dataset)
        for keyword in keywords:
            if keyword in dataset:
                delattr(dataset, keyword)
        return replace(self, dataset=dataset)

    def with_private(self, group: int, creator: str, elements: Mapping[int, tuple[str, Any]]) -> DicomFile:
        """Return the file with a private block: element number in the block to VR and value."""
        dataset = copied(self.dataset)
        block = dataset.private_block(group, creator, create=True)
        for number, (vr, value) in elements.items():
            block.add_new(number, vr, value)
        return replace(self, dataset=dataset)

    def touched(self, fault: object) -> DicomFile:
        """Return the file marked as touched by a fault."""
        return replace(self, faults=(*self.faults, type(fault).__name__))

    @property
    def as_bytes(self) -> bytes:
        """Content of the file, the same for the same plan."""
        with _taken_literally():
            return _file_bytes(self)


def copied(dataset: Dataset) -> Dataset:
    """Return a data set with the same elements; replacing one in the copy leaves the original alone."""
    from pydicom import Dataset as NewDataset

    copy = NewDataset()
    copy.update(dataset)
    return copy


@contextmanager
def _taken_literally() -> Iterator[None]:
    """Keep pydicom from judging and from correcting what is wrong on purpose."""
    from pydicom import config

    replaces = config.replace_un_with_known_vr
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.replace_un_with_known_vr = False
        try:
            yield
        finally:
            config.replace_un_with_known_vr = replaces


def set_element(dataset: Dataset, keyword: str, value: Any, *, vr: str | None = None) -> None:
    """Put an element into a data set without any check of its value, replacing one that is there."""
    from pydicom import DataElement, config
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    vr = vr or dictionary_VR(tag)
    if vr == "US or SS":
        vr = "SS" if dataset.get("PixelRepresentation") else "US"
    try:
        # A new element: assigning to an existing one would change every data set that shares it.
        with _taken_literally():
            dataset.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))
    except ValueError:
        # Text where a number belongs: kept as it is.
        text = "\\".join([value] if isinstance(value, str) else map(str, value)).encode()
        data = text + b" " * (len(text) % 2)
        dataset[Tag(tag)] = RawDataElement(Tag(tag), vr, len(data), data, 0, False, True)


def decimal(number: float) -> str:
    """Return a decimal string of at most 16 characters, as precise as that allows.

    Examples
    --------
    >>> decimal(1 / 3), decimal(-120)
    ('0.33333333333333', '-120.0')
    """
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(number) + 0.0)  # no negative zero


def _file_bytes(file: DicomFile) -> bytes:
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset

    dataset = copied(file.dataset)
    if file.pixels is not None:
        _put_pixels(dataset, file)
    meta = FileMetaDataset()
    elements = {
        "FileMetaInformationGroupLength": 0,
        "FileMetaInformationVersion": b"\x00\x01",
        "MediaStorageSOPClassUID": dataset.get("SOPClassUID", ""),
        "MediaStorageSOPInstanceUID": dataset.get("SOPInstanceUID", ""),
        "TransferSyntaxUID": file.syntax,
        "ImplementationClassUID": "1.2.826.0.1.3680043.8.498.1",
        **file.meta,
    }
    for keyword, value in elements.items():
        if value is not None:
            set_element(meta, keyword, value)
    dataset.file_meta = meta
    dataset.preamble = file.preamble
    stream = io.BytesIO()
    dcmwrite(
        stream,
        dataset,
        implicit_vr=file.syntax == IMPLICIT_LITTLE,
        little_endian=file.syntax != EXPLICIT_BIG,
        force_encoding=True,
        enforce_file_format=False,
    )
    data = stream.getvalue()
    return data[: len(data) - file.lost_file_bytes]


def _put_pixels(dataset: Dataset, file: DicomFile) -> None:
    from pydicom import DataElement
    from pydicom.encaps import encapsulate

    stored = np.ascontiguousarray(file.pixels)
    if file.syntax in NATIVE:
        order = stored.dtype.newbyteorder(">" if file.syntax == EXPLICIT_BIG else "<")
        data = stored.astype(order).tobytes()
        data = data[: len(data) - file.lost_pixel_bytes]
        vr = "OB" if stored.dtype.itemsize == 1 and file.syntax != IMPLICIT_LITTLE else "OW"
        dataset.add(DataElement(0x7FE00010, vr, data + bytes(len(data) % 2)))
        return
    bits = int(dataset.get("BitsStored", 16))
    frames = [encoded_frame(frame, syntax=file.syntax, bits_stored=bits) for frame in stored]
    frames[-1] = frames[-1][: len(frames[-1]) - file.lost_pixel_bytes]
    element = DataElement(0x7FE00010, "OB", encapsulate(frames))
    element.is_undefined_length = True
    dataset.add(element)
