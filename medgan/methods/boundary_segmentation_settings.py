"""All choices of a boundary or affinity segmenter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from medgan.errors import TrainingError

Offset = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class BoundaryNetworkSettings:
    """The network; see :class:`medgan.networks.boundary_unet.BoundaryUNet`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    width: int = 16
    section_pools: tuple[int, ...] = (2, 2)
    section_kernels: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class BoundarySettings:
    """All choices of a training (every default is a free choice).

    Parameters
    ----------
    steps : int
        Length of the training; the schedule needs it.
    network : BoundaryNetworkSettings
    offsets_zyx : tuple of three integers each
        Neighbors whose belonging together is learned (affinities), short and long range; none for boundaries.
    positive_weight : float
        Factor on the cross-entropy of voxels whose target is 1; boundaries are few.
    dice_weight : float
        Factor on ``1 - soft Dice``, added to the cross-entropy.
    rate : float
        Learning rate of Adam.
    betas : tuple of float
    constant_fraction : float
        Share of the training before the rate falls linearly to 0.
    average_decay : float or None
        Decay of the averaged weights; None for no average.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    steps: int
    network: BoundaryNetworkSettings = field(default_factory=BoundaryNetworkSettings)
    offsets_zyx: tuple[Offset, ...] = ()
    positive_weight: float = 1.0
    dice_weight: float = 0.0
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    constant_fraction: float = 0.5
    average_decay: float | None = None

    def __post_init__(self) -> None:
        # Configuration files give lists.
        object.__setattr__(self, "offsets_zyx", tuple(tuple(int(o) for o in offset) for offset in self.offsets_zyx))
        _require(self.steps >= 1, "steps", "at least 1", self.steps)
        _require(self.positive_weight > 0, "positive_weight", "above 0", self.positive_weight)
        _require(self.dice_weight >= 0, "dice_weight", "at least 0", self.dice_weight)
        _require(0.0 <= self.constant_fraction <= 1.0, "constant_fraction", "in [0, 1]", self.constant_fraction)
        fit = all(len(offset) == 3 and any(offset) for offset in self.offsets_zyx)
        _require(fit and len(set(self.offsets_zyx)) == len(self.offsets_zyx), "offsets_zyx",
                 "different, of three numbers, not all 0", self.offsets_zyx)  # fmt: skip

    @property
    def out_channels(self) -> int:
        """Logits of a voxel: one for boundaries, one an offset for affinities."""
        return max(len(self.offsets_zyx), 1)

    @property
    def offsets_ijk(self) -> tuple[Offset, ...]:
        """The offsets along the axes of an array (x, y, z)."""
        return tuple(offset[::-1] for offset in self.offsets_zyx)


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise TrainingError(f"A boundary segmenter needs {name} {required}: found {found!r}.")
