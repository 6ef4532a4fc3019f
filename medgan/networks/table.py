"""Where a network's name in a configuration or bundle becomes a class."""

from __future__ import annotations

from torch import nn

from medgan.networks.boundary_unet import BoundaryUNet
from medgan.networks.classifier import ConvolutionalClassifier, ResidualClassifier
from medgan.networks.counterfactual_pair import CounterfactualPair
from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.residual_discriminator import ResidualDiscriminator
from medgan.networks.residual_generator import ResidualGenerator
from medgan.networks.unet import UNet
from medgan.networks.valid_residual_generator import ValidResidualGenerator
from medgan.networks.volume_discriminators import VolumeDiscriminator

NETWORKS: dict[str, type[nn.Module]] = {
    "boundary_unet": BoundaryUNet,
    "convolutional_classifier": ConvolutionalClassifier,
    "counterfactual_pair": CounterfactualPair,
    "patch_discriminator": PatchDiscriminator,
    "residual_classifier": ResidualClassifier,
    "residual_discriminator": ResidualDiscriminator,
    "residual_generator": ResidualGenerator,
    "unet": UNet,
    "valid_residual_generator": ValidResidualGenerator,
    "volume_discriminator": VolumeDiscriminator,
}
