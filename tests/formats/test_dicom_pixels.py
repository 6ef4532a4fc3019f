"""Stored bits to numbers, numbers to values, and decoders that cannot harm their caller."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from dicom_phantoms import coded, mr, series_of

from medgan.formats import dicom_volume, open_image, take_inventory
from medgan.formats.decoder_process import DecoderPool
from medgan.formats.dicom_codec import coded_shape, missing_decoder, name_of
from medgan.formats.dicom_file import PixelLayout
from medgan.formats.dicom_pixels import stored_numbers
from medgan.formats.dicom_volume import lowest_as_padding
from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.dicom_header_faults import AlteredElement
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import Compressed
from medgan.volume import Quantity

LAYOUT = PixelLayout("1.2.840.10008.1.2.1", True, None, 0, None, 1, 1, 1, 1, "MONOCHROME2", 16, 12, 11, False, None)


@pytest.mark.parametrize(
    ("stored", "high", "signed", "expected"),
    [
        (12, 11, False, [0x123, 0xFFF, 0x800, 0]),
        (12, 11, True, [0x123, -1, -2048, 0]),
        (12, 15, False, [0x0F12, 0x0FFF, 0x0F80, 0x0F00]),
        (12, 15, True, [-0xEE, -1, -128, -256]),
        (16, 15, False, [0xF123, 0xFFFF, 0xF800, 0xF000]),
        (16, 15, True, [-0xEDD, -1, -2048, -4096]),
        (1, 0, False, [1, 1, 0, 0]),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_bits_outside_of_the_number_are_removed_and_signs_extended(stored, high, signed, expected, order):
    bits = np.array([[0xF123, 0xFFFF, 0xF800, 0xF000]], f"{order}u2")
    layout = replace(LAYOUT, bits_stored=stored, high_bit=high, is_signed=signed)
    found = stored_numbers(bits, layout)
    assert found.astype(int).tolist() == [expected]
    assert found.dtype.isnative


@pytest.mark.parametrize("kind", [np.uint8, np.uint32])
def test_other_widths(kind):
    bits = np.array([[255, 128, 5]], kind)
    width = bits.itemsize * 8
    layout = replace(LAYOUT, bits_allocated=width, bits_stored=width, high_bit=width - 1, is_signed=True)
    assert stored_numbers(bits, layout).tolist() == ([[-1, -128, 5]] if kind is np.uint8 else [[255, 128, 5]])


def test_a_decoder_of_the_jpeg_family_gives_numbers_not_bits():
    wide = np.array([[5000]], np.uint16)
    assert stored_numbers(wide, LAYOUT, keeps_high_bits=True).tolist() == [[5000]]
    assert stored_numbers(wide, LAYOUT).tolist() == [[5000 & 0xFFF]]
    negative = np.array([[0xFFF]], np.uint16)
    assert stored_numbers(negative, replace(LAYOUT, is_signed=True), keeps_high_bits=True).tolist() == [[-1]]


def test_padding_that_tissue_has_as_well_is_told_and_kept(tmp_path):
    series = series_of(AlteredElement("PixelPaddingValue", 1024))
    write_series(series, tmp_path)
    read = open_image(tmp_path)
    np.testing.assert_array_equal(np.sort(read.volume.array.ravel()), np.sort(series.truth[0].array.ravel()))
    assert read.notices == ("The padding value of the header means 0 HU, which tissue has as well: it was ignored.",)


def test_padding_of_an_mr_becomes_no_signal(tmp_path):
    write_series(series_of(AlteredElement("PixelPaddingValue", 7), volume=mr()), tmp_path)
    read = open_image(tmp_path)
    assert not (read.volume.array == 7).any()
    assert read.notices == ("1 voxels are padding, not measured: they were set to 0.",)


def test_only_a_common_lowest_value_below_air_is_padding():
    array = np.full((4, 20, 20), -1000.0, np.float32)
    array[0] = -3024
    assert lowest_as_padding(array, Quantity.HOUNSFIELD) == 400
    assert array.min() == -1024
    noise = np.linspace(-1100, 50, 1600, dtype=np.float32).reshape(4, 20, 20)
    assert lowest_as_padding(noise.copy(), Quantity.HOUNSFIELD) == 0
    assert lowest_as_padding(np.full((2, 2, 2), -5000, np.float32), Quantity.MR_SIGNAL) == 0


def test_values_are_float32_and_no_wider_copy_of_the_volume_is_made(tmp_path):
    import tracemalloc

    series = series_of(volume=coded(shape=(128, 128, 64)))
    write_series(series, tmp_path)
    (item,) = take_inventory([tmp_path]).items
    item.read()
    tracemalloc.start()
    read = item.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read.volume.array.dtype == np.float32
    assert peak < 1.6 * read.volume.array.nbytes


@pytest.mark.parametrize("code", ["rle", "jpeg-2000", "jpeg-ls", "jpeg-lossless"])
def test_many_frames_are_decoded_in_parallel_to_the_same_values(tmp_path, code, monkeypatch):
    monkeypatch.setattr(dicom_volume, "_SLICES_A_THREAD", 2)
    series = series_of(Enhanced(is_shuffled=True), Compressed(code), volume=coded(shape=(9, 7, 12)))
    write_series(series, tmp_path)
    read = open_image(tmp_path)
    np.testing.assert_array_equal(np.sort(read.volume.array.ravel()), np.sort(series.truth[0].array.ravel()))


OPTIONS = {
    "transfer_syntax": "1.2.840.10008.1.2.5",
    "rows": 4,
    "columns": 5,
    "samples_per_pixel": 1,
    "photometric_interpretation": "MONOCHROME2",
    "bits_allocated": 16,
    "bits_stored": 16,
    "pixel_representation": 0,
    "number_of_frames": 1,
    "pixel_keyword": "PixelData",
}


def rle_frame(value: int) -> bytes:
    header = np.array([2, 64, 68, *[0] * 13], "<u4").tobytes()
    return header + bytes([256 - 19, value >> 8, 0, 0]) + bytes([256 - 19, value & 255, 0, 0])


def test_a_decoder_answers_refuses_and_goes_on():
    with DecoderPool(1) as decoders:
        good = decoders.decoded(rle_frame(513), OPTIONS)
        assert good.ravel().tolist() == [513] * 20
        assert decoders.decoded(b"damaged", OPTIONS) is None
        assert decoders.decoded(rle_frame(7), OPTIONS).ravel().tolist() == [7] * 20


def test_a_decoder_that_dies_is_replaced(monkeypatch):
    with DecoderPool(1) as decoders:
        assert decoders.decoded(rle_frame(1), OPTIONS) is not None
        decoders._all[0]._process.kill()
        decoders._all[0]._process.wait()
        assert decoders.decoded(rle_frame(2), OPTIONS) is not None
        # Dead without being known to be, as when it crashes over a frame: that frame is lost, the next one is not.
        decoders._all[-1]._process.kill()
        with monkeypatch.context() as context:
            context.setattr("medgan.formats.decoder_process._DecoderProcess.is_alive", True)
            assert decoders.decoded(rle_frame(3), OPTIONS) is None
        assert decoders.decoded(rle_frame(4), OPTIONS) is not None
    assert all(not process.is_alive for process in decoders._all)


@pytest.mark.parametrize(("name", "seconds"), [("LONGEST_START_SECONDS", 0.01), ("LONGEST_FRAME_SECONDS", -1.0)])
def test_a_decoder_that_takes_too_long_is_ended(monkeypatch, name, seconds):
    class Punctual(threading.Timer):
        """Whoever starts a short one waits until it has run, so that no decoder is faster."""

        def start(self) -> None:
            super().start()
            if self.interval < 1:
                self.join()

    with DecoderPool(1) as decoders, monkeypatch.context() as context:
        context.setattr(f"medgan.formats.decoder_process.{name}", seconds)
        context.setattr("medgan.formats.decoder_process.threading.Timer", Punctual)
        assert decoders.decoded(rle_frame(1), OPTIONS) is None
        assert not decoders._all[0].is_alive


def test_a_missing_decoder_is_named(monkeypatch):
    assert missing_decoder("1.2.840.10008.1.2.4.90") is None
    assert "unknown transfer syntax" in missing_decoder("1.2.3.4")
    assert "unknown transfer syntax" in missing_decoder("evil name")
    assert "MPEG" in missing_decoder("1.2.840.10008.1.2.4.100")
    assert "more than 8 bits" in missing_decoder("1.2.840.10008.1.2.4.51", 12)

    class Unavailable:
        is_available = False

    monkeypatch.setattr("pydicom.pixels.get_decoder", lambda uid: Unavailable())
    for syntax, package in (
        ("1.2.840.10008.1.2.4.70", "python-gdcm"),
        ("1.2.840.10008.1.2.4.80", "pyjpegls"),
        ("1.2.840.10008.1.2.4.90", "pylibjpeg-openjpeg"),
        ("1.2.840.10008.1.2.4.201", "pylibjpeg-openjpeg"),
    ):
        assert missing_decoder(syntax).endswith(f"need the package {package}") or package in missing_decoder(syntax)
        assert name_of(syntax) in missing_decoder(syntax)


@pytest.mark.parametrize("code", ["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg-2000"])
def test_a_compressed_frame_says_its_size(tmp_path, code):
    from io import BytesIO

    import pydicom
    from pydicom.encaps import get_frame

    from medgan.phantoms.dicom_slices import PixelForm

    volume = coded(Quantity.MR_SIGNAL, most=200)
    series = series_of(Compressed(code), volume=volume, pixel_form=PixelForm(8 if code == "jpeg" else 16))
    dataset = pydicom.dcmread(BytesIO(series.slices[0].as_bytes))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert coded_shape(frame, dataset.file_meta.TransferSyntaxUID) == (dataset.Rows, dataset.Columns)
    assert coded_shape(b"", dataset.file_meta.TransferSyntaxUID) is None
    assert coded_shape(frame[:6], dataset.file_meta.TransferSyntaxUID) is None


def test_a_frame_larger_than_the_header_says_is_refused_before_it_is_decoded(tmp_path):
    series = series_of(Compressed("jpeg-2000"))
    files = write_series(series, tmp_path)
    data = files[2].read_bytes()
    at = data.index(b"\xff\x4f\xff\x51") + 8
    files[2].write_bytes(data[:at] + (60000).to_bytes(4, "big") * 2 + data[at + 8 :])
    (item,) = take_inventory([tmp_path]).items
    from medgan.errors import FormatError

    with pytest.raises(FormatError, match=r"IM_0003\.dcm: the compressed image is 60000 x 60000 pixels"):
        item.read()
