"""Radiographs written to files for the tests: DICOM with any tags, PNG and JPEG of any mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

CR = "1.2.840.10008.5.1.4.1.1.1"
SYNTAX = {"little": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian, "big": ExplicitVRBigEndian}


def gray_table(entries: Any, *, first: int = 0, bits: int = 12) -> Sequence:
    item = Dataset()
    count = len(entries)
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count % 65536, first, bits])
    # As US a table of more than 64 KiB has no room for its length.
    data = np.asarray(entries, dtype="<u2").tobytes()
    item.add_new("LUTData", *(("OW", data) if count > 32000 else ("US", [int(e) for e in entries])))
    return Sequence([item])


def write_dicom(path: Path, stored: np.ndarray, *, bits: int = 12, syntax: str = "little", **tags: Any) -> Path:
    """Write a CR image; ``tags`` are by keyword, None leaves one out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = SYNTAX[syntax]
    dataset.file_meta.MediaStorageSOPClassUID = CR
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["radiograph"])
    signed = stored.dtype.kind == "i"
    facts = {
        "SOPClassUID": CR,
        "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
        "Modality": "CR",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        **tags,
    }
    for keyword, value in facts.items():
        if value is not None:
            setattr(dataset, keyword, value)
    order = ">" if syntax == "big" else "<"
    data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
    dataset.save_as(path, implicit_vr=syntax == "implicit", little_endian=syntax != "big", enforce_file_format=True)
    return path


def gradient(shape: tuple[int, int] = (24, 20), top: int = 4095, kind: str = "u2") -> np.ndarray:
    values = np.linspace(0, top, shape[0] * shape[1]).round().reshape(shape)
    return values.astype(kind)


def write_image(path: Path, array: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    Image.fromarray(array, mode).save(path, **options) if mode else Image.fromarray(array).save(path, **options)
    return path
