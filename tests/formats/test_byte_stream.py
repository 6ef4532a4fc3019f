import hashlib
import os
import tracemalloc

import pytest
from stored_phantoms import gzipped, zlibbed

from medgan.errors import FormatError
from medgan.formats.byte_stream import fill, opened, opened_segment, read_prefix, require_end, sha256_of
from medgan.formats.stored_image import Segment, says_synthetic

DATA = os.urandom(3000) + bytes(500_000) + b"the end"
SIZE = len(DATA)


def decoded(path, compression, size=SIZE, skip=0, offset=0):
    buffer = bytearray(size)
    with opened_segment(Segment(path, size, offset=offset, skip=skip, compression=compression)) as stream:
        fill(stream, memoryview(buffer), path.name)
        require_end(stream, path.name)
    return bytes(buffer)


@pytest.mark.parametrize(
    ("compression", "packed"),
    [
        ("none", DATA),
        ("gzip", gzipped(DATA)),
        ("zlib", zlibbed(DATA)),
        ("gzip", gzipped(DATA[:1000]) + gzipped(DATA[1000:])),
        ("gzip", gzipped(DATA[:1000]) + gzipped(b"") + gzipped(DATA[1000:])),
        ("gzip", gzipped(DATA) + bytes(700)),
        ("gzip", gzipped(DATA[:1000]) + bytes(513) + gzipped(DATA[1000:])),
    ],
    ids=["plain", "gzip", "zlib", "two members", "empty member", "padded", "padded members"],
)
def test_every_legal_form_gives_the_same_bytes(tmp_path, compression, packed):
    path = tmp_path / "file"
    path.write_bytes(packed)
    assert decoded(path, compression) == DATA
    assert decoded(path, compression, size=len(DATA) - 10, skip=10) == DATA[10:]
    assert read_prefix(path, 100, compression) == DATA[:100]


def test_members_that_begin_at_the_edge_of_a_read_are_found(tmp_path):
    # The first member ends one byte before a read of 2^18 bytes does, so that the next magic is cut in two.
    path = tmp_path / "file"
    noise = os.urandom(1 << 18)
    for length in range(len(noise) - 300, len(noise), 1):
        if len(gzipped(noise[:length])) == (1 << 18) - 1:
            break
    else:
        pytest.skip("this compressor gives no member of the wanted length")
    path.write_bytes(gzipped(noise[:length]) + gzipped(b"second"))
    assert decoded(path, "gzip", size=length + 6) == noise[:length] + b"second"


@pytest.mark.parametrize("compression", ["gzip", "zlib"])
@pytest.mark.parametrize("cut", [1, 4, 9, 200])
def test_truncated_data_are_refused(tmp_path, compression, cut):
    packed = gzipped(DATA) if compression == "gzip" else zlibbed(DATA)
    (tmp_path / "cut.gz").write_bytes(packed[:-cut])
    with pytest.raises(FormatError, match=r"cut\.gz: the compressed data end early"):
        decoded(tmp_path / "cut.gz", compression)


@pytest.mark.parametrize("compression", ["gzip", "zlib"])
def test_wrong_checksum_is_refused_although_all_voxels_were_decoded(tmp_path, compression):
    packed = bytearray(gzipped(DATA) if compression == "gzip" else zlibbed(DATA))
    packed[-6 if compression == "gzip" else -2] ^= 1
    (tmp_path / "bad.gz").write_bytes(packed)
    with pytest.raises(FormatError, match=r"bad\.gz: the checksum is damaged"):
        decoded(tmp_path / "bad.gz", compression)


def test_damaged_codes_are_refused(tmp_path):
    packed = bytearray(gzipped(DATA))
    packed[12:40] = b"\xff" * 28
    (tmp_path / "bad.gz").write_bytes(packed)
    with pytest.raises(FormatError, match=r"bad\.gz"):
        decoded(tmp_path / "bad.gz", "gzip")


@pytest.mark.parametrize("compression", ["gzip", "zlib"])
def test_garbage_behind_the_data_is_refused(tmp_path, compression):
    packed = gzipped(DATA) if compression == "gzip" else zlibbed(DATA)
    (tmp_path / "tail.gz").write_bytes(packed + b"rubbish")
    with pytest.raises(FormatError, match="bytes that are no data follow"):
        decoded(tmp_path / "tail.gz", compression)


@pytest.mark.parametrize(("compression", "packed"), [("none", DATA), ("gzip", gzipped(DATA))])
def test_more_data_than_declared_are_refused(tmp_path, compression, packed):
    (tmp_path / "long").write_bytes(packed)
    with pytest.raises(FormatError, match="more than the header declares"):
        decoded(tmp_path / "long", compression, size=len(DATA) - 1)


def test_bomb_is_read_in_bounded_memory(tmp_path):
    # 50 MB of zeros in about 50 kB; 1000 bytes are declared.
    (tmp_path / "bomb.gz").write_bytes(gzipped(bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(FormatError, match="more than the header declares"):
        decoded(tmp_path / "bomb.gz", "gzip", size=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_declared_size_beyond_any_deflate_ratio_is_refused_before_reading(tmp_path):
    path = tmp_path / "small.gz"
    path.write_bytes(gzipped(bytes(1_000_000)))
    held = path.stat().st_size
    Segment(path, 1_000_000, compression="gzip").require_plausible()
    with pytest.raises(FormatError, match=rf"1000000000000 bytes of voxels, more than {held} compressed"):
        Segment(path, 10**12, compression="gzip").require_plausible()


def test_digest_is_of_the_stored_bytes(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/home/someone/x"), "may not be read: its permissions"),
        (OSError(5, "Input/output error", "/home/someone/x"), "cannot be read: Input/output error"),
    ],
)
def test_system_errors_become_one_sentence_without_a_path(tmp_path, monkeypatch, error, sentence):
    path = tmp_path / "x.nii"
    path.write_bytes(b"x")

    def refuses(self, *args, **kwargs):
        raise error

    monkeypatch.setattr("pathlib.Path.open", refuses)
    with pytest.raises(FormatError, match=rf"^x\.nii {sentence}") as caught, opened(path):
        pass
    assert "/home" not in str(caught.value)


@pytest.mark.parametrize("text", ["SYNTHETIC medgan", "a synthetic CT", "synthetic", "by_Synthetic_1"])
def test_synthetic_mark_is_found(text):
    assert says_synthetic("", text)


@pytest.mark.parametrize("text", ["", "FSL5.0", "photosynthetic", "synthetics"])
def test_synthetic_mark_is_not_invented(text):
    assert not says_synthetic(text)
