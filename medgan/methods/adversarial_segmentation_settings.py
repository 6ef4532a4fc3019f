"""All choices of an adversarial segmentation; what the paper leaves open is a free choice with a name here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from medgan.errors import TrainingError

Arm = Literal["cross_entropy", "dice_cross_entropy", "adversarial", "hybrid"]
ARMS: tuple[Arm, ...] = get_args(Arm)
Phase = Literal["supervised", "lead", "adversarial"]
Softening = Literal["scaled", "smooth", "none"]


@dataclass(frozen=True, kw_only=True)
class SegmenterSettings:
    """The segmenter; see :class:`medgan.networks.unet.UNet`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    width: int = 32
    levels: int = 4
    normalization: Literal["group", "instance", "none"] = "group"
    halve_last: bool = True


@dataclass(frozen=True, kw_only=True)
class MapDiscriminatorSettings:
    """What judges label maps; see :class:`medgan.networks.patch_discriminator.PatchDiscriminator`.

    ``sees_image``: the image comes with the map. ``verdict``: one a patch, or one a map (the mean of the patches'
    logits). ``softening``: how expert maps lose the sharpness that gives them away, see
    :func:`medgan.methods.adversarial_segmentation_terms.softened`, by ``smoothing``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    width: int = 16
    layers: int = 3
    normalization: Literal["instance", "none"] = "none"
    sees_image: bool = True
    verdict: Literal["patch", "map"] = "map"
    softening: Softening = "scaled"
    smoothing: float = 0.1


@dataclass(frozen=True, kw_only=True)
class AdversarialSegmentationSettings:
    """All choices of one arm of an adversarial segmentation.

    Parameters
    ----------
    arm : str
        ``cross_entropy``; ``dice_cross_entropy`` (what the field usually does); ``adversarial`` (cross-entropy for a
        share of the steps, then the discriminator alone); ``hybrid`` (half the cross-entropy, and the discriminator
        from the same step on).
    spatial_dims : int
        2 or 3.
    in_channels, classes : int
        Of the batches.
    focus_class : int
        The class that the study is about, such as the lesion.
    steps : int
        The same for all arms.
    segmenter, discriminator : SegmenterSettings, MapDiscriminatorSettings
    rate, discriminator_rate : float
        Adam's.
    betas, discriminator_betas : pair of float
    constant_fraction : float
        Share of the steps before the rates fall linearly to 0.
    adversarial_start : float
        Share of the steps after which the adversarial term acts.
    discriminator_lead : float
        Share of the steps before that in which the discriminator already learns and the segmenter does not hear it.
    adversarial_weight : float
        Largest weight of the adversarial term.
    gradient_ratio_limit : float or None
        In the hybrid arm the adversarial term is scaled down at every step so that the norm of its gradient with
        respect to the logits is at most this share of the cross-entropy term's.
    adversarial_rate_share : float
        In the adversarial arm: share of ``rate`` from ``adversarial_start`` on.

    Raises
    ------
    TrainingError
        If a share, weight or class is out of range.

    Notes
    -----
    Kohl et al. 2017 (arXiv 1702.08014) state the arms, the half and that the discriminator gets label maps. Optimizer,
    rates, phases, softening, scaling and whether the image is seen are not known from there: free choices.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    arm: Arm = "hybrid"
    spatial_dims: Literal[2, 3] = 2
    in_channels: int = 3
    classes: int = 4
    focus_class: int = 3
    steps: int = 1000
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)
    discriminator: MapDiscriminatorSettings = field(default_factory=MapDiscriminatorSettings)
    rate: float = 1e-3
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    discriminator_betas: tuple[float, float] = (0.5, 0.999)
    constant_fraction: float = 0.5
    adversarial_start: float = 0.5
    discriminator_lead: float = 0.1
    adversarial_weight: float = 1.0
    gradient_ratio_limit: float | None = 0.3
    adversarial_rate_share: float = 0.1

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise TrainingError(f"An arm is one of {', '.join(ARMS)}: found {self.arm!r}.")
        if not 0 <= self.focus_class < self.classes:
            raise TrainingError(
                f"The focus class must be one of {self.classes} classes, counted from 0: found {self.focus_class}."
            )
        for name in ("constant_fraction", "adversarial_start", "discriminator_lead", "adversarial_rate_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise TrainingError(f"A segmentation needs {name} in [0, 1]: found {getattr(self, name)}.")
        if not 0.0 <= self.discriminator.smoothing < 1.0:
            raise TrainingError(f"Smoothing must lie in [0, 1): found {self.discriminator.smoothing}.")
        if self.adversarial_weight < 0 or (self.gradient_ratio_limit is not None and self.gradient_ratio_limit <= 0):
            raise TrainingError(
                "A segmentation needs an adversarial weight of at least 0 and a positive limit of the gradient ratio: "
                f"found {self.adversarial_weight} and {self.gradient_ratio_limit}."
            )

    @property
    def is_adversarial(self) -> bool:
        """Whether the arm has a discriminator."""
        return self.arm in ("adversarial", "hybrid")

    @property
    def first_adversarial_step(self) -> int:
        """Steps taken, in every arm, before the adversarial term acts in those that have one."""
        return round(self.adversarial_start * self.steps)

    def phase_at(self, step: int) -> Phase:
        """Return what is trained at a step (steps taken so far, from 0).

        Examples
        --------
        >>> settings = AdversarialSegmentationSettings(steps=10, adversarial_start=0.5, discriminator_lead=0.2)
        >>> [settings.phase_at(step) for step in (2, 3, 5)]
        ['supervised', 'lead', 'adversarial']
        """
        if not self.is_adversarial:
            return "supervised"
        if step >= self.first_adversarial_step:
            return "adversarial"
        is_lead = step >= self.first_adversarial_step - round(self.discriminator_lead * self.steps)
        return "lead" if is_lead else "supervised"
