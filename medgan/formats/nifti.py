"""NIfTI files and pairs."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from medgan.errors import FormatError, OutputError
from medgan.formats.byte_stream import GZIP_MAGIC, read_prefix
from medgan.formats.encoding import encoded_slabs, require_patient_grid, source_mark, stored_type, write_gzip
from medgan.formats.nifti_header import LONGEST_HEADER, judged_header
from medgan.formats.stored_image import Compression, Segment, StoredImage, require_file
from medgan.geometry import Grid
from medgan.volume import LabelMap, Volume

_LONGEST_AXIS = 32767
_ROUNDING_VOXEL = 0.01
_RIGHT_ANGLE_TOLERANCE = 1e-5


def open_nifti(path: Path, *, assume_axes: bool = False) -> StoredImage:
    """Judge a .nii or .nii.gz file.

    Raises
    ------
    FormatError
        If the file is not what its suffix says, or as :func:`medgan.formats.nifti_header.judged_header`.
    """
    is_packed = path.name.lower().endswith(".gz")
    begins_packed = read_prefix(path, 2) == GZIP_MAGIC
    if is_packed != begins_packed and path.stat().st_size:
        raise FormatError(
            f"{path.name} is named as {'a compressed' if is_packed else 'an uncompressed'} file and is "
            f"{'not compressed with gzip' if is_packed else 'compressed with gzip'}. Rename it to "
            f"{'.nii' if is_packed else '.nii.gz'} if it is a NIfTI file."
        )
    compression: Compression = "gzip" if begins_packed else "none"
    block = read_prefix(path, LONGEST_HEADER, compression)
    return _stored(block, path, path, compression, assume_axes)


def open_nifti_pair(path: Path, *, assume_axes: bool = False) -> StoredImage:
    """Judge a pair of .hdr and .img, given either: NIfTI, or Analyze where axes may be assumed.

    Raises
    ------
    FormatError
        As :func:`open_nifti`, or if the partner is missing.
    """
    require_file(path)
    is_header = path.suffix.lower() == ".hdr"
    suffix = ".img" if is_header else ".hdr"
    partner = path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix)
    if not partner.is_file():
        raise FormatError(f"{path.name} is half of a pair: {partner.name} must lie beside it.")
    header, data = (path, partner) if is_header else (partner, path)
    return _stored(read_prefix(header, LONGEST_HEADER), header, data, "none", assume_axes)


def _stored(block: bytes, header: Path, data: Path, compression: Compression, assume_axes: bool) -> StoredImage:
    judged = judged_header(block, name=header.name, is_single_file=header == data, assume_axes=assume_axes)
    i, j, k = judged.grid.shape
    size = i * j * k * judged.dtype.itemsize
    is_packed = compression != "none"
    segment = Segment(
        data,
        size,
        offset=0 if is_packed else judged.data_offset,
        skip=judged.data_offset if is_packed else 0,
        compression=compression,
    )
    return StoredImage(
        name=header.name,
        grid=judged.grid,
        dtype=judged.dtype,
        segments=(segment,),
        files=(header,) if header == data else (header, data),
        slope=judged.slope,
        intercept=judged.intercept,
        notices=judged.notices,
        is_marked_synthetic=judged.is_marked_synthetic,
    )


def write_nifti(file: IO[bytes], image: Volume | LabelMap, *, name: str) -> None:
    """Write a NIfTI-1 file, compressed where ``name`` ends in .gz; the same image gives the same bytes.

    Raises
    ------
    OutputError
        If the grid is not a patient's in mm, an axis is longer than 32767, or float32 cannot hold its affine.

    Notes
    -----
    The sform is always set (code 1, scanner). The qform is set where the axes are at right angles to 1e-5, because a
    quaternion cannot express shear; else its code is 0. ``descrip`` says SYNTHETIC if a generator took part.
    """
    require_patient_grid(image.grid, name, may_shear=True)
    head = _header_block(image, name)
    if name.lower().endswith(".gz"):
        write_gzip(file, head, image.array, stored_type(image))
        return
    file.write(head)
    for slab in encoded_slabs(image.array, stored_type(image)):
        file.write(slab)


def _header_block(image: Volume | LabelMap, name: str) -> bytes:
    """Return 352 bytes: the header, and four zeros that say that no extension follows."""
    import nibabel

    grid = image.grid
    if max(grid.shape) > _LONGEST_AXIS:
        raise OutputError(f"{name}: an axis of NIfTI has at most {_LONGEST_AXIS} voxels: found {max(grid.shape)}.")
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_dtype(stored_type(image))
    header.set_data_shape(grid.shape)
    header.set_zooms(grid.spacing)
    header.set_sform(grid.affine, code=1)
    if np.abs(grid.direction.T @ grid.direction - np.eye(3)).max() <= _RIGHT_ANGLE_TOLERANCE:
        header.set_qform(grid.affine, code=1)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["vox_offset"] = 352
    header["descrip"] = source_mark(image).encode()
    rounded = np.vstack([*(header[f"srow_{axis}"] for axis in "xyz"), [0.0, 0.0, 0.0, 1.0]])
    if Grid(grid.shape, rounded).displacement_from(grid) > _ROUNDING_VOXEL:
        raise OutputError(f"{name}: the position of the image, {grid.describe()}, is beyond the precision of NIfTI.")
    return header.binaryblock + bytes(4)
