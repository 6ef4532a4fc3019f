"""Discriminative attribution: which pixels make a real image and its counterfactual two classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.attribution import (
    PLAIN,
    Attributed,
    AttributionSettings,
    deeplift,
    gradients,
    guided_backprop,
    integrated_gradients,
)
from medgan.explanation.class_activation import guided_by, layer_activations, layer_gradients, upsampled
from medgan.explanation.scored_classifier import ScoredClassifier

Preset = Literal["dapi", "quac"]
PRESETS: tuple[Preset, ...] = ("dapi", "quac")


@dataclass(frozen=True, eq=False, kw_only=True)
class PairBatch:
    """Real images of one class and their translations into another.

    Parameters
    ----------
    real, fake : (N, 1, ...) float32
        In [-1, 1].
    source, target : int
        Class index ``i`` of ``real`` and ``j`` that ``fake`` was made for.
    """

    real: Tensor
    fake: Tensor
    source: int
    target: int

    def __post_init__(self) -> None:
        if self.real.shape != self.fake.shape or self.real.ndim not in (4, 5):
            raise ExplanationError(
                f"Pairs need images of one shape (N, 1, ...): found {tuple(self.real.shape)} and "
                f"{tuple(self.fake.shape)}."
            )
        if self.source == self.target:
            raise ExplanationError("A pair has two classes: the source and the target class are the same.")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Ends:
    """A pair as a direction sees it: attributed is ``of`` against ``against``, for class ``to``."""

    of: Tensor
    against: Tensor
    to: int
    back: int


def ends(pair: PairBatch, preset: Preset) -> _Ends:
    """Return which image is attributed against which: the fake against the real (dapi) or the reverse (quac)."""
    if preset == "dapi":
        return _Ends(of=pair.fake, against=pair.real, to=pair.target, back=pair.source)
    if preset == "quac":
        return _Ends(of=pair.real, against=pair.fake, to=pair.source, back=pair.target)
    raise ExplanationError(f"A preset is {' or '.join(PRESETS)}: found {preset!r}.")


Discriminative = Callable[[ScoredClassifier, _Ends, AttributionSettings, int], Attributed]


def _d_integrated_gradients(c: ScoredClassifier, e: _Ends, s: AttributionSettings, batch: int) -> Attributed:
    return integrated_gradients(c, e.of, e.to, baselines=e.against, steps=s.steps, batch=batch)


def _d_deeplift(c: ScoredClassifier, e: _Ends, s: AttributionSettings, batch: int) -> Attributed:
    return deeplift(c, e.of, e.to, baselines=e.against, tolerance=s.delta_tolerance, batch=batch)


def _d_input_x_gradient(c: ScoredClassifier, e: _Ends, s: AttributionSettings, batch: int) -> Attributed:
    return Attributed((gradients(c, e.of, e.to, batch=batch) * (e.against - e.of).cpu()).abs())


def _d_grad_cam(c: ScoredClassifier, e: _Ends, s: AttributionSettings, batch: int) -> Attributed:
    found = layer_gradients(c, e.of, e.to, batch=batch)
    other = layer_activations(c, e.against, batch=batch)
    # Upsampling is linear: the sum over channels may come first.
    coarse = (found.gradients * (other - found.activations)).sum(1, keepdim=True)
    return Attributed(upsampled(coarse, e.of).abs())


def _d_guided_grad_cam(c: ScoredClassifier, e: _Ends, s: AttributionSettings, batch: int) -> Attributed:
    guided = guided_backprop(c, e.against, e.back, batch=batch).maps
    return Attributed(guided_by(guided, _d_grad_cam(c, e, s, batch).maps))


DISCRIMINATIVE: Mapping[str, Discriminative] = {
    "d_ig": _d_integrated_gradients,
    "d_dl": _d_deeplift,
    "d_ingrad": _d_input_x_gradient,
    "d_gc": _d_grad_cam,
    "d_ggc": _d_guided_grad_cam,
}


@dataclass(frozen=True)
class MethodTraits:
    """What a method is called and needs."""

    title: str
    gradient: bool = True
    layer: bool = False
    rectifiers: str = ""
    unit: str = "score per pixel"


METHODS: Mapping[str, MethodTraits] = {
    "saliency": MethodTraits("saliency", unit="score per gray value"),
    "input_x_gradient": MethodTraits("input x gradient"),
    "integrated_gradients": MethodTraits("integrated gradients"),
    "deeplift": MethodTraits("DeepLIFT", rectifiers="deeplift"),
    "occlusion": MethodTraits("occlusion", gradient=False, unit="score"),
    "deconvolution": MethodTraits("deconvolution", rectifiers="deconvolution", unit="arbitrary"),
    "guided_backprop": MethodTraits("guided backpropagation", rectifiers="guided_backprop", unit="arbitrary"),
    "cam": MethodTraits("CAM", layer=True, unit="score"),
    "grad_cam": MethodTraits("Grad-CAM", layer=True, unit="arbitrary"),
    "grad_cam_signed": MethodTraits("Grad-CAM, signed", layer=True, unit="arbitrary"),
    "guided_grad_cam": MethodTraits("guided Grad-CAM", layer=True, rectifiers="guided_backprop", unit="arbitrary"),
    "d_ig": MethodTraits("discriminative integrated gradients"),
    "d_dl": MethodTraits("discriminative DeepLIFT", rectifiers="deeplift"),
    "d_ingrad": MethodTraits("discriminative input x gradient"),
    "d_gc": MethodTraits("discriminative Grad-CAM", layer=True),
    "d_ggc": MethodTraits("discriminative guided Grad-CAM", layer=True, rectifiers="guided_backprop", unit="arbitrary"),
    "residual": MethodTraits("residual |real - fake|", gradient=False, unit="gray value"),
    "random": MethodTraits("random, smoothed", gradient=False, unit="none"),
}
"""Every method; ``residual`` and ``random`` are the baselines that always run."""

BASELINES = ("residual", "random")
PUBLISHED = ("d_ig", "d_dl", "d_ingrad", "d_gc", "d_ggc", *BASELINES)


def pair_attribution(
    method: str,
    classifier: ScoredClassifier,
    pair: PairBatch,
    *,
    preset: Preset = "dapi",
    settings: AttributionSettings | None = None,
    generator: np.random.Generator | None = None,
    batch: int = 16,
) -> Attributed:
    """Return the maps of one method for a batch of pairs.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`. Methods of one image explain the real image's source class.
    classifier : ScoredClassifier
    pair : PairBatch
    preset : {"dapi", "quac"}
        Direction of the discriminative methods.
    settings : AttributionSettings, optional
    generator : numpy.random.Generator, optional
        Draws the random map; needed by ``random`` only.
    batch : int
        Images in a forward pass.

    Raises
    ------
    ExplanationError
        If the method is unknown or not valid for this classifier, or a map is zero everywhere or not finite.

    Notes
    -----
    Eckstein et al. 2021 (arXiv 2109.13412), authors' code dapi, with ``x`` real of class i and ``x'`` fake of class j:
    D-IG = IG(x', baseline x, j); D-DL = DeepLift(x', baseline x, j); D-InGrad = |grad_j(x') (x - x')|;
    D-GC = |sum_k up(d y_j / d A_k(x') (A_k(x) - A_k(x')))| without pooling of gradients;
    D-GGC = GuidedBackprop(x, i) D-GC. QuAC exchanges (x, i) and (x', j); it publishes the first three only, the other
    two are dapi's "inverse" direction. Deviation: the target layer is named by the user, not the last ``Conv2d``.
    """
    settings = settings or AttributionSettings()
    if method not in METHODS:
        raise ExplanationError(f"{method!r} is not an attribution method. Known: {', '.join(METHODS)}.")
    if method == "residual":
        found = Attributed(residual(pair))
    elif method == "random":
        if generator is None:
            raise ExplanationError("The random map needs a generator: pass generator=numpy.random.default_rng(seed).")
        found = Attributed(random_maps(pair.real.shape, generator=generator, sigma_px=settings.random_sigma_px))
    else:
        found = _by_method(method, classifier, pair, preset, settings, batch)
    require_a_map(found.maps, method)
    return found


def _by_method(
    method: str,
    classifier: ScoredClassifier,
    pair: PairBatch,
    preset: Preset,
    settings: AttributionSettings,
    batch: int,
) -> Attributed:
    side = ends(pair, preset)
    try:
        if method in DISCRIMINATIVE:
            return DISCRIMINATIVE[method](classifier, side, settings, batch)
        return PLAIN[method](classifier, pair.real, pair.source, settings, batch)
    except RuntimeError as error:
        # What torch says of an exported model, or of a score that was detached.
        if "does not require grad" not in str(error) and "not have been used in the graph" not in str(error):
            raise
        raise ExplanationError(
            f"{method} needs gradients of the score with respect to the image: this classifier gives none (an exported "
            "or ONNX model?). Occlusion, residual and random need none."
        ) from None


def require_a_map(maps: Tensor, method: str) -> None:
    """Refuse maps that say nothing.

    Raises
    ------
    ExplanationError
        If a map is zero everywhere or has a value that is not finite.
    """
    for number, one in enumerate(maps):
        if not bool(torch.isfinite(one).all()):
            raise ExplanationError(f"A map of {method} has values that are not finite (image {number} of the batch).")
        if not bool(one.any()):
            raise ExplanationError(
                f"A map of {method} is zero everywhere (image {number} of the batch): the score does not react. "
                "Saturated probabilities and dead rectifiers do this; explain the logit."
            )


def residual(pair: PairBatch) -> Tensor:
    """Return ``|x - x'|`` minus its minimum (N, 1, ...), as dapi does."""
    difference = (pair.real - pair.fake).abs().float().cpu()
    return difference - _per_image(difference.flatten(1).amin(1), difference)


def random_maps(
    shape: torch.Size | tuple[int, ...], *, generator: np.random.Generator, sigma_px: float = 4.0
) -> Tensor:
    """Return smoothed noise (N, 1, ...) between 0 and 1: ``|normal|`` smoothed by ``sigma_px``, as dapi does."""
    maps = np.empty(tuple(shape), dtype=np.float32)
    for one in maps.reshape(-1, *shape[2:]):
        smooth = gaussian_filter(np.abs(generator.standard_normal(one.shape)), sigma_px)
        smooth -= smooth.min()
        one[...] = smooth / max(float(smooth.max()), 1e-12)
    return torch.from_numpy(maps)


def normalized(maps: Tensor, preset: Preset) -> Tensor:
    """Return maps as a preset thresholds them.

    Notes
    -----
    dapi: ``a / max|a|``, signed. quac: ``|a|`` stretched to [0, 1] image by image.
    """
    flat = maps.flatten(1)
    if preset == "dapi":
        return maps / _per_image(flat.abs().amax(1).clamp_min(1e-30), maps)
    if preset == "quac":
        low, high = flat.abs().amin(1), flat.abs().amax(1)
        return (maps.abs() - _per_image(low, maps)) / _per_image((high - low).clamp_min(1e-30), maps)
    raise ExplanationError(f"A preset is {' or '.join(PRESETS)}: found {preset!r}.")


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1 for _ in like.shape[1:]))
