"""Localizers: images in several planes that serve to plan a scan, not to be a volume."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import cos, radians

import numpy as np

from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_stack import Stack, position_groups

OTHER_PLANE_DEGREES = 20.0
"""Planes further apart than this are different planes, not one plane that was turned a little between scans."""
_WORDS = re.compile(r"(?<![a-z])(localizer|localiser|locali[sz]ation|scout|survey|topogram|3[ -]?plane?)(?![a-z])")


def without_localizers(stacks: Sequence[Stack]) -> tuple[list[Stack], int]:
    """Return the stacks of a series that may be volumes, and how many files hold its localizers.

    Notes
    -----
    CT says LOCALIZER in the image type, MR does not. A localizer is a single position in a plane that lies across
    another one of the same series, or a whole series of several planes whose name says so. A single position alone is
    none: it may be what is left of a volume.
    """
    normals = [_normal(stack) for stack in stacks]
    lies_across = [
        any(_is_other_plane(normal, other) for other in normals) if normal is not None else False for normal in normals
    ]
    is_named = any(lies_across) and _says_localizer(stacks[0])
    kept, files = [], set()
    for stack, across in zip(stacks, lies_across):
        if is_named or (across and len(position_groups(stack.frames)) == 1):
            files |= {id(frame.file) for frame in stack.frames}
        else:
            kept.append(stack)
    return kept, len(files)


def _normal(stack: Stack) -> np.ndarray | None:
    orientation = stack.frames[0].orientation
    if orientation is None:
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if np.isfinite(length) and length > 0 else None


def _is_other_plane(one: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and bool(abs(one @ other) < cos(radians(OTHER_PLANE_DEGREES)))


def _says_localizer(stack: Stack) -> bool:
    header = stack.frames[0].file.header
    return any(_WORDS.search(header.text(tag).lower()) for tag in (tags.SERIES_DESCRIPTION, tags.PROTOCOL_NAME))
