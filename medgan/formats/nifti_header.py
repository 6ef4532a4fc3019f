"""The header of a NIfTI file: what it says, what it may mean, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgan.errors import FormatError
from medgan.formats.nifti_affine import assumed_grid, stated_grid
from medgan.formats.stored_image import says_synthetic
from medgan.geometry import Grid

HEADER_SIZES = (348, 540)
LONGEST_HEADER = 540

_SCALAR_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_OTHER_TYPES = {
    1: "one bit a voxel",
    32: "complex numbers",
    128: "RGB colors",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colors",
}
# nifti1.h, NIFTI_INTENT_*: intents whose numbers are no scalar field in space. Statistics (2 to 24), ESTIMATE, LABEL,
# NEURONAME and DIMLESS are one.
_OTHER_INTENTS = {
    **dict.fromkeys((1004, 1005), "a matrix in each voxel"),
    **dict.fromkeys((1006, 1007, 1010, 2006), "a vector in each voxel"),
    **dict.fromkeys((1008, 1009, 2002, 2005), "a surface"),
    **dict.fromkeys((2001, 2007, 2008, 2009, 2016, 2017, 2018), "a time series or coefficients"),
    **dict.fromkeys((2003, 2004), "a color in each node"),
    **dict.fromkeys(range(3000, 3100), "CIFTI (gray ordinates)"),
}


@dataclass(frozen=True)
class NiftiHeader:
    """A judged header of a NIfTI-1, NIfTI-2 or Analyze file.

    Parameters
    ----------
    grid : Grid
        Patient frame, RAS+, mm.
    dtype : numpy dtype
        As stored, byte order included.
    data_offset : int
        First byte of the voxels in the (uncompressed) file that holds them.
    slope, intercept : float
        1 and 0 where the file says nothing.
    notices : tuple of str
    is_marked_synthetic : bool
    is_single_file : bool
        Whether the voxels follow the header; else they are in an .img file.
    """

    grid: Grid
    dtype: np.dtype[Any]
    data_offset: int
    slope: float
    intercept: float
    notices: tuple[str, ...]
    is_marked_synthetic: bool
    is_single_file: bool


def judged_header(block: bytes, *, name: str, is_single_file: bool, assume_axes: bool = False) -> NiftiHeader:
    """Return what the first bytes of a file say, or refuse the file in one sentence.

    Parameters
    ----------
    block : bytes
        The first 540 bytes, or the whole file where it is shorter.
    name : str
        File name for messages.
    is_single_file : bool
        Whether the suffix says that voxels follow the header (.nii) or are in an .img file (.hdr).
    assume_axes : bool
        Take the axes as right, anterior, superior where the file does not say, with the first voxel at the origin.

    Raises
    ------
    FormatError
        If the file is no NIfTI, holds anything but one scalar volume, or does not say where its voxels lie.

    Notes
    -----
    After nifti1.h (https://nifti.nimh.nih.gov). The sform wins where its code is positive, as in every program that
    follows the standard's recommendation; nibabel's default affine for codes 0 and 0 is never used. A scale of 0 or
    NaN means unscaled. Deviations: ``bitpix`` is not read (``datatype`` says the same), and an unusable sform (all
    zeros occur) gives way to a usable qform, with a notice.
    """
    fields, order, is_nifti = _parsed(block, name, is_single_file)
    shape, notices = _shape(fields, name)
    dtype = _scalar_type(fields, name, order)
    slope, intercept = _scaling(fields, name)
    if is_nifti:
        _require_scalar_intent(fields, name)
        grid, about_grid = stated_grid(fields, shape, name=name, assume_axes=assume_axes)
        texts = [bytes(fields[key].item()).decode("latin-1") for key in ("descrip", "aux_file", "intent_name")]
    else:
        if not assume_axes:
            raise FormatError(
                f"{name}: an image must say where its axes point: Analyze 7.5 does not. Convert the original to NIfTI, "
                "or pass --assume-axes to take them as right, anterior, superior."
            )
        grid, about_grid = assumed_grid(fields, shape, name=name)
        texts = [bytes(fields["descrip"].item()).decode("latin-1")]
    return NiftiHeader(
        grid=grid,
        dtype=dtype,
        data_offset=_data_offset(fields, name, is_single_file),
        slope=slope,
        intercept=intercept,
        notices=(*notices, *about_grid),
        is_marked_synthetic=says_synthetic(*texts),
        is_single_file=is_single_file,
    )


def _parsed(block: bytes, name: str, is_single_file: bool) -> tuple[Mapping[str, Any], str, bool]:
    """Return the fields, their byte order, and whether they are NIfTI's (else Analyze's)."""
    import nibabel

    if not block:
        raise FormatError(f"{name} is empty: copy the file again.")
    order = next((o for o in "<>" if len(block) >= 4 and struct.unpack(f"{o}i", block[:4])[0] in HEADER_SIZES), None)
    if order is None:
        raise FormatError(f"{name} is not a NIfTI file: its first number must be 348 or 540, the length of the header.")
    size = struct.unpack(f"{order}i", block[:4])[0]
    if len(block) < size:
        raise FormatError(f"{name}: a header of {size} bytes is needed, the file holds {len(block)}. Copy it again.")
    magic = block[344:348] if size == 348 else block[4:12]
    single, pair = (b"n+1\0", b"ni1\0") if size == 348 else (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")
    if magic == (pair if is_single_file else single):
        raise FormatError(
            f"{name}: the header says that the voxels are in {'another file' if is_single_file else 'the same file'}. "
            f"Rename the file to {'.hdr, beside its .img' if is_single_file else '.nii'}."
        )
    is_nifti = magic in (single, pair)
    if not is_nifti and (is_single_file or size == 540):
        raise FormatError(f"{name} is not a NIfTI file: its magic must be {single[:3].decode()}, found {magic[:3]!r}.")
    kind = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
    fields: Any = kind(block[:size], endianness=order, check=False)
    return fields, order, is_nifti


def _shape(fields: Mapping[str, Any], name: str) -> tuple[tuple[int, int, int], list[str]]:
    dim = [int(n) for n in fields["dim"]]
    axes = dim[0]
    if not 1 <= axes <= 7:
        raise FormatError(f"{name}: an image has 1 to 7 axes: the header says {axes}. It is damaged: copy it again.")
    lengths = dim[1 : axes + 1]
    found = " x ".join(map(str, lengths))
    if min(lengths) < 1:
        raise FormatError(f"{name}: an image needs a voxel on each axis: found {found}.")
    if axes > 4 and max(lengths[4:]) > 1:
        raise FormatError(f"{name}: one number a voxel is needed: found {found}, a vector or matrix in each voxel.")
    if axes > 3 and max(lengths[3:]) > 1:
        raise FormatError(
            f"{name}: one volume is needed: found {found}, a series of {lengths[3]}. Extract one volume or the mean."
        )
    i, j, k = (*lengths[:3], 1, 1)[:3]
    if [i, j, k].count(1) >= 2:
        raise FormatError(
            f"{name}: an image needs voxels along two axes at least: found {found}, the values of a surface or curve."
        )
    dropped = f"The file states {axes} axes ({found}): those of length 1 were dropped."
    return (i, j, k), [dropped] if axes > 3 else []


def _scalar_type(fields: Mapping[str, Any], name: str, order: str) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code not in _SCALAR_TYPES:
        found = _OTHER_TYPES.get(code, "a type that does not exist")
        raise FormatError(f"{name}: one real number a voxel is needed: found {found} (NIfTI data type {code}).")
    return np.dtype(order + _SCALAR_TYPES[code])


def _require_scalar_intent(fields: Mapping[str, Any], name: str) -> None:
    intent = int(fields["intent_code"])
    if intent in _OTHER_INTENTS:
        raise FormatError(
            f"{name}: a scalar field in space is needed: found {_OTHER_INTENTS[intent]} (NIfTI intent {intent})."
        )


def _scaling(fields: Mapping[str, Any], name: str) -> tuple[float, float]:
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    if not np.isfinite(intercept):
        raise FormatError(f"{name}: the intercept of its scaling is {intercept}: values cannot be known.")
    return slope, intercept


def _data_offset(fields: Mapping[str, Any], name: str, is_single_file: bool) -> int:
    offset = float(fields["vox_offset"])
    smallest = int(fields["sizeof_hdr"]) + 4 if is_single_file else 0
    if not np.isfinite(offset) or offset != int(offset) or offset < smallest:
        raise FormatError(
            f"{name}: the voxels must begin at a whole byte from {smallest} on: the header says {offset:g}."
        )
    return int(offset)
