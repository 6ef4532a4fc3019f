"""Small DICOM series and what disks, transfers, archives and careless software do to them."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from dicom_phantoms import AXIAL, affine_of, coded, series_of
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.tag import Tag

from medgan.phantoms.dicom_companions import Localizer, OtherObject
from medgan.phantoms.dicom_file import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, DicomFile, copied, set_element
from medgan.phantoms.dicom_folder import write_archive, write_file_set
from medgan.phantoms.dicom_geometry_faults import GantryTilt, TwoOrientations
from medgan.phantoms.dicom_header_faults import OtherEncoding, WithoutPreamble
from medgan.phantoms.dicom_mosaic import SiemensMosaic
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import Compressed, PaddingOutsideCircle, PerSliceRescale
from medgan.phantoms.dicom_projection import RadiographBeside
from medgan.phantoms.dicom_slices import PixelForm
from medgan.phantoms.dicom_stacks import SeveralBValues, SeveralEchoes
from medgan.volume import Quantity, Volume


def _small(quantity: Quantity = Quantity.HOUNSFIELD, *, most: int = 4096) -> Volume:
    shape = (8, 8, 3)
    return coded(quantity, shape=shape, affine=affine_of(turn=AXIAL, spacing=(2, 2, 2)), most=most)


def _ct(*faults: Any) -> Callable[[], dict[str, DicomFile | bytes]]:
    return lambda: _plain(series_of(*faults, volume=_small()))


def _mr(*faults: Any, **options: Any) -> Callable[[], dict[str, DicomFile | bytes]]:
    return lambda: _plain(series_of(*faults, volume=_small(Quantity.MR_SIGNAL, most=250), **options))


def _plain(series: Any) -> dict[str, DicomFile | bytes]:
    return {f.name: f if isinstance(f, DicomFile) else f.data for f in series.files}


def _file_set() -> dict[str, DicomFile | bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_file_set(series_of(Localizer(), OtherObject(), volume=_small()), Path(folder))
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }


def _radiographs() -> dict[str, DicomFile | bytes]:
    return _plain(replace(series_of(RadiographBeside(), RadiographBeside("DX"), volume=_small()), slices=()))


def _archive() -> dict[str, DicomFile | bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_archive(series_of(volume=_small()), Path(folder) / "series.zip", escaping=True)
        return {path.name: path.read_bytes()}


SOURCES: dict[str, Callable[[], dict[str, DicomFile | bytes]]] = {
    "CT": _ct(),
    "CT, padded": _ct(PaddingOutsideCircle()),
    "CT, tilted": _ct(GantryTilt()),
    "CT, two orientations": _ct(TwoOrientations()),
    "CT, implicit VR": _ct(OtherEncoding("implicit")),
    "CT, big-endian": _ct(OtherEncoding("big-endian")),
    "CT, deflated": _ct(OtherEncoding("deflated")),
    "CT, bare": _ct(WithoutPreamble()),
    "CT, per-slice rescale": _ct(PerSliceRescale()),
    "CT, RLE": _ct(Compressed("rle")),
    "CT, JPEG-LS": _ct(Compressed("jpeg-ls")),
    "CT, JPEG 2000": _ct(Compressed("jpeg-2000")),
    "CT, JPEG lossless": _ct(Compressed("jpeg-lossless")),
    "CT, JPEG lossless, first order": _ct(Compressed("jpeg-lossless-first-order")),
    "CT, enhanced": _ct(Enhanced(is_shuffled=True)),
    "CT, enhanced, JPEG-LS": _ct(Enhanced(is_shared=False), Compressed("jpeg-ls")),
    "MR": _mr(),
    "MR, JPEG": _mr(Compressed("jpeg"), pixel_form=PixelForm(8)),
    "MR, echoes": _mr(SeveralEchoes()),
    "MR, b-values": _mr(SeveralBValues((0, 400), "siemens-bytes")),
    "MR, enhanced": _mr(SeveralBValues((0, 400)), Enhanced()),
    "MR, mosaic": _mr(SiemensMosaic()),
    "file set": _file_set,
    "archive": _archive,
    # Last in the order of names, as a new source must be: the kept mutations depend on their source's place.
    "radiograph": _radiographs,
}

STRANGE = (
    "",
    " ",
    "0",
    "-1",
    "1e308",
    "-1e-308",
    "nan",
    "inf",
    "1,5",
    "0x10",
    "1_000",
    "٣",
    "99999999999999999999",
    "2147483648",
    "65535",
    "A",
    "\0",
    "\n",
    "é",
    "1\\2",
    "1\\2\\3\\4\\5\\6\\7",
    "\\\\",
    "1" * 300,
)
NUMBERS = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 64, 255, 32767, 65535)
KEYWORDS = (
    "AcquisitionNumber",
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "DiffusionBValue",
    "EchoNumbers",
    "EchoTime",
    "FrameOfReferenceUID",
    "GantryDetectorTilt",
    "HighBit",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "Modality",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PixelRepresentation",
    "PixelSpacing",
    "PlanarConfiguration",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SamplesPerPixel",
    "SequenceName",
    "SeriesInstanceUID",
    "SpecificCharacterSet",
    "StudyInstanceUID",
    "TemporalPositionIdentifier",
    "TriggerTime",
)
SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.102",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.999",
    "",
    "nonsense",
)
LENGTHS = (0, 1, 2, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 0x00010000)


@dataclass(frozen=True)
class Mutation:
    """A source and a seed: everything else follows from them."""

    source: str
    seed: int

    def files(self) -> dict[str, bytes]:
        """Names and bytes of the damaged series."""
        rng = np.random.default_rng([self.seed, sorted(SOURCES).index(self.source)])
        files = intact(self.source)
        names = list(files)
        # One file, or all of them in the same way (as software is wrong).
        victims = [names[int(rng.integers(len(names)))]] if rng.random() < 0.7 else names
        kind = int(rng.integers(3))
        state = rng.bit_generator.state
        written: dict[str, bytes] = {}
        for name, file in files.items():
            if name not in victims:
                written[name] = file.as_bytes if isinstance(file, DicomFile) else file
                continue
            if kind < 2 and isinstance(file, DicomFile):
                rng.bit_generator.state = state
                data = with_strange_elements(file, rng)
                written[name] = mangled(data, rng) if kind == 1 else data
            else:
                data = file.as_bytes if isinstance(file, DicomFile) else file
                written[name] = mangled(data, rng)
        return written


@cache
def intact(source: str) -> dict[str, DicomFile | bytes]:
    """The files of a source, with pixels as they are stored: an encoder must not see a damaged header."""
    return {
        name: _with_stored_pixels(file) if isinstance(file, DicomFile) else file
        for name, file in SOURCES[source]().items()
    }


def _with_stored_pixels(file: DicomFile) -> DicomFile:
    if file.pixels is None:
        return file
    dataset = dcmread(io.BytesIO(file.as_bytes), force=True)
    with_pixels = copied(file.dataset)
    if "PixelData" in dataset:
        with_pixels.add(dataset["PixelData"])
    else:  # deflated or bare
        native = dcmread(io.BytesIO(replace(file, syntax=EXPLICIT_LITTLE, meta={}, preamble=bytes(128)).as_bytes))
        with_pixels.add(native["PixelData"])
    return replace(file, dataset=with_pixels, pixels=None)


def with_strange_elements(file: DicomFile, rng: np.random.Generator) -> bytes:
    """The bytes of a file with one to three header elements missing or strange, or with another transfer syntax."""
    syntax, changed = None, file
    try:
        for _ in range(int(rng.integers(1, 4))):
            kind = int(rng.integers(8))
            keyword = KEYWORDS[int(rng.integers(len(KEYWORDS)))]
            if kind == 0:
                changed = changed.without(keyword)
            elif kind == 1:
                syntax = SYNTAXES[int(rng.integers(len(SYNTAXES)))]
            elif kind == 2:
                changed = replace(changed, meta={**changed.meta, _META[int(rng.integers(len(_META)))]: None})
            elif kind == 3 and "PerFrameFunctionalGroupsSequence" in changed.dataset:
                changed = _with_strange_groups(changed, rng)
            else:
                dataset = copied(changed.dataset)
                _set_raw(dataset, keyword, changed.syntax, rng)
                changed = replace(changed, dataset=dataset)
        data = changed.as_bytes
    except (ValueError, OverflowError, IndexError, BytesLengthException):
        # pydicom converts some strange elements all the same: this mutation cannot be written.
        data = mangled(file.as_bytes, rng)
    return data if syntax is None else with_syntax(data, syntax)


_META = ("TransferSyntaxUID", "MediaStorageSOPClassUID", "FileMetaInformationGroupLength", "FileMetaInformationVersion")


def with_syntax(data: bytes, uid: str) -> bytes:
    """The bytes of a file that states another transfer syntax than the one it is written in."""
    at = data.find(b"\x02\x00\x10\x00UI")
    if at < 0:
        return data
    end = at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    value = uid.encode() + bytes(len(uid) % 2)
    changed = data[:at] + b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value + data[end:]
    total = changed.find(b"\x02\x00\x00\x00UL\x04\x00")
    if total >= 0:
        length = int.from_bytes(changed[total + 8 : total + 12], "little") + len(changed) - len(data)
        # A length that was damaged before may be smaller than what is taken away.
        changed = changed[: total + 8] + (length % 2**32).to_bytes(4, "little") + changed[total + 12 :]
    return changed


def _set_raw(dataset: Any, keyword: str, syntax: str, rng: np.random.Generator) -> None:
    """Put strange bytes in the place of a value: pydicom would refuse to make an element of many of them."""
    tag = Tag(tag_for_keyword(keyword))
    vr = dictionary_VR(tag)
    vr = "US" if vr == "US or SS" else vr
    little = syntax != EXPLICIT_BIG
    if vr == "US":
        value = NUMBERS[int(rng.integers(len(NUMBERS)))].to_bytes(2, "little" if little else "big")
    elif vr == "UL":
        value = LENGTHS[int(rng.integers(len(LENGTHS)))].to_bytes(4, "little" if little else "big")
    elif vr == "FD":
        value = struct.pack("<d" if little else ">d", (float("nan"), float("inf"), -1.0, 0.0, 1e308)[rng.integers(5)])
    else:
        count = 1 if rng.random() < 0.5 else int(rng.integers(1, 7))
        value = b"\\".join(STRANGE[int(rng.integers(len(STRANGE)))].encode() for _ in range(count))
        value += b" " * (len(value) % 2)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, syntax == IMPLICIT_LITTLE, little)


def _with_strange_groups(file: DicomFile, rng: np.random.Generator) -> DicomFile:
    keyword = "PerFrameFunctionalGroupsSequence" if rng.random() < 0.7 else "SharedFunctionalGroupsSequence"
    items = [copied(item) for item in file.dataset[keyword].value]
    at = int(rng.integers(len(items)))
    kind = int(rng.integers(5))
    groups = [element.keyword for element in items[at]]
    if kind == 0:
        del items[at]
    elif kind == 1:
        items.append(items[at])
    elif groups and kind == 2:
        delattr(items[at], groups[int(rng.integers(len(groups)))])
    elif groups and kind == 3:
        set_element(items[at], groups[int(rng.integers(len(groups)))], [Dataset(), Dataset()])
    elif groups:
        group = groups[int(rng.integers(len(groups)))]
        inner = copied(items[at][group].value[0])
        names = [element.keyword for element in inner]
        name = names[int(rng.integers(len(names)))]
        if inner[name].VR == "SQ":
            set_element(inner, name, [])
        else:
            _set_raw(inner, name, file.syntax, rng)
        set_element(items[at], group, [inner])
    return file.with_elements(**{keyword: items})


def mangled(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three injuries to the bytes of a file."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not changed:
            break
        at = int(rng.integers(len(changed)))
        kind = int(rng.integers(9))
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + 8] = rng.bytes(min(8, len(changed) - at))
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            del changed[at : at + int(rng.integers(1, 40))]
        elif kind == 4:
            changed[at:at] = changed[at : at + int(rng.integers(1, 200))]
        elif kind == 5:
            word = STRANGE[int(rng.integers(len(STRANGE)))].encode()
            changed[at : at + len(word)] = word
        elif kind == 6:
            changed[at : at + 512] = bytes(min(512, len(changed) - at))
        else:
            _break_length(changed, rng)
    return bytes(changed)


def _break_length(changed: bytearray, rng: np.random.Generator) -> None:
    """Give an element another length: find a VR and overwrite what follows it."""
    names = (b"DS", b"US", b"UI", b"CS", b"IS", b"SQ", b"OW", b"OB", b"LO", b"UN", b"\xfe\xff\x00\xe0")
    word = names[int(rng.integers(len(names)))]
    places = [n for n in range(len(changed) - 8) if changed[n : n + len(word)] == word]
    if not places:
        return
    at = places[int(rng.integers(len(places)))]
    length = LENGTHS[int(rng.integers(len(LENGTHS)))]
    if word in (b"SQ", b"OW", b"OB", b"UN", b"\xfe\xff\x00\xe0"):
        changed[at + 4 : at + 8] = length.to_bytes(4, "little")
    else:
        changed[at + 2 : at + 4] = (length & 0xFFFF).to_bytes(2, "little")
