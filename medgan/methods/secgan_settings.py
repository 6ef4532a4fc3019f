"""All choices of a segmentation-enhanced CycleGAN; the defaults are the authors' where their code states them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

from medgan.errors import TrainingError

SegmentationMode = Literal["none", "mask", "both", "separate"]


@dataclass(frozen=True, kw_only=True)
class ValidGeneratorSettings:
    """Both generators; see :class:`medgan.networks.valid_residual_generator.ValidResidualGenerator`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    depth: int = 4
    width: int = 32
    section_kernels: tuple[int, ...] | None = None
    noise_channels: int = 0
    head: Literal["tanh", "residual"] = "tanh"


@dataclass(frozen=True, kw_only=True)
class VolumeDiscriminatorSettings:
    """All discriminators.

    ``residual`` is :class:`medgan.networks.residual_discriminator.ResidualDiscriminator`; the others are the shapes of
    :class:`medgan.networks.volume_discriminators.VolumeDiscriminator`. ``section_strides`` counts for ``residual``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    kind: Literal["residual", "isotropic", "anisotropic", "flat"] = "residual"
    width: int = 32
    section_strides: tuple[int, int, int] = (2, 2, 2)


@dataclass(frozen=True, kw_only=True)
class SecganWeights:
    """Factors on the terms of the generators' loss; a term of weight 0 is not computed.

    Notes
    -----
    2.5 for the labeled cycle (labeled to unlabeled and back) and 0.5 for the unlabeled one are those of an independent
    reproduction; the paper does not state them. ``segmentation`` weighs the verdicts on segmentations (1 there).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    adversarial: float = 1.0
    segmentation: float = 1.0
    cycle_labeled: float = 2.5
    cycle_unlabeled: float = 0.5


@dataclass(frozen=True, kw_only=True)
class SecganSettings:
    """All choices of a SECGAN training.

    Parameters
    ----------
    steps : int
        Length of the training; the schedule needs it.
    segmentation : str
        What judges the labeled domain: ``"mask"`` the segmentation alone, ``"both"`` segmentation and image as channels
        of one input, ``"separate"`` two discriminators (the paper's layout); ``"none"`` is a CycleGAN of the same
        networks, which knows no segmenter.
    generator, discriminator : ValidGeneratorSettings, VolumeDiscriminatorSettings
        The networks.
    weights : SecganWeights
        Factors on the loss terms.
    leg_noise : float
        Standard deviation of Gaussian noise added to a translation before it is translated back.
    leg_quantization : bool
        Round a translation to 8 bits before it is translated back, with a straight-through gradient.
    generator_rate, discriminator_rate : float
        Learning rates; not published, CycleGAN's here (a free choice).
    betas : tuple of float
        Of Adam.
    constant_fraction : float
        Share of the training before the rates fall linearly to 0; 1 keeps them.
    average_decay : float or None
        Decay of the averaged generator weights; None for no average.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    steps: int
    segmentation: SegmentationMode = "separate"
    generator: ValidGeneratorSettings = field(default_factory=ValidGeneratorSettings)
    discriminator: VolumeDiscriminatorSettings = field(default_factory=VolumeDiscriminatorSettings)
    weights: SecganWeights = field(default_factory=SecganWeights)
    leg_noise: float = 0.0
    leg_quantization: bool = False
    generator_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    constant_fraction: float = 1.0
    average_decay: float | None = None

    def __post_init__(self) -> None:
        _require(self.steps >= 1, "steps", "at least 1", self.steps)
        modes = ("none", "mask", "both", "separate")
        _require(self.segmentation in modes, "segmentation", f"one of {', '.join(modes)}", self.segmentation)
        _require(self.leg_noise >= 0.0, "leg_noise", "at least 0", self.leg_noise)
        _require(0.0 <= self.constant_fraction <= 1.0, "constant_fraction", "in [0, 1]", self.constant_fraction)
        for name, weight in asdict(self.weights).items():
            _require(weight >= 0.0, f"weights.{name}", "at least 0", weight)
        if not (self.weights.adversarial or self.weights.cycle_labeled or self.weights.cycle_unlabeled):
            raise TrainingError("SECGAN needs an adversarial or a cycle weight above 0: found all 0.")


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise TrainingError(f"SECGAN needs {name} {required}: found {found!r}.")
