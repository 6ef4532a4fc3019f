"""Images of several blocks are decoded by a thread of its own: same values, digests, notices and refusals."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest
from stored_phantoms import gzipped, nifti_bytes

from medgan.errors import FormatError
from medgan.formats import decoding, read_image, read_labels
from medgan.volume import Quantity, Volume

SHAPE = (40, 30, 20)
CT, MR = Quantity.HOUNSFIELD, Quantity.MR_SIGNAL
NOISE = np.random.default_rng(2).integers(-1000, 2000, SHAPE).astype(np.int16)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """So small that these images have many; no thread may stay behind."""
    monkeypatch.setattr(decoding, "_BLOCK_VOXELS", 1000)
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def written(tmp_path, packed):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(packed)
    return path


def test_values_and_digest_are_those_of_the_file(tmp_path):
    path = written(tmp_path, gzipped(nifti_bytes(NOISE)))
    read = read_image(path, quantity=CT)
    np.testing.assert_array_equal(read.volume.array, NOISE)
    assert read.volume.array.dtype == np.float32
    assert not read.volume.array.flags.writeable
    assert read.volume.provenance.sources == (hashlib.sha256(path.read_bytes()).hexdigest(),)
    assert read.notices == ()


@pytest.mark.parametrize("cut", [9, 3000, 20000])
def test_truncated_file_is_refused(tmp_path, cut):
    path = written(tmp_path, gzipped(nifti_bytes(NOISE))[:-cut])
    with pytest.raises(FormatError, match=r"^scan\.nii\.gz: the compressed data end early\. The file is truncated"):
        read_image(path, quantity=CT)


def test_checksum_is_looked_at_after_the_last_block(tmp_path):
    packed = bytearray(gzipped(nifti_bytes(NOISE)))
    packed[-6] ^= 1
    with pytest.raises(FormatError, match=r"^scan\.nii\.gz: the checksum is damaged"):
        read_image(written(tmp_path, bytes(packed)), quantity=CT)


def test_damage_in_the_middle_is_refused(tmp_path):
    packed = bytearray(gzipped(nifti_bytes(NOISE)))
    packed[len(packed) // 2 : len(packed) // 2 + 400] = b"\xff" * 400
    with pytest.raises(FormatError, match=r"^scan\.nii\.gz: the (compressed data|checksum|data) "):
        read_image(written(tmp_path, bytes(packed)), quantity=CT)


def test_garbage_and_surplus_are_refused(tmp_path):
    data = nifti_bytes(NOISE)
    with pytest.raises(FormatError, match="bytes that are no data follow"):
        read_image(written(tmp_path, gzipped(data) + b"rubbish"), quantity=CT)
    with pytest.raises(FormatError, match="more than the header declares"):
        read_image(written(tmp_path, gzipped(data + b"\0\0")), quantity=CT)
    with pytest.raises(FormatError, match="the data end early"):
        read_image(written(tmp_path, gzipped(data[:-2])), quantity=CT)


def test_several_members_are_one_image(tmp_path):
    data = nifti_bytes(NOISE)
    path = written(tmp_path, b"".join(gzipped(data[first : first + 7001]) for first in range(0, len(data), 7001)))
    np.testing.assert_array_equal(read_image(path, quantity=CT).volume.array, NOISE)


def test_values_that_are_not_finite_are_replaced_in_any_block(tmp_path):
    values = NOISE.astype(np.float32)
    values[0, 0, 0], values[5, 5, 15], values[39, 29, 19] = np.nan, np.inf, -np.inf
    read = read_image(written(tmp_path, gzipped(nifti_bytes(values))), quantity=MR)
    assert read.notices == (f"3 of {values.size} voxels are NaN or infinite: they were set to 0.",)
    np.testing.assert_array_equal(read.volume.array, np.where(np.isfinite(values), values, 0))


def test_scaled_values_are_rounded_once(tmp_path):
    slope, intercept = np.float32(0.1), np.float32(-7.3)
    packed = gzipped(nifti_bytes(NOISE, scl_slope=slope, scl_inter=intercept))
    read = read_image(written(tmp_path, packed), quantity=MR)
    np.testing.assert_array_equal(read.volume.array, (NOISE * float(slope) + float(intercept)).astype(np.float32))


def test_refused_label_ends_the_reading(tmp_path):
    labels = np.abs(NOISE).astype(np.int16)
    path = written(tmp_path, gzipped(nifti_bytes(labels)))
    np.testing.assert_array_equal(read_labels(path).array, labels)
    labels[3, 4, 2] = -5
    with pytest.raises(FormatError, match=r"whole numbers from 0 on: found -5"):
        read_labels(written(tmp_path, gzipped(nifti_bytes(labels))))


def test_volume_of_a_file_is_judged_by_its_reader_alone(tmp_path, monkeypatch):
    def refuses(self):
        raise AssertionError("looked at twice")

    monkeypatch.setattr(Volume, "__post_init__", refuses)
    read_image(written(tmp_path, gzipped(nifti_bytes(NOISE))), quantity=CT)
