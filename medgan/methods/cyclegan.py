"""CycleGAN: translate between two contrasts from unpaired images (Zhu et al. 2017, arXiv 1703.10593).

``L_G = mean((D_t(G x) - 1)^2) + mean((D_s(F y) - 1)^2) + 10 |F(G x) - x| + 10 |G(F y) - y| (+ identity terms)`` and
``L_D = 0.5 [mean((D(real) - 1)^2) + mean(D(fake)^2)]`` for each discriminator, fakes from a pool; x is a source and y a
target image, G translates source to target and F back.

Options beyond the paper, each off by default: structural similarity in the cycle term (ganslate), noise or 8-bit
quantization between the two legs of a cycle against information hidden in imperceptible values, agreement of gradients
(Hiasa et al. 2018), body masks with fixed values outside, averaged generator weights, and a warm start on an intensity
table that may stay as a weakening anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from medgan.methods.cyclegan_settings import CycleGANSettings, DiscriminatorSettings, GeneratorSettings, Weights
from medgan.methods.cyclegan_terms import (
    CycleGANBatch,
    Cycles,
    GeneratorTerms,
    Networks,
    PhantomPairs,
    discriminator_loss,
    generator_terms,
    prepared,
    translate_cycles,
    warm_start_terms,
)
from medgan.methods.warm_start import WarmStart
from medgan.networks.form import checked_form
from medgan.networks.initialization import initialize
from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.residual_generator import ResidualGenerator
from medgan.networks.spectral import normalize_spectrally
from medgan.seeding import torch_generator
from medgan.training.exponential_average import ExponentialAverage
from medgan.training.image_pool import ImagePool
from medgan.training.loop import Method
from medgan.training.monitors import Translation
from medgan.training.parts import load_parts, saved_parts
from medgan.training.precision import autocast
from medgan.training.schedule import rate_multiplier


@dataclass(frozen=True, kw_only=True)
class CycleGANLosses:
    """The numbers of one step."""

    generators: dict[str, float]
    discriminator_target: float | None = None
    discriminator_source: float | None = None

    @property
    def total(self) -> float:
        """The generators' loss."""
        return sum(self.generators.values())

    def as_dict(self) -> dict[str, float]:
        """Return all terms by name, and ``total``."""
        terms = dict(self.generators)
        for name in ("discriminator_target", "discriminator_source"):
            if (value := getattr(self, name)) is not None:
                terms[name] = value
        return {"total": self.total, **terms}


@dataclass(kw_only=True)
class CycleGANState:
    """Everything that changes while a CycleGAN trains."""

    source_to_target: ResidualGenerator
    target_to_source: ResidualGenerator
    target_discriminator: PatchDiscriminator
    source_discriminator: PatchDiscriminator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    target_pool: ImagePool
    source_pool: ImagePool
    averages: dict[str, ExponentialAverage]
    step: int = 0

    @property
    def networks(self) -> Networks:
        """The four networks."""
        return Networks(
            source_to_target=self.source_to_target,
            target_to_source=self.target_to_source,
            target_discriminator=self.target_discriminator,
            source_discriminator=self.source_discriminator,
        )

    def _parts(self) -> dict[str, Any]:
        names = ("source_to_target", "target_to_source", "target_discriminator", "source_discriminator",
                 "generator_optimizer", "discriminator_optimizer", "target_pool", "source_pool")  # fmt: skip
        averages = {f"average_{name}": average for name, average in self.averages.items()}
        return {**{name: getattr(self, name) for name in names}, **averages}

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers, lists and dicts."""
        return saved_parts(self.step, self._parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace all of it.

        Raises
        ------
        TrainingError
            If the state was saved with other settings, so that parts are missing or new.
        """
        self.step = load_parts(self._parts(), state, owner="CycleGAN")


def build(
    settings: CycleGANSettings, *, seed: int, device: torch.device | str = "cpu", form: str = "plain"
) -> CycleGANState:
    """Return networks with first weights drawn from ``seed``, and what trains them.

    Parameters
    ----------
    settings : CycleGANSettings
        Choices.
    seed : int
        Of the first weights.
    device, form
        Where the networks live, and in which form they compute.
    """

    def generator(name: str) -> ResidualGenerator:
        network = ResidualGenerator(
            spatial_dims=settings.spatial_dims,
            width=settings.generator.width,
            blocks=settings.generator.blocks,
            normalization=settings.generator.normalization,
            body_mask=settings.body_mask,
            outside=settings.outside,
            skips=settings.generator.skips,
            residual=settings.generator.residual,
            slices=settings.generator.slices,
            form=checked_form(form),
        )
        initialize(network, torch_generator(seed, name))
        return network.to(device)

    def discriminator(name: str) -> PatchDiscriminator:
        network = PatchDiscriminator(
            spatial_dims=settings.spatial_dims,
            width=settings.discriminator.width,
            layers=settings.discriminator.layers,
            normalization=settings.discriminator.normalization,
            form=checked_form(form),
        )
        initialize(network, torch_generator(seed, name))
        if settings.discriminator.spectral:
            normalize_spectrally(network)
        return network.to(device)

    generators = {name: generator(name) for name in ("source_to_target", "target_to_source")}
    discriminators = {name: discriminator(name) for name in ("target_discriminator", "source_discriminator")}
    averages = {}
    if settings.average_decay is not None:
        averages = {
            name: ExponentialAverage(network, decay=settings.average_decay) for name, network in generators.items()
        }
    return CycleGANState(
        source_to_target=generators["source_to_target"],
        target_to_source=generators["target_to_source"],
        target_discriminator=discriminators["target_discriminator"],
        source_discriminator=discriminators["source_discriminator"],
        generator_optimizer=adam(generators.values(), settings.generator_rate, settings.betas),
        discriminator_optimizer=adam(discriminators.values(), settings.discriminator_rate, settings.betas),
        target_pool=ImagePool(settings.pool),
        source_pool=ImagePool(settings.pool),
        averages=averages,
    )


def step(
    state: CycleGANState,
    batch: CycleGANBatch,
    settings: CycleGANSettings,
    generator: torch.Generator,
    *,
    precision: str = "float32",
    further: Callable[[Cycles], Mapping[str, Tensor]] | None = None,
) -> CycleGANLosses:
    """Train all networks on one batch; during the warm start the generators only.

    Parameters
    ----------
    state : CycleGANState
        Changed in place; ``state.step`` counts up by one.
    batch : CycleGANBatch
        Unpaired images.
    settings : CycleGANSettings
        Those the state was built with.
    generator : torch.Generator
        On the CPU, for noise and pools.
    precision : str
        ``"float32"`` or ``"bfloat16"``; losses and weights are float32 always. In the fast form on a CPU bfloat16 is
        the format of the backward pass, and the forward pass is float32 (:mod:`medgan.networks.narrow_gradient`).
    further : callable, optional
        More weighted terms of the generators' loss, by their names in :class:`GeneratorTerms`, from the translations.

    Returns
    -------
    CycleGANLosses
        Terms before the update.
    """
    device = next(state.source_to_target.parameters()).device
    batch = prepared(batch, device, body_mask=settings.body_mask, outside=settings.outside)
    multiplier = rate_multiplier(state.step, steps=settings.steps, constant_fraction=settings.constant_fraction)
    settling = settings.warm_start.rate_share_at(state.step)
    warm_rate = settings.warm_start.rate_at(state.step, then=settings.generator_rate)
    set_rate(state.generator_optimizer, warm_rate or settings.generator_rate * multiplier * settling)
    set_rate(state.discriminator_optimizer, settings.discriminator_rate * multiplier)

    if state.step < settings.warm_start.steps:
        with autocast(precision, device):
            terms = warm_start_terms(state.source_to_target, state.target_to_source, batch, settings)
        descend(state.generator_optimizer, terms.total)
        losses = CycleGANLosses(generators=_floats(terms))
    else:
        if state.step == settings.warm_start.steps:
            state.generator_optimizer.state.clear()
        discriminators = (state.target_discriminator, state.source_discriminator)
        # The generators' loss passes through the discriminators but must not reach their weights.
        require_gradients(discriminators, False)
        with autocast(precision, device):
            cycles = translate_cycles(
                state.source_to_target,
                state.target_to_source,
                batch,
                noise=settings.leg_noise,
                quantize=settings.leg_quantization,
                generator=generator,
                recompute=settings.recompute,
            )
            terms = generator_terms(state.networks, batch, cycles, settings, step=state.step)
            if further is not None:
                terms = replace(terms, **further(cycles))
        descend(state.generator_optimizer, terms.total)

        require_gradients(discriminators, True)
        synthetic_target = state.target_pool.query(cycles.synthetic_target, generator)
        synthetic_source = state.source_pool.query(cycles.synthetic_source, generator)
        with autocast(precision, device):
            of_target = discriminator_loss(state.target_discriminator, real=batch.target, synthetic=synthetic_target)
            of_source = discriminator_loss(state.source_discriminator, real=batch.source, synthetic=synthetic_source)
        descend(state.discriminator_optimizer, of_target + of_source)
        losses = CycleGANLosses(
            generators=_floats(terms),
            discriminator_target=float(of_target.detach()),
            discriminator_source=float(of_source.detach()),
        )

    for name, average in state.averages.items():
        average.update(getattr(state, name))
    state.step += 1
    return losses


@torch.no_grad()
def translate(state: CycleGANState, batch: CycleGANBatch, *, precision: str = "float32") -> Translation:
    """Translate the batch's source images with the current weights, for guards and previews."""
    network = state.source_to_target
    device = next(network.parameters()).device
    batch = prepared(batch, device, body_mask=network.body_mask, outside=network.outside)
    with autocast(precision, device):
        translation = network(batch.source, batch.source_body)
    return Translation(image=batch.source, translation=translation, body=batch.source_body)


def _floats(terms: GeneratorTerms) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def adam(networks: Iterable[nn.Module], rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Return Adam over the weights of some networks, in one pass over memory where the device can do that."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    return torch.optim.Adam(parameters, lr=rate, betas=(betas[0], betas[1]), fused=fused)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all of an optimizer's weights."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step down a loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def require_gradients(networks: Iterable[nn.Module], wanted: bool) -> None:
    """Say whether losses reach the weights of some networks."""
    for network in networks:
        network.requires_grad_(wanted)


__all__ = [
    "CYCLEGAN",
    "CycleGANBatch",
    "CycleGANLosses",
    "CycleGANSettings",
    "CycleGANState",
    "Cycles",
    "DiscriminatorSettings",
    "GeneratorSettings",
    "GeneratorTerms",
    "PhantomPairs",
    "WarmStart",
    "Weights",
    "build",
    "step",
    "translate",
]

CYCLEGAN: Method[CycleGANState, CycleGANBatch, CycleGANSettings] = Method(build=build, step=step, translate=translate)
