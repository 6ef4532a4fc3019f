"""The terms of SECGAN's losses as functions of networks and images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medgan.errors import TrainingError
from medgan.methods.cyclegan_terms import cycle_distance, discriminator_loss, quantized, to_one
from medgan.methods.secgan_settings import SecganSettings, SegmentationMode
from medgan.networks.valid_residual_generator import center


@dataclass(frozen=True, kw_only=True)
class SecganBatch:
    """Unpaired images of the two domains.

    Parameters
    ----------
    labeled, unlabeled : Tensor
        (N, 1, I, J, K), values in [-1, 1]; the two may differ in size and N.
    labeled_case_ids, unlabeled_case_ids : tuple of str
        For messages.
    """

    labeled: Tensor
    unlabeled: Tensor
    labeled_case_ids: tuple[str, ...] = ()
    unlabeled_case_ids: tuple[str, ...] = ()

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Names of the labeled and of the unlabeled images."""
        return self.labeled_case_ids + self.unlabeled_case_ids

    def on(self, device: torch.device) -> SecganBatch:
        """Return the batch on a device."""
        return SecganBatch(
            labeled=self.labeled.to(device),
            unlabeled=self.unlabeled.to(device),
            labeled_case_ids=self.labeled_case_ids,
            unlabeled_case_ids=self.unlabeled_case_ids,
        )


@dataclass(frozen=True, kw_only=True)
class SecganNetworks:
    """All networks; which discriminators there are follows from the mode of segmentation.

    ``labeled_discriminator`` judges images of the labeled domain in the modes ``none`` and ``separate``, segmentations
    in ``mask`` and both in ``both``; ``segmentation_discriminator`` is there in ``separate`` only. ``segmenter`` gives
    probabilities and is never changed.
    """

    labeled_to_unlabeled: nn.Module
    unlabeled_to_labeled: nn.Module
    labeled_discriminator: nn.Module
    unlabeled_discriminator: nn.Module
    segmentation_discriminator: nn.Module | None = None
    segmenter: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class SecganCycles:
    """The four images of a forward pass, each smaller than what it was made of."""

    synthetic_unlabeled: Tensor
    reconstructed_labeled: Tensor
    synthetic_labeled: Tensor
    reconstructed_unlabeled: Tensor


@dataclass(frozen=True, kw_only=True)
class SecganTerms:
    """Loss terms of the generators, each already weighted; None where it was not computed."""

    adversarial_unlabeled: Tensor | None = None
    adversarial_labeled: Tensor | None = None
    segmentation: Tensor | None = None
    cycle_labeled: Tensor | None = None
    cycle_unlabeled: Tensor | None = None

    def items(self) -> Iterable[tuple[str, Tensor]]:
        """Return the computed terms by name."""
        return [(name, term) for name, term in vars(self).items() if term is not None]

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return torch.stack([term for _, term in self.items()]).sum()


def translated(network: nn.Module, image: Tensor, generator: torch.Generator) -> Tensor:
    """Translate an image, with noise beside it where the network takes some."""
    channels = getattr(network, "noise_channels", 0)
    if not channels:
        return network(image)
    noise = torch.randn(image.shape[0], channels, *image.shape[2:], generator=generator)
    return network(image, noise=noise.to(image.device))


def secgan_cycles(
    networks: SecganNetworks, batch: SecganBatch, *, noise: float, quantize: bool, generator: torch.Generator
) -> SecganCycles:
    """Translate both images there and back; what is disturbed between the legs is not returned."""

    def return_input(image: Tensor) -> Tensor:
        if noise:
            image = image + noise * torch.randn(image.shape, generator=generator).to(image.device)
        return quantized(image) if quantize else image

    there, back = networks.labeled_to_unlabeled, networks.unlabeled_to_labeled
    synthetic_unlabeled = translated(there, batch.labeled, generator)
    synthetic_labeled = translated(back, batch.unlabeled, generator)
    return SecganCycles(
        synthetic_unlabeled=synthetic_unlabeled,
        reconstructed_labeled=translated(back, return_input(synthetic_unlabeled), generator),
        synthetic_labeled=synthetic_labeled,
        reconstructed_unlabeled=translated(there, return_input(synthetic_labeled), generator),
    )


def segmented(segmenter: nn.Module | None, image: Tensor) -> Tensor:
    """Return a segmentation as SECGAN's discriminators see it: probabilities less one half, (N, C, I, J, K).

    Raises
    ------
    TrainingError
        If there is no segmenter, or it changes the image's size.
    """
    if segmenter is None:
        raise TrainingError("This mode of segmentation needs a segmenter: found none. Name its bundle, or use 'none'.")
    probabilities = segmenter(image)
    if probabilities.shape[0] != image.shape[0] or probabilities.shape[2:] != image.shape[2:]:
        raise TrainingError(
            f"A segmenter must give probabilities for every voxel of {tuple(image.shape)}: found "
            f"{tuple(probabilities.shape)}."
        )
    return probabilities - 0.5


def judged(mode: SegmentationMode, segmenter: nn.Module | None, image: Tensor) -> Tensor:
    """Return what the discriminator of the labeled domain sees of an image."""
    if mode == "mask":
        return segmented(segmenter, image)
    if mode == "both":
        return torch.cat((segmented(segmenter, image), image), dim=1)
    return image


def secgan_terms(
    networks: SecganNetworks, batch: SecganBatch, cycles: SecganCycles, settings: SecganSettings
) -> SecganTerms:
    """Return the weighted terms of the generators' loss.

    Notes
    -----
    Januszewski and Jain 2019: least squares with target 1, no half, no pool, no identity; L1 cycles against the center
    of the original. In ``separate`` the verdict on the unlabeled domain counts twice, because the labeled domain has
    two judges. In ``mask`` and ``both`` the labeled domain's verdict is the segmentation term.
    """
    weights, mode = settings.weights, settings.segmentation
    terms: dict[str, Tensor] = {}
    if weights.adversarial:
        share = 2.0 if mode == "separate" else 1.0
        verdict = networks.unlabeled_discriminator(cycles.synthetic_unlabeled)
        terms["adversarial_unlabeled"] = weights.adversarial * share * to_one(verdict)
        if mode in ("none", "separate"):
            verdict = networks.labeled_discriminator(cycles.synthetic_labeled)
            terms["adversarial_labeled"] = weights.adversarial * to_one(verdict)
        if mode in ("mask", "both"):
            seen = judged(mode, networks.segmenter, cycles.synthetic_labeled)
            terms["segmentation"] = (
                weights.adversarial * weights.segmentation * to_one(networks.labeled_discriminator(seen))
            )
        elif mode == "separate":
            seen = segmented(networks.segmenter, cycles.synthetic_labeled)
            verdict = _present(networks.segmentation_discriminator)(seen)
            terms["segmentation"] = weights.adversarial * weights.segmentation * to_one(verdict)
    for name, weight, reconstructed, original in (
        ("cycle_labeled", weights.cycle_labeled, cycles.reconstructed_labeled, batch.labeled),
        ("cycle_unlabeled", weights.cycle_unlabeled, cycles.reconstructed_unlabeled, batch.unlabeled),
    ):
        if weight:
            middle = center(original, like=reconstructed)
            terms[name] = weight * cycle_distance(reconstructed, middle, kind="l1")
    return SecganTerms(**terms)


def discriminator_terms(
    networks: SecganNetworks, batch: SecganBatch, cycles: SecganCycles, settings: SecganSettings
) -> dict[str, Tensor]:
    """Return each discriminator's loss: ``mean((D(real) - 1)^2) + mean(D(fake)^2)``, without a half.

    Real images are cropped at their center to the size of the translations, so that size does not tell them apart.
    """
    mode, segmenter = settings.segmentation, networks.segmenter
    with torch.no_grad():
        fake_unlabeled, fake_labeled = cycles.synthetic_unlabeled.detach(), cycles.synthetic_labeled.detach()
        real_unlabeled = _cropped(batch.unlabeled, fake_unlabeled)
        real_labeled = _cropped(batch.labeled, fake_labeled)
        seen_real, seen_fake = judged(mode, segmenter, real_labeled), judged(mode, segmenter, fake_labeled)
    losses = {
        "discriminator_unlabeled": 2.0
        * discriminator_loss(networks.unlabeled_discriminator, real=real_unlabeled, synthetic=fake_unlabeled),
        "discriminator_labeled": 2.0
        * discriminator_loss(networks.labeled_discriminator, real=seen_real, synthetic=seen_fake),
    }
    if mode == "separate":
        with torch.no_grad():
            real_map, fake_map = segmented(segmenter, real_labeled), segmented(segmenter, fake_labeled)
        losses["discriminator_segmentation"] = 2.0 * discriminator_loss(
            _present(networks.segmentation_discriminator), real=real_map, synthetic=fake_map
        )
    return losses


def _cropped(real: Tensor, like: Tensor) -> Tensor:
    """Return the middle of a real image, of the size of a translation or as near to it as the real one allows."""
    for axis in range(2, real.ndim):
        surplus = max(real.shape[axis] - like.shape[axis], 0)
        real = real.narrow(axis, surplus // 2, real.shape[axis] - surplus)
    return real


def _present(network: nn.Module | None) -> nn.Module:
    if network is None:
        raise TrainingError("The mode 'separate' needs a discriminator of segmentations: found none.")
    return network
