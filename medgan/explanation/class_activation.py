"""Maps from the activations of one layer: CAM, Grad-CAM and what is built on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.scored_classifier import ScoredClassifier, activations_kept


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """Activations of the target layer and what a class's score owes them.

    Parameters
    ----------
    activations, gradients : (N, K, ...) float32
        ``A_k`` and ``d score / d A_k``.
    scores : (N,) float32
    """

    activations: Tensor
    gradients: Tensor
    scores: Tensor


def layer_gradients(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> LayerGradients:
    """Return activations and gradients of the target layer, on the CPU.

    Raises
    ------
    ExplanationError
        If the layer runs more or less than once, or has no spatial extent.
    """
    kept_activations, kept_gradients, scores = [], [], []
    for some in images.split(max(batch, 1)):
        with activations_kept(classifier) as kept, torch.enable_grad():
            score = classifier.logits(some.detach().to(classifier.device).clone().requires_grad_())[:, target]
        activation = _only(kept, classifier)
        gradient = torch.autograd.grad(score.sum(), activation)[0]
        kept_activations.append(activation.detach().float().cpu())
        kept_gradients.append(gradient.float().cpu())
        scores.append(score.detach().float().cpu())
    return LayerGradients(torch.cat(kept_activations), torch.cat(kept_gradients), torch.cat(scores))


@torch.inference_mode()
def layer_activations(classifier: ScoredClassifier, images: Tensor, *, batch: int = 32) -> Tensor:
    """Return activations of the target layer (N, K, ...) on the CPU, without gradients.

    Raises
    ------
    ExplanationError
        As :func:`layer_gradients`.
    """
    parts = []
    for some in images.split(max(batch, 1)):
        with activations_kept(classifier) as kept:
            classifier.module(some.to(classifier.device))
        parts.append(_only(kept, classifier).float().cpu())
    return torch.cat(parts)


def grad_cam(
    classifier: ScoredClassifier, images: Tensor, target: int, *, signed: bool = False, batch: int = 16
) -> Tensor:
    """Return Grad-CAM (N, 1, ...), upsampled to the images (Selvaraju et al. 2017, arXiv 1610.02391).

    Parameters
    ----------
    signed : bool
        Keep what speaks against the class too, which the published ReLU removes.

    Notes
    -----
    ``ReLU(sum_k w_k A_k)`` with ``w_k`` the spatial mean of ``d score / d A_k``; bilinear (trilinear) upsampling with
    ``align_corners=False``. Captum's ``LayerGradCam`` applies no ReLU and interpolates to the nearest pixel.
    """
    found = layer_gradients(classifier, images, target, batch=batch)
    weights = found.gradients.flatten(2).mean(2)
    coarse = torch.einsum("nk,nk...->n...", weights, found.activations)[:, None]
    return upsampled(coarse if signed else coarse.relu(), images)


def class_activation(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> Tensor:
    """Return CAM (N, 1, ...), upsampled to the images (Zhou et al. 2016, arXiv 1512.04150).

    Raises
    ------
    ExplanationError
        If the network is not the target layer, a global mean, and one linear layer: CAM is not defined for others.

    Notes
    -----
    ``sum_k w_k A_k`` with the class's row of the linear layer. For such a network ``w_k`` is the sum over the layer
    of ``d score / d A_k``, which is the same at every place and for every image; that is how the architecture is
    recognized, without looking for layers by type.
    """
    # A second image, so that a head that is not linear shows itself even for a single query.
    probes = torch.cat([images, images[:1].flip(-1) * 0.5 + 0.25])
    found = layer_gradients(classifier, probes, target, batch=batch)
    weights = found.gradients.flatten(2).sum(2)
    even = found.gradients.flatten(2) * found.gradients[0, 0].numel()
    scale = float(weights.abs().max())
    tolerance = 1e-3 * scale
    if (
        scale == 0
        or float((even - weights[..., None]).abs().max()) > tolerance
        or float((weights - weights[:1]).abs().max()) > tolerance
    ):
        raise ExplanationError(
            f"CAM needs a global mean and one linear layer right after the target layer: after "
            f"{classifier.target_layer!r} the score is not linear in the mean of each channel. Name the layer right "
            "before the pooling (after its ReLU), or use Grad-CAM."
        )
    coarse = torch.einsum("nk,nk...->n...", weights, found.activations)[: len(images), None]
    return upsampled(coarse, images)


def guided_by(fine: Tensor, coarse: Tensor) -> Tensor:
    """Return the product of a map of pixels and a map of regions, as guided Grad-CAM is made."""
    return fine * coarse


def upsampled(coarse: Tensor, images: Tensor) -> Tensor:
    """Return maps (N, K, ...) at the resolution of images: linear interpolation, ``align_corners=False``."""
    mode = "bilinear" if images.ndim == 4 else "trilinear"
    return F.interpolate(coarse.float(), size=images.shape[2:], mode=mode, align_corners=False)


def _only(kept: list[Tensor], classifier: ScoredClassifier) -> Tensor:
    if len(kept) != 1:
        raise ExplanationError(
            f"The target layer {classifier.target_layer!r} has to run once in a forward pass: it ran {len(kept)} times."
        )
    if kept[0].ndim < 4 or max(kept[0].shape[2:]) == 1:
        raise ExplanationError(
            f"The target layer {classifier.target_layer!r} has no spatial extent: its output is "
            f"{tuple(kept[0].shape)}. Name a layer before the global pooling."
        )
    return kept[0]
