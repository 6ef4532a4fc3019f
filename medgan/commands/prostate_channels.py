"""Which images of a study are T2w, ADC and high-b DWI: by attributes, and by the series' description as last resort."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medgan.formats import InventoryItem
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_volume import DicomStackSource
from medgan.geometry import Grid

Kind = Literal["t2w", "adc", "dwi"]

T2_ECHO_TIME_MS, T2_REPETITION_TIME_MS = 60.0, 1500.0
"""Spin echoes of at least these times are T2-weighted; free choices."""
LEAST_HIGH_B = 500.0
"""Lowest b-value in s/mm2 that counts as high."""
_DERIVED = frozenset(("FA", "TENSOR", "EADC", "EXPONENTIAL", "COLFA", "PERFUSION"))


@dataclass(frozen=True)
class SeriesFacts:
    """What the headers of one image say about its contrast; what they do not say is None or empty.

    The description is compared and never shown: headers hold whatever people typed.
    """

    index: int
    image_type: tuple[str, ...] = ()
    b_value: float | None = None
    scan_options: tuple[str, ...] = ()
    scanning_sequence: tuple[str, ...] = ()
    sequence_name: str = ""
    echo_time_ms: float | None = None
    repetition_time_ms: float | None = None
    description: str = ""
    is_axial: bool = False
    in_plane_mm: float = float("inf")


@dataclass(frozen=True)
class ChosenSeries:
    """An image and what it is taken for, by what; ``b_value`` of a DWI, ``is_calculated`` where it was not acquired."""

    index: int
    kind: Kind
    reason: str
    b_value: float | None = None
    is_calculated: bool = False
    alternatives: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """The choice for people."""
        b = "" if self.b_value is None else f", b {self.b_value:g} s/mm2{' (calculated)' if self.is_calculated else ''}"
        others = f"; also possible: {', '.join(map(str, self.alternatives))}" if self.alternatives else ""
        return f"{self.kind} is image {self.index}{b}, by its {self.reason}{others}"


def facts_of(item: InventoryItem) -> SeriesFacts | None:
    """Return what the first slice's header says; None of an image that is no DICOM stack."""
    source = item.finding.source
    if not isinstance(source, DicomStackSource) or item.grid is None:
        return None
    frame = source.judgement.slices[0][0]
    header, labels = frame.file.header, frame.labels
    image_type, b_value = labels.get("image type"), labels.get("b-value")
    echo, repetition = labels.get("echo time"), labels.get("repetition time")
    return SeriesFacts(
        index=item.index,
        image_type=tuple(map(str, image_type)) if isinstance(image_type, tuple) else (),
        b_value=float(b_value) if isinstance(b_value, int | float) else None,
        scan_options=tuple(word.upper() for word in header.words(tags.SCAN_OPTIONS)),
        scanning_sequence=tuple(word.upper() for word in header.words(tags.SCANNING_SEQUENCE)),
        sequence_name=header.text(tags.SEQUENCE_NAME).lower(),
        echo_time_ms=float(echo) if isinstance(echo, int | float) else None,
        repetition_time_ms=float(repetition) if isinstance(repetition, int | float) else None,
        description=f"{header.text(tags.SERIES_DESCRIPTION)} {header.text(tags.PROTOCOL_NAME)}".lower(),
        is_axial=_is_axial(item.grid),
        in_plane_mm=_in_plane_mm(item.grid),
    )


def kind_of(facts: SeriesFacts) -> tuple[Kind, str] | None:
    """Return what an image is and by what it was recognized; None if it is none of the three.

    Notes
    -----
    In this order: image type; b-value (standard, private or in the sequence's name); scan options and sequence; echo
    and repetition time; the description, where none of these says anything. Calculated maps other than ADC are none.
    """
    types = frozenset(word for entry in facts.image_type for word in re.split(r"[ _]", entry))
    if types & _DERIVED:
        return None
    if "ADC" in types or "APPARENT" in types:
        return "adc", "image type"
    is_diffusion = bool(types & {"DIFFUSION", "TRACEW", "TRACE", "ISOTROPIC"})
    if facts.b_value is not None and facts.b_value >= LEAST_HIGH_B:
        # An ADC map keeps the b-values it was made of: without image type its description says so.
        if not is_diffusion and _described_adc(facts.description):
            return "adc", "series description"
        return "dwi", "b-value"
    is_planar = "EP" in facts.scanning_sequence or "DIFF" in "".join(facts.scan_options)
    if facts.b_value is not None or is_diffusion or is_planar or "ep_b" in facts.sequence_name:
        if facts.b_value is None and _described_adc(facts.description):
            return "adc", "series description"
        return None
    times = facts.echo_time_ms, facts.repetition_time_ms
    if times[0] is not None and times[1] is not None:
        is_t2 = times[0] >= T2_ECHO_TIME_MS and times[1] >= T2_REPETITION_TIME_MS
        is_spin_echo = "SE" in facts.scanning_sequence or re.search(r"tse|fse|spc|se2d", facts.sequence_name)
        if is_t2 and facts.is_axial and (is_spin_echo or not facts.scanning_sequence):
            return "t2w", "echo and repetition time"
        return None
    if _described_adc(facts.description):
        return "adc", "series description"
    if facts.is_axial and re.search(r"(?<![a-z0-9])t2(?![0-9*])", facts.description):
        return "t2w", "series description"
    return None


def chosen_series(every: Sequence[SeriesFacts]) -> dict[Kind, ChosenSeries]:
    """Return the image of each kind: the finest T2w, the first ADC, the DWI of the highest b-value.

    Of a calculated and an acquired DWI with one b-value the acquired is taken.
    """
    found: dict[Kind, list[tuple[SeriesFacts, str]]] = {}
    for facts in every:
        if (known := kind_of(facts)) is not None:
            found.setdefault(known[0], []).append((facts, known[1]))
    chosen: dict[Kind, ChosenSeries] = {}
    for kind, candidates in found.items():
        best, reason = min(candidates, key=lambda each: _preference(kind, each[0]))
        others = tuple(sorted(facts.index for facts, _ in candidates if facts.index != best.index))
        b_value = best.b_value if kind == "dwi" else None
        chosen[kind] = ChosenSeries(best.index, kind, reason, b_value, kind == "dwi" and _is_calculated(best), others)
    return chosen


def _preference(kind: Kind, facts: SeriesFacts) -> tuple[float, ...]:
    if kind == "t2w":
        return (facts.in_plane_mm, facts.index)
    if kind == "dwi":
        return (-(facts.b_value or 0.0), _is_calculated(facts), facts.index)
    return (facts.index,)


def _is_calculated(facts: SeriesFacts) -> bool:
    # Siemens names the weightings that a calculated image was made of: ep_b50_800.
    return bool(re.search(r"_b\d+_\d+", facts.sequence_name)) or "calc" in facts.description


def _described_adc(description: str) -> bool:
    return bool(re.search(r"(?<![a-z])adc(?![a-z])|apparent diffusion", description))


def _is_axial(grid: Grid) -> bool:
    """Tell whether the slices, which follow the axis of the largest spacing, are stacked from foot to head."""
    axis = int(np.argmax(grid.spacing))
    return bool(np.abs(grid.direction[:, axis]).argmax() == 2)


def _in_plane_mm(grid: Grid) -> float:
    return float(sorted(grid.spacing)[1])
