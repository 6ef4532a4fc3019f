"""SECGAN: a CycleGAN whose translations are also judged by what a segmenter makes of them (Januszewski and Jain 2019).

doi 10.1101/548081, authors' code in google/ffn. A segmenter trained in a labeled domain is to work in an unlabeled one:
images of the unlabeled domain are translated to the labeled one, and a discriminator compares the segmenter's output
for translations and for real labeled images. The segmenter stays as it is; it is an argument, and may be anything that
maps a patch to probabilities for each of its voxels: boundaries of neurites, or organs in a CT.

Options beyond the paper, each off by default: noise as an input of the generators, a residual head, kernels of 1 across
thick sections, noise or 8-bit rounding between the legs of a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from medgan.methods.cyclegan import adam, descend, require_gradients, set_rate
from medgan.methods.secgan_settings import SecganSettings
from medgan.methods.secgan_terms import (
    SecganBatch,
    SecganNetworks,
    discriminator_terms,
    secgan_cycles,
    secgan_terms,
)
from medgan.networks.form import checked_form
from medgan.networks.initialization import initialize
from medgan.networks.residual_discriminator import ResidualDiscriminator
from medgan.networks.valid_residual_generator import ValidResidualGenerator, center
from medgan.networks.volume_discriminators import VolumeDiscriminator
from medgan.seeding import torch_generator
from medgan.training.exponential_average import ExponentialAverage
from medgan.training.loop import Method
from medgan.training.monitors import Translation
from medgan.training.parts import load_parts, saved_parts
from medgan.training.precision import autocast
from medgan.training.schedule import rate_multiplier

GENERATORS = ("labeled_to_unlabeled", "unlabeled_to_labeled")


@dataclass(frozen=True, kw_only=True)
class SecganLosses:
    """The numbers of one step, before the update."""

    generators: dict[str, float]
    discriminators: dict[str, float]

    @property
    def total(self) -> float:
        """The generators' loss."""
        return sum(self.generators.values())

    def as_dict(self) -> dict[str, float]:
        """Return all terms by name, and ``total``."""
        return {"total": self.total, **self.generators, **self.discriminators}


@dataclass(kw_only=True)
class SecganState:
    """Everything that changes while a SECGAN trains; the segmenter is not part of it."""

    labeled_to_unlabeled: ValidResidualGenerator
    unlabeled_to_labeled: ValidResidualGenerator
    labeled_discriminator: nn.Module
    unlabeled_discriminator: nn.Module
    segmentation_discriminator: nn.Module | None
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    averages: dict[str, ExponentialAverage]
    step: int = 0

    @property
    def discriminators(self) -> tuple[nn.Module, ...]:
        """Two, or three in the mode ``separate``."""
        found = (self.labeled_discriminator, self.unlabeled_discriminator, self.segmentation_discriminator)
        return tuple(network for network in found if network is not None)

    def networks(self, segmenter: nn.Module | None) -> SecganNetworks:
        """Return all networks with the frozen segmenter."""
        return SecganNetworks(
            labeled_to_unlabeled=self.labeled_to_unlabeled,
            unlabeled_to_labeled=self.unlabeled_to_labeled,
            labeled_discriminator=self.labeled_discriminator,
            unlabeled_discriminator=self.unlabeled_discriminator,
            segmentation_discriminator=self.segmentation_discriminator,
            segmenter=segmenter,
        )

    def generator_weights(self, name: str) -> dict[str, torch.Tensor]:
        """Return the weights of a generator to use: averaged where the training averages."""
        average = self.averages.get(name)
        return dict(average.weights() if average is not None else getattr(self, name).state_dict())

    def _parts(self) -> dict[str, Any]:
        names = (*GENERATORS, "labeled_discriminator", "unlabeled_discriminator", "segmentation_discriminator",
                 "generator_optimizer", "discriminator_optimizer")  # fmt: skip
        parts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**parts, **{f"average_{name}": average for name, average in self.averages.items()}}

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
        self.step = load_parts(self._parts(), state, owner="SECGAN")


def build(
    settings: SecganSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    form: str = "plain",
    segmenter_channels: int = 1,
) -> SecganState:
    """Return networks with first weights drawn from ``seed``, and what trains them.

    Parameters
    ----------
    settings : SecganSettings
        Choices.
    seed : int
        Of the first weights.
    device, form
        Where the networks live, and in which form they compute.
    segmenter_channels : int
        Probabilities that the segmenter gives for a voxel.
    """
    chosen = settings.generator

    def generator(name: str) -> ValidResidualGenerator:
        network = ValidResidualGenerator(
            depth=chosen.depth,
            width=chosen.width,
            section_kernels=chosen.section_kernels,
            noise_channels=chosen.noise_channels,
            head=chosen.head,
            form=checked_form(form),
        )
        initialize(network, torch_generator(seed, name))
        return network.to(device)

    def discriminator(name: str, channels: int) -> nn.Module:
        kind, width = settings.discriminator.kind, settings.discriminator.width
        network: ResidualDiscriminator | VolumeDiscriminator
        if kind == "residual":
            strides = settings.discriminator.section_strides
            network = ResidualDiscriminator(
                in_channels=channels, width=width, section_strides=strides, form=checked_form(form)
            )
        else:
            network = VolumeDiscriminator(shape=kind, in_channels=channels, width=width, form=checked_form(form))
        initialize(network, torch_generator(seed, name))
        return network.to(device)

    seen = {"none": 1, "separate": 1, "mask": segmenter_channels, "both": segmenter_channels + 1}
    generators = {name: generator(name) for name in GENERATORS}
    of_labeled = discriminator("labeled_discriminator", seen[settings.segmentation])
    of_unlabeled = discriminator("unlabeled_discriminator", 1)
    of_segmentation = None
    if settings.segmentation == "separate":
        of_segmentation = discriminator("segmentation_discriminator", segmenter_channels)
    judges = [network for network in (of_labeled, of_unlabeled, of_segmentation) if network is not None]
    averages = {}
    if settings.average_decay is not None:
        averages = {
            name: ExponentialAverage(network, decay=settings.average_decay) for name, network in generators.items()
        }
    return SecganState(
        labeled_to_unlabeled=generators["labeled_to_unlabeled"],
        unlabeled_to_labeled=generators["unlabeled_to_labeled"],
        labeled_discriminator=of_labeled,
        unlabeled_discriminator=of_unlabeled,
        segmentation_discriminator=of_segmentation,
        generator_optimizer=adam(generators.values(), settings.generator_rate, settings.betas),
        discriminator_optimizer=adam(judges, settings.discriminator_rate, settings.betas),
        averages=averages,
    )


def step(
    state: SecganState,
    batch: SecganBatch,
    settings: SecganSettings,
    generator: torch.Generator,
    *,
    precision: str = "float32",
    segmenter: nn.Module | None = None,
) -> SecganLosses:
    """Train all networks on one batch.

    Parameters
    ----------
    state : SecganState
        Changed in place; ``state.step`` counts up by one.
    batch : SecganBatch
        Unpaired images.
    settings : SecganSettings
        Those the state was built with.
    generator : torch.Generator
        On the CPU, for noise.
    precision : str
        ``"float32"`` or ``"bfloat16"`` forward passes; losses and weights are float32 always.
    segmenter : Module, optional
        Frozen: gradients flow through it and never into it.

    Returns
    -------
    SecganLosses
        Terms before the update.
    """
    device = next(state.unlabeled_to_labeled.parameters()).device
    batch, networks = batch.on(device), state.networks(segmenter)
    multiplier = rate_multiplier(state.step, steps=settings.steps, constant_fraction=settings.constant_fraction)
    set_rate(state.generator_optimizer, settings.generator_rate * multiplier)
    set_rate(state.discriminator_optimizer, settings.discriminator_rate * multiplier)

    # The generators' loss passes through the discriminators but must not reach their weights.
    require_gradients(state.discriminators, False)
    with autocast(precision, device):
        cycles = secgan_cycles(
            networks, batch, noise=settings.leg_noise, quantize=settings.leg_quantization, generator=generator
        )
        terms = secgan_terms(networks, batch, cycles, settings)
    descend(state.generator_optimizer, terms.total)

    require_gradients(state.discriminators, True)
    with autocast(precision, device):
        judges = discriminator_terms(networks, batch, cycles, settings)
    descend(state.discriminator_optimizer, torch.stack(list(judges.values())).sum())

    for name, average in state.averages.items():
        average.update(getattr(state, name))
    state.step += 1
    return SecganLosses(
        generators={name: float(term.detach()) for name, term in terms.items()},
        discriminators={name: float(loss.detach()) for name, loss in judges.items()},
    )


@torch.no_grad()
def translate(state: SecganState, batch: SecganBatch, *, precision: str = "float32") -> Translation:
    """Translate the batch's unlabeled images with the current weights, for the polarity guard.

    Notes
    -----
    The authors compare, every 100 steps from 300 to 2000, the order of the reconstruction at the arg-min and arg-max of
    the translation; here the rank correlation of image and translation is watched (see
    :class:`~medgan.training.monitors.PolarityGuard`), which does not hang on two voxels.
    """
    network = state.unlabeled_to_labeled
    image = batch.unlabeled.to(next(network.parameters()).device)
    with autocast(precision, image.device):
        translation = network(image)
    return Translation(image=center(image, like=translation), translation=translation)


def secgan(
    segmenter: nn.Module | None = None, *, channels: int = 1
) -> Method[SecganState, SecganBatch, SecganSettings]:
    """Return the method with its frozen segmenter.

    Parameters
    ----------
    segmenter : Module, optional
        Maps (N, 1, I, J, K) in [-1, 1] to probabilities (N, channels, I, J, K); only the mode ``none`` goes without.
        It is put into evaluation mode and its weights are frozen.
    channels : int
    """
    if segmenter is not None:
        segmenter.eval().requires_grad_(False)
    return Method(
        build=partial(build, segmenter_channels=channels),
        step=partial(step, segmenter=segmenter),
        translate=translate,
    )


SECGAN: Method[SecganState, SecganBatch, SecganSettings] = secgan()
"""Without a segmenter, for the mode ``none``."""

__all__ = [
    "SECGAN",
    "SecganBatch",
    "SecganLosses",
    "SecganSettings",
    "SecganState",
    "build",
    "secgan",
    "step",
    "translate",
]
