"""Spectral normalization: keep a discriminator from growing steep."""

from __future__ import annotations

import torch
from torch.nn.utils.parametrizations import spectral_norm

from medgan.networks.patch_discriminator import PatchDiscriminator


def normalize_spectrally(discriminator: PatchDiscriminator) -> None:
    """Divide every weight by its largest singular value, estimated by one power iteration a step; in place.

    Parameters
    ----------
    discriminator : PatchDiscriminator
        With its first weights drawn already. Its state then has ``parametrizations.weight.original`` in place of
        ``weight``, and the vectors of the power iteration.

    Notes
    -----
    Miyato et al. 2018 (arXiv 1802.05957), by torch, whose first vectors come from its global generator: it is seeded
    here with 0 and restored, so that equal weights give equal bits.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for convolution, _ in list(discriminator.convolutions()):
            spectral_norm(convolution)
