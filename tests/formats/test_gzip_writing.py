"""Compressed files written by several threads: one member, the same bytes for any number of them, and no leftovers."""

from __future__ import annotations

import gzip
import io
import threading
import tracemalloc
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medgan.errors import OutputError
from medgan.formats import encoding, gzip_member, read_volume, write_labels, write_volume
from medgan.formats.encoding import encoded_slabs, write_gzip
from medgan.formats.gzip_member import write_member
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

SHAPE = (37, 21, 45)
INT16, FLOAT, UINT8 = np.dtype("<i2"), np.dtype("<f4"), np.dtype("<u1")
HU = np.random.default_rng(4).normal(0, 900, SHAPE).astype(np.float32)
HU.flat[:6] = [-4e4, 4e4, 0.5, 1.5, -2.5, -0.4]
LAYOUTS = {
    "C": HU,
    "F": np.asfortranarray(HU),
    "flipped": np.asfortranarray(HU[::-1, :, ::-1])[::-1, :, ::-1],
    "turned": np.ascontiguousarray(HU.transpose(1, 2, 0)).transpose(2, 0, 1),
    "part": np.pad(HU, 3)[3:-3, 3:-3, 3:-3],
}


def plainly(array, dtype):
    """Return the bytes of an array without any haste."""
    if dtype == INT16:
        array = np.clip(np.rint(array), -32768, 32767)
    return array.astype(dtype).tobytes(order="F")


@pytest.fixture(params=[1, 2, 4])
def threads(request, monkeypatch):
    monkeypatch.setattr(gzip_member, "usable_threads", lambda: request.param)
    return request.param


@pytest.fixture
def small_slabs(monkeypatch):
    """So small that these arrays have many."""
    monkeypatch.setattr(encoding, "_SLAB_BYTES", 1 << 13)
    monkeypatch.setattr(encoding, "_ROUNDED_VOXELS", 1 << 11)
    monkeypatch.setattr(gzip_member, "_PIECE_BYTES", 3000)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [INT16, FLOAT, UINT8], ids=str)
@pytest.mark.usefixtures("small_slabs")
def test_slabs_hold_the_values_whatever_their_order_in_memory(layout, dtype):
    array = LAYOUTS[layout]
    array = np.abs(array).astype(np.uint8) if dtype == UINT8 else array
    slabs = [bytes(slab) for slab in encoded_slabs(array, dtype)]
    assert len(slabs) > 3
    assert b"".join(slabs) == plainly(array, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("small_slabs")
def test_member_is_one_and_holds_head_and_values(layout, threads):
    file = io.BytesIO()
    write_gzip(file, b"the head", LAYOUTS[layout], INT16)
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(file.getvalue()) == b"the head" + plainly(HU, INT16)
    assert decoder.eof
    assert decoder.unused_data == b""


@pytest.mark.usefixtures("small_slabs")
def test_bytes_depend_on_no_number_of_threads(monkeypatch):
    written = []
    for count in (1, 2, 3, 4):
        monkeypatch.setattr(gzip_member, "usable_threads", lambda count=count: count)
        file = io.BytesIO()
        write_gzip(file, b"", HU, INT16)
        written.append(file.getvalue())
    assert len(set(written)) == 1
    assert written[0][:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


@pytest.mark.usefixtures("small_slabs", "threads")
def test_other_programs_read_what_is_written(tmp_path):
    grid = Grid.axis_aligned(SHAPE, spacing=(1, 2, 3))
    path = write_volume(Volume(HU, grid, Quantity.HOUNSFIELD), tmp_path / "ct.nii.gz")
    wanted = np.clip(np.rint(HU), -32768, 32767)
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), wanted)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0), wanted)
    np.testing.assert_array_equal(read_volume(path, quantity=Quantity.HOUNSFIELD).array, wanted)
    assert len(gzip.decompress(path.read_bytes())) == 352 + 2 * HU.size
    labels = write_labels(LabelMap((HU > 0).astype(np.uint8), grid), tmp_path / "body.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(labels))).transpose(2, 1, 0), HU > 0)


@pytest.mark.parametrize("head", [b"", b"abc"])
def test_member_without_parts_is_legal(head):
    file = io.BytesIO()
    write_member(file, head, [], part_bytes=0)
    assert gzip.decompress(file.getvalue()) == head


def test_failing_part_is_heard_and_no_thread_stays(threads):
    def broken(lent):
        raise ValueError("this part is broken")

    def sound(lent):
        lent[:] = 7
        return lent.data

    before = threading.active_count()
    with pytest.raises(ValueError, match="this part is broken"):
        write_member(io.BytesIO(), b"", [sound, sound, broken, *[sound] * 20], part_bytes=100)
    assert threading.active_count() == before


@pytest.mark.usefixtures("small_slabs", "threads")
def test_failed_writing_leaves_neither_file_nor_thread(tmp_path, monkeypatch):
    written = gzip_member._written

    def full_at_last(file, crc, size, packed):
        if size > HU.size:
            raise OSError(28, "No space left on device", "/somewhere/ct.nii.gz")
        return written(file, crc, size, packed)

    monkeypatch.setattr(gzip_member, "_written", full_at_last)
    before = threading.active_count()
    volume = Volume(HU, Grid.axis_aligned(SHAPE, spacing=(1, 1, 1)), Quantity.HOUNSFIELD)
    with pytest.raises(OutputError, match=r"^ct\.nii\.gz cannot be written: the disk is full"):
        write_volume(volume, tmp_path / "ct.nii.gz")
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == before


def test_memory_is_that_of_a_few_slabs(monkeypatch):
    monkeypatch.setattr(encoding, "_SLAB_BYTES", 1 << 17)
    monkeypatch.setattr(gzip_member, "usable_threads", lambda: 2)
    array = np.random.default_rng(0).normal(0, 200, (64, 64, 512)).astype(np.float32)

    class Nowhere(io.RawIOBase):
        def write(self, data):
            return len(data)

    tracemalloc.start()
    write_gzip(Nowhere(), b"", array, INT16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The array is 8 MB and its encoded bytes are 4 MB.
    assert peak < 2_500_000
