"""The gate: a stack of slices comes in right, corrected with a record, or refused with the files named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medgan.errors import FormatError
from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_placement import Placement, placement
from medgan.formats.dicom_requirements import (
    listed,
    name_of_frame,
    require_geometry,
    require_one_meaning,
    require_one_patient,
    require_pixels,
)
from medgan.formats.dicom_stack import Stack, position_groups

TURNED_VOXEL = 0.05
"""Slices of one stack may be turned against each other by this much at their far end."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """A stack after its headers were judged.

    Parameters
    ----------
    slices : tuple of tuples of DicomFrame
        For each position in ascending order the slices there: one, or several that must turn out identical.
    placement : Placement or None
        None where the stack is refused; a stack refused for one missing slice keeps it.
    corrections : tuple of str
    pending : str
        What is judged on reading: that slices at one position are identical.
    refusal : str
        Empty where the stack may be read.
    """

    slices: tuple[tuple[DicomFrame, ...], ...]
    placement: Placement | None
    corrections: tuple[str, ...] = ()
    pending: str = ""
    refusal: str = ""


def judge(stack: Stack, modality: str | None) -> Judgement:
    """Judge a stack by its headers; what only its pixels show is judged when they are read."""
    groups = tuple(tuple(group) for group in position_groups(stack.frames))
    try:
        require_pixels(stack.frames)
        require_geometry(stack.frames)
        require_one_meaning(stack.frames, modality)
        require_one_patient(stack.frames)
        found = _placed(groups)
    except FormatError as error:
        return Judgement(groups, None, refusal=str(error))
    corrections: tuple[str, ...] = ()
    if found.tilt_degrees:
        corrections = (
            f"The gantry was tilted by {found.tilt_degrees:.1f} degrees: the slices are displaced sideways, and the "
            "image is read on that sheared grid.",
        )
    return Judgement(groups, found, corrections, _shared_positions(groups), found.gap)


def _shared_positions(groups: Sequence[Sequence[DicomFrame]]) -> str:
    doubled = [group for group in groups if len(group) > 1]
    if not doubled:
        return ""
    return (
        f"At {len(doubled)} of {len(groups)} positions there is more than one slice "
        f"({listed([name_of_frame(frame) for group in doubled for frame in group])}): identical ones are dropped on "
        "reading, different ones refuse the stack."
    )


def _placed(groups: Sequence[Sequence[DicomFrame]]) -> Placement:
    first = groups[0][0]
    if first.orientation is None or first.pixel_spacing is None or first.rows is None or first.columns is None:
        raise FormatError("A slice needs its geometry.")
    # Several slices at one place: the refusal of a single position names them all.
    names = [name_of_frame(f) for f in groups[0]] if len(groups) == 1 else [name_of_frame(g[0]) for g in groups]
    orientations = np.array([frame.orientation for group in groups for frame in group])
    turned = np.abs(orientations - orientations[0]).max(axis=1) * max(first.rows, first.columns)
    if turned.max() > TURNED_VOXEL:
        flat = [frame for group in groups for frame in group]
        raise FormatError(
            f"Slices of one volume need one orientation: {name_of_frame(flat[int(turned.argmax())])} is turned by "
            f"{turned.max():.2f} voxels at its far end (limit {TURNED_VOXEL})."
        )
    return placement(
        np.array([group[0].position for group in groups], dtype=np.float64),
        orientation=first.orientation,
        pixel_spacing=first.pixel_spacing,
        rows=first.rows,
        columns=first.columns,
        names=names,
    )
