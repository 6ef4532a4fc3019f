"""Where a network's name in a configuration or bundle becomes a class."""

from __future__ import annotations

from torch import nn

from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.residual_generator import ResidualGenerator

NETWORKS: dict[str, type[nn.Module]] = {
    "patch_discriminator": PatchDiscriminator,
    "residual_generator": ResidualGenerator,
}
