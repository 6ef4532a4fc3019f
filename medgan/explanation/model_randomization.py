"""Is a map about what the classifier has learned? The same map of a classifier with random weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from medgan.errors import ExplanationError
from medgan.explanation.explanation import Randomization
from medgan.explanation.scored_classifier import ScoredClassifier

Mode = Literal["full", "cascading"]


def randomized_classifiers(
    classifier: ScoredClassifier, *, generator: torch.Generator, mode: Mode = "full"
) -> list[tuple[str, ScoredClassifier]]:
    """Return copies with random weights: one of all layers, or one for each layer further from the output.

    Parameters
    ----------
    generator : torch.Generator
        Draws the weights.
    mode : {"full", "cascading"}

    Raises
    ------
    ExplanationError
        If the classifier has no layer with weights of two or more dimensions.

    Notes
    -----
    Adebayo et al. 2018 (arXiv 1810.03292). Deviation: weights are drawn from a normal distribution with the mean and
    standard deviation of the trained ones instead of the layer's initialization, so that activations keep their scale
    and rectifiers do not all die; normalization layers (weights of one dimension) and biases are left as they are.
    Layers are taken in the order of registration, which for the usual networks is from input to output.
    """
    if mode not in ("full", "cascading"):
        raise ExplanationError(f"Weights are randomized in mode full or cascading: found {mode!r}.")
    names = [name for name, one in classifier.module.named_modules() if _has_weights(one)]
    if not names:
        raise ExplanationError("A randomization check needs weights: the classifier has none that can be drawn anew.")
    module = copy.deepcopy(classifier.module)
    stages = []
    for name in reversed(names):
        weight = module.get_submodule(name).get_parameter("weight")
        with torch.no_grad():
            drawn = torch.randn(weight.shape, generator=generator)
            spread, mean = (weight.std(), weight.mean()) if weight.numel() > 1 else (weight.abs().mean(), weight * 0)
            weight.copy_(drawn.to(weight) * spread + mean)
        if mode == "cascading":
            stages.append((name, _with(classifier, copy.deepcopy(module))))
    return stages if mode == "cascading" else [("all", _with(classifier, module))]


def randomization_checks(
    classifier: ScoredClassifier,
    maps: Tensor,
    attribute: Callable[[ScoredClassifier], Tensor],
    *,
    generator: torch.Generator,
    mode: Mode = "full",
) -> tuple[Randomization, ...]:
    """Compare each map with the same method's map of randomized classifiers.

    Parameters
    ----------
    maps : (N, 1, ...)
        Of the trained classifier.
    attribute : callable
        Gives the same maps for another classifier. A method that refuses counts as a map that vanished.
    generator, mode
        As :func:`randomized_classifiers`.

    Returns
    -------
    tuple of Randomization
        One a map.
    """
    stages = randomized_classifiers(classifier, generator=generator, mode=mode)
    rows: list[list[tuple[float | None, float | None]]] = [[] for _ in maps]
    for _, other in stages:
        try:
            random = attribute(other)
        except ExplanationError:
            random = torch.zeros_like(maps)
        for row, one, changed in zip(rows, maps, random):
            row.append(map_similarity(one[0].numpy(), changed[0].numpy()))
    layers = tuple(name for name, _ in stages)
    return tuple(Randomization(mode, layers, tuple(r for r, _ in row), tuple(s for _, s in row)) for row in rows)


def map_similarity(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]
) -> tuple[float | None, float | None]:
    """Return Spearman's rank correlation and SSIM of the absolute values of two maps; None where one does not vary.

    Notes
    -----
    SSIM (Wang et al. 2004) with a Gaussian window of sigma 1.5 on ``|map| / max|map|``; the window is as large as the
    image allows, at most 11 pixels.
    """
    a, b = np.abs(first.astype(np.float64)), np.abs(second.astype(np.float64))
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        correlation = float(spearmanr(a.ravel(), b.ravel()).statistic)
    window = min(11, min(a.shape) - (min(a.shape) + 1) % 2)
    if window < 3:
        return correlation, None
    similarity = structural_similarity(
        a / a.max(),
        b / b.max(),
        data_range=1.0,
        win_size=window,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return correlation, float(similarity)


def _with(classifier: ScoredClassifier, module: nn.Module) -> ScoredClassifier:
    return ScoredClassifier(
        module, classifier.target_layer, classifier.score_space, classifier.class_names, classifier.output
    )


def _has_weights(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim >= 2
