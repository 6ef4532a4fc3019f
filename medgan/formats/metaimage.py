"""MetaImage files: .mha with the voxels inside, .mhd with the voxels in other files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medgan.errors import FormatError
from medgan.formats.byte_stream import GZIP_MAGIC, opened
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
from medgan.geometry import Grid, axis_codes

# MetaIO's own sizes: a MET_LONG has four bytes on every machine.
METAIMAGE_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_SYNONYMS = {
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
OPPOSITE = dict(zip("RLAPSI", "LRPAIS"))


def open_metaimage(path: Path, *, assume_axes: bool = False) -> StoredImage:
    """Judge a .mha or .mhd file.

    Raises
    ------
    FormatError
        If the header is damaged, the image is not one scalar volume, or the header does not say where its voxels lie.

    Notes
    -----
    After the MetaIO documentation (https://itk.org/Wiki/MetaIO/Documentation) and what ITK writes: TransformMatrix
    holds the direction of the first axis, then of the second, then of the third; positions are LPS. Matrix and spacing
    are used as they are, so that shear is kept. Deviations, each a refusal: text data (BinaryData = False), a linear
    map of values other than the identity (ITK ignores it), a header inside a headered file, 2-D and 4-D.
    """
    fields, data_offset, listed = _parsed(path)
    name = path.name
    notices: list[str] = []
    shape = _require_scalar(fields, name)
    order = ">" if _flag(fields, "BinaryDataByteOrderMSB", name) else "<"
    dtype = np.dtype(order + METAIMAGE_TYPES[fields["ElementType"]])
    grid = _grid(fields, shape, name, assume_axes, notices)
    segments, detached = _segments(path, fields, shape, dtype.itemsize, data_offset, listed)
    return StoredImage(
        name=name,
        grid=grid,
        dtype=dtype,
        segments=segments,
        files=(path, *detached),
        notices=tuple(notices),
        is_marked_synthetic=says_synthetic(*(v for k, v in fields.items() if k != "ElementDataFile")),
        modality_hint=modality_named(fields.get("Modality") or fields.get("0008|0060")),
    )


def _parsed(path: Path) -> tuple[dict[str, str], int, list[str]]:
    """Return the fields, the offset behind the ElementDataFile line, and the lines that follow it for LIST."""
    head = read_header_text(path)
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", start)
        line = head[start : end if end >= 0 else len(head)].decode("latin-1").strip()
        key, equals, value = (part.strip() for part in line.partition("="))
        key = _SYNONYMS.get(key, key)
        if (line and not equals) or key in fields or (end < 0 and key != "ElementDataFile"):
            raise FormatError(
                f"{path.name} is not a MetaImage file, or its header is damaged: it needs lines 'name = value', each "
                "name once, up to ElementDataFile."
            )
        if line:
            fields[key] = value
        start = end + 1 if end >= 0 else len(head)
    is_list = fields["ElementDataFile"].upper().startswith("LIST")
    following = head[start:].decode("latin-1").split("\n") if is_list else []
    return fields, start, [line.strip() for line in following if line.strip()]


def _require_scalar(fields: Mapping[str, str], name: str) -> tuple[int, int, int]:
    if fields.get("ObjectType", "Image") != "Image":
        raise FormatError(f"{name}: an image is needed: its ObjectType is another.")
    for key in ("NDims", "DimSize", "ElementType"):
        if key not in fields:
            raise FormatError(f"{name}: the header needs {key}: it is damaged. Copy the file again.")
    axes = whole_number(fields["NDims"], "NDims", name)
    if not 1 <= axes <= 7:
        raise FormatError(f"{name}: an image has 1 to 7 axes: NDims says {axes}.")
    shape = axis_lengths(fields["DimSize"], axes, "DimSize", name)
    channels = whole_number(fields.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels", name)
    if channels != 1 or fields["ElementType"].endswith("_ARRAY"):
        raise FormatError(f"{name}: one number a voxel is needed: found {channels} channels (a color or a vector).")
    if fields["ElementType"] not in METAIMAGE_TYPES:
        raise FormatError(f"{name}: ElementType must be one of {', '.join(METAIMAGE_TYPES)}.")
    if not _flag(fields, "BinaryData", name, default="True"):
        raise FormatError(f"{name}: voxels as text are not read: write the image again with BinaryData = True.")
    slope = numbers(fields.get("ElementToIntensityFunctionSlope", "1"), 1, "ElementToIntensityFunctionSlope", name)[0]
    shift = numbers(fields.get("ElementToIntensityFunctionOffset", "0"), 1, "ElementToIntensityFunctionOffset", name)[0]
    if (slope, shift) != (1.0, 0.0):
        raise FormatError(
            f"{name}: stored numbers must be the values: the header scales them by {slope:g} and adds {shift:g}, which "
            "ITK ignores and others apply. Write the image again without that."
        )
    return shape


def _grid(
    fields: Mapping[str, str], shape: tuple[int, int, int], name: str, assume_axes: bool, notices: list[str]
) -> Grid:
    spacing_text = fields.get("ElementSpacing", fields.get("ElementSize"))
    missing = [] if spacing_text is not None else ["ElementSpacing"]
    missing += [] if "TransformMatrix" in fields else ["TransformMatrix"]
    if missing and not assume_axes:
        raise FormatError(
            f"{name}: an image must say where its voxels lie: the header has no {' and no '.join(missing)}. Write it "
            "again with them, or pass --assume-axes to take 1 mm and the axes right, anterior, superior."
        )
    if spacing_text is None:
        spacing_text = "1 1 1"
        notices.append("The file does not state its spacing: 1 mm was assumed.")
    spacing = np.array(numbers(spacing_text, 3, "ElementSpacing", name))
    if spacing.min() <= 0:
        raise FormatError(f"{name}: ElementSpacing needs positive lengths: found {spacing_text[:60]}.")
    if "TransformMatrix" not in fields:
        notices.append(f"The file does not say where its axes point: {ASSUMED_AXES}")
        return ras_grid(shape, np.diag(spacing), np.zeros(3), to_ras=np.eye(3), name=name)
    if "Offset" not in fields:
        notices.append("The file does not state its position: its first voxel was put at the origin.")
    if any(numbers(fields.get("CenterOfRotation", "0 0 0"), 3, "CenterOfRotation", name)):
        notices.append("CenterOfRotation was ignored, as ITK does.")
    origin = np.array(numbers(fields.get("Offset", "0 0 0"), 3, "Offset", name))
    rows = np.array(numbers(fields["TransformMatrix"], 9, "TransformMatrix", name)).reshape(3, 3)
    grid = ras_grid(shape, rows.T * spacing, origin, to_ras=LPS_TO_RAS, name=name)
    if grid.is_sheared:
        notices.append("The axes are not at right angles: the shear is kept.")
    if np.abs(np.linalg.norm(rows, axis=1) - 1).max() > 1e-3:
        notices.append("The rows of TransformMatrix are not of length 1: they stretch the spacing, as in ITK.")
    stated = fields.get("AnatomicalOrientation", "???")
    if len(stated) == 3 and set(stated) <= set(OPPOSITE) and not _begins_at(grid, stated):
        expected = "".join(OPPOSITE[letter] for letter in axis_codes(grid))
        notices.append(f"AnatomicalOrientation says {stated} and the matrix {expected}: the matrix is used.")
    return grid


def _begins_at(grid: Grid, letters: str) -> bool:
    """Tell whether each axis begins at the side that a letter names, within 60 degrees (an oblique axis has two)."""
    axes = [("RAS".find(letter), -1.0) if letter in "RAS" else ("LPI".find(letter), 1.0) for letter in letters]
    return all(grid.direction[world, axis] * sign >= 0.5 for axis, (world, sign) in enumerate(axes))


def _segments(
    path: Path,
    fields: Mapping[str, str],
    shape: tuple[int, int, int],
    itemsize: int,
    data_offset: int,
    listed: list[str],
) -> tuple[tuple[Segment, ...], tuple[Path, ...]]:
    name = path.name
    size = shape[0] * shape[1] * shape[2] * itemsize
    is_packed = _flag(fields, "CompressedData", name)
    skip = whole_number(fields.get("HeaderSize", "0"), "HeaderSize", name)
    stated = fields["ElementDataFile"]
    if stated.upper() == "LOCAL":
        if skip:
            raise FormatError(f"{name}: voxels behind the header begin there: HeaderSize must not be {skip}.")
        return (_segment(path, size, data_offset, is_packed),), ()
    parts = stated.split()
    if parts and (parts[0].upper() == "LIST" or "%" in parts[0]):
        files = _slice_files(path, parts, listed, shape[2])
        if is_packed:
            raise FormatError(f"{name}: compressed voxels must be in one file: the header lists {len(files)}.")
        size //= len(files)
    else:
        files = (file_beside(path, stated),)
    if skip < -1 or (skip == -1 and is_packed):
        raise FormatError(f"{name}: HeaderSize must be a number of bytes, or -1 for raw data: found {skip}.")
    offsets = [max(file_size(file) - size, 0) if skip == -1 else skip for file in files]
    return tuple(_segment(file, size, offset, is_packed) for file, offset in zip(files, offsets)), files


def _slice_files(path: Path, parts: list[str], listed: list[str], slices: int) -> tuple[Path, ...]:
    """Return the files of a LIST or pattern, one a slice."""
    if parts[0].upper() == "LIST":
        names = listed
        if len(parts) > 1 and parts[1] not in ("2", "2D"):
            raise FormatError(f"{path.name}: a LIST of data files must have one slice each.")
    else:
        first, last, step = (int(n) for n in numbers(" ".join(parts[1:]), 3, "ElementDataFile", path.name))
        names = numbered_names(parts[0], first, last, step, slices, path.name)
    return slice_files(path, names, slices)


def _segment(path: Path, size: int, offset: int, is_packed: bool) -> Segment:
    compression: Compression = "none"
    if is_packed:
        # ITK writes zlib; MetaIO reads gzip as well.
        with opened(path) as file:
            file.seek(offset)
            compression = "gzip" if file.read(2) == GZIP_MAGIC else "zlib"
    return Segment(path, size, offset=offset, compression=compression)


def _flag(fields: Mapping[str, str], key: str, name: str, default: str = "False") -> bool:
    value = fields.get(key, default).lower()
    if value not in ("true", "false", "1", "0"):
        raise FormatError(f"{name}: {key} must be True or False.")
    return value in ("true", "1")
