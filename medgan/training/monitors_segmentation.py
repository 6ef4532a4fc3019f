"""What goes wrong in an adversarial segmentation, found in the numbers of its steps.

All four are functions of the rows of ``metrics.jsonl``, so that a training that was interrupted is judged like one that
was not. The limits are free choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medgan.errors import TrainingError

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MonitorLimits:
    """When a monitor speaks.

    Parameters
    ----------
    window : int
        Steps that are averaged.
    saturated_accuracy, vanishing_ratio : float
        Saturation: the discriminator is right at least this often, and the adversarial gradient is at most this share
        of the cross-entropy's.
    vanished_share : float
        Collapse: a class is predicted on less than this share of the area that experts give it.
    loss_ratio : float
        Imbalance: one of the two players' losses is this many times the other's.
    rise : float
        Divergence: the cross-entropy is this many times its lowest average so far.

    Raises
    ------
    TrainingError
        If a limit is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    window: int = 25
    saturated_accuracy: float = 0.98
    vanishing_ratio: float = 0.01
    vanished_share: float = 0.1
    loss_ratio: float = 10.0
    rise: float = 2.0

    def __post_init__(self) -> None:
        if self.window < 1 or self.loss_ratio <= 1 or self.rise <= 1:
            raise TrainingError(
                "A monitor needs a window of at least 1, and a loss_ratio and rise above 1: "
                f"found {self.window}, {self.loss_ratio}, {self.rise}."
            )


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A monitor that spoke.

    Parameters
    ----------
    monitor : str
        ``saturation``, ``collapse``, ``imbalance`` or ``divergence``.
    first_step, last_step : int
        Between which the condition held at least once.
    share : float
        Of the windows that could be judged.
    words : str
        What was found, with the values at their worst.
    """

    monitor: str
    first_step: int
    last_step: int
    share: float
    words: str


def segmentation_alarms(rows: Sequence[Row], *, focus_class: int, limits: MonitorLimits | None = None) -> list[Alarm]:
    """Return what the four monitors found in the steps of a training.

    Parameters
    ----------
    rows : sequence of mappings
        One a step, in order: ``step`` and the terms of
        :class:`medgan.methods.adversarial_segmentation.SegmentationLosses`. A term that a step does not have is left
        out of the averages.
    focus_class : int
        The class whose vanishing is watched.
    limits : MonitorLimits, optional
    """
    limits = limits or MonitorLimits()
    steps = np.array([row["step"] for row in rows])
    if len(rows) < limits.window:
        return []
    found: list[Alarm | None] = [
        _alarm("saturation", steps, *_saturation(rows, limits)),
        _alarm("collapse", steps, *_collapse(rows, limits, focus_class)),
        _alarm("imbalance", steps, *_imbalance(rows, limits)),
        _alarm("divergence", steps, *_divergence(rows, limits)),
    ]
    return [alarm for alarm in found if alarm is not None]


def _saturation(rows: Sequence[Row], limits: MonitorLimits) -> tuple[np.ndarray, Callable[[int], str], np.ndarray]:
    accuracy, ratio = _averages(rows, "discriminator_accuracy", limits), _averages(rows, "gradient_ratio", limits)
    holds = (accuracy >= limits.saturated_accuracy) & (ratio <= limits.vanishing_ratio)

    def words(at: int) -> str:
        return (
            f"the discriminator is right in {accuracy[at]:.1%} and its gradient is {ratio[at]:.2g} of the "
            "cross-entropy's: the segmenter no longer hears it"
        )

    return holds, words, -ratio


def _collapse(
    rows: Sequence[Row], limits: MonitorLimits, focus: int
) -> tuple[np.ndarray, Callable[[int], str], np.ndarray]:
    predicted = _averages(rows, f"predicted_share_{focus}", limits)
    expert = _averages(rows, f"expert_share_{focus}", limits)
    # A class that was not learned yet has not vanished.
    was_there = np.maximum.accumulate(np.where(np.isnan(predicted), 0, predicted >= limits.vanished_share * expert)) > 0
    holds = was_there & (expert > 0) & (predicted < limits.vanished_share * expert)

    def words(at: int) -> str:
        return (
            f"class {focus} fills {predicted[at]:.3%} of the predicted maps and {expert[at]:.3%} of the experts': "
            "it has vanished"
        )

    return holds, words, expert - predicted


def _imbalance(rows: Sequence[Row], limits: MonitorLimits) -> tuple[np.ndarray, Callable[[int], str], np.ndarray]:
    segmenter, discriminator = _averages(rows, "adversarial", limits), _averages(rows, "discriminator", limits)
    with np.errstate(divide="ignore"):
        ratio = segmenter / np.maximum(discriminator, 1e-12)
        distance = np.abs(np.log(np.maximum(ratio, 1e-12)))
    holds = distance > np.log(limits.loss_ratio)

    def words(at: int) -> str:
        return (
            f"the segmenter's adversarial loss is {segmenter[at]:.3g} and the discriminator's {discriminator[at]:.3g}: "
            "one of them has won"
        )

    return holds, words, distance


def _divergence(rows: Sequence[Row], limits: MonitorLimits) -> tuple[np.ndarray, Callable[[int], str], np.ndarray]:
    entropy = _averages(rows, "cross_entropy", limits)
    lowest = np.fmin.accumulate(entropy)
    holds = entropy > limits.rise * lowest

    def words(at: int) -> str:
        return f"the cross-entropy is {entropy[at]:.3g} after {lowest[at]:.3g}: the segmenter forgets what it knew"

    return holds, words, entropy / lowest


def _averages(rows: Sequence[Row], name: str, limits: MonitorLimits) -> np.ndarray:
    """Return the mean of a term over the window that ends at each row; NaN until a window is full of it."""
    values = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
    sums = np.concatenate([[0.0], np.nancumsum(values)])
    counts = np.concatenate([[0], np.cumsum(~np.isnan(values))])
    averages = np.full(len(values), np.nan)
    full = (counts[limits.window :] - counts[: -limits.window]) == limits.window
    means = (sums[limits.window :] - sums[: -limits.window]) / limits.window
    averages[limits.window - 1 :] = np.where(full, means, np.nan)
    return averages


def _alarm(
    monitor: str, steps: np.ndarray, holds: np.ndarray, words: Callable[[int], str], badness: np.ndarray
) -> Alarm | None:
    judged = np.isfinite(badness)
    holds = holds & judged
    if not holds.any():
        return None
    where = np.flatnonzero(holds)
    worst = int(where[np.argmax(badness[where])])
    return Alarm(
        monitor=monitor,
        first_step=int(steps[where[0]]),
        last_step=int(steps[where[-1]]),
        share=float(holds.sum() / judged.sum()),
        words=words(worst),
    )
