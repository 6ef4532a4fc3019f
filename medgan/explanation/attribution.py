"""Attribution of one class's score to the pixels of one image."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from captum.attr import Deconvolution, DeepLift, GuidedBackprop, IntegratedGradients, Occlusion
from torch import Tensor, nn

from medgan.errors import ExplanationError
from medgan.explanation.class_activation import class_activation, grad_cam, guided_by
from medgan.explanation.rectifiers import require_reachable_rectifiers
from medgan.explanation.scored_classifier import ScoredClassifier, rectifiers_out_of_place


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """Free choices of attribution methods.

    Parameters
    ----------
    steps : int
        Gauss-Legendre nodes of integrated gradients.
    baseline : float
        Gray value of the baseline of plain integrated gradients, DeepLift and occlusion; the discriminative methods
        use the other image instead. 0 is the middle gray of [-1, 1] (dapi).
    occlusion_window : float
        Side of the occluding square as a share of the image's side.
    delta_tolerance : float
        Largest convergence delta of DeepLift as a share of the difference of scores.
    random_sigma_px : float
        Of the smoothing of the random map.
    """

    steps: int = 50
    baseline: float = 0.0
    occlusion_window: float = 0.125
    delta_tolerance: float = 0.01
    random_sigma_px: float = 4.0


@dataclass(frozen=True, eq=False)
class Attributed:
    """Maps of a batch.

    Parameters
    ----------
    maps : (N, 1, ...) float32
        On the CPU, of the images' shape, signed unless the method's definition says otherwise.
    delta : (N,) float32 or None
        Sum of a map minus the difference of scores, for methods that promise it to be zero.
    """

    maps: Tensor
    delta: Tensor | None = None


def saliency(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> Attributed:
    """Return ``|d score / d pixel|`` (Simonyan et al. 2013, arXiv 1312.6034)."""
    return Attributed(gradients(classifier, images, target, batch=batch).abs())


def input_x_gradient(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> Attributed:
    """Return ``pixel * d score / d pixel``, signed (Shrikumar et al. 2016, arXiv 1605.01713)."""
    return Attributed(images.cpu().float() * gradients(classifier, images, target, batch=batch))


def gradients(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> Tensor:
    """Return ``d score / d pixel`` (N, 1, ...) on the CPU."""
    parts = []
    for some in images.split(max(batch, 1)):
        leaf = leaf_of(some, classifier.device)
        parts.append(torch.autograd.grad(_score(classifier, leaf, target).sum(), leaf)[0].cpu())
    return torch.cat(parts)


def integrated_gradients(
    classifier: ScoredClassifier,
    images: Tensor,
    target: int,
    *,
    baselines: Tensor | float,
    steps: int = 50,
    batch: int = 16,
) -> Attributed:
    """Return the path integral of the gradient from a baseline (Sundararajan et al. 2017, arXiv 1703.01365).

    Parameters
    ----------
    images : (N, 1, ...)
    baselines : (N, 1, ...) or float
    steps : int
        Gauss-Legendre nodes.
    batch : int
        Images in a forward pass.

    Notes
    -----
    By Captum, one image at a time so that ``batch`` bounds memory.
    """
    maps = []
    method = IntegratedGradients(lambda x: _score(classifier, x, target))
    starts = baselines if isinstance(baselines, Tensor) else torch.full_like(images, float(baselines))
    with quiet_captum():
        for image, start in zip(images.split(1), starts.split(1)):
            found = method.attribute(
                leaf_of(image, classifier.device),
                start.detach().to(classifier.device),
                n_steps=steps,
                internal_batch_size=max(batch, 1),
            )
            maps.append(found.detach().float().cpu())
    every = torch.cat(maps)
    return Attributed(every, convergence_delta(classifier, every, images, starts, target, batch=batch))


def deeplift(
    classifier: ScoredClassifier,
    images: Tensor,
    target: int,
    *,
    baselines: Tensor | float,
    tolerance: float = 0.01,
    batch: int = 16,
) -> Attributed:
    """Return DeepLIFT's contributions by the rescale rule (Shrikumar et al. 2017, arXiv 1704.02685).

    Raises
    ------
    ExplanationError
        If a nonlinearity is no module of its own, or a map does not sum to the difference of scores.

    Notes
    -----
    By Captum. Its rules for max pooling, and the lack of one for normalization by group statistics, make it
    incomplete (deltas of the size of the score were seen), hence the check:
    ``|delta| <= tolerance * |score(image) - score(baseline)| + 1e-4 * max(1, |score(image)|)``.
    """
    require_reachable_rectifiers(classifier, images[:1], method="deeplift")
    starts = baselines if isinstance(baselines, Tensor) else torch.full_like(images, float(baselines))
    maps = []
    with quiet_captum(), rectifiers_out_of_place(classifier.module):
        method = DeepLift(_ScoreModule(classifier))
        half = max(batch // 2, 1)  # image and baseline go through the network together
        for some, start in zip(images.split(half), starts.split(half)):
            leaf = leaf_of(some, classifier.device)
            found = method.attribute(leaf, start.detach().clone().to(classifier.device), target=target)
            maps.append(found.detach().float().cpu())
    every = torch.cat(maps)
    delta = convergence_delta(classifier, every, images, starts, target, batch=batch)
    reached = classifier.batched_logits(images, batch=batch)[:, target]
    difference = reached - classifier.batched_logits(starts, batch=batch)[:, target]
    limit = tolerance * difference.abs() + 1e-4 * reached.abs().clamp_min(1)
    if bool((delta.abs() > limit).any()) or not bool(torch.isfinite(delta).all()):
        worst = int((delta.abs() - limit).nan_to_num(torch.inf).argmax())
        raise ExplanationError(
            f"DeepLift must sum to the difference of scores: found a delta of {float(delta[worst]):.3g} on a "
            f"difference of {float(difference[worst]):.3g} (limit {float(limit[worst]):.2g}). Max pooling, group or "
            "instance normalization and functions that are no modules cause this: use integrated gradients instead."
        )
    return Attributed(every, delta)


def occlusion(
    classifier: ScoredClassifier,
    images: Tensor,
    target: int,
    *,
    baseline: float = 0.0,
    window: float = 0.125,
    batch: int = 16,
) -> Attributed:
    """Return the loss of score when a window is grayed, averaged over the windows that hold a pixel.

    Notes
    -----
    Zeiler and Fergus 2014 (arXiv 1311.2901), by Captum. Free choices: a window of ``window`` times each side, at least
    one pixel, moved by half of itself.
    """
    sides = [max(1, round(window * n)) for n in images.shape[2:]]
    steps = tuple(max(1, s // 2) for s in sides)
    maps = []
    with quiet_captum(), torch.no_grad():
        method = Occlusion(lambda x: _score(classifier, x, target))
        for image in images.split(1):
            found = method.attribute(
                image.detach().to(classifier.device),
                sliding_window_shapes=(image.shape[1], *sides),
                strides=(image.shape[1], *steps),
                baselines=baseline,
                perturbations_per_eval=max(batch, 1),
            )
            maps.append(found.float().cpu())
    return Attributed(torch.cat(maps))


def guided_backprop(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> Attributed:
    """Return the gradient that only positive signals carry back (Springenberg et al. 2014, arXiv 1412.6806).

    Raises
    ------
    ExplanationError
        If hooks cannot reach every ReLU.
    """
    return _by_rectifiers(GuidedBackprop, "guided_backprop", classifier, images, target, batch)


def deconvolution(classifier: ScoredClassifier, images: Tensor, target: int, *, batch: int = 16) -> Attributed:
    """Return the deconvolution of Zeiler and Fergus 2014 (arXiv 1311.2901): rectified signals, ungated.

    Raises
    ------
    ExplanationError
        If hooks cannot reach every ReLU.
    """
    return _by_rectifiers(Deconvolution, "deconvolution", classifier, images, target, batch)


def _by_rectifiers(
    method: type[GuidedBackprop] | type[Deconvolution],
    name: str,
    classifier: ScoredClassifier,
    images: Tensor,
    target: int,
    batch: int,
) -> Attributed:
    require_reachable_rectifiers(classifier, images[:1], method=name)
    parts = []
    with quiet_captum(), rectifiers_out_of_place(classifier.module):
        one = method(_ScoreModule(classifier))
        for some in images.split(max(batch, 1)):
            parts.append(one.attribute(leaf_of(some, classifier.device), target=target).detach().float().cpu())
    return Attributed(torch.cat(parts))


Plain = Callable[[ScoredClassifier, Tensor, int, AttributionSettings, int], Attributed]

PLAIN: Mapping[str, Plain] = {
    "saliency": lambda c, x, t, s, b: saliency(c, x, t, batch=b),
    "input_x_gradient": lambda c, x, t, s, b: input_x_gradient(c, x, t, batch=b),
    "integrated_gradients": lambda c, x, t, s, b: integrated_gradients(
        c, x, t, baselines=s.baseline, steps=s.steps, batch=b
    ),
    "deeplift": lambda c, x, t, s, b: deeplift(c, x, t, baselines=s.baseline, tolerance=s.delta_tolerance, batch=b),
    "occlusion": lambda c, x, t, s, b: occlusion(c, x, t, baseline=s.baseline, window=s.occlusion_window, batch=b),
    "deconvolution": lambda c, x, t, s, b: deconvolution(c, x, t, batch=b),
    "guided_backprop": lambda c, x, t, s, b: guided_backprop(c, x, t, batch=b),
    "cam": lambda c, x, t, s, b: Attributed(class_activation(c, x, t, batch=b)),
    "grad_cam": lambda c, x, t, s, b: Attributed(grad_cam(c, x, t, batch=b)),
    "grad_cam_signed": lambda c, x, t, s, b: Attributed(grad_cam(c, x, t, signed=True, batch=b)),
    "guided_grad_cam": lambda c, x, t, s, b: Attributed(
        guided_by(guided_backprop(c, x, t, batch=b).maps, grad_cam(c, x, t, batch=b))
    ),
}
"""Methods of one image by name: classifier, images (N, 1, ...), class, settings, batch."""


def convergence_delta(
    classifier: ScoredClassifier, maps: Tensor, images: Tensor, baselines: Tensor, target: int, *, batch: int
) -> Tensor:
    """Return, for each image, the sum of its map minus the difference of scores from its baseline."""
    reached = classifier.batched_logits(images, batch=batch)[:, target]
    start = classifier.batched_logits(baselines, batch=batch)[:, target]
    return maps.flatten(1).double().sum(1).float() - (reached - start)


def leaf_of(images: Tensor, device: torch.device) -> Tensor:
    """Return a copy that gradients are taken of; images that came from inference mode are welcome."""
    return images.detach().to(device).clone().requires_grad_()


def _score(classifier: ScoredClassifier, images: Tensor, target: int) -> Tensor:
    return classifier.logits(images)[:, target]


class _ScoreModule(nn.Module):
    """A classifier as a module that gives its explained scores, for methods that hook modules."""

    def __init__(self, classifier: ScoredClassifier) -> None:
        super().__init__()
        self.module = classifier.module
        self._scores_of = classifier.scores_of

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self._scores_of(self.module(images))
        return scores


@contextmanager
def quiet_captum() -> Iterator[None]:
    """Silence Captum's notes that it sets hooks and gradient flags."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="captum")
        warnings.filterwarnings("ignore", message=".*(backward hooks|forward, backward hooks|required_grads).*")
        yield
