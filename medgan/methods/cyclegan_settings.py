"""All choices of a CycleGAN training; the defaults are the published ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

from medgan.errors import TrainingError
from medgan.methods.warm_start import WarmStart


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """Both generators; see :class:`medgan.networks.residual_generator.ResidualGenerator`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    width: int = 64
    blocks: int = 9
    normalization: Literal["instance", "none"] = "instance"
    skips: bool = False
    residual: bool = False
    slices: int | None = None


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """Both discriminators; see :class:`medgan.networks.patch_discriminator.PatchDiscriminator`.

    ``spectral`` adds spectral normalization (:mod:`medgan.networks.spectral`) to whatever normalization they have.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    width: int = 64
    layers: int = 3
    normalization: Literal["instance", "none"] = "instance"
    spectral: bool = False


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Factors on the terms of the generators' loss; a term of weight 0 is not computed.

    Notes
    -----
    ``identity`` asks a generator to leave images of its target domain unchanged; 0 because MR and CT share no values.
    ``phantoms`` asks the source-to-target generator for the true target of pairs of phantoms, where batches carry some;
    in the warm start they count as much as the prior, whatever the weight.
    ``adversarial`` is 1 in the paper; there the identity weight is 5.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 0.0
    structure: float = 0.0
    phantoms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CycleGANSettings:
    """All choices of a CycleGAN training.

    Parameters
    ----------
    spatial_dims : int
        2 or 3.
    steps : int
        Length of the training; the schedule needs it.
    generator, discriminator : GeneratorSettings, DiscriminatorSettings
        The networks.
    body_mask : bool
        Batches carry body masks: the generators see them and give ``outside`` beyond them, and real images are set to
        ``outside`` there too, so that a discriminator cannot tell them apart by their background.
    outside : float
        Normalized value outside the body, in both domains.
    weights : Weights
        Factors on the loss terms.
    cycle : str
        ``"l1"`` (published) or ``"ssim"``: 0.84 (1 - SSIM) + 0.16 L1, as in ganslate.
    structure_signed : bool
        For the structure term: whether edges must keep their sign.
    leg_noise : float
        Standard deviation of Gaussian noise added to a translation before it is translated back.
    leg_quantization : bool
        Round a translation to 8 bits before it is translated back, with a straight-through gradient.
    generator_rate, discriminator_rate : float
        Learning rates.
    betas : tuple of float
        Of Adam.
    constant_fraction : float
        Share of the training before the rates fall linearly to 0.
    pool : int
        Images in each pool.
    average_decay : float or None
        Decay of the averaged generator weights; None for no average.
    warm_start : WarmStart
        Intensity table.
    recompute : bool
        Keep no activations of the four translations of a step and compute each again on the way back (gradient
        checkpointing): the same bits with less memory, in more time.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    spatial_dims: int = 3
    steps: int
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    body_mask: bool = False
    outside: float = -1.0
    weights: Weights = field(default_factory=Weights)
    cycle: Literal["l1", "ssim"] = "l1"
    structure_signed: bool = False
    leg_noise: float = 0.0
    leg_quantization: bool = False
    generator_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    constant_fraction: float = 0.5
    pool: int = 50
    average_decay: float | None = None
    warm_start: WarmStart = field(default_factory=WarmStart)
    recompute: bool = False

    def __post_init__(self) -> None:
        _require(self.steps >= 1, "steps", "at least 1", self.steps)
        _require(self.cycle in ("l1", "ssim"), "cycle", "'l1' or 'ssim'", self.cycle)
        _require(self.leg_noise >= 0.0, "leg_noise", "at least 0", self.leg_noise)
        _require(0.0 <= self.constant_fraction <= 1.0, "constant_fraction", "in [0, 1]", self.constant_fraction)
        for name, weight in asdict(self.weights).items():
            _require(weight >= 0.0, f"weights.{name}", "at least 0", weight)
        if not (self.weights.adversarial or self.weights.cycle):
            raise TrainingError("CycleGAN needs an adversarial or a cycle weight above 0: found both 0.")


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise TrainingError(f"CycleGAN needs {name} {required}: found {found!r}.")
