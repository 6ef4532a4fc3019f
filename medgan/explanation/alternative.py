"""Counterfactuals without a translator: the nearest real image of the other class, and the smallest mutation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.attribution import leaf_of
from medgan.explanation.class_activation import layer_activations
from medgan.explanation.scored_classifier import ScoredClassifier


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest image of a gallery for each query.

    Parameters
    ----------
    index : (N,) int64
        Into the gallery.
    images : (N, 1, ...) float32
    distance_feature : (N,) float32
        Euclidean, in feature space.
    distance_l2 : (N,) float32
        Euclidean, over all pixels.
    """

    index: Tensor
    images: Tensor
    distance_feature: Tensor
    distance_l2: Tensor


def nearest_neighbors(classifier: ScoredClassifier, queries: Tensor, gallery: Tensor, *, batch: int = 32) -> Neighbors:
    """Return for each query the image of the gallery that the classifier sees as most alike.

    Parameters
    ----------
    queries : (N, 1, ...)
        Of one class.
    gallery : (M, 1, ...)
        Real images of the other class; best those that the classifier gets right.

    Raises
    ------
    ExplanationError
        If the gallery is empty.

    Notes
    -----
    Features are the spatial means of the target layer's channels (a free choice), compared by Euclidean distance; of
    equally near ones the first is taken.
    """
    if not len(gallery):
        raise ExplanationError("A nearest neighbor needs images of the other class: the gallery is empty.")
    features = layer_activations(classifier, torch.cat([queries, gallery]), batch=batch).flatten(2).mean(2)
    distances = torch.cdist(features[: len(queries)].double(), features[len(queries) :].double())
    nearest, index = distances.min(dim=1)
    images = gallery[index].detach().float().cpu()
    return Neighbors(index, images, nearest.float(), _l2(images - queries.cpu()))


@dataclass(frozen=True, eq=False)
class Mutations:
    """The smallest change that was found for each query.

    Parameters
    ----------
    images : (N, 1, ...) float32
        In [-1, 1]; the query itself where nothing was found.
    flipped : (N,) bool
    distance_l2 : (N,) float32
        Of the change.
    """

    images: Tensor
    flipped: Tensor
    distance_l2: Tensor


def gradient_mutations(
    classifier: ScoredClassifier, queries: Tensor, *, target: int, steps: int = 50, batch: int = 16
) -> Mutations:
    """Change each image as little as possible until the classifier gives it the wanted class.

    Parameters
    ----------
    queries : (N, 1, ...) float32
        In [-1, 1], where mutations stay.
    target : int
        The wanted class.
    steps : int
        Linearizations at most.

    Notes
    -----
    DeepFool (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599) toward one class: repeat ``x + 1.02 |m| g / |g|^2``
    with the margin ``m`` of the wanted class over the best other one and ``g`` its gradient, clipped to [-1, 1]; then
    12 bisections along the line back to the query. The change is locally, not globally, the smallest in L2.
    """
    parts = [_mutated(classifier, some, target, steps) for some in queries.split(max(batch, 1))]
    images = torch.cat([p for p, _ in parts])
    flipped = torch.cat([f for _, f in parts])
    return Mutations(images, flipped, _l2(images - queries.detach().float().cpu()))


def _mutated(classifier: ScoredClassifier, queries: Tensor, target: int, steps: int) -> tuple[Tensor, Tensor]:
    device = classifier.device
    start = queries.detach().float().to(device).clone()
    current = start.clone()
    for _ in range(steps):
        leaf = leaf_of(current, device)
        margin = _margin(classifier.logits(leaf), target)
        unfinished = margin <= 0
        if not bool(unfinished.any()):
            break
        gradient = torch.autograd.grad(margin.sum(), leaf)[0]
        power = gradient.flatten(1).square().sum(1)
        # A little further than the boundary, and never a division by a gradient that is not there.
        length = torch.where(power > 0, 1.02 * (margin.detach().abs() + 1e-6) / power.clamp_min(1e-20), 0.0)
        length = torch.where(unfinished, length, 0.0).reshape(-1, *(1 for _ in start.shape[1:]))
        current = (current + length * gradient).clamp(-1, 1).detach()
    with torch.inference_mode():
        flipped = _margin(classifier.logits(current), target) > 0
        low, high = torch.zeros(len(start), device=device), torch.ones(len(start), device=device)
        for _ in range(12):
            middle = (low + high) / 2
            there = _margin(classifier.logits(_between(start, current, middle)), target) > 0
            low, high = torch.where(there, low, middle), torch.where(there, middle, high)
        image = torch.where(_wide(flipped, start), _between(start, current, high), start)
    return image.cpu().clone(), flipped.cpu().clone()


def _margin(scores: Tensor, target: int) -> Tensor:
    """Return how far the wanted class's score lies above the best other one (N,)."""
    others = torch.cat([scores[:, :target], scores[:, target + 1 :]], dim=1)
    return scores[:, target] - others.amax(1)


def _between(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    return start + _wide(share, start) * (end - start)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1 for _ in like.shape[1:]))


def _l2(difference: Tensor) -> Tensor:
    return difference.flatten(1).double().norm(dim=1).float()
