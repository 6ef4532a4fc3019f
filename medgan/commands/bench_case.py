"""One row of the benchmark: what was compared, how fast each side was, and whether their results agree.

A ratio without agreement would flatter, so there is none: a row whose deviation breaks its bound has medians and no
ratio.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

KEYS = (
    "case", "peer", "medgan_s", "peer_s", "ratio", "ratio_min", "ratio_max", "deviation", "deviation_unit",
    "deviation_bound", "medgan_peak_mb", "peer_peak_mb",
)  # fmt: skip
"""What every case of the JSON has first; null where a row has no such number."""

MEASURED, NOT_APPLICABLE, NOT_MEASURED = "measured", "not applicable", "not measured"


@dataclass(frozen=True)
class Deviation:
    """How far the results of two sides differ, and how far they may.

    Examples
    --------
    >>> Deviation(0.5, "HU", 2.0, "mean absolute").holds, Deviation(float("nan"), "HU", 2.0).holds
    (True, False)
    """

    value: float
    unit: str
    bound: float
    words: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is within its bound; what is not a number is not."""
        return self.value <= self.bound

    @property
    def in_words(self) -> str:
        """The number with its bound."""
        words = f"{self.words} " if self.words else ""
        return f"{words}{self.value:.2g} {self.unit} (allowed {self.bound:g})"


@dataclass(frozen=True)
class Figure:
    """A number that is no ratio of two times: its unit, its spread, and the bound that it should keep.

    Parameters
    ----------
    value, low, high : float
        Median and range.
    unit, words : str
    bound : float or None
        None: reported only.
    at_least : bool
        Whether the bound is a lower one.
    """

    value: float
    low: float
    high: float
    unit: str
    words: str
    bound: float | None = None
    at_least: bool = True

    @property
    def reached(self) -> bool | None:
        """Whether the bound is kept, None where there is none."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def in_words(self) -> str:
        """The number with its spread and its bound."""
        spread = f" ({self.low:.2f} to {self.high:.2f})" if self.low != self.high else ""
        bound = "" if self.bound is None else f"; {'at least' if self.at_least else 'at most'} {self.bound:g} wanted"
        return f"{self.words} {self.value:.2f}{spread} {self.unit}".rstrip() + bound


def compared(
    case: str,
    *,
    peer: str,
    medgan_s: Sequence[float],
    peer_s: Sequence[float],
    deviations: Sequence[Deviation],
    ratio_wanted: float | None = None,
    medgan_peak_mb: float | None = None,
    peer_peak_mb: float | None = None,
    peak_words: str = "",
    notes: Sequence[str] = (),
    **further: Any,
) -> dict[str, Any]:
    """Return a row in which medgan and a peer did the same.

    Parameters
    ----------
    case, peer : str
    medgan_s, peer_s : sequence of float
        Seconds of every round, pair by pair.
    deviations : sequence of Deviation
        The first is the one that the row names; all must hold.
    ratio_wanted : float, optional
        Bound to reach.
    medgan_peak_mb, peer_peak_mb : float, optional
    peak_words : str
        What the peaks count.
    notes : sequence of str
    **further
        Numbers of this case alone.
    """
    first = deviations[0]
    holds = all(each.holds for each in deviations)
    ratios = [theirs / own for own, theirs in zip(medgan_s, peer_s, strict=True)] if holds else []
    ratio = statistics.median(ratios) if ratios else None
    return {
        "case": case,
        "peer": peer,
        "medgan_s": statistics.median(medgan_s),
        "peer_s": statistics.median(peer_s),
        "ratio": ratio,
        "ratio_min": min(ratios) if ratios else None,
        "ratio_max": max(ratios) if ratios else None,
        "deviation": first.value,
        "deviation_unit": first.unit,
        "deviation_bound": first.bound,
        "medgan_peak_mb": medgan_peak_mb,
        "peer_peak_mb": peer_peak_mb,
        "status": MEASURED,
        "rounds": len(medgan_s),
        "ratio_wanted": ratio_wanted,
        "reached": None if ratio_wanted is None else ratio is not None and ratio >= ratio_wanted,
        "deviations": [asdict(each) for each in deviations],
        "figure": None,
        "peak_words": peak_words,
        "notes": list(notes),
        **further,
    }


def stated(
    case: str,
    *,
    peer: str,
    figure: Figure,
    medgan_s: Sequence[float],
    peer_s: Sequence[float] = (),
    deviation: Deviation | None = None,
    medgan_peak_mb: float | None = None,
    peer_peak_mb: float | None = None,
    peak_words: str = "",
    notes: Sequence[str] = (),
    **further: Any,
) -> dict[str, Any]:
    """Return a row without a ratio, whose figure says what was found."""
    row = _empty(case, peer, MEASURED)
    row.update(
        medgan_s=statistics.median(medgan_s),
        peer_s=statistics.median(peer_s) if peer_s else None,
        medgan_peak_mb=medgan_peak_mb,
        peer_peak_mb=peer_peak_mb,
        rounds=len(medgan_s),
        reached=None if figure.reached is None else figure.reached and (deviation is None or deviation.holds),
        figure={**asdict(figure), "in_words": figure.in_words},
        peak_words=peak_words,
        notes=list(notes),
        **further,
    )
    if deviation is not None:
        row.update(
            deviation=deviation.value,
            deviation_unit=deviation.unit,
            deviation_bound=deviation.bound,
            deviations=[asdict(deviation)],
        )
    return row


def left_out(case: str, *, peer: str, why: str, status: str = NOT_APPLICABLE) -> dict[str, Any]:
    """Return a row that was not measured, with the reason in one sentence."""
    return {**_empty(case, peer, status), "notes": [why]}


def line_of(row: dict[str, Any]) -> str:
    """Return a row for people."""
    if row["status"] != MEASURED:
        return f"{row['case']}: {row['status']}: {' '.join(row['notes'])}"
    parts = [f"medgan {_seconds(row['medgan_s'])}"]
    if row["peer_s"] is not None:
        parts.append(f"{row['peer']} {_seconds(row['peer_s'])}")
    deviations = [Deviation(**each) for each in row["deviations"]]
    if row["figure"] is not None:
        parts.append(row["figure"]["in_words"])
    elif row["ratio"] is None:
        parts.append("no ratio: the results differ")
    else:
        wanted = "" if row["ratio_wanted"] is None else f", {row['ratio_wanted']:g}x wanted"
        parts.append(f"{row['ratio']:.2f}x ({row['ratio_min']:.2f} to {row['ratio_max']:.2f}{wanted})")
    parts += [f"deviation {each.in_words}" for each in deviations]
    if row["medgan_peak_mb"] is not None:
        beside = "" if row["peer_peak_mb"] is None else f" against {row['peer_peak_mb']:.0f} MB"
        parts.append(f"memory {row['medgan_peak_mb']:.0f} MB{beside}")
    return f"{row['case']}: {'; '.join([*parts, *row['notes']])}"


def _empty(case: str, peer: str, status: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(KEYS),
        "case": case,
        "peer": peer,
        "status": status,
        "rounds": 0,
        "ratio_wanted": None,
        "reached": None,
        "deviations": [],
        "figure": None,
        "peak_words": "",
        "notes": [],
    }


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
