"""Counterfactual translation: a CycleGAN between two classes whose results a frozen classifier should call the other.

To the losses of :mod:`medgan.methods.cyclegan` comes ``w [mean_k (p_k(G x) - [k = target])^2 + mean_k (p_k(F y) -
[k = source])^2]`` with the probabilities p of the classifier that is to be explained. Without that term a CycleGAN
changes whatever tells the two sets of images apart, which need not be what the classifier looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from medgan.errors import TrainingError
from medgan.methods import cyclegan
from medgan.methods.counterfactual_settings import CounterfactualSettings
from medgan.methods.cyclegan import CycleGANLosses, CycleGANState, Cycles
from medgan.methods.cyclegan_terms import CycleGANBatch
from medgan.training.loop import Method

Judge = Callable[[Tensor], Tensor]
"""From images (N, 1, I, J) in [-1, 1] to probabilities (N, 2): of the source class, and of the target class."""


def counterfactual_method(
    judge: Judge | None,
) -> Method[CycleGANState, CycleGANBatch, CounterfactualSettings]:
    """Return the method that asks one classifier.

    Parameters
    ----------
    judge : callable or None
        Frozen: its weights require no gradient, and it is in evaluation mode. None where the weight is 0.
    """
    return Method(build=build, step=partial(step, judge=judge), translate=cyclegan.translate)


def build(
    settings: CounterfactualSettings, *, seed: int, device: torch.device | str = "cpu", form: str = "plain"
) -> CycleGANState:
    """Return the networks of a CycleGAN with first weights drawn from ``seed``."""
    return cyclegan.build(settings.cyclegan, seed=seed, device=device, form=form)


def step(
    state: CycleGANState,
    batch: CycleGANBatch,
    settings: CounterfactualSettings,
    generator: torch.Generator,
    *,
    precision: str = "float32",
    judge: Judge | None = None,
) -> CycleGANLosses:
    """Train all networks on one batch; see :func:`medgan.methods.cyclegan.step`.

    Raises
    ------
    TrainingError
        If the classifier's term has a weight and there is no classifier.
    """
    further = None
    if settings.classifier_weight:
        if judge is None:
            raise TrainingError(
                f"A classifier_weight of {settings.classifier_weight:g} needs a classifier: found none. "
                "Name one, or set the weight to 0."
            )
        further = partial(class_terms, judge=judge, weight=settings.classifier_weight)
    return cyclegan.step(state, batch, settings.cyclegan, generator, precision=precision, further=further)


def class_terms(cycles: Cycles, *, judge: Judge, weight: float) -> dict[str, Tensor]:
    """Return the classifier's weighted terms: each translation should be called the class that was wanted."""
    return {
        "class_target": weight * _distance(judge(cycles.synthetic_target.float()), wanted=1),
        "class_source": weight * _distance(judge(cycles.synthetic_source.float()), wanted=0),
    }


def _distance(probabilities: Tensor, *, wanted: int) -> Tensor:
    one_hot = torch.zeros_like(probabilities)
    one_hot[:, wanted] = 1.0
    return (probabilities - one_hot).square().mean()


COUNTERFACTUAL: Method[CycleGANState, CycleGANBatch, CounterfactualSettings] = counterfactual_method(None)
"""The method without a classifier; a training that asks one makes its own by :func:`counterfactual_method`."""
