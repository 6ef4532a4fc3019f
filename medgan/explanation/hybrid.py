"""Hybrid images: a part of one image inside the other, and what the classifier says to many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from medgan.explanation.discriminative import PairBatch, Preset, ends
from medgan.explanation.masks import softened
from medgan.explanation.scored_classifier import ScoredClassifier


@dataclass(frozen=True, eq=False, kw_only=True)
class Exchange:
    """One pair as a preset puts it together.

    Parameters
    ----------
    inserted, into : (1, 1, ...) float32
        Parts of ``inserted`` are put ``into`` the other.
    wanted : int
        Class of ``inserted``, whose probability is to rise.
    direction : str
    """

    inserted: Tensor
    into: Tensor
    wanted: int
    direction: str

    def hybrids(self, masks: Tensor) -> Tensor:
        """Return ``m * inserted + (1 - m) * into`` for soft masks (M, 1, ...)."""
        return masks * self.inserted + (1 - masks) * self.into


def exchanges(pair: PairBatch, preset: Preset) -> tuple[Exchange, ...]:
    """Return one exchange a pair: real into fake for the source class (dapi), fake into real for the target (quac)."""
    side = ends(pair, preset)
    # dapi attributes the fake and puts the real into it; quac the reverse.
    direction = "real into fake" if preset == "dapi" else "fake into real"
    return tuple(
        Exchange(inserted=inserted.float(), into=into.float(), wanted=side.back, direction=direction)
        for inserted, into in zip(side.against.split(1), side.of.split(1))
    )


@torch.inference_mode()
def hybrid_probabilities(
    classifier: ScoredClassifier,
    masks: Iterable[tuple[Exchange, Tensor, int]],
    *,
    batch: int = 32,
    precision: str = "float32",
) -> Tensor:
    """Return probabilities (M, classes) of the hybrids of many hard masks, ``batch`` at a time.

    Parameters
    ----------
    masks : iterable of (Exchange, (...) bool, int)
        The mask without batch axes, and the width of its soft edge; made when it is needed, so that memory is bounded
        by ``batch`` and not by the number of masks.
    """
    parts = [
        classifier.probabilities(group, batch=batch, precision=precision)
        for group in _batches(masks, max(batch, 1), classifier.device)
    ]
    return torch.cat(parts) if parts else torch.empty((0, classifier.classes))


def _batches(masks: Iterable[tuple[Exchange, Tensor, int]], batch: int, device: torch.device) -> Iterator[Tensor]:
    waiting: list[tuple[Exchange, Tensor, int]] = []
    for one in masks:
        waiting.append(one)
        if len(waiting) == batch:
            yield _hybrids(waiting, device)
            waiting = []
    if waiting:
        yield _hybrids(waiting, device)


def _hybrids(group: list[tuple[Exchange, Tensor, int]], device: torch.device) -> Tensor:
    made: list[Tensor] = []
    start = 0
    # Neighbors that share an exchange and an edge go together.
    for end in range(1, len(group) + 1):
        exchange, _, width = group[start]
        if end < len(group) and group[end][0] is exchange and group[end][2] == width:
            continue
        hard = torch.stack([mask for _, mask, _ in group[start:end]])[:, None].to(device)
        inserted, into = exchange.inserted.to(device), exchange.into.to(device)
        soft = softened(hard, width)
        made.append(soft * inserted + (1 - soft) * into)
        start = end
    return torch.cat(made)
