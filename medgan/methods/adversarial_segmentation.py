"""Adversarial segmentation (Kohl et al. 2017, arXiv 1702.08014), with the arms that it is compared with.

A segmenter S labels every voxel; a discriminator D judges whether a label map is an expert's.
``L_mce = -mean_i sum_c y_ic log S(x)_ic``, ``L_D = -log D(y) - log(1 - D(S(x)))``, ``L_S = -log D(S(x))``
(non-saturating; as remembered). Arms: ``cross_entropy`` L_mce; ``adversarial`` L_S after a share of the same steps with
L_mce; ``hybrid`` L_mce / 2 + w L_S; ``dice_cross_entropy`` L_mce + soft Dice.

All arms take the same number of steps, start from the same weights of S and see the same batches: weights and batches
depend on the seed alone. The weight w keeps the adversarial term's gradient below a stated share of the other term's:
unscaled, it was several times larger while a small class was still unlearned, and that class then never was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medgan.errors import TrainingError
from medgan.methods.adversarial_segmentation_settings import (
    ARMS,
    AdversarialSegmentationSettings,
    MapDiscriminatorSettings,
    SegmenterSettings,
)
from medgan.methods.adversarial_segmentation_terms import (
    SegmentationBatch,
    adversarial_loss,
    checked_batch,
    cross_entropy,
    dice_loss,
    discriminator_accuracy,
    discriminator_loss,
    one_hot,
    softened,
    verdict_of,
)
from medgan.networks.form import checked_form
from medgan.networks.initialization import initialize
from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.unet import UNet
from medgan.seeding import torch_generator
from medgan.training.loop import Method
from medgan.training.parts import load_parts, saved_parts
from medgan.training.precision import autocast
from medgan.training.schedule import rate_multiplier

CROSS_ENTROPY_SHARE = 0.5
"""Factor on the cross-entropy of the hybrid arm, as published."""


@dataclass(frozen=True, kw_only=True)
class SegmentationLosses:
    """The numbers of one step; everything but ``total`` by name in ``terms``.

    ``gradient_ratio`` is the norm of the unweighted adversarial gradient over that of the cross-entropy, both with
    respect to the logits; ``adversarial_weight`` what the former was multiplied by. Shares are means of probabilities
    and of expert labels over the batch, by class number.
    """

    total: float
    terms: dict[str, float]

    def as_dict(self) -> dict[str, float]:
        """Return all of it by name."""
        return {"total": self.total, **self.terms}


@dataclass(kw_only=True)
class SegmentationState:
    """Everything that changes while a segmenter trains; the discriminator is None in arms without one."""

    segmenter: UNet
    segmenter_optimizer: torch.optim.Optimizer
    discriminator: PatchDiscriminator | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    step: int = 0

    def _parts(self) -> dict[str, Any]:
        names = ("segmenter", "segmenter_optimizer", "discriminator", "discriminator_optimizer")
        return {name: part for name in names if (part := getattr(self, name)) is not None}

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers, lists and dicts."""
        return saved_parts(self.step, self._parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace all of it.

        Raises
        ------
        TrainingError
            If the state was saved by another arm, so that parts are missing or new.
        """
        self.step = load_parts(self._parts(), state, owner="segmenter")


def segmenter_of(settings: AdversarialSegmentationSettings, *, form: str = "plain") -> UNet:
    """Return the segmenter of some settings, its weights not drawn yet."""
    return UNet(
        spatial_dims=settings.spatial_dims,
        in_channels=settings.in_channels,
        classes=settings.classes,
        width=settings.segmenter.width,
        levels=settings.segmenter.levels,
        normalization=settings.segmenter.normalization,
        halve_last=settings.segmenter.halve_last,
        form=checked_form(form),
    )


def build(
    settings: AdversarialSegmentationSettings, *, seed: int, device: torch.device | str = "cpu", form: str = "plain"
) -> SegmentationState:
    """Return networks with first weights drawn from ``seed``, and what trains them; S is the same in every arm."""
    segmenter = segmenter_of(settings, form=form)
    initialize(segmenter, torch_generator(seed, "segmenter"))
    segmenter.to(device)
    state = SegmentationState(segmenter=segmenter, segmenter_optimizer=_adam(segmenter, settings.rate, settings.betas))
    if settings.is_adversarial:
        chosen = settings.discriminator
        discriminator = PatchDiscriminator(
            spatial_dims=settings.spatial_dims,
            width=chosen.width,
            layers=chosen.layers,
            in_channels=settings.classes + settings.in_channels * chosen.sees_image,
            normalization=chosen.normalization,
            form=checked_form(form),
        )
        initialize(discriminator, torch_generator(seed, "discriminator"))
        state.discriminator = discriminator.to(device)
        state.discriminator_optimizer = _adam(discriminator, settings.discriminator_rate, settings.discriminator_betas)
    return state


def step(
    state: SegmentationState,
    batch: SegmentationBatch,
    settings: AdversarialSegmentationSettings,
    generator: torch.Generator,
    *,
    precision: str = "float32",
) -> SegmentationLosses:
    """Train on one batch.

    Parameters
    ----------
    state : SegmentationState
        Changed in place; ``state.step`` counts up by one.
    batch : SegmentationBatch
    settings : AdversarialSegmentationSettings
        Those the state was built with.
    generator : torch.Generator
        Not used: nothing in a step is drawn.
    precision : str
        ``"float32"`` or ``"bfloat16"``; losses and weights are float32 always. In the fast form on a CPU bfloat16 is
        the format of the backward pass, and the forward pass is float32 (:mod:`medgan.networks.narrow_gradient`).

    Returns
    -------
    SegmentationLosses
        Before the update.

    Notes
    -----
    Gradients with respect to the logits are computed term by term and added before one backward pass through the
    segmenter: their norms, and the weight that follows from them, cost nothing more.
    """
    phase = settings.phase_at(state.step)
    device = next(state.segmenter.parameters()).device
    batch = checked_batch(batch, classes=settings.classes, device=device)
    multiplier = rate_multiplier(state.step, steps=settings.steps, constant_fraction=settings.constant_fraction)
    is_alone = settings.arm == "adversarial" and phase == "adversarial"
    _set_rate(
        state.segmenter_optimizer, settings.rate * multiplier * (settings.adversarial_rate_share if is_alone else 1)
    )

    with autocast(precision, device):
        logits = state.segmenter(batch.images)
    leaf = logits.detach().requires_grad_()
    entropy = cross_entropy(leaf, batch.labels)
    of_entropy = torch.autograd.grad(entropy, leaf)[0]
    terms = {"cross_entropy": float(entropy.detach())}
    share = CROSS_ENTROPY_SHARE if settings.arm == "hybrid" else 0.0 if is_alone else 1.0
    total, gradient = share * terms["cross_entropy"], share * of_entropy
    if settings.arm == "dice_cross_entropy":
        dice = dice_loss(leaf, batch.labels)
        gradient = gradient + torch.autograd.grad(dice, leaf)[0]
        terms["dice"] = float(dice.detach())
        total += terms["dice"]
    predicted = torch.softmax(leaf.detach(), dim=1)
    if phase == "adversarial":
        value, of_verdict = _adversarial(state, leaf, batch.images, settings, precision)
        weight, ratio = _weight(of_entropy, of_verdict, share, settings)
        gradient = gradient + weight * of_verdict
        total += weight * value
        terms |= {"adversarial": value, "gradient_ratio": ratio, "adversarial_weight": weight}
    state.segmenter_optimizer.zero_grad(set_to_none=True)
    logits.backward(gradient)
    state.segmenter_optimizer.step()

    if phase != "supervised":
        terms |= _train_discriminator(state, predicted, batch, settings, multiplier, precision)
    terms |= _shares(predicted, batch.labels, settings.classes)
    state.step += 1
    return SegmentationLosses(total=total, terms=terms)


def _adversarial(
    state: SegmentationState, leaf: Tensor, images: Tensor, settings: AdversarialSegmentationSettings, precision: str
) -> tuple[float, Tensor]:
    """Return the adversarial loss and its gradient with respect to the logits."""
    discriminator = _required(state.discriminator)
    # The loss passes through the discriminator but must not reach its weights.
    discriminator.requires_grad_(False)
    with autocast(precision, images.device):
        verdict = verdict_of(discriminator, torch.softmax(leaf, dim=1), images, settings.discriminator)
    loss = adversarial_loss(verdict)
    gradient = torch.autograd.grad(loss, leaf)[0]
    discriminator.requires_grad_(True)
    return float(loss.detach()), gradient


def _weight(
    of_entropy: Tensor, of_verdict: Tensor, share: float, settings: AdversarialSegmentationSettings
) -> tuple[float, float]:
    """Return the weight of the adversarial term and the ratio of the unweighted gradients' norms."""
    norm, other = float(of_verdict.norm()), float(of_entropy.norm())
    weight = settings.adversarial_weight
    if settings.gradient_ratio_limit is not None and share and norm > 0:
        weight = min(weight, settings.gradient_ratio_limit * share * other / norm)
    return weight, norm / max(other, 1e-12)


def _train_discriminator(
    state: SegmentationState,
    predicted: Tensor,
    batch: SegmentationBatch,
    settings: AdversarialSegmentationSettings,
    multiplier: float,
    precision: str,
) -> dict[str, float]:
    discriminator, chosen = _required(state.discriminator), settings.discriminator
    optimizer: torch.optim.Optimizer = _required(state.discriminator_optimizer)
    _set_rate(optimizer, settings.discriminator_rate * multiplier)
    expert = softened(
        one_hot(batch.labels, settings.classes), predicted, softening=chosen.softening, smoothing=chosen.smoothing
    )
    with autocast(precision, batch.images.device):
        of_expert = verdict_of(discriminator, expert, batch.images, chosen)
        of_predicted = verdict_of(discriminator, predicted, batch.images, chosen)
    loss = discriminator_loss(expert=of_expert, predicted=of_predicted)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    accuracy = discriminator_accuracy(expert=of_expert.detach(), other=of_predicted.detach())
    return {"discriminator": float(loss.detach()), "discriminator_accuracy": accuracy}


def _shares(predicted: Tensor, labels: Tensor, classes: int) -> dict[str, float]:
    means = predicted.mean((0, *range(2, predicted.ndim))).tolist()
    counts = (torch.bincount(labels.flatten(), minlength=classes) / labels.numel()).tolist()
    shares = {f"predicted_share_{c}": float(mean) for c, mean in enumerate(means)}
    return shares | {f"expert_share_{c}": float(count) for c, count in enumerate(counts)}


def _required(part: Any) -> Any:
    if part is None:
        raise TrainingError("An adversarial phase needs a state with a discriminator: build it with the same settings.")
    return part


def _adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(betas[0], betas[1]))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


__all__ = [
    "ADVERSARIAL_SEGMENTATION",
    "ARMS",
    "AdversarialSegmentationSettings",
    "MapDiscriminatorSettings",
    "SegmentationBatch",
    "SegmentationLosses",
    "SegmentationState",
    "SegmenterSettings",
    "build",
    "segmenter_of",
    "step",
]

ADVERSARIAL_SEGMENTATION: Method[SegmentationState, SegmentationBatch, AdversarialSegmentationSettings] = Method(
    build=build, step=step
)
