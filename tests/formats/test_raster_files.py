"""PNG and JPEG radiographs: gray of 8 or 16 bits, gray stored as color, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from radiograph_phantoms import gradient

from medgan.errors import FormatError
from medgan.formats import raster
from medgan.formats.radiograph import read_radiograph

EIGHT = gradient(top=255, kind="u1")


def read(tmp_path, image: Image.Image, name: str = "x.png", **options):
    image.save(tmp_path / name, **options)
    return read_radiograph(tmp_path / name)


def test_eight_bits_are_kept_exactly(tmp_path):
    file = read(tmp_path, Image.fromarray(EIGHT))
    np.testing.assert_allclose(file.radiograph.array, EIGHT / 127.5 - 1, atol=1e-6)
    assert file.stages[0] == {"stage": "stored", "bits": 8, "range": [0, 255], "format": "PNG"}
    assert file.notices == ()
    assert file.name == "x"
    assert file.radiograph.spacing_mm is None


def test_sixteen_bits_are_kept_exactly(tmp_path):
    stored = gradient(top=65535)
    file = read(tmp_path, Image.fromarray(stored))
    np.testing.assert_allclose(file.radiograph.array, stored / 32767.5 - 1, atol=1e-6)
    assert len(np.unique(file.radiograph.array)) > 256
    assert file.stages[0]["bits"] == 16


def test_twelve_bits_in_sixteen_look_dark_and_are_said(tmp_path):
    file = read(tmp_path, Image.fromarray(gradient(top=4095)))
    assert any("Nothing was stretched" in notice for notice in file.notices)
    assert file.radiograph.array.max() < -0.8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_gray_in_any_mode_is_the_same_radiograph(tmp_path, mode):
    gray = Image.fromarray(EIGHT if mode != "1" else np.where(EIGHT > 99, 255, 0).astype("u1"))
    file = read(tmp_path, gray.convert(mode))
    np.testing.assert_allclose(file.radiograph.array, np.asarray(gray) / 127.5 - 1, atol=1e-6)
    assert file.notices == ()


def test_the_two_real_rgba_files_are_read_as_gray(shared_data):
    folder = shared_data / "cxr" / "nih_starter_images"
    for name in ("00000100_000.png", "00001369_000.png"):
        file = read_radiograph(folder / name)
        assert file.radiograph.array.shape == (1024, 1024)
        assert file.notices == ()


def test_transparent_pixels_become_black_and_are_said(tmp_path):
    image = np.dstack([EIGHT] * 3 + [np.full_like(EIGHT, 255)])
    image[:3, :, 3] = 0
    file = read(tmp_path, Image.fromarray(image))
    assert (file.radiograph.array[:3] == -1).all()
    assert any("transparent" in notice for notice in file.notices)


def test_jpeg_is_near_and_its_chroma_is_tolerated(tmp_path):
    file = read(tmp_path, Image.fromarray(np.dstack([EIGHT] * 3)), "x.jpg", quality=95)
    np.testing.assert_allclose(file.radiograph.array, EIGHT / 127.5 - 1, atol=0.06)
    assert file.stages[0]["format"] == "JPEG"


def test_a_suffix_does_not_decide(tmp_path):
    Image.fromarray(EIGHT).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.dcm")
    assert read_radiograph(tmp_path / "x.dcm").stages[0]["format"] == "PNG"


def test_the_mark_of_a_synthetic_image_is_seen(tmp_path):
    info = PngInfo()
    info.add_text("Description", "SYNTHETIC: made by a generator")
    assert read(tmp_path, Image.fromarray(EIGHT), pnginfo=info).is_marked_synthetic
    assert not read(tmp_path, Image.fromarray(EIGHT)).is_marked_synthetic


def colored() -> Image.Image:
    image = np.dstack([EIGHT] * 3)
    image[5, 5] = (255, 0, 0)
    return Image.fromarray(image)


def test_colors_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"x\.png: .* differ by up to 255 of 255 \(limit 0\)"):
        read(tmp_path, colored())
    with pytest.raises(FormatError, match=r"color mode CMYK"):
        read(tmp_path, Image.fromarray(EIGHT).convert("CMYK"), "y.jpg")


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(EIGHT), Image.fromarray(EIGHT[::-1].copy())]
    with pytest.raises(FormatError, match="holds 2"):
        read(tmp_path, frames[0], save_all=True, append_images=frames[1:])


def test_a_turned_photograph_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(FormatError, match="turned or mirrored"):
        read(tmp_path, Image.fromarray(EIGHT), "x.jpg", exif=exif)


@pytest.mark.parametrize("keep", [60, 200])
def test_truncated_data_are_refused(tmp_path, keep):
    random = np.random.default_rng(0).integers(0, 255, (40, 40)).astype("u1")
    Image.fromarray(random).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(data[:keep])
    with pytest.raises(FormatError, match=r"x\.png: the PNG data are damaged"):
        read_radiograph(tmp_path / "x.png")


def test_sixteen_bit_color_is_refused_because_half_the_bits_would_be_lost(tmp_path):
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + b"\x12\x34" * 6))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))
    with pytest.raises(FormatError, match="colors of 16 bits"):
        read_radiograph(tmp_path / "x.png")


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "MOST_PIXELS", 400)
    with pytest.raises(FormatError, match="at most 400 pixels: found 20 x 24"):
        read(tmp_path, Image.fromarray(EIGHT))
    monkeypatch.setattr(raster, "MOST_BYTES", 50)
    with pytest.raises(FormatError, match="has at most 0 MiB"):
        read(tmp_path, Image.fromarray(EIGHT), "y.png")
