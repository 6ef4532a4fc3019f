"""The terms of an adversarial segmentation as functions of logits, label maps and verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import TrainingError
from medgan.methods.adversarial_segmentation_settings import MapDiscriminatorSettings, Softening

_DICE_SMOOTHING = 1e-5


@dataclass(frozen=True, kw_only=True)
class SegmentationBatch:
    """Images with the experts' labels.

    Parameters
    ----------
    images : Tensor
        (N, C, I, J[, K]) float32, values in [-1, 1].
    labels : Tensor
        (N, I, J[, K]) int64, class numbers.
    case_ids : tuple of str
        Pseudonyms, one a sample.
    """

    images: Tensor
    labels: Tensor
    case_ids: tuple[str, ...] = ()


def checked_batch(batch: SegmentationBatch, *, classes: int, device: torch.device) -> SegmentationBatch:
    """Return the batch on a device.

    Raises
    ------
    TrainingError
        If shapes do not fit, or a label is no class.
    """
    images, labels = batch.images, batch.labels
    if labels.shape != (images.shape[0], *images.shape[2:]):
        raise TrainingError(
            f"Labels need the shape (N, ...) of their images (N, C, ...): found {tuple(labels.shape)} for "
            f"{tuple(images.shape)}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise TrainingError(
            f"Labels must be 0 to {classes - 1}: found {low if low < 0 else high} in cases {', '.join(batch.case_ids)}."
        )
    return SegmentationBatch(images=images.to(device), labels=labels.to(device), case_ids=batch.case_ids)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return (N, ...) int64 as (N, classes, ...) float32 of zeros and ones."""
    return F.one_hot(labels, classes).movedim(-1, 1).float()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over voxels of ``-sum_c y_c log softmax(logits)_c``.

    Notes
    -----
    Kohl et al. 2017, ``L_mce``; a mean, because the hybrid's factor 1/2 would mean nothing with a sum.
    """
    return F.cross_entropy(logits, labels)


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 minus the soft Dice, over the whole batch for each class, then averaged over classes.

    Notes
    -----
    ``1 - mean_c (2 sum p y + e) / (sum p + sum y + e)``, e = 1e-5 (Milletari et al. 2016, arXiv 1606.04797, with sums
    of p and y instead of squares, as is usual today).
    """
    probability = torch.softmax(logits, dim=1)
    expert = one_hot(labels, logits.shape[1])
    axes = (0, *range(2, logits.ndim))
    common, sizes = (probability * expert).sum(axes), (probability + expert).sum(axes)
    return 1 - ((2 * common + _DICE_SMOOTHING) / (sizes + _DICE_SMOOTHING)).mean()


def softened(expert: Tensor, predicted: Tensor, *, softening: Softening, smoothing: float) -> Tensor:
    """Return expert maps that are not told from predictions by their sharpness alone.

    Parameters
    ----------
    expert : Tensor
        (N, classes, ...) of zeros and ones.
    predicted : Tensor
        (N, classes, ...) probabilities of the same images.
    softening : {"scaled", "smooth", "none"}
        ``smooth``: ``(1 - e) y + e / classes``. ``scaled``: the expert's class gets ``max(1 - e, p)``, the others share
        the rest as the prediction shares it among them. ``none``: as given.
    smoothing : float
        e.

    Notes
    -----
    ``scaled`` after Luc et al. 2016 (arXiv 1611.08408), "scaling" with tau = 1 - e, as remembered. Without it a
    discriminator needs no anatomy: experts say 0 and 1, softmax never does.
    """
    if softening == "none":
        return expert
    if softening == "smooth":
        return (1 - smoothing) * expert + smoothing / expert.shape[1]
    if softening != "scaled":
        raise TrainingError(f"A softening is 'scaled', 'smooth' or 'none': found {softening!r}.")
    right = (expert * predicted).sum(1, keepdim=True)
    kept = right.clamp(min=1 - smoothing)
    others = (1 - expert) * predicted * (1 - kept) / (1 - right).clamp(min=1e-6)
    return expert * kept + others


def verdict_of(discriminator: nn.Module, maps: Tensor, images: Tensor, settings: MapDiscriminatorSettings) -> Tensor:
    """Return the discriminator's logits for maps of class probabilities: (N,) for whole maps, else (N, 1, ...)."""
    given = torch.cat((maps, images), dim=1) if settings.sees_image else maps
    logits: Tensor = discriminator(given)
    return logits.flatten(1).mean(1) if settings.verdict == "map" else logits


def adversarial_loss(verdict: Tensor) -> Tensor:
    """Return ``-log D(S(x))`` of logits: the non-saturating form."""
    return F.softplus(-verdict).mean()


def discriminator_loss(*, expert: Tensor, predicted: Tensor) -> Tensor:
    """Return ``-log D(y) - log(1 - D(S(x)))`` of logits."""
    return F.softplus(-expert).mean() + F.softplus(predicted).mean()


def discriminator_accuracy(*, expert: Tensor, other: Tensor) -> float:
    """Return the mean of the shares of expert maps called expert and of other maps called other; 0.5 is chance."""
    return 0.5 * (float((expert > 0).float().mean()) + float((other < 0).float().mean()))


@torch.no_grad()
def softness_accuracy(
    discriminator: nn.Module, images: Tensor, labels: Tensor, *, classes: int, settings: MapDiscriminatorSettings
) -> float:
    """Return how well a discriminator tells plain expert maps from the same maps softened: 0.5 is blind to softness.

    Notes
    -----
    Softened means averaged over 3 voxels along every axis and mixed with 10 % of equal shares: the anatomy is the same,
    so whatever lies above 0.5 is the one-hot shortcut. A free choice that depends on no segmenter.
    """
    expert = one_hot(labels, classes)
    pool = F.avg_pool2d if images.ndim == 4 else F.avg_pool3d
    soft = 0.9 * pool(expert, 3, stride=1, padding=1, count_include_pad=False) + 0.1 / classes
    plain = verdict_of(discriminator, expert, images, settings)
    return discriminator_accuracy(expert=plain, other=verdict_of(discriminator, soft, images, settings))
