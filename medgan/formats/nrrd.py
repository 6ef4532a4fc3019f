"""NRRD files: .nrrd with the voxels inside, .nhdr with the voxels in other files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medgan.errors import FormatError
from medgan.formats.byte_stream import opened
from medgan.formats.itk_files import (
    LPS_TO_RAS,
    axis_lengths,
    file_beside,
    modality_named,
    numbered_names,
    numbers,
    ras_grid,
    read_header_text,
    slice_files,
    whole_number,
)
from medgan.formats.stored_image import ASSUMED_AXES, Compression, Segment, StoredImage, file_size, says_synthetic
from medgan.geometry import Grid

NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("unsigned char", "uchar", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("unsigned short", "ushort", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("unsigned int", "uint", "uint32", "uint32_t"),
    "i8": ("long long int", "longlong", "long long", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("unsigned long long int", "ulonglong", "unsigned long long", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODE_OF_TYPE = {text: code for code, texts in NRRD_TYPES.items() for text in texts}
_TO_RAS = {
    "right-anterior-superior": np.eye(3),
    "ras": np.eye(3),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0]),
    "las": np.diag([-1.0, 1.0, 1.0]),
    "left-posterior-superior": LPS_TO_RAS,
    "lps": LPS_TO_RAS,
}
_MM_IN_UNIT = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre"), 1.0),
    **dict.fromkeys(("m", "meter", "meters", "metre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 10.0),
    **dict.fromkeys(("um", "µm", "micron", "microns", "micrometer", "micrometers"), 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-6),
}
_COMPRESSIONS: dict[str, Compression] = {"raw": "none", "gz": "gzip", "gzip": "gzip"}
_SPATIAL_KINDS = {"domain", "space", "???", "none"}
_WITHOUT_BLANK = {
    "datafile": "data file",
    "lineskip": "line skip",
    "byteskip": "byte skip",
    "centerings": "centers",
    "axismins": "axis mins",
    "axismaxs": "axis maxs",
    "oldmin": "old min",
    "oldmax": "old max",
    "blocksize": "block size",
}


@dataclass(frozen=True)
class _Header:
    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    comments: tuple[str, ...]
    data_offset: int
    listed: tuple[str, ...]


def open_nrrd(path: Path, *, assume_axes: bool = False) -> StoredImage:
    """Judge a .nrrd or .nhdr file.

    Raises
    ------
    FormatError
        If the header is damaged, the image is not one scalar volume, or the header does not say where its voxels lie.

    Notes
    -----
    After the format's definition (http://teem.sourceforge.net/nrrd/format.html). ``space directions`` are used as they
    are, so that shear is kept, and ``space units`` too, which ITK ignores. Deviations, each a refusal: spaces that are
    no patient's (scanner-xyz, 3D-right-handed, ...: ITK takes them for LPS) unless axes may be assumed; encodings other
    than raw and gzip; slabs of several slices a file.
    """
    header = _parsed(path)
    fields, name = header.fields, path.name
    notices: list[str] = []
    shape = _require_scalar(fields, name)
    dtype = _dtype(fields, name)
    grid = _grid(fields, shape, name, assume_axes, notices)
    segments, detached = _segments(path, header, shape, dtype.itemsize)
    pairs = {key.lower(): value for key, value in header.pairs.items()}
    modality = next((pairs[key] for key in ("modality", "0008|0060", "dicom_0008_0060") if key in pairs), None)
    return StoredImage(
        name=name,
        grid=grid,
        dtype=dtype,
        segments=segments,
        files=(path, *detached),
        notices=tuple(notices),
        is_marked_synthetic=says_synthetic(fields.get("content", ""), *header.pairs.values(), *header.comments),
        modality_hint=modality_named(modality),
    )


def _parsed(path: Path) -> _Header:
    head = read_header_text(path)
    if not re.match(rb"NRRD000[1-6]\r?\n", head):
        raise FormatError(f"{path.name} is not a NRRD file: it must begin with NRRD0001 to NRRD0006.")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    comments: list[str] = []
    listed: list[str] = []
    start = head.index(b"\n") + 1
    while start < len(head):
        end = head.find(b"\n", start)
        end = end if end >= 0 else len(head)
        line = head[start:end].decode("latin-1").rstrip("\r")
        start = end + 1
        if not line:
            return _Header(fields, pairs, tuple(comments), start, ())
        key, value = (part.strip() for part in (*re.split(r":=|: ", line, maxsplit=1), "")[:2])
        if "data file" in fields and fields["data file"].split()[:1] == ["LIST"]:
            listed.append(line.strip())
        elif line.startswith("#"):
            comments.append(line)
        elif re.match(r"[^:]+:=", line):
            pairs[key] = value
        else:
            key = _WITHOUT_BLANK.get(key.lower(), key.lower())
            if ": " not in line or key in fields:
                raise FormatError(
                    f"{path.name}: the NRRD header is damaged: it needs lines 'field: value', each field once."
                )
            fields[key] = value
    if "data file" not in fields:
        raise FormatError(f"{path.name}: the NRRD header has no end (an empty line) and names no data file.")
    return _Header(fields, pairs, tuple(comments), len(head), tuple(listed))


def _require_scalar(fields: Mapping[str, str], name: str) -> tuple[int, int, int]:
    for key in ("dimension", "sizes", "type", "encoding"):
        if key not in fields:
            raise FormatError(f"{name}: the header needs '{key}': it is damaged. Copy the file again.")
    axes = whole_number(fields["dimension"], "dimension", name)
    if not 1 <= axes <= 16:
        raise FormatError(f"{name}: an image has 1 to 16 axes: dimension says {axes}.")
    shape = axis_lengths(fields["sizes"], axes, "sizes", name)
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()]
    if not set(kinds) <= _SPATIAL_KINDS or re.search(r"\bnone\b", fields.get("space directions", "").lower()):
        raise FormatError(
            f"{name}: one scalar volume is needed: the header says that an axis is no direction in space (a color, a "
            "vector, a list)."
        )
    return shape


def _dtype(fields: Mapping[str, str], name: str) -> np.dtype:
    code = _CODE_OF_TYPE.get(" ".join(fields["type"].lower().split()))
    if code is None:
        raise FormatError(f"{name}: type must be one of {', '.join(texts[0] for texts in NRRD_TYPES.values())}.")
    endian = fields.get("endian", "little" if code[1] == "1" else "").lower()
    if endian not in ("little", "big"):
        raise FormatError(f"{name}: the header must say endian: little or big. It is damaged: copy the file again.")
    return np.dtype(("<" if endian == "little" else ">") + code)


def _grid(
    fields: Mapping[str, str], shape: tuple[int, int, int], name: str, assume_axes: bool, notices: list[str]
) -> Grid:
    to_ras = _TO_RAS.get(fields.get("space", "").lower())
    if to_ras is None or "space directions" not in fields:
        lacks = "no 'space directions'" if to_ras is not None else "no 'space' of a patient (such as LPS or RAS)"
        if not assume_axes:
            raise FormatError(
                f"{name}: an image must say where its voxels lie: the header has {lacks}. Write it again with them, or "
                "pass --assume-axes to take the axes as right, anterior, superior."
            )
        if "spacings" not in fields and "space directions" not in fields:
            raise FormatError(
                f"{name}: axes can only be assumed where the voxel size is known: no 'spacings' are there."
            )
        notices.append(f"The file does not say where its axes point: {ASSUMED_AXES}")
        if "space directions" in fields:
            spacing = np.linalg.norm(_vectors(fields["space directions"], 3, "space directions", name), axis=1)
        else:
            spacing = np.array(numbers(fields["spacings"], 3, "spacings", name))
        if spacing.min() <= 0:
            raise FormatError(f"{name}: spacings need positive lengths: found {fields.get('spacings', '')[:60]}.")
        return ras_grid(shape, np.diag(spacing), np.zeros(3), to_ras=np.eye(3), name=name)
    scale = _millimeters(fields, name, notices)
    columns = _vectors(fields["space directions"], 3, "space directions", name).T
    if "space origin" not in fields:
        notices.append("The file does not state its position: its first voxel was put at the origin.")
    origin = _vectors(fields.get("space origin", "(0,0,0)"), 1, "space origin", name)[0]
    grid = ras_grid(shape, columns * scale, origin * scale, to_ras=to_ras, name=name)
    if grid.is_sheared:
        notices.append("The axes are not at right angles: the shear is kept.")
    return grid


def _vectors(text: str, count: int, field: str, name: str) -> np.ndarray:
    """Return (count, 3) numbers of a text such as ``(1,0,0) (0,1,0) (0,0,2)``."""
    inside = re.findall(r"\(([^()]*)\)", text)
    if len(inside) != count or re.sub(r"\([^()]*\)", "", text).strip():
        raise FormatError(f"{name}: {field} needs {count} vectors such as (1,0,0): found {text.strip()[:60]!r}.")
    return np.array([numbers(vector.replace(",", " "), 3, field, name) for vector in inside])


def _millimeters(fields: Mapping[str, str], name: str, notices: list[str]) -> float:
    stated = [unit.strip().lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))]
    stated = [unit for unit in stated if unit]
    if not stated:
        return 1.0
    factors = {_MM_IN_UNIT.get(unit) for unit in stated}
    factor = factors.pop()
    if factors or factor is None:
        raise FormatError(f"{name}: space units must be one known unit of length (mm, um, m) for all three axes.")
    if factor != 1.0:
        notices.append(f"The file is in {stated[0]}: lengths were converted to millimeters.")
    return factor


def _segments(
    path: Path, header: _Header, shape: tuple[int, int, int], itemsize: int
) -> tuple[tuple[Segment, ...], tuple[Path, ...]]:
    name, fields = path.name, header.fields
    encoding = fields["encoding"].lower()
    if encoding not in _COMPRESSIONS:
        raise FormatError(f"{name}: encoding must be raw or gzip. Write the image again in one of them.")
    compression = _COMPRESSIONS[encoding]
    lines = whole_number(fields.get("line skip", "0"), "line skip", name)
    skip = whole_number(fields.get("byte skip", "0"), "byte skip", name)
    if lines < 0 or skip < -1 or (skip == -1 and compression != "none"):
        raise FormatError(f"{name}: line skip and byte skip must not be negative (-1 bytes means the end of raw data).")
    size = shape[0] * shape[1] * shape[2] * itemsize
    if "data file" not in fields:
        files: tuple[Path, ...] = (path,)
        begin = header.data_offset
    else:
        files = _data_files(path, header, shape[2])
        size //= len(files)
        begin = 0
    segments = []
    for file in files:
        offset = max(file_size(file) - size, 0) if skip == -1 else _offset_behind_lines(file, begin, lines)
        # The definition skips bytes after decompression.
        raw = compression == "none" and skip > 0
        segments.append(
            Segment(file, size, offset + (skip if raw else 0), 0 if raw else max(skip, 0), compression=compression)
        )
    return tuple(segments), files if "data file" in fields else ()


def _data_files(path: Path, header: _Header, slices: int) -> tuple[Path, ...]:
    stated = header.fields["data file"]
    parts = stated.split()
    if parts and (parts[0] == "LIST" or "%" in parts[0]):
        numbers_of_axes = parts[1:] if parts[0] == "LIST" else parts[4:]
        if numbers_of_axes not in ([], ["2"]):
            raise FormatError(f"{path.name}: each of several data files must hold one slice.")
        names = list(header.listed)
        if parts[0] != "LIST":
            first, last, step = (int(n) for n in numbers(" ".join(parts[1:4]), 3, "data file", path.name))
            names = numbered_names(parts[0], first, last, step, slices, path.name)
        return slice_files(path, names, slices)
    return (file_beside(path, stated),)


def _offset_behind_lines(path: Path, begin: int, lines: int) -> int:
    if not lines:
        return begin
    with opened(path) as file:
        file.seek(begin)
        head = file.read(1 << 20)
    end = -1
    for _ in range(min(lines, len(head) + 1)):
        end = head.find(b"\n", end + 1)
        if end < 0:
            raise FormatError(f"{path.name}: {lines} lines are to be skipped before the voxels: the file has fewer.")
    return begin + end + 1
