"""From the slices of a series to its stacks: what was acquired as one volume each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_labels import ALWAYS, WHERE_POSITIONS_REPEAT, Label, shown
from medgan.formats.stored_file import natural_key

SAME_ORIENTATION = 2e-3
"""Largest difference of a direction cosine within one stack; what remains is judged in voxels by the gate."""
SAME_POSITION_PIXELS = 0.02
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that belong to one volume.

    Parameters
    ----------
    frames : tuple of DicomFrame
    words : tuple of str
        What tells the stack from the others of its series, without text of a header.
    """

    frames: tuple[DicomFrame, ...]
    words: tuple[str, ...] = ()


def stacks_of(frames: Sequence[DicomFrame]) -> list[Stack]:
    """Split the slices of one series.

    Notes
    -----
    Slices of different orientation or contrast (:data:`~medgan.formats.dicom_labels.ALWAYS`) are never in one stack,
    except that a label which is another one in every slice, at a place of its own each, is a property of slices and
    splits nothing. Labels that may vary within a volume
    (:data:`~medgan.formats.dicom_labels.WHERE_POSITIONS_REPEAT`: time, acquisition, ...) split only slices that lie at
    the same positions, and only into parts of at least two positions. What then still shares positions stays in one
    stack, for the gate to judge.
    """
    stacks = []
    groups = _by_orientation(frames)
    for plane, group in groups:
        parts = [Stack(tuple(group), (plane,) if len(groups) > 1 else ())]
        for name in ALWAYS:
            parts = [piece for part in parts for piece in _divided(part, name, _always_worthwhile)]
        stacks += [piece for part in parts for piece in _untangled(part)]
    return stacks


def position_groups(frames: Sequence[DicomFrame]) -> list[list[DicomFrame]]:
    """Return the slices grouped by position, in ascending order along the normal of the first slice.

    Slices without place, orientation or pixel spacing make one group each.
    """
    placed = [f for f in frames if f.position is not None and f.orientation is not None and f.pixel_spacing is not None]
    if len(placed) < len(frames):
        return [[frame] for frame in frames]
    positions = np.array([frame.position for frame in placed], dtype=np.float64)
    orientation = np.array(placed[0].orientation, dtype=np.float64)
    along = positions @ np.cross(orientation[:3], orientation[3:])
    tolerance = SAME_POSITION_PIXELS * min(placed[0].pixel_spacing or (0.0,))
    groups: list[list[int]] = []
    for index in np.argsort(along, kind="stable"):
        last = groups[-1] if groups else None
        # Slices in one plane may still lie beside each other.
        if last is not None and np.abs(positions[index] - positions[last[0]]).max() <= tolerance:
            last.append(int(index))
        else:
            groups.append([int(index)])
    return [[placed[index] for index in group] for group in groups]


def _untangled(stack: Stack) -> list[Stack]:
    """Split slices that share positions by the first label that separates them, again and again."""
    groups = position_groups(stack.frames)
    if len(groups) < 2 or len(groups) == len(stack.frames):
        return [stack]
    best: list[Stack] | None = None
    for name in WHERE_POSITIONS_REPEAT:
        parts = _divided(stack, name, _separates)
        if len(parts) == 1:
            continue
        if all(len(position_groups(part.frames)) == len(part.frames) for part in parts):
            return parts
        best = best or parts
    return [stack] if best is None else [piece for part in best for piece in _untangled(part)]


def _divided(stack: Stack, name: str, is_worthwhile: Callable[[Stack, list[Stack]], bool]) -> list[Stack]:
    by_value: dict[Label, list[DicomFrame]] = defaultdict(list)
    for frame in stack.frames:
        by_value[frame.labels.get(name)].append(frame)
    if len(by_value) == 1:
        return [stack]
    values = sorted(by_value, key=_label_order)
    parts = [Stack(tuple(by_value[value]), (*stack.words, shown(name, value, values))) for value in values]
    return parts if is_worthwhile(stack, parts) else [stack]


def _always_worthwhile(stack: Stack, parts: list[Stack]) -> bool:
    """Tell whether a label divides at all: not if every slice has its own value and its own place."""
    is_own_of_each = len(parts) == len(stack.frames)
    return not (is_own_of_each and len(position_groups(stack.frames)) == len(stack.frames))


def _separates(stack: Stack, parts: list[Stack]) -> bool:
    positions = [len(position_groups(part.frames)) for part in parts]
    repeats = sum(len(part.frames) for part in parts) - sum(positions)
    return min(positions) >= 2 and repeats < len(stack.frames) - len(position_groups(stack.frames))


def _by_orientation(frames: Sequence[DicomFrame]) -> list[tuple[str, list[DicomFrame]]]:
    leaders: list[np.ndarray | None] = []
    groups: list[list[DicomFrame]] = []
    for frame in frames:
        own = None if frame.orientation is None else np.array(frame.orientation, dtype=np.float64)
        for leader, group in zip(leaders, groups):
            if own is leader or (
                own is not None and leader is not None and np.abs(own - leader).max() <= SAME_ORIENTATION
            ):
                group.append(frame)
                break
        else:
            leaders.append(own)
            groups.append([frame])
    names = [_plane(leader) for leader in leaders]
    ranked = sorted(zip(names, leaders, groups), key=lambda each: (each[0], [] if each[1] is None else list(each[1])))
    seen: dict[str, int] = defaultdict(int)
    named = []
    for name, _, group in ranked:
        seen[name] += 1
        number = f" {seen[name]} of {names.count(name)}" if names.count(name) > 1 else ""
        named.append((f"{name}{number}", group))
    return named


def _plane(orientation: np.ndarray | None) -> str:
    if orientation is None:
        return "no orientation"
    return _PLANES[int(np.abs(np.cross(orientation[:3], orientation[3:])).argmax())]


def _label_order(value: Label) -> tuple[int, object]:
    if value is None:
        return (0, 0.0)
    if isinstance(value, int | float):
        return (1, float(value))
    if isinstance(value, str):
        return (2, natural_key(value))
    return (3, tuple(str(part) for part in value))
