"""Headers are read leniently and in bounded bytes; what is no DICOM is left alone."""

from __future__ import annotations

import zlib

import numpy as np
import pydicom
import pytest
from dicom_phantoms import coded, mr, series_of
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_file import FIRST_READ, opened_dicom
from medgan.formats.dicom_header import Header
from medgan.formats.dicom_parsing import DEFLATED, begins_as_dicom, dataset_bytes, parsed
from medgan.phantoms.dicom_header_faults import AlteredElement, OtherEncoding, WithoutPreamble
from medgan.phantoms.dicom_mosaic import SiemensMosaic


class Stored:
    """A file in memory that counts what is read of it."""

    folder = "f"

    def __init__(self, data: bytes, name: str = "x.dcm") -> None:
        self.data, self.name, self.size, self.longest = data, name, len(data), 0

    def head(self, size: int) -> bytes:
        self.longest = max(self.longest, size)
        return self.data[:size]

    def content(self) -> bytes:
        raise AssertionError("the content of a file is not needed for its header")


def bytes_of(*faults, volume=None) -> bytes:
    return series_of(*faults, volume=volume).slices[0].as_bytes


@pytest.mark.parametrize(
    "faults",
    [
        (),
        (OtherEncoding("implicit"),),
        (OtherEncoding("big-endian"),),
        (OtherEncoding("deflated"),),
        (WithoutPreamble(),),
    ],
    ids=repr,
)
def test_every_encoding_gives_the_same_header(faults):
    file = opened_dicom(Stored(bytes_of(*faults)))
    plain = opened_dicom(Stored(bytes_of()))
    for tag in (tags.ROWS, tags.COLUMNS, tags.PIXEL_SPACING, tags.IMAGE_ORIENTATION, tags.IMAGE_POSITION):
        assert file.header.numbers(tag) == plain.header.numbers(tag)
    assert file.modality == "CT"
    assert file.pixels.tag == tags.PIXELS
    assert file.pixels.length == 9 * 7 * 2


def test_pixels_begin_where_they_are_said_to(rng):
    for fault in ((), (OtherEncoding("big-endian"),), (OtherEncoding("deflated"),), (OtherEncoding("implicit"),)):
        series = series_of(*fault)
        data = series.slices[0].as_bytes
        file = opened_dicom(Stored(data))
        body = dataset_bytes(data, file.pixels.transfer_syntax, 1 << 20)
        order = ">" if file.pixels.transfer_syntax.endswith("2.2") else "<"
        stored = np.frombuffer(body, f"{order}u2", 63, file.pixels.offset).reshape(7, 9)
        np.testing.assert_array_equal(stored.T - 1024.0, series.truth[0].array[:, :, 0])


def test_only_the_beginning_of_a_large_file_is_read():
    stored = Stored(bytes_of(volume=coded(shape=(512, 512, 2))))
    assert opened_dicom(stored) is not None
    assert stored.longest == FIRST_READ


def test_a_longer_header_is_read_to_its_end():
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(bytes_of()))
    dataset.add_new(0x00271001, "OB", bytes(3 * FIRST_READ))
    out = pydicom.filebase.DicomBytesIO()
    dataset.save_as(out)
    stored = Stored(out.getvalue())
    file = opened_dicom(stored)
    assert file.pixels.rows == 7
    assert FIRST_READ < stored.longest <= 16 * FIRST_READ
    assert tags.CSA_IMAGE_HEADER not in file.header.dataset


def test_siemens_own_header_is_kept_of_mosaics_alone():
    data = bytes_of(SiemensMosaic(), volume=mr())
    assert opened_dicom(Stored(data)).header.data(tags.CSA_IMAGE_HEADER)
    plain = data.replace(b"MOSAIC", b"NORMAL")
    assert opened_dicom(Stored(plain)).header.data(tags.CSA_IMAGE_HEADER) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"not dicom", bytes(132), b"\x89PNG\r\n" + bytes(300), b"\x08\x00", b"\x08\x00\x05\x00CS\x04\x00ISO "],
    ids=repr,
)
def test_junk_is_no_dicom(data):
    assert opened_dicom(Stored(data)) is None


def test_bytes_that_only_begin_like_dicom_are_junk_unless_they_say_that_they_are():
    body = b"\x08\x00\x08\x00CS\x04\x00ABCD" + bytes(50)
    assert begins_as_dicom(body)
    assert opened_dicom(Stored(body)) is None
    with pytest.raises(FormatError, match="neither a class nor a modality"):
        opened_dicom(Stored(bytes(128) + b"DICM" + body))


def test_a_directory_is_no_object():
    dataset = Dataset()
    dataset.DirectoryRecordSequence = [Dataset()]
    out = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(out, dataset, implicit_vr=False, little_endian=True)
    assert opened_dicom(Stored(bytes(128) + b"DICM" + out.getvalue())) is None


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("1.5\\2", (1.5, 2.0)),
        (" 1.50000000000000001 \\2.0 ", (1.5, 2.0)),
        ("1e400\\1", None),
        ("nan\\1", None),
        ("1,5\\2", None),
        ("1_0\\2", None),
        ("1", None),
        ("", None),
    ],
)
def test_numbers_are_finite_and_as_many_as_needed(value, numbers):
    tag = pydicom.tag.BaseTag(tags.PIXEL_SPACING)
    for vr in ("DS", None, "UN"):
        element = RawDataElement(tag, vr, len(value), value.encode() or None, 0, vr is None, True)
        assert Header(Dataset({tag: element})).numbers(tags.PIXEL_SPACING, 2) == numbers


def test_a_header_of_any_length_ends_the_reading(rng):
    data = bytes_of()
    for end in range(140, len(data), 7):
        found = parsed(data[:end], is_whole=True)
        assert found.pixel_tag in (None, tags.PIXELS)
        for tag in tags.READ:
            found.header.text(tag)
            found.header.numbers(tag)
            found.header.items(tag)


def test_a_deflate_bomb_is_not_inflated_whole():
    pad = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = pad.compress(bytes(1 << 28)) + pad.flush()
    head = bytes_of(OtherEncoding("deflated"))
    meta_end = head.index(DEFLATED.encode()) + 24
    data = head[:meta_end] + body
    found = parsed(data, is_whole=True)
    assert found.pixel_tag is None
    assert len(dataset_bytes(data, DEFLATED, 1000)) <= 1000


def test_padding_has_the_sign_of_the_pixels_whatever_it_is_stated_in():
    def padding(value: int, *, is_signed: bool):
        fault = AlteredElement("PixelPaddingValue", value)
        series = series_of(fault, AlteredElement("PixelRepresentation", int(is_signed)))
        return opened_dicom(Stored(series.slices[0].as_bytes)).pixels.padding

    assert padding(63536, is_signed=False) == (63536, 63536)
    assert padding(63536, is_signed=True) == (-2000, -2000)
