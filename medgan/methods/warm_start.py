"""A warm start: generators follow a table of intensities before, and loosely while, they are trained adversarially.

Not in the CycleGAN paper. The table is prior knowledge about two contrasts that uses no pair of images; a training that
uses it has to say so. It keeps a training of unpaired images away from contrast inversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from medgan.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

Knots = tuple[tuple[float, float], ...]

_SETTLING_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Emphasis:
    """Let what is rare count more: an L1 distance is smallest at the median, where a few voxels have no voice.

    Parameters
    ----------
    above : float
        Normalized target value.
    factor : float
        Weight of expected values above it; 1 elsewhere.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    above: float
    factor: float

    def __post_init__(self) -> None:
        _require(self.factor > 0, "emphasis.factor", "above 0", self.factor)

    def weights_of(self, expected: Tensor) -> Tensor:
        """Return a weight for every voxel of an image of expected values."""
        return 1.0 + (self.factor - 1.0) * (expected > self.above).to(expected.dtype)


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Train the generators alone, at first, to follow a table of intensities, and keep it as an anchor.

    Parameters
    ----------
    steps : int
        Steps of the warm start; 0 for none.
    knots : tuple of (source, target)
        Piecewise-linear table in normalized values, rising in the source value.
    rate : float or None
        Learning rate of the warm start: it rises linearly over the first 5 % (Adam's first steps are as long as any,
        and saturate a generator without normalization), and falls to the generators' own over the last 40 %. None for
        their own all along.
    emphasis : Emphasis or None
        In the warm start's loss, and in that of phantoms.
    ramp_steps : int
        Steps after the warm start over which the adversarial weight rises linearly from 0, so that the generators do
        not follow discriminators that have not learned anything yet.
    anchor_weight : float
        Weight of the anchor right after the warm start; 0 for none.
    anchor_floor : float
        Weight it falls to.
    anchor_steps : int
        Steps over which it falls linearly.
    anchor_window : int
        Edge of the blocks, in voxels, that are averaged before the anchor compares: detail is free.

    Notes
    -----
    The loss of the warm start is ``|G(x) - table(x)| + |F(table(x)) - x|`` in the body. The discriminators are left
    alone meanwhile, their pools stay empty, and they start on the first adversarial step. There the moments that the
    generators' optimizer has gathered are dropped, and their learning rate rises from 0 over 20 steps: Adam divides by
    the size of earlier gradients, those of the warm start are ten times smaller, and steps that much too long saturate
    the generators, sometimes for good. (Without the rise, Adam's first steps after the drop still triple the cycle
    loss for a while.)
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    steps: int = 0
    knots: Knots = ()
    rate: float | None = None
    emphasis: Emphasis | None = None
    ramp_steps: int = 200
    anchor_weight: float = 0.0
    anchor_floor: float = 0.0
    anchor_steps: int = 1
    anchor_window: int = 4

    def __post_init__(self) -> None:
        # Configuration files give lists.
        object.__setattr__(self, "knots", tuple((float(source), float(target)) for source, target in self.knots))
        if self.steps or self.anchor_weight or self.anchor_floor:
            check_knots(self.knots)
        _require(self.rate is None or self.rate > 0, "rate", "above 0", self.rate)
        _require(self.steps >= 0, "steps", "at least 0", self.steps)
        _require(self.ramp_steps >= 0, "ramp_steps", "at least 0", self.ramp_steps)
        _require(self.anchor_steps >= 1, "anchor_steps", "at least 1", self.anchor_steps)
        _require(self.anchor_window >= 1, "anchor_window", "at least 1", self.anchor_window)
        _require(
            self.anchor_weight >= self.anchor_floor >= 0.0,
            "anchor_floor",
            f"from 0 to anchor_weight ({self.anchor_weight})",
            self.anchor_floor,
        )

    def adversarial_share_at(self, step: int) -> float:
        """Return the factor on the adversarial weight after ``step`` steps; 1 where there is no warm start.

        Examples
        --------
        >>> warm = WarmStart(steps=10, knots=((-1, -1), (1, 1)), ramp_steps=4)
        >>> [warm.adversarial_share_at(step) for step in (9, 10, 12, 13, 14)]
        [0.0, 0.25, 0.75, 1.0, 1.0]
        """
        if not self.steps or not self.ramp_steps:
            return float(step >= self.steps)
        return min(max((step - self.steps + 1) / self.ramp_steps, 0.0), 1.0)

    def rate_share_at(self, step: int) -> float:
        """Return the factor on the generators' learning rate: below 1 only right after the warm start.

        Examples
        --------
        >>> warm = WarmStart(steps=10, knots=((-1, -1), (1, 1)))
        >>> [warm.rate_share_at(step) for step in (9, 10, 19, 29, 30)]
        [1.0, 0.05, 0.5, 1.0, 1.0]
        """
        if not self.steps or step < self.steps:
            return 1.0
        return min((step - self.steps + 1) / _SETTLING_STEPS, 1.0)

    def rate_at(self, step: int, *, then: float) -> float | None:
        """Return the learning rate after ``step`` steps of a warm start that has one of its own, else None.

        Examples
        --------
        >>> warm = WarmStart(steps=10, knots=((-1, -1), (1, 1)), rate=6.0)
        >>> [warm.rate_at(step, then=2.0) for step in (0, 6, 8, 9, 10)]
        [6.0, 6.0, 4.0, 3.0, None]
        >>> WarmStart(steps=100, knots=((-1, -1), (1, 1)), rate=5.0).rate_at(1, then=2.0)
        2.0
        """
        if self.rate is None or step >= self.steps:
            return None
        rising = (step + 1) / (0.05 * self.steps)
        if rising < 1.0:
            return self.rate * rising
        falling = min((self.steps - step) / (0.4 * self.steps), 1.0)
        return then + (self.rate - then) * falling

    def anchor_weight_at(self, step: int) -> float:
        """Return the anchor's weight after ``step`` steps of the whole training.

        Examples
        --------
        >>> warm = WarmStart(steps=10, knots=((-1, -1), (1, 1)), anchor_weight=4, anchor_floor=1, anchor_steps=3)
        >>> [warm.anchor_weight_at(step) for step in (10, 11, 12, 13, 99)]
        [4.0, 3.0, 2.0, 1.0, 1.0]
        """
        progress = min(max(step - self.steps, 0) / self.anchor_steps, 1.0)
        return self.anchor_weight + (self.anchor_floor - self.anchor_weight) * progress


def check_knots(knots: Knots) -> None:
    """Refuse a table that is not a function.

    Raises
    ------
    TrainingError
        For fewer than two knots, or source values that do not rise.
    """
    sources = [source for source, _ in knots]
    if len(knots) < 2 or any(after <= before for before, after in pairwise(sources)):
        raise TrainingError(
            f"An intensity table needs at least 2 knots with rising source values: found sources {sources}."
        )


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise TrainingError(f"A warm start needs {name} {required}: found {found!r}.")
