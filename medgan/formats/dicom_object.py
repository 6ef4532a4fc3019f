"""What kind of DICOM object a file holds: slices of a volume, or something else."""

from __future__ import annotations

from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_header import Header

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_KIND_OF_CLASS = {
    f"{_STORAGE}1": "radiograph",
    f"{_STORAGE}4.2": "spectroscopy",
    f"{_STORAGE}30": "parametric_map",
    f"{_STORAGE}66": "raw_data",
    f"{_STORAGE}66.1": "registration",
    f"{_STORAGE}66.2": "fiducials",
    f"{_STORAGE}66.3": "registration",
    f"{_STORAGE}66.4": "segmentation",
    f"{_STORAGE}66.5": "segmentation",
    f"{_STORAGE}67": "real_world_mapping",
    f"{_STORAGE}481.1": "portal_image",
    f"{_STORAGE}481.2": "dose",
    f"{_STORAGE}481.3": "structure_set",
}
_KIND_OF_FAMILY = (
    (f"{_STORAGE}88.", "report"),
    (f"{_STORAGE}104.", "report"),
    (f"{_STORAGE}11.", "presentation_state"),
    (f"{_STORAGE}9.", "waveform"),
    (f"{_STORAGE}78.", "measurement"),
    (f"{_STORAGE}481.", "plan"),
    (f"{_STORAGE}1.", "radiograph"),
)
_KIND_OF_MODALITY = {
    **dict.fromkeys(("CR", "DX", "MG", "PX", "IO", "RG"), "radiograph"),
    "RTIMAGE": "portal_image",
    **dict.fromkeys(("XA", "RF"), "fluoroscopy"),
    **dict.fromkeys(("US", "IVUS", "BDUS"), "ultrasound"),
    **dict.fromkeys(("ES", "GM", "SM", "XC", "OP", "DG"), "photograph"),
    **dict.fromkeys(("SR", "DOC", "KO", "AU"), "report"),
    **dict.fromkeys(("ECG", "EPS", "HD", "RESP"), "waveform"),
    **dict.fromkeys(("RTPLAN", "RTRECORD"), "plan"),
    "FID": "fiducials",
    "PR": "presentation_state",
    "REG": "registration",
    "RTDOSE": "dose",
    "RTSTRUCT": "structure_set",
    "SEG": "segmentation",
}
_MODALITY_OF_CLASS = {
    **dict.fromkeys((f"{_STORAGE}2", f"{_STORAGE}2.1", f"{_STORAGE}2.2"), "CT"),
    **dict.fromkeys((f"{_STORAGE}4", f"{_STORAGE}4.1", f"{_STORAGE}4.3", f"{_STORAGE}4.4"), "MR"),
    **dict.fromkeys((f"{_STORAGE}128", f"{_STORAGE}128.1", f"{_STORAGE}130"), "PT"),
    f"{_STORAGE}20": "NM",
    f"{_STORAGE}1": "CR",
    **dict.fromkeys((f"{_STORAGE}1.1", f"{_STORAGE}1.1.1"), "DX"),
    **dict.fromkeys((f"{_STORAGE}1.2", f"{_STORAGE}1.2.1"), "MG"),
}
_VOLUMES = frozenset({"CT", "MR", "PT", "NM", "OT", "SC", "OPT"})
_SECONDARY_CAPTURE = f"{_STORAGE}7"
_IMAGE_TAGS = (tags.ROWS, tags.COLUMNS, tags.PHOTOMETRIC, tags.BITS_ALLOCATED)


def class_of(header: Header) -> str:
    """Return the SOP class of an object, from the file meta information where the data set leaves it empty."""
    return header.text(tags.SOP_CLASS) or header.text(tags.META_SOP_CLASS)


def is_directory(header: Header) -> bool:
    """Tell whether a file is a DICOMDIR: a table of contents, no object of its own."""
    return class_of(header) == "1.2.840.10008.1.3.10" or tags.DIRECTORY_RECORDS in header.dataset


def is_mosaic(header: Header) -> bool:
    """Tell whether the picture of a file is a Siemens mosaic: all slices of a volume as tiles."""
    return "MOSAIC" in {word.upper() for word in header.words(tags.IMAGE_TYPE)}


def modality_of(header: Header) -> str | None:
    """Return the modality code of an object if it is one that DICOM defines, else that of its class, else None.

    A code of its own making is not repeated: any text of a header may hold a name.
    """
    stated = header.text(tags.MODALITY).upper()
    if stated in _VOLUMES or stated in _KIND_OF_MODALITY:
        return stated
    return _MODALITY_OF_CLASS.get(class_of(header))


def other_kind(header: Header) -> str | None:
    """Return what an object is that is no slice of a volume, such as ``localizer`` or ``report``; None for a slice."""
    sop_class = class_of(header)
    if sop_class in _KIND_OF_CLASS:
        return _KIND_OF_CLASS[sop_class]
    for family, kind in _KIND_OF_FAMILY:
        if sop_class.startswith(family):
            return kind
    kind_of_modality = _KIND_OF_MODALITY.get(header.text(tags.MODALITY).upper())
    if kind_of_modality is not None:
        return kind_of_modality
    if "LOCALIZER" in {word.upper() for word in header.words(tags.IMAGE_TYPE)}:
        return "localizer"
    if sop_class.startswith(_SECONDARY_CAPTURE) and not header.data(tags.IMAGE_POSITION):
        return "secondary_capture"
    return None


def is_dicom_object(header: Header) -> bool:
    """Tell whether a data set is an object at all: bytes that only begin like DICOM have none of these."""
    return bool(class_of(header) or header.text(tags.MODALITY)) or any(header.data(tag) for tag in _IMAGE_TAGS)


def is_image(header: Header) -> bool:
    """Tell whether an object describes pixels or should: it has one of their attributes, or a class of images."""
    return any(header.data(tag) for tag in _IMAGE_TAGS) or class_of(header) in _MODALITY_OF_CLASS
