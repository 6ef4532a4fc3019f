"""What is watched while a training runs: finite losses, and the polarity of the translation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from medgan.errors import DivergenceError, TrainingError

Polarity = Literal["same", "inverted", "none"]
_SAMPLES = 20000


def require_finite(losses: Mapping[str, float], *, step: int, case_ids: Sequence[str]) -> None:
    """Stop a training whose losses are no longer numbers.

    Parameters
    ----------
    losses : mapping of str to float
        Loss terms by name.
    step : int
        The step that gave them, from 1.
    case_ids : sequence of str
        Pseudonyms of the cases in the batch.

    Raises
    ------
    DivergenceError
        Naming the terms, the step and the cases.
    """
    broken = [f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise DivergenceError(
            f"Every loss needs to be finite: found {', '.join(broken)} at step {step} "
            f"(cases: {', '.join(case_ids) or 'not named'}). Look at these cases for values out of range; "
            "if they are sound, lower the learning rate or train in float32."
        )


@dataclass(frozen=True, kw_only=True)
class Translation:
    """An image, its translation, and a real image of the target domain, for guards and previews.

    Parameters
    ----------
    image, translation : Tensor
        (N, 1, ...), one shape.
    body : Tensor or None
        (N, 1, ...), 1 inside the body; None means everywhere.
    """

    image: Tensor
    translation: Tensor
    body: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class PolarityGuard:
    """Watch for contrast inversion, a wrong solution that is as cycle-consistent as the right one.

    Parameters
    ----------
    expected_polarity : str
        ``"same"`` or ``"inverted"``: the sign that the rank correlation between image and translation must have;
        ``"none"``: it may have any sign (T1-weighted MR to CT), and the shares of air and bone are reported instead.
    check_steps : tuple of int
        Steps after which the translation is checked.
    limit : float
        A correlation (times the expected sign) below ``-limit`` is a violation; within the band nothing is decided.
    air_below, bone_above : float
        Normalized target values that count as air and as bone inside the body.
    air_share, bone_share : tuple of float
        Lowest and highest share of the body that is plausible for each.

    Notes
    -----
    Januszewski and Jain 2019 (doi 10.1101/548081), authors' code, compare the order of the reconstruction at the
    arg-min and arg-max of the translation every 100 steps from 300 to 2000. Deviation: Spearman's rank correlation over
    the body, which does not hang on two voxels.
    """

    expected_polarity: Polarity
    check_steps: tuple[int, ...] = tuple(range(300, 2001, 100))
    limit: float = 0.1
    air_below: float = -0.9
    bone_above: float = 0.5
    air_share: tuple[float, float] = (0.0, 0.1)
    bone_share: tuple[float, float] = (0.005, 0.3)

    def __post_init__(self) -> None:
        if self.expected_polarity not in ("same", "inverted", "none"):
            raise TrainingError(
                f"An expected polarity is 'same', 'inverted' or 'none': found {self.expected_polarity!r}."
            )
        if not 0.0 <= self.limit < 1.0:
            raise TrainingError(f"A polarity guard needs a limit in [0, 1): found {self.limit}.")

    def check(self, seen: Translation) -> PolarityFinding:
        """Judge one translation."""
        inside = torch.ones_like(seen.image, dtype=torch.bool) if seen.body is None else seen.body > 0.5
        image, translation = seen.image[inside], seen.translation[inside]
        if not image.numel():
            return PolarityFinding(correlation=0.0, air_share=0.0, bone_share=0.0, violated=False, warnings=())
        correlation = rank_correlation(image, translation)
        air = float((translation < self.air_below).float().mean())
        bone = float((translation > self.bone_above).float().mean())
        sign = {"same": 1.0, "inverted": -1.0, "none": 0.0}[self.expected_polarity]
        warnings = []
        if self.expected_polarity == "none":
            for name, share, (low, high) in (("air", air, self.air_share), ("bone", bone, self.bone_share)):
                if not low <= share <= high:
                    warnings.append(f"{name} fills {share:.1%} of the body; plausible are {low:.1%} to {high:.1%}")
        return PolarityFinding(
            correlation=correlation,
            air_share=air,
            bone_share=bone,
            violated=sign * correlation < -self.limit,
            warnings=tuple(warnings),
        )


@dataclass(frozen=True, kw_only=True)
class PolarityFinding:
    """What a guard saw.

    Parameters
    ----------
    correlation : float
        Rank correlation between image and translation in the body.
    air_share, bone_share : float
        Shares of the body that the translation makes air and bone.
    violated : bool
        Whether the polarity is the wrong one, so that the training has to start anew.
    warnings : tuple of str
        Findings that do not stop a training.
    """

    correlation: float
    air_share: float
    bone_share: float
    violated: bool
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "correlation": self.correlation,
            "air_share": self.air_share,
            "bone_share": self.bone_share,
            "violated": self.violated,
            "warnings": list(self.warnings),
        }


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's rank correlation of two sets of numbers, ties at their mean rank; 0 if one is constant.

    Notes
    -----
    Of more than 20,000 numbers, evenly spaced ones are used.

    Examples
    --------
    >>> round(rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([9.0, 4.0, 1.0])), 6)
    -1.0
    """
    stride = max(1, first.numel() // _SAMPLES)
    x, y = _ranks(first.detach().flatten()[::stride]), _ranks(second.detach().flatten()[::stride])
    x, y = x - x.mean(), y - y.mean()
    scale = float(x.norm() * y.norm())
    return float(x @ y) / scale if scale else 0.0


def _ranks(values: Tensor) -> Tensor:
    _, place, counts = torch.unique(values.float(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[place]
