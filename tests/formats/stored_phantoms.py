"""Small files with a known answer, built byte by byte so that any field can be wrong."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from isal import igzip, isal_zlib

OBLIQUE = np.array([[1.9, -0.4, 0.3, 11.0], [0.5, 1.8, -0.2, -7.0], [-0.2, 0.3, 2.9, 31.0], [0.0, 0.0, 0.0, 1.0]])
"""Also sheared: its columns are not at right angles."""


def rotated(spacing: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> np.ndarray:
    """An oblique affine at right angles."""
    a, b = 0.3, -0.2
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_x * spacing
    affine[:3, 3] = (10.0, -20.0, 30.0)
    return affine


def axis_orders() -> list[np.ndarray]:
    """The 48 signed permutations as 4 x 4 affines with different spacings and an offset."""
    affines = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = 0.0
            for axis, (world, sign, spacing) in enumerate(zip(order, signs, (1.0, 2.0, 3.0))):
                affine[world, axis] = sign * spacing
            affine[:3, 3] = (5.0, -6.0, 7.0)
            affines.append(affine)
    return affines


def world_ramp(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A different value at each world position: x + 17 y + 289 z, so that a wrong place is a wrong value."""
    ijk = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return (ijk @ affine[:3, :3].T + affine[:3, 3]) @ np.array([1.0, 17.0, 289.0])


def nifti_bytes(
    array: np.ndarray,
    affine: np.ndarray | None = None,
    *,
    order: str = "<",
    version: int = 1,
    pair: bool = False,
    data: bytes | None = None,
    **fields: Any,
) -> bytes:
    """A NIfTI file: sform from the affine, then any field overridden by name; with ``pair`` the header alone."""
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header = kind(endianness=order)
    header.set_data_dtype(array.dtype.newbyteorder(order))
    header.set_data_shape(array.shape)
    affine = np.eye(4) if affine is None else affine
    header.set_sform(affine, code=1)
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["vox_offset"] = 0 if pair else int(header["sizeof_hdr"]) + 4
    if pair:
        header["magic"] = b"ni1"
    for name, value in fields.items():
        header[name] = value
    if pair:
        return header.binaryblock
    stored = array.astype(array.dtype.newbyteorder(order)).tobytes(order="F") if data is None else data
    return header.binaryblock + bytes(4) + stored


def gzipped(data: bytes) -> bytes:
    return igzip.compress(data, mtime=0)


def zlibbed(data: bytes) -> bytes:
    return isal_zlib.compress(data)


def metaimage_text(**fields: str | None) -> bytes:
    """A MetaImage header of 4 x 3 x 2 shorts; a field given as None is left out, a new one goes before the last."""
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "10 20 30",
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "1 2 3",
        "DimSize": "4 3 2",
        "ElementType": "MET_SHORT",
    }
    last = fields.pop("ElementDataFile", "LOCAL")
    lines.update(fields)  # type: ignore[arg-type]
    lines["ElementDataFile"] = last  # type: ignore[assignment]
    return "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None).encode()


def nrrd_text(*extra: str, end: str = "\n", **fields: str | None) -> bytes:
    """A NRRD header of 4 x 3 x 2 shorts; underscores in names are blanks, a field given as None is left out."""
    lines = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "4 3 2",
        "space directions": "(1,0,0) (0,2,0) (0,0,3)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(10,20,30)",
    }
    lines.update({key.replace("_", " "): value for key, value in fields.items()})  # type: ignore[misc]
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)
    return (text + "".join(f"{line}\n" for line in extra) + end).encode()


SHORTS = np.arange(24, dtype=np.int16).reshape(4, 3, 2, order="F")
"""What the two headers above describe: the value is the position in the file."""


def written_mhd(folder: Path, data: bytes = bytes(24)) -> Path:
    """A header v.mhd of 2 x 3 x 4 bytes with its data beside it in v.raw."""
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementDataFile = v.raw\n"
    )
    (folder / "v.mhd").write_text(header)
    (folder / "v.raw").write_bytes(data)
    return folder / "v.mhd"
