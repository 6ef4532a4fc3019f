"""Pairs of a real image and its translation into another class, and which of them count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.discriminative import PairBatch
from medgan.explanation.explanation import Rate, Success
from medgan.explanation.scored_classifier import ScoredClassifier, Translate

MISCLASSIFIED = "the classifier gives the real image another class"
NOT_FLIPPED = "the translation does not get the wanted class"
UNSURE_REAL = "the real image's class has too low a probability"
UNSURE_FAKE = "the translation's class has too low a probability"


@dataclass(frozen=True, eq=False, kw_only=True)
class Counterfactuals:
    """All queries of one direction, kept or not.

    Parameters
    ----------
    real, fake : (N, 1, ...) float32
        Queries and their translations, on the CPU.
    real_probabilities, fake_probabilities : (N, classes) float32
    source, target : int
    reasons : tuple of str
        Why a query is not used for attribution, one of this module's constants; empty for a kept one.
    direction : str
        Such as ``"normal to pneumonia"``.
    threshold : float
    """

    real: Tensor
    fake: Tensor
    real_probabilities: Tensor
    fake_probabilities: Tensor
    source: int
    target: int
    reasons: tuple[str, ...]
    direction: str
    threshold: float

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices of the pairs that count."""
        return tuple(n for n, reason in enumerate(self.reasons) if not reason)

    @property
    def correct(self) -> Tensor:
        """Whether each query is classified correctly (N,)."""
        return self.real_probabilities.argmax(1) == self.source

    @property
    def flipped(self) -> Tensor:
        """Whether each query is classified correctly and its translation gets the wanted class (N,)."""
        return self.correct & (self.fake_probabilities.argmax(1) == self.target)

    def pairs(self, indices: tuple[int, ...] | None = None) -> PairBatch:
        """Return pairs by index, by default the kept ones.

        Raises
        ------
        ExplanationError
            If there is none.
        """
        chosen = self.kept if indices is None else tuple(indices)
        if not chosen:
            raise ExplanationError(
                f"No pair of {self.direction} is left: of {len(self.reasons)} queries "
                f"{', '.join(f'{n} because {r}' for r, n in self.dropped().items())}."
            )
        index = torch.tensor(chosen)
        return PairBatch(real=self.real[index], fake=self.fake[index], source=self.source, target=self.target)

    def dropped(self) -> dict[str, int]:
        """Return how many queries were not kept for which reason."""
        return dict(Counter(reason for reason in self.reasons if reason))

    def success(self) -> Success:
        """Return the success rate over all correctly classified queries."""
        correct = int(self.correct.sum())
        return Success(
            direction=self.direction,
            queries=len(self.reasons),
            flips=Rate(int(self.flipped.sum()), correct),
            accepted=Rate(len(self.kept), correct),
            dropped=self.dropped(),
        )


def counterfactuals(
    classifier: ScoredClassifier,
    translate: Translate,
    images: Tensor,
    *,
    source: int,
    target: int,
    threshold: float = 0.8,
    batch: int = 32,
) -> Counterfactuals:
    """Translate images of one class into another and ask the classifier about both.

    Parameters
    ----------
    classifier : ScoredClassifier
    translate : callable
        Images (N, 1, ...) in [-1, 1] of the source class into images of the same shape.
    images : (N, 1, ...) float32
        All with the *true* class ``source``.
    threshold : float
        Probability that both classes have to exceed in a kept pair.
    batch : int
        Images in a forward pass.

    Raises
    ------
    ExplanationError
        If the translation has another shape or is not finite.

    Notes
    -----
    Eckstein et al. 2021: pairs with ``f_i(x) > 0.8`` and ``f_j(x') > 0.8``. The rate of success is counted over all
    correctly classified queries and not over kept pairs.
    """
    with torch.inference_mode():
        fakes = torch.cat([translate(some).detach().float().cpu() for some in images.split(max(batch, 1))])
    if fakes.shape != images.shape:
        raise ExplanationError(
            f"A translation has the shape of its image: found {tuple(fakes.shape)} for {tuple(images.shape)}."
        )
    if not bool(torch.isfinite(fakes).all()):
        raise ExplanationError("A translation has values that are not finite: the translator is damaged.")
    return judged_pairs(
        classifier, real=images, fake=fakes, source=source, target=target, threshold=threshold, batch=batch
    )


def judged_pairs(
    classifier: ScoredClassifier,
    *,
    real: Tensor,
    fake: Tensor,
    source: int,
    target: int,
    threshold: float = 0.8,
    batch: int = 32,
) -> Counterfactuals:
    """Return which of given pairs count; as :func:`counterfactuals`, with translations from elsewhere."""
    names = classifier.class_names
    real, fake = real.detach().float().cpu().clone(), fake.detach().float().cpu().clone()
    of_real = classifier.probabilities(real, batch=batch).clone()
    of_fake = classifier.probabilities(fake, batch=batch).clone()
    reasons = tuple(_reason(p, q, source, target, threshold) for p, q in zip(of_real, of_fake))
    return Counterfactuals(
        real=real,
        fake=fake,
        real_probabilities=of_real,
        fake_probabilities=of_fake,
        source=source,
        target=target,
        reasons=reasons,
        direction=f"{names[source]} to {names[target]}",
        threshold=threshold,
    )


def _reason(real: Tensor, fake: Tensor, source: int, target: int, threshold: float) -> str:
    if int(real.argmax()) != source:
        return MISCLASSIFIED
    if int(fake.argmax()) != target:
        return NOT_FLIPPED
    if float(real[source]) <= threshold:
        return UNSURE_REAL
    return UNSURE_FAKE if float(fake[target]) <= threshold else ""
