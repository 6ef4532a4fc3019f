"""Writing MetaImage and NRRD."""

from __future__ import annotations

from typing import IO

import numpy as np
import numpy.typing as npt

from medgan.formats.encoding import (
    encoded_slabs,
    require_patient_grid,
    source_mark,
    stored_type,
    write_gzip,
    write_zlib,
)
from medgan.formats.itk_files import LPS_TO_RAS
from medgan.formats.metaimage import METAIMAGE_TYPES, OPPOSITE
from medgan.formats.nrrd import NRRD_TYPES
from medgan.geometry import axis_codes
from medgan.volume import LabelMap, Volume


def write_metaimage(file: IO[bytes], image: Volume | LabelMap, *, name: str) -> None:
    """Write a .mha file, compressed with zlib, in LPS; the same image gives the same bytes.

    Raises
    ------
    OutputError
        If the grid is not a patient's in mm, or its axes are not at right angles.

    Notes
    -----
    ITK would keep a sheared matrix, other readers of MetaImage drop it: such a grid is refused.
    """
    require_patient_grid(image.grid, name, may_shear=False)
    dtype = stored_type(image)
    types = {code: label for label, code in reversed(METAIMAGE_TYPES.items())}
    head = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        # Overwritten below with a number of as many digits.
        "CompressedDataSize": "0" * 20,
        "TransformMatrix": _joined((LPS_TO_RAS @ image.grid.direction).T),
        "Offset": _joined(LPS_TO_RAS @ np.array(image.grid.origin)),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "".join(OPPOSITE[letter] for letter in axis_codes(image.grid)),
        "ElementSpacing": _joined(np.array(image.grid.spacing)),
        "DimSize": " ".join(map(str, image.shape)),
        "Comment": source_mark(image),
        "ElementType": types[dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    text = "".join(f"{key} = {value}\n" for key, value in head.items())
    file.write(text.encode())
    size = write_zlib(file, encoded_slabs(image.array, dtype))
    file.seek(text.index("0" * 20))
    file.write(f"{size:020d}".encode())


def write_nrrd(file: IO[bytes], image: Volume | LabelMap, *, name: str) -> None:
    """Write a .nrrd file, compressed with gzip, in LPS as ITK does; the same image gives the same bytes.

    Raises
    ------
    OutputError
        If the grid is not a patient's in mm, or its axes are not at right angles.

    Notes
    -----
    NRRD could hold shear; programs that read a spacing and a direction from it would misread it, so it is refused.
    """
    require_patient_grid(image.grid, name, may_shear=False)
    dtype = stored_type(image)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.grid.affine
    directions = " ".join(_vector(affine[:3, axis]) for axis in range(3))
    text = (
        "NRRD0004\n"
        f"content: {source_mark(image)}\n"
        f"type: {NRRD_TYPES[dtype.str[1:]][0]}\n"
        "dimension: 3\n"
        "space: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, image.shape))}\n"
        f"space directions: {directions}\n"
        "kinds: domain domain domain\n"
        "endian: little\n"
        "encoding: gzip\n"
        'space units: "mm" "mm" "mm"\n'
        f"space origin: {_vector(affine[:3, 3])}\n"
        f"medgan:={source_mark(image)}\n"
        "\n"
    )
    file.write(text.encode())
    write_gzip(file, b"", image.array, dtype)


def _joined(values: npt.NDArray[np.float64]) -> str:
    return " ".join(_numbers(values))


def _vector(values: npt.NDArray[np.float64]) -> str:
    return f"({','.join(_numbers(values))})"


def _numbers(values: npt.NDArray[np.float64]) -> list[str]:
    # Adding zero turns -0.0, which some parsers refuse, into 0.0.
    return [repr(float(v) + 0.0) for v in values.ravel()]
