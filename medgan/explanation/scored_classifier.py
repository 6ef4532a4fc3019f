"""A classifier with what is needed to read its scores: which output, in which space, of which classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from medgan.errors import ExplanationError
from medgan.training.precision import autocast

ScoreSpace = Literal["logit", "sigmoid", "softmax"]
Translate = Callable[[Tensor], Tensor]
"""Images (N, 1, ...) in [-1, 1] into images of the same shape."""

_LEAST = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm."""


@dataclass(frozen=True, eq=False)
class ScoredClassifier:
    """A module and the meaning of its outputs.

    Parameters
    ----------
    module : torch.nn.Module
        Images (N, 1, H, W) or (N, 1, I, J, K) in, (N, outputs) out; in evaluation mode.
    target_layer : str
        Dotted name of the submodule whose activations Grad-CAM uses, such as ``"features.norm5"``; empty if none.
    score_space : {"logit", "sigmoid", "softmax"}
        What the module gives: numbers before or after a sigmoid or softmax.
    class_names : tuple of str
        Of the classes that are told apart. For a single output: (absent, present).
    output : int, optional
        The one output that matters, of a module with one or with many independent ones (multi-label); then there are
        two classes, absent and present. None: the outputs are the classes, exactly one of which is true.

    Raises
    ------
    ExplanationError
        If the target layer is not there, class names are missing or repeated, or two classes are not two.

    Notes
    -----
    Explained are scores *before* sigmoid or softmax, because gradients of saturated probabilities vanish: of one
    logit ``z`` the score is ``z`` for present and ``-z`` for absent (its probability is ``sigmoid(score)``), of
    several their logits. A module that only gives probabilities is explained by ``log(p / (1 - p))`` or ``log p``,
    which does not bring back gradients that are zero: see :mod:`medgan.explanation.preflight`.
    """

    module: nn.Module
    target_layer: str
    score_space: ScoreSpace
    class_names: tuple[str, ...]
    output: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        names = self.class_names
        if self.score_space not in ("logit", "sigmoid", "softmax"):
            raise ExplanationError(f"A score space is logit, sigmoid or softmax: found {self.score_space!r}.")
        if len(names) < 2 or len(set(names)) < len(names):
            raise ExplanationError(
                f"A classifier needs at least two different class names: found {', '.join(names) or 'none'}. "
                "A single output has two: (absent, present)."
            )
        if self.output is not None and len(names) != 2:
            raise ExplanationError(
                f"One output tells two classes apart, absent and present: found {len(names)} names for output "
                f"{self.output}."
            )
        if self.output is None and self.score_space == "sigmoid":
            raise ExplanationError("A sigmoid score belongs to one output: name it (0 for a module with only one).")
        if self.output is not None and self.score_space == "softmax":
            raise ExplanationError("Softmax scores belong to all outputs together: leave the output out.")
        if self.target_layer and self.target_layer not in dict(self.module.named_modules()):
            known = [name for name, _ in self.module.named_modules() if name]
            raise ExplanationError(
                f"The target layer {self.target_layer!r} is not in the classifier. The last of its layers are: "
                f"{', '.join(known[-8:]) or 'none'}."
            )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def layer(self) -> nn.Module:
        """The target layer.

        Raises
        ------
        ExplanationError
            If none was named.
        """
        if not self.target_layer:
            raise ExplanationError("This needs a target layer: name the last layer with a spatial extent.")
        return self.module.get_submodule(self.target_layer)

    @property
    def device(self) -> torch.device:
        """Where the module's first parameter lies."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def class_index(self, name: str) -> int:
        """Return the index of a class by its name."""
        if name not in self.class_names:
            raise ExplanationError(f"{name!r} is not a class. Known: {', '.join(self.class_names)}.")
        return self.class_names.index(name)

    def logits(self, images: Tensor) -> Tensor:
        """Return the explained scores (N, classes) of images, with gradients."""
        return self.scores_of(self.module(images))

    def scores_of(self, outputs: Tensor) -> Tensor:
        """Return the explained scores (N, classes) of the module's outputs."""
        if outputs.ndim != 2:
            raise ExplanationError(f"A classifier gives (images, outputs): found shape {tuple(outputs.shape)}.")
        if self.output is None:
            if outputs.shape[1] != self.classes:
                raise ExplanationError(
                    f"The classifier gives {outputs.shape[1]} outputs for {self.classes} class names: name the one "
                    "output that matters, or all classes."
                )
            return outputs if self.score_space == "logit" else torch.log(outputs.clamp_min(_LEAST))
        if not 0 <= self.output < outputs.shape[1]:
            raise ExplanationError(f"Output {self.output} is asked for, but the classifier gives {outputs.shape[1]}.")
        score = outputs[:, self.output]
        if self.score_space == "sigmoid":
            score = torch.logit(score, eps=_LEAST)
        return torch.stack([-score, score], dim=1)

    def probabilities_of(self, scores: Tensor) -> Tensor:
        """Return probabilities (N, classes) of explained scores."""
        return scores.float().softmax(dim=1) if self.output is None else scores.float().sigmoid()

    @torch.inference_mode()
    def probabilities(self, images: Tensor, *, batch: int = 32, precision: str = "float32") -> Tensor:
        """Return probabilities (N, classes) on the CPU, ``batch`` images at a time.

        Parameters
        ----------
        images : (N, 1, ...) float32
        batch : int
        precision : {"float32", "bfloat16"}
            Of the convolutions.
        """
        return self._batched(images, batch, precision, probabilities=True)

    @torch.inference_mode()
    def batched_logits(self, images: Tensor, *, batch: int = 32, precision: str = "float32") -> Tensor:
        """Return explained scores (N, classes) on the CPU, ``batch`` images at a time, without gradients."""
        return self._batched(images, batch, precision, probabilities=False)

    def _batched(self, images: Tensor, batch: int, precision: str, *, probabilities: bool) -> Tensor:
        device = self.device
        parts = []
        for some in images.split(max(batch, 1)):
            with autocast(precision, device):
                scores = self.logits(some.to(device))
            parts.append((self.probabilities_of(scores) if probabilities else scores.float()).cpu())
        return torch.cat(parts) if parts else torch.empty((0, self.classes))

    def predicted(self, probabilities: Tensor) -> Tensor:
        """Return the class index (N,) of each row; a tie goes to the first class."""
        return probabilities.argmax(dim=1)


@contextmanager
def activations_kept(classifier: ScoredClassifier) -> Iterator[list[Tensor]]:
    """Keep the target layer's outputs while the block runs, one entry a call, attached to the graph.

    Notes
    -----
    The layer's output is *replaced by a clone*, so that a rectifier that works in place after it does not overwrite
    what is kept, and gradients arrive at the tensor that is kept.
    """
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, outputs: object) -> Tensor:
        if not isinstance(outputs, Tensor):
            raise ExplanationError(
                f"The target layer {classifier.target_layer!r} gives {type(outputs).__name__}, not one tensor."
            )
        kept.append(outputs)
        return outputs.clone()

    handle = classifier.layer.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


@contextmanager
def rectifiers_out_of_place(module: nn.Module) -> Iterator[None]:
    """Let no activation work in place while the block runs; values do not change."""
    changed = [m for m in module.modules() if getattr(m, "inplace", False) is True]
    for one in changed:
        one.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for one in changed:
            one.inplace = True  # type: ignore[assignment]
