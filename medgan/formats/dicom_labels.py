"""What tells the stacks of one series apart: contrast, diffusion, time, acquisition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from medgan.formats import dicom_tags as tags

if TYPE_CHECKING:
    from medgan.formats.dicom_frame import FrameView
    from medgan.formats.dicom_header import Header

Label = str | float | int | tuple[str, ...] | tuple[float, ...] | None

ALWAYS = (
    "frame of reference",
    "image type",
    "component",
    "stack",
    "mosaic",
    "b-value",
    "gradient direction",
    "echo",
    "echo time",
    "sequence",
)
"""Labels that never vary within one volume: a series is split wherever one differs."""

WHERE_POSITIONS_REPEAT = (
    "temporal position",
    "cardiac phase",
    "inversion time",
    "flip angle",
    "repetition time",
    "tube voltage",
    "kernel",
    "acquisition",
    "frame reference time",
    "acquisition time",
    "content time",
    "folder",
)
"""Labels that may vary from slice to slice of one volume: they split only slices that lie at the same positions."""

UNITS = {"b-value": "s/mm2", "echo time": "ms", "inversion time": "ms", "repetition time": "ms"}
"""Labels whose value is a number that may be shown."""

# fmt: off
_KNOWN_TYPES = frozenset((
    "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "M", "P", "R", "I", "MAG", "PHASE", "REAL",
    "IMAGINARY", "ADC", "FA", "TRACEW", "DIFFUSION", "NORM", "ND", "DIS2D", "DIS3D", "MPR", "MIP", "MINIP",
    "OTHER", "WATER", "FAT", "IN_PHASE", "OUT_PHASE", "M_SE", "M_FFE", "SE", "FFE", "T1", "T2", "RESAMPLED",
    "SUBTRACT",
))
# fmt: on


def labels_of(view: FrameView, *, folder: str) -> Mapping[str, Label]:
    """Return the labels of one slice; those that its file does not have are left out."""
    top = view.top
    image_type = view.text(tags.FRAME_TYPE, tags.MR_FRAME_TYPE) or view.text(tags.FRAME_TYPE, tags.CT_FRAME_TYPE)
    found: dict[str, Label] = {
        "frame of reference": top.text(tags.FRAME_OF_REFERENCE),
        "image type": tuple((image_type or top.text(tags.IMAGE_TYPE)).upper().split("\\")),
        "component": view.text(tags.COMPLEX_COMPONENT, tags.MR_FRAME_TYPE) or _ge_component(top),
        "stack": view.text(tags.STACK_ID, tags.FRAME_CONTENT),
        "b-value": b_value_of(view),
        "gradient direction": _gradient(view),
        "echo": top.number(tags.ECHO_NUMBERS),
        "echo time": view.number(tags.EFFECTIVE_ECHO_TIME, tags.MR_ECHO) or top.number(tags.ECHO_TIME),
        "sequence": top.text(tags.SEQUENCE_NAME),
        "temporal position": view.number(tags.TEMPORAL_POSITION_INDEX, tags.FRAME_CONTENT)
        or top.number(tags.TEMPORAL_POSITION),
        "cardiac phase": view.number(tags.CARDIAC_TRIGGER_DELAY, tags.CARDIAC_SYNCHRONIZATION)
        or top.number(tags.TRIGGER_TIME),
        "inversion time": top.number(tags.INVERSION_TIME),
        "flip angle": view.number(tags.FLIP_ANGLE, tags.MR_TIMING),
        "repetition time": view.number(tags.REPETITION_TIME, tags.MR_TIMING),
        "tube voltage": top.number(tags.KVP),
        "kernel": top.words(tags.CONVOLUTION_KERNEL),
        "acquisition": top.number(tags.ACQUISITION_NUMBER),
        "frame reference time": top.number(tags.FRAME_REFERENCE_TIME),
        "acquisition time": top.text(tags.ACQUISITION_DATE_TIME) or top.text(tags.ACQUISITION_TIME),
        "content time": top.text(tags.CONTENT_TIME),
        "folder": folder,
    }
    return {name: value for name, value in found.items() if value not in (None, "", (), ("",))}


def b_value_of(view: FrameView) -> float | None:
    """Return the diffusion weighting in s/mm2: standard, then private attributes, then the name of the sequence."""
    stated = view.number(tags.B_VALUE, tags.MR_DIFFUSION)
    if stated is not None:
        return stated
    top = view.top
    for tag, creator, vr in (
        (tags.SIEMENS_B_VALUE, "SIEMENS MR HEADER", "IS"),
        (tags.PHILIPS_B_VALUE, "Philips Imaging DD 001", "FL"),
        (tags.UIH_B_VALUE, "Image Private Header", "FD"),
        (tags.GE_B_VALUE, "GEMS_PARM_01", "IS"),
    ):
        value = top.number(tag, vr=vr) if _made_by(top, creator) else None
        if value is not None and value >= 0:
            # GE adds 1e9 to mark b-values of several directions.
            return value % 1e9 if tag == tags.GE_B_VALUE else value
    # Siemens: *ep_b400t, *ep_b1000#12; b50_800 names two weightings that were combined.
    named = re.search(r"_b(\d{1,5})(?![\d_])", top.text(tags.SEQUENCE_NAME))
    return float(named[1]) if named else None


def shown(name: str, value: Label, values: list[Label]) -> str:
    """Return a label in words that repeat no text of a header.

    Parameters
    ----------
    name : str
    value : Label
    values : list of Label
        All values of this label in the series, in order.
    """
    if name in UNITS and isinstance(value, int | float):
        return f"{name} {value:g} {UNITS[name]}"
    if name == "image type" and isinstance(value, tuple):
        others = [set(other) for other in values if isinstance(other, tuple) and other != value]
        own = [str(word) for word in value if word in _KNOWN_TYPES and not all(word in other for other in others)]
        if own:
            return f"image type {' '.join(own)}"
    return f"{name} {values.index(value) + 1} of {len(values)}"


def _gradient(view: FrameView) -> tuple[float, ...] | None:
    for groups in (view.own, view.shared):
        for diffusion in groups.items(tags.MR_DIFFUSION) if groups is not None else ():
            for direction in diffusion.items(tags.MR_DIFFUSION_DIRECTION):
                values = direction.numbers(tags.GRADIENT_DIRECTION, 3)
                if values is not None:
                    return tuple(round(v, 4) for v in values)
    top = view.top
    values = top.numbers(tags.GRADIENT_DIRECTION, 3)
    if values is None and _made_by(top, "SIEMENS MR HEADER"):
        values = top.numbers(tags.SIEMENS_GRADIENT, 3, vr="FD")
    if values is None and _made_by(top, "GEMS_ACQU_01"):
        values = _three(top, tags.GE_GRADIENT, "DS")
    if values is None and _made_by(top, "Philips MR Imaging DD 001"):
        values = _three(top, tags.PHILIPS_GRADIENT, "FL")
    if values is None and _made_by(top, "Image Private Header"):
        values = top.numbers(tags.UIH_GRADIENT, 3, vr="FD")
    return None if values is None else tuple(round(v, 4) for v in values)


def _three(top: Header, parts: tuple[int, ...], vr: str) -> tuple[float, ...] | None:
    values = [top.number(tag, vr=vr) for tag in parts]
    return None if None in values else tuple(v for v in values if v is not None)


def _ge_component(top: Header) -> float | None:
    """Return GE's magnitude 0, phase 1, real 2, imaginary 3."""
    return top.number(tags.GE_COMPONENT, vr="SS") if _made_by(top, "GEMS_PARM_01") else None


def _made_by(top: Header, creator: str) -> bool:
    return top.text(tags.CREATORS[creator]).startswith(creator)
