"""Gray values of a whole volume counted once, in boxes, before its blocks are translated by different hands."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError, OutputError, PatchError
from medgan.geometry import Box
from medgan.volume import VolumeSource

COUNTS_FILE = "counts.npz"
"""Of a manifest."""
_GRAYS = 256


@dataclass(frozen=True)
class SectionCounts:
    """How often each gray value occurs in every section, and which sections could not be read.

    Parameters
    ----------
    counts : (K, 256) int64
    unreadable : dict of int to str
        Sections with a damaged chunk, and the sentence that names it; their counts say nothing.
    """

    counts: npt.NDArray[np.int64] = field(repr=False)
    unreadable: dict[int, str] = field(default_factory=dict)

    def require(self, sections: npt.NDArray[np.int64]) -> None:
        """Refuse sections whose gray values are not known.

        Raises
        ------
        FormatError
            Naming the damaged chunk.
        """
        for section in np.unique(sections):
            if int(section) in self.unreadable:
                reason = self.unreadable[int(section)]
                raise FormatError(f"Section {section} is matched by the gray values of all its voxels. {reason}")

    def as_bytes(self) -> bytes:
        """Return everything as the content of a file."""
        stream = io.BytesIO()
        notes = np.frombuffer(json.dumps(self.unreadable).encode(), dtype=np.uint8)
        np.savez_compressed(stream, counts=self.counts, unreadable=notes)
        return stream.getvalue()

    @classmethod
    def of_bytes(cls, data: bytes) -> SectionCounts:
        """Return what :meth:`as_bytes` gave."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            notes = json.loads(archive["unreadable"].tobytes())
            return cls(archive["counts"], {int(section): reason for section, reason in notes.items()})


def section_counts(
    source: VolumeSource,
    *,
    box_ijk: tuple[int, int, int],
    known: SectionCounts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SectionCounts:
    """Count the gray values of every section, reading a box at a time.

    Parameters
    ----------
    source : VolumeSource
        uint8.
    box_ijk : three integers
        Voxels read at once.
    known : SectionCounts, optional
        From an earlier pass: only sections that could not be read then are read again.
    progress : callable, optional
        Called with boxes done and boxes in all.

    Raises
    ------
    PatchError
        If the image is not uint8, or all zero.

    Notes
    -----
    The counts are those of :func:`medgan.patches.em_matching.gray_counts`, which reads whole sections.
    """
    shape = source.grid.shape
    found = known or SectionCounts(np.zeros((shape[2], _GRAYS), dtype=np.int64))
    wanted = set(range(shape[2])) if known is None else set(known.unreadable)
    counts, unreadable = found.counts.copy(), dict[int, str]()
    counts[sorted(wanted)] = 0
    boxes = [box for box in _boxes(shape, box_ijk) if wanted & set(range(box.start_ijk[2], box.stop_ijk[2]))]
    for done, box in enumerate(boxes, start=1):
        for part in _readable_parts(source, box, unreadable):
            array, first = part
            if array.dtype != np.uint8:
                raise PatchError(f"Gray values are matched in uint8 images: found {array.dtype}. Convert it first.")
            for section in range(first, first + array.shape[2]):
                if section in wanted:
                    counts[section] += np.bincount(array[:, :, section - first].ravel(), minlength=_GRAYS)
        if progress is not None:
            progress(done, len(boxes))
    result = replace(found, counts=counts, unreadable=unreadable)
    if not unreadable and not counts[:, 1:].any():
        raise PatchError(all_zero("The source"))
    return result


def read_counts(manifest: Path) -> SectionCounts | None:
    """Return the gray values that were counted for a manifest, None where none were needed.

    Raises
    ------
    OutputError
        If they are damaged.
    """
    path = manifest / COUNTS_FILE
    try:
        return SectionCounts.of_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive can raise nearly anything
        raise OutputError(
            f"{COUNTS_FILE} in {manifest.name} is damaged: remove {manifest.name} to start anew."
        ) from None


def require_some_signal(source: VolumeSource, label: str, *, box_ijk: tuple[int, int, int]) -> None:
    """Refuse a volume that is all zero; as a rule the first box tells, and no more is read.

    Raises
    ------
    PatchError
    """
    for box in _boxes(source.grid.shape, box_ijk):
        try:
            if source.read(box).array.any():
                return
        except FormatError:
            # Something is there; what is damaged is named by the block that needs it.
            return
    raise PatchError(all_zero(label))


def all_zero(label: str) -> str:
    """Return the sentence for a volume without a signal."""
    return f"{label} is all zero: there is nothing to work on. Is it the right array?"


def _boxes(shape: tuple[int, ...], box_ijk: tuple[int, int, int]) -> list[Box]:
    starts = product(*(range(0, n, b) for n, b in zip(shape[::-1], box_ijk[::-1])))
    return [
        Box(start[::-1], tuple(min(s + b, n) for s, b, n in zip(start[::-1], box_ijk, shape)))  # type: ignore[arg-type]
        for start in starts
    ]


def _readable_parts(
    source: VolumeSource, box: Box, unreadable: dict[int, str]
) -> list[tuple[npt.NDArray[np.uint8], int]]:
    """Return the box, or those of its sections that can be read; the others are noted."""
    try:
        return [(source.read(box).array, box.start_ijk[2])]
    except FormatError:
        parts = []
        for section in range(box.start_ijk[2], box.stop_ijk[2]):
            thin = Box((*box.start_ijk[:2], section), (*box.stop_ijk[:2], section + 1))
            try:
                parts.append((source.read(thin).array, section))
            except FormatError as error:
                unreadable[section] = str(error)
        return parts
