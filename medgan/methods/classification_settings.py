"""All choices of a classification training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from medgan.errors import TrainingError

Architecture = Literal["convolutional_classifier", "residual_classifier"]


@dataclass(frozen=True, kw_only=True)
class ClassificationSettings:
    """All choices of a classification training.

    Parameters
    ----------
    steps : int
        Length of the training; the schedule needs it.
    network : str
        ``"convolutional_classifier"`` or ``"residual_classifier"``, see :mod:`medgan.networks.classifier`.
    spatial_dims, in_channels, classes, width, stages, depth : int
        Of the network.
    rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
    constant_fraction : float
        Share of the training before the rate falls linearly to 0.
    class_weights : tuple of float or None
        Factors on the loss of each class, for sets that are not balanced; batches may be balanced instead.
    label_smoothing : float
        In [0, 1).
    average_decay : float or None
        Decay of the averaged weights; None for no average.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    steps: int
    network: Architecture = "convolutional_classifier"
    spatial_dims: int = 2
    in_channels: int = 1
    classes: int = 2
    width: int = 16
    stages: int = 3
    depth: int = 2
    rate: float = 1e-3
    weight_decay: float = 1e-4
    constant_fraction: float = 0.5
    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    average_decay: float | None = None

    def __post_init__(self) -> None:
        if self.class_weights is not None:
            object.__setattr__(self, "class_weights", tuple(float(weight) for weight in self.class_weights))
        _require(self.steps >= 1, "steps", "at least 1", self.steps)
        _require(
            self.network in get_args(Architecture),
            "network",
            f"one of {', '.join(get_args(Architecture))}",
            self.network,
        )
        _require(self.classes >= 2, "classes", "at least 2", self.classes)
        _require(self.rate > 0.0 and self.weight_decay >= 0.0, "rate and weight_decay", "above 0, and at least 0",
                 (self.rate, self.weight_decay))  # fmt: skip
        _require(0.0 <= self.constant_fraction <= 1.0, "constant_fraction", "in [0, 1]", self.constant_fraction)
        _require(0.0 <= self.label_smoothing < 1.0, "label_smoothing", "in [0, 1)", self.label_smoothing)
        weights = self.class_weights
        _require(weights is None or (len(weights) == self.classes and min(weights) > 0.0), "class_weights",
                 f"{self.classes} numbers above 0", weights)  # fmt: skip

    @property
    def network_settings(self) -> dict[str, int]:
        """Arguments of the network's constructor."""
        names = ("spatial_dims", "in_channels", "classes", "width", "stages", "depth")
        return {name: getattr(self, name) for name in names}


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise TrainingError(f"Classification needs {name} {required}: found {found!r}.")
