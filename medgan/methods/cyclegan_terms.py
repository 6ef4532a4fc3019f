"""The terms of CycleGAN's losses as functions of networks and images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medgan.errors import TrainingError
from medgan.methods.cyclegan_settings import CycleGANSettings
from medgan.methods.gradient_correlation import gradient_correlation
from medgan.methods.intensity_table import apply_table, smooth_distance
from medgan.methods.structural_similarity import structural_similarity
from medgan.methods.warm_start import Knots


@dataclass(frozen=True, kw_only=True)
class PhantomPairs:
    """Images of phantoms in both domains, aligned by construction.

    Parameters
    ----------
    source, target, body : Tensor
        (N, 1, I, J[, K]): normalized values, and 1 inside the body.
    """

    source: Tensor
    target: Tensor
    body: Tensor


@dataclass(frozen=True, kw_only=True)
class CycleGANBatch:
    """Unpaired images of the two domains.

    Parameters
    ----------
    source, target : Tensor
        (N, 1, I, J[, K]), values in [-1, 1]; the two may differ in size and N.
    source_body, target_body : Tensor or None
        Same shapes, 1 inside the body.
    source_case_ids, target_case_ids : tuple of str
        Pseudonyms, for messages.
    source_prior : Tensor or None
        Shape of ``source``, normalized target values: what is known beforehand about the translation of the source
        images. It takes the place of the warm start's intensity table.
    phantoms : PhantomPairs or None
        Pairs that need no scanner.
    """

    source: Tensor
    target: Tensor
    source_body: Tensor | None = None
    target_body: Tensor | None = None
    source_case_ids: tuple[str, ...] = ()
    target_case_ids: tuple[str, ...] = ()
    source_prior: Tensor | None = None
    phantoms: PhantomPairs | None = None

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Pseudonyms of source and target cases."""
        return self.source_case_ids + self.target_case_ids


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The four networks."""

    source_to_target: nn.Module
    target_to_source: nn.Module
    target_discriminator: nn.Module
    source_discriminator: nn.Module


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """The four images of a forward pass; ``synthetic_target`` = G(x), ``reconstructed_source`` = F(G(x)), and so on."""

    synthetic_target: Tensor
    reconstructed_source: Tensor
    synthetic_source: Tensor
    reconstructed_target: Tensor


@dataclass(frozen=True, kw_only=True)
class GeneratorTerms:
    """Loss terms of the generators, each already weighted; None where it was not computed."""

    adversarial_target: Tensor | None = None
    adversarial_source: Tensor | None = None
    cycle_source: Tensor | None = None
    cycle_target: Tensor | None = None
    identity_source: Tensor | None = None
    identity_target: Tensor | None = None
    structure: Tensor | None = None
    class_target: Tensor | None = None
    class_source: Tensor | None = None
    anchor: Tensor | None = None
    phantoms: Tensor | None = None
    table_target: Tensor | None = None
    table_source: Tensor | None = None

    def items(self) -> Iterable[tuple[str, Tensor]]:
        """Return the computed terms by name."""
        return [(name, term) for name, term in vars(self).items() if term is not None]

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return torch.stack([term for _, term in self.items()]).sum()


def prepared(batch: CycleGANBatch, device: torch.device, *, body_mask: bool, outside: float) -> CycleGANBatch:
    """Return the batch on a device, with ``outside`` beyond the bodies if there are any.

    Raises
    ------
    TrainingError
        If body masks are needed and missing.
    """
    source, target = batch.source.to(device), batch.target.to(device)
    source_body = target_body = None
    if body_mask:
        if batch.source_body is None or batch.target_body is None:
            raise TrainingError(
                "A CycleGAN with body_mask needs source_body and target_body in every batch: found none "
                f"(cases: {', '.join(batch.case_ids) or 'not named'}). Add a body mask to the recipe."
            )
        source_body, target_body = batch.source_body.to(device) > 0.5, batch.target_body.to(device) > 0.5
        source, target = torch.where(source_body, source, outside), torch.where(target_body, target, outside)
    return CycleGANBatch(
        source=source,
        target=target,
        source_body=source_body,
        target_body=target_body,
        source_case_ids=batch.source_case_ids,
        target_case_ids=batch.target_case_ids,
        source_prior=None if batch.source_prior is None else batch.source_prior.to(device),
        phantoms=None if batch.phantoms is None else _on(batch.phantoms, device),
    )


def _on(pairs: PhantomPairs, device: torch.device) -> PhantomPairs:
    return PhantomPairs(
        source=pairs.source.to(device), target=pairs.target.to(device), body=pairs.body.to(device) > 0.5
    )


def translate_cycles(
    source_to_target: nn.Module,
    target_to_source: nn.Module,
    batch: CycleGANBatch,
    *,
    noise: float,
    quantize: bool,
    generator: torch.Generator,
    recompute: bool = False,
) -> Cycles:
    """Translate source and target images there and back; what is disturbed between the legs is not returned.

    With ``recompute`` the activations of a translation are not kept but computed again when its gradient is.
    """

    def translated(network: nn.Module, image: Tensor, body: Tensor | None) -> Tensor:
        # A generator draws no random numbers, so there is no state to restore.
        again = partial(checkpoint, network, use_reentrant=False, preserve_rng_state=False)
        result: Tensor = (again if recompute else network)(image, body)
        return result

    synthetic_target = translated(source_to_target, batch.source, batch.source_body)
    synthetic_source = translated(target_to_source, batch.target, batch.target_body)

    def return_input(image: Tensor) -> Tensor:
        if noise:
            image = image + noise * torch.randn(image.shape, generator=generator).to(image.device)
        return quantized(image) if quantize else image

    return Cycles(
        synthetic_target=synthetic_target,
        reconstructed_source=translated(target_to_source, return_input(synthetic_target), batch.source_body),
        synthetic_source=synthetic_source,
        reconstructed_target=translated(source_to_target, return_input(synthetic_source), batch.target_body),
    )


def generator_terms(
    networks: Networks, batch: CycleGANBatch, cycles: Cycles, settings: CycleGANSettings, *, step: int
) -> GeneratorTerms:
    """Return the weighted terms of the generators' loss; ``step`` steps have been taken before."""
    weights = settings.weights
    terms: dict[str, Tensor] = {}
    if real := weights.adversarial * settings.warm_start.adversarial_share_at(step):
        terms["adversarial_target"] = real * to_one(networks.target_discriminator(cycles.synthetic_target))
        terms["adversarial_source"] = real * to_one(networks.source_discriminator(cycles.synthetic_source))
    if weights.cycle:
        for name, reconstructed, original in (
            ("cycle_source", cycles.reconstructed_source, batch.source),
            ("cycle_target", cycles.reconstructed_target, batch.target),
        ):
            terms[name] = weights.cycle * cycle_distance(reconstructed, original, kind=settings.cycle)
    if weights.identity:
        unchanged_target = networks.source_to_target(batch.target, batch.target_body)
        unchanged_source = networks.target_to_source(batch.source, batch.source_body)
        terms["identity_target"] = weights.identity * F.l1_loss(unchanged_target, batch.target)
        terms["identity_source"] = weights.identity * F.l1_loss(unchanged_source, batch.source)
    if weights.structure:
        signed = settings.structure_signed
        agreement = gradient_correlation(batch.source, cycles.synthetic_target, signed=signed)
        agreement = agreement + gradient_correlation(batch.target, cycles.synthetic_source, signed=signed)
        terms["structure"] = weights.structure * (2.0 - agreement)
    if anchor := settings.warm_start.anchor_weight_at(step):
        table = _expected(batch, settings.warm_start.knots)
        terms["anchor"] = anchor * smooth_distance(
            cycles.synthetic_target, table, batch.source_body, window=settings.warm_start.anchor_window
        )
    if weights.phantoms and batch.phantoms is not None:
        terms["phantoms"] = weights.phantoms * _phantom_distance(networks.source_to_target, batch.phantoms, settings)
    return GeneratorTerms(**terms)


def warm_start_terms(
    source_to_target: nn.Module, target_to_source: nn.Module, batch: CycleGANBatch, settings: CycleGANSettings
) -> GeneratorTerms:
    """Return the terms of the warm start: both generators follow the prior, forward and back, inside the body."""
    table, emphasis = _expected(batch, settings.warm_start.knots), settings.warm_start.emphasis
    if batch.source_body is not None:
        table = torch.where(batch.source_body, table, batch.source)
    followed = (source_to_target(batch.source, batch.source_body) - table).abs()
    returned = (target_to_source(table, batch.source_body) - batch.source).abs()
    phantoms = None
    if settings.weights.phantoms and batch.phantoms is not None:
        phantoms = _phantom_distance(source_to_target, batch.phantoms, settings)
    return GeneratorTerms(
        table_target=_mean_inside(followed, batch.source_body, emphasis.weights_of(table) if emphasis else None),
        table_source=_mean_inside(returned, batch.source_body),
        phantoms=phantoms,
    )


def _phantom_distance(source_to_target: nn.Module, pairs: PhantomPairs, settings: CycleGANSettings) -> Tensor:
    emphasis = settings.warm_start.emphasis
    difference = (source_to_target(pairs.source, pairs.body) - pairs.target).abs()
    return _mean_inside(difference, pairs.body, emphasis.weights_of(pairs.target) if emphasis else None)


def _expected(batch: CycleGANBatch, knots: Knots) -> Tensor:
    """Return the prior image of the source, or the intensity table applied to it."""
    return apply_table(batch.source, knots) if batch.source_prior is None else batch.source_prior


def discriminator_loss(discriminator: nn.Module, *, real: Tensor, synthetic: Tensor) -> Tensor:
    """Return ``0.5 [mean((D(real) - 1)^2) + mean(D(synthetic)^2)]``."""
    return 0.5 * (to_one(discriminator(real)) + discriminator(synthetic).square().mean())


def cycle_distance(reconstructed: Tensor, original: Tensor, *, kind: str) -> Tensor:
    """Return the distance of a reconstruction from its original: L1, or 0.84 (1 - SSIM) + 0.16 L1."""
    absolute = F.l1_loss(reconstructed, original)
    if kind == "l1":
        return absolute
    return 0.84 * (1.0 - structural_similarity(reconstructed, original)) + 0.16 * absolute


def quantized(image: Tensor) -> Tensor:
    """Round an image in [-1, 1] to 256 levels; the gradient passes as if nothing had happened (straight through)."""
    rounded = ((image.detach() + 1.0) * 127.5).round() / 127.5 - 1.0
    return image + (rounded - image.detach())


def to_one(logits: Tensor) -> Tensor:
    """Return the mean squared distance of logits from 1, which stands for real."""
    return (logits - 1.0).square().mean()


def _mean_inside(values: Tensor, body: Tensor | None, weights: Tensor | None = None) -> Tensor:
    if body is None and weights is None:
        return values.mean()
    counted = torch.ones_like(values) if body is None else body.to(values.dtype)
    if weights is not None:
        counted = counted * weights
    return (values * counted).sum() / counted.sum().clamp_min(1)
