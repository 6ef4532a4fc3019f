"""PNG and JPEG radiographs of 8 or 16 bits, gray or gray stored as color."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats.byte_stream import read_prefix, sha256_of
from medgan.formats.radiograph_file import RadiographFile, normalized
from medgan.formats.stored_image import file_size
from medgan.volume import Provenance, Quantity, Radiograph

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
MOST_PIXELS = 1 << 26
"""Pixels of an image at most, as of a DICOM slice."""
MOST_BYTES = 1 << 29
MOST_CHROMA = {"PNG": 0, "JPEG": 16}
"""Color channels of a gray image may differ by this much of 255: lossy compression does not keep them equal."""
_UNUSED_SHARE = 0.26


def is_raster(head: bytes) -> bool:
    """Tell whether a file that begins so is PNG or JPEG.

    Examples
    --------
    >>> is_raster(bytes([255, 216, 255, 224])), is_raster(b"DICM")
    (True, False)
    """
    return head.startswith((_PNG, _JPEG))


def read_raster(path: Path) -> RadiographFile:
    """Read a PNG or JPEG radiograph.

    Notes
    -----
    The output range is that of the stored bits, 0 to 255 or 0 to 65535; nothing is stretched. RGB and RGBA are read
    where the channels agree, transparent pixels become black.

    Raises
    ------
    FormatError
        If the file is damaged, animated, too large, or colored.
    """
    from PIL import Image

    size = file_size(path)
    if size > MOST_BYTES:
        raise FormatError(f"{path.name}: a radiograph has at most {MOST_BYTES >> 20} MiB, this file {size >> 20}.")
    data = read_prefix(path, size)
    try:
        with warnings.catch_warnings():
            # Pillow warns about sizes and damaged metadata; both are judged here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                _require_one(image, data, path.name)
                turned = image.getexif().get(0x0112, 1) if image.format == "JPEG" else 1
                notes = " ".join(str(v) for v in image.info.values() if isinstance(v, str))
                kind = str(image.format)
                image.load()
                gray, top, notices = _gray(image, data, kind, path.name)
    except FormatError:
        raise
    except Exception:
        # Damaged data make the decoder raise almost anything: OSError, SyntaxError, ValueError, struct.error.
        raise FormatError(f"{path.name}: the {_kind_of(data)} data are damaged. Copy the file again.") from None
    if turned != 1:
        raise FormatError(
            f"{path.name}: the photograph's metadata ask for it to be turned or mirrored for display. Save it upright, "
            "with the heart on the right side of the picture."
        )
    stages = ({"stage": "stored", "bits": 8 if top == 255 else 16, "range": [0, top], "format": kind},)
    if top == 65535 and 0 < int(gray.max()) < _UNUSED_SHARE * top:
        notices.append(
            f"The largest of 16-bit values is {int(gray.max())}: the image looks dark, as 12 bits stored in 16 do. "
            "Nothing was stretched."
        )
    provenance = Provenance((sha256_of(path),), is_synthetic="SYNTHETIC" in notes.upper())
    for stage in stages:
        provenance = provenance.then("radiograph display", **stage)
    return RadiographFile(
        radiograph=Radiograph(normalized(gray, 0, top), None, Quantity.NORMALIZED, provenance),
        notices=tuple(notices),
        stages=stages,
        is_marked_synthetic=provenance.is_synthetic,
        name=path.stem,
    )


def _kind_of(data: bytes) -> str:
    return "PNG" if data.startswith(_PNG) else "JPEG"


def _require_one(image: Any, data: bytes, name: str) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise FormatError(f"{name}: a radiograph has at most {MOST_PIXELS} pixels: found {width} x {height}.")
    if getattr(image, "n_frames", 1) != 1:
        raise FormatError(f"{name}: a radiograph is one image: this file holds {image.n_frames} (an animation).")
    # IHDR: bit depth at byte 24, color type at byte 25 (2 and 6 are color). Pillow would drop the lower eight bits.
    if data.startswith(_PNG) and data[24] == 16 and data[25] & 2:
        raise FormatError(f"{name}: colors of 16 bits are not read. Save the radiograph as 16-bit gray.")


def _gray(image: Any, data: bytes, kind: str, name: str) -> tuple[npt.NDArray[Any], int, list[str]]:
    """Return gray values (H, W), their largest possible value, and notices."""
    notices: list[str] = []
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        return np.asarray(image).astype(np.int64), 65535, notices
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")), 255, notices
    if image.mode == "LA" and data.startswith(_PNG) and data[24] == 16:
        raise FormatError(f"{name}: 16-bit gray with transparency is not read. Save it without the alpha channel.")
    if image.mode not in ("LA", "P", "PA", "RGB", "RGBA"):
        raise FormatError(f"{name}: a radiograph is gray: found the color mode {image.mode}. Save it as gray.")
    has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    channels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    colors = channels[..., :3].astype(np.int16)
    apart = int((colors.max(axis=-1) - colors.min(axis=-1)).max())
    if apart > MOST_CHROMA[kind]:
        raise FormatError(
            f"{name}: a radiograph is gray: color channels differ by up to {apart} of 255 (limit {MOST_CHROMA[kind]}). "
            "Screenshots with colored annotations cannot be read; export the image itself."
        )
    # Equal channels give their value; of nearly equal ones the median, which is a stored number.
    gray = np.median(colors, axis=-1).astype(np.uint8) if apart else colors[..., 0].astype(np.uint8)
    if apart:
        notices.append(f"Color channels differ by up to {apart} of 255, as lossy compression makes them: median taken.")
    if has_alpha and channels[..., 3].min() < 255:
        share = float((channels[..., 3] < 255).mean())
        notices.append(f"{share:.1%} of the pixels are transparent: shown on black.")
        gray = (gray * (channels[..., 3] / 255.0)).round().astype(np.uint8)
    return gray, 255, notices
