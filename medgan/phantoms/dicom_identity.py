"""Identity planted in every text of a series, so that whatever leaks into an output can be found and named."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.phantoms.dicom_file import DicomFile, RawFile, set_element
from medgan.phantoms.dicom_series import DicomSeries

if TYPE_CHECKING:
    from pydicom import Dataset

MARKER = "QXZJ"
"""Letters that no word, format or library has in this order; markers go on with the tag they stand in."""

FOLDER = f"{MARKER}GIVEN_{MARKER}00100010"
"""The patient's name as a name of files and folders."""

UID_ROOT = "1.2.826.0.1.7777321"
DATE, TIME, AGE, NUMBER = "19030717", "031719.030717", "107Y", "7.077307"

_GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0088, 0x0400, 0x2050, 0x4008)
_TEXTS = {"AE": 16, "CS": 16, "LO": 64, "LT": 200, "PN": 64, "SH": 16, "ST": 200, "UC": 64, "UR": 64, "UT": 200}
_FUNCTIONAL = frozenset(
    {
        "ComplexImageComponent",
        "DimensionOrganizationType",
        "LossyImageCompression",
        "LossyImageCompressionMethod",
        "Modality",
        "PhotometricInterpretation",
        "PixelPaddingValue",
        "PixelPresentation",
        "PresentationLUTShape",
        "RescaleType",
        "SOPClassUID",
        "SpecificCharacterSet",
        "TypeOfData",
    }
)
"""Elements whose text decides how a file is read."""
_KEPT_VALUES = frozenset({"ImageType", "SequenceName", "FrameType"})
"""Texts that must stay but can hold more: the marker is appended."""


@dataclass(frozen=True)
class IdentityMarkers:
    """A marker in every text element that does not decide how the file is read: names, ids, dates, UIDs, private ones.

    Parameters
    ----------
    is_named : bool
        Name files and their folder after the patient as well, as exports of viewers do.

    Notes
    -----
    Every text element of the data dictionary in the groups of patient, study, series, equipment, visit and procedure
    is added, not only those that were there. Texts become ``MARKER`` and their tag, UIDs begin with :data:`UID_ROOT`,
    dates, times and ages are the rare ones of this module. UIDs that join files keep doing so. Plant it last.
    """

    is_named: bool = False

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series and the files beside it full of markers."""
        uids: dict[str, str] = {}
        slices = tuple(self._marked(file, n, uids) for n, file in enumerate(series.slices))
        beside = tuple(
            self._marked(file, n + len(slices), uids) if isinstance(file, DicomFile) else self._raw(file, n)
            for n, file in enumerate(series.beside)
        )
        header = replace(
            series.header,
            study_uid=_other_uid(series.header.study_uid, uids),
            series_uid=_other_uid(series.header.series_uid, uids),
            frame_uid=_other_uid(series.header.frame_uid, uids),
        )
        return replace(series, header=header, slices=slices, beside=beside)

    def _marked(self, file: DicomFile, number: int, uids: dict[str, str]) -> DicomFile:
        dataset = _marked_dataset(file.dataset, uids)
        _add_all_texts(dataset)
        # An item of a sequence, as referring objects hold patients.
        patient = _marked_dataset(_small_patient(), uids)
        set_element(dataset, "ReferencedPatientSequence", [patient])
        set_element(dataset, "OtherPatientIDsSequence", [patient])
        for group, creator in ((0x0009, f"{MARKER} CREATOR"), (0x0029, "SIEMENS CSA HEADER")):
            block = dataset.private_block(group, creator, create=True)
            block.add_new(0x41, "LO", f"{MARKER}{group:04X}41")
            block.add_new(0x42, "UN", f"{MARKER}{group:04X}42".encode())
            block.add_new(0x43, "OB", f"{MARKER}{group:04X}43".encode())
        name = f"{FOLDER}/{FOLDER}_{number:04d}.dcm" if self.is_named else file.name
        meta = {
            **file.meta,
            "ImplementationVersionName": f"{MARKER}META",
            "SourceApplicationEntityTitle": f"{MARKER}SOURCE",
            "PrivateInformationCreatorUID": f"{UID_ROOT}.99",
            "PrivateInformation": f"{MARKER}PRIVATE ".encode(),
        }
        preamble = f"{MARKER} PREAMBLE".encode().ljust(128, b"\0")
        return replace(file, dataset=dataset, name=name, meta=meta, preamble=preamble).touched(self)

    def _raw(self, file: RawFile, number: int) -> RawFile:
        if not self.is_named:
            return file
        return replace(file, name=f"{FOLDER}/{number}_{FOLDER}_{PurePosixPath(file.name).name}")


def _marked_dataset(source: Dataset, uids: dict[str, str]) -> Dataset:
    from pydicom import DataElement, Dataset, config

    marked = Dataset()
    for element in source:
        keyword = element.keyword
        value: Any = element.value
        if element.VR == "SQ":
            value = [_marked_dataset(item, uids) for item in element.value]
        elif element.VR == "UI" and keyword not in _FUNCTIONAL and "Class" not in keyword:
            value = _other_uid(str(value), uids)
        elif keyword in _KEPT_VALUES:
            value = _appended(value, element.VR)
        elif not element.tag.is_private and keyword not in _FUNCTIONAL:
            value = _marker(element.VR, int(element.tag), value)
        marked.add(DataElement(element.tag, element.VR, value, validation_mode=config.IGNORE))
    return marked


def _appended(value: Any, vr: str) -> Any:
    if vr == "CS":
        return [*([value] if isinstance(value, str) else value), f"{MARKER}TYPE"]
    return f"{value}{MARKER}"


def _marker(vr: str, tag: int, value: Any) -> Any:
    """Return the marker for an element of this VR, or the value itself where a number or code decides something."""
    if vr in _TEXTS:
        text = f"{MARKER}{tag:08X}"
        return f"{text}^{MARKER}GIVEN" if vr == "PN" else text[: _TEXTS[vr]]
    return {"DA": DATE, "TM": TIME, "DT": DATE + TIME[:6], "AS": AGE}.get(vr, value)


def _other_uid(uid: str, uids: dict[str, str]) -> str:
    return uids.setdefault(uid, f"{UID_ROOT}.{len(uids) + 1}")


def _add_all_texts(dataset: Dataset) -> None:
    from pydicom.datadict import DicomDictionary

    for tag, (vr, multiplicity, _, retired, keyword) in DicomDictionary.items():
        if tag >> 16 not in _GROUPS or tag in dataset or retired or keyword in _NOT_ADDED or not keyword:
            continue
        if vr in _TEXTS or vr in ("DA", "TM", "DT", "AS"):
            value = _marker(vr, tag, None)
        elif vr == "UI" and "Class" not in keyword:
            value = f"{UID_ROOT}.{tag}"
        elif vr == "DS" and tag >> 16 == 0x0010:
            value = NUMBER
        else:
            continue
        first, _, _ = multiplicity.partition("-")
        count = int(first) if first.isdigit() else 1
        set_element(dataset, keyword, value if count == 1 else [value] * count)


_NOT_ADDED = _FUNCTIONAL | frozenset(
    {
        # Their presence changes how pixels, frames or stacks are read.
        "AnatomicalOrientationType",
        "BurnedInAnnotation",
        "FrameType",
        "ImageType",
        "PixelDataProviderURL",
        "SequenceName",
        "VolumetricProperties",
    }
)


def _small_patient() -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    texts = {"PatientName": "", "PatientID": "", "PatientBirthDate": "", "OtherPatientIDs": "", "InstitutionName": ""}
    for keyword, value in {**texts, "ReferencedSOPInstanceUID": "1.2"}.items():
        set_element(item, keyword, value)
    return item


def markers_in(text: str | bytes) -> tuple[str, ...]:
    """Return every marker found in a text or in the bytes of a file, with what follows it; none twice.

    Examples
    --------
    >>> markers_in("series of QXZJ00100010^QXZJGIVEN on 19030717")
    ('19030717', 'QXZJ00100010', 'QXZJGIVEN')
    """
    data = text if isinstance(text, str) else text.decode("latin-1")
    fixed = "|".join(re.escape(word) for word in (UID_ROOT, DATE, "1903-07-17", TIME, AGE, NUMBER))
    found = set(re.findall(rf"{MARKER}\w*|{fixed}", data, flags=re.IGNORECASE))
    if isinstance(text, bytes) and MARKER.encode("utf-16-le") in text:
        found.add(f"{MARKER} in UTF-16")
    return tuple(sorted(found))
