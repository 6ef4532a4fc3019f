"""Random changes of two-dimensional images: drawn first, then applied purely. No reflections: the heart has a side."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medgan.patches.planes_augment_settings import PlaneAugmentSettings


def augmented(images: Tensor, settings: PlaneAugmentSettings, generator: np.random.Generator) -> Tensor:
    """Return changed copies of images (N, C, H, W) in [-1, 1]; each is changed in its own way, all channels alike.

    Notes
    -----
    Bilinear, about the middle of the image; what comes in from outside repeats the border. The result is clipped to
    [-1, 1]. The number of draws does not depend on the settings, but for the noise, which comes last.
    """
    count = len(images)
    drawn = generator.uniform(-1.0, 1.0, size=(count, 6)).astype(np.float32)
    if settings.shift or settings.zoom or settings.rotation_degrees:
        angle = np.deg2rad(settings.rotation_degrees) * drawn[:, 0]
        scale = 1.0 + settings.zoom * drawn[:, 1]
        cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
        # The grid runs from -1 to 1, so a share of the image is twice that number.
        across, down = 2.0 * settings.shift * drawn[:, 2], 2.0 * settings.shift * drawn[:, 3]
        theta = np.stack([np.stack([cosine, -sine, across], 1), np.stack([sine, cosine, down], 1)], 1)
        lattice = F.affine_grid(torch.from_numpy(theta.astype(np.float32)), list(images.shape), align_corners=False)
        images = F.grid_sample(images, lattice, mode="bilinear", padding_mode="border", align_corners=False)
    gain = torch.from_numpy(1.0 + settings.gain * drawn[:, 4]).view(-1, 1, 1, 1)
    offset = torch.from_numpy(settings.offset * drawn[:, 5]).view(-1, 1, 1, 1)
    images = images * gain + offset
    if settings.noise:
        images = images + settings.noise * torch.from_numpy(
            generator.standard_normal(tuple(images.shape), dtype=np.float32)
        )
    return images.clamp(-1.0, 1.0)
