"""The score curve of a case: how much of one image has to go into the other to change the class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.discriminative import PairBatch, Preset, normalized
from medgan.explanation.explanation import Curve
from medgan.explanation.hybrid import Exchange, exchanges, hybrid_probabilities
from medgan.explanation.masks import MaskShape, NestedMasks, nested_masks, softened
from medgan.explanation.scored_classifier import ScoredClassifier

Float64 = npt.NDArray[np.float64]
AREAS = np.arange(101) / 100
"""Areas at which curves are interpolated."""


@dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """Free choices of curves.

    Parameters
    ----------
    preset : {"dapi", "quac"}
    closing : bool
        Whether masks are closed before their area is counted.
    symmetric_closing : bool
        Close with an odd ellipse, which loses nothing of a small mask, instead of the published even one.
    fine_areas : int
        Number of areas, geometric from ``finest_area`` to 1, at which a flip is looked for; 0 leaves it out.
    finest_area : float
    perturbation_steps : int
        Steps of insertion and of deletion; 0 leaves them out.
    batch : int
        Hybrids in a forward pass.
    precision : {"float32", "bfloat16"}
    """

    preset: Preset = "dapi"
    closing: bool = True
    symmetric_closing: bool = False
    fine_areas: int = 40
    finest_area: float = 0.002
    perturbation_steps: int = 20
    batch: int = 32
    precision: str = "float32"


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Pixels of a map in the order of their values."""

    rank: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> _Ranked:
        rank = np.empty(values.size, dtype=np.int64)
        rank[np.argsort(-values.ravel(), kind="stable")] = np.arange(values.size)
        return cls(rank.reshape(values.shape))

    def top(self, count: int) -> npt.NDArray[np.bool_]:
        return np.asarray(self.rank < count)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything the classifier has to see for one map of one case."""

    exchange: Exchange
    method: str
    nested: NestedMasks
    shown: npt.NDArray[np.int64]
    ranked: _Ranked
    fine: tuple[int, ...]
    steps: tuple[int, ...]
    blur_px: int

    @property
    def count(self) -> int:
        return len(self.shown) + len(self.fine) + 2 * len(self.steps)

    def masks(self) -> Iterator[tuple[Exchange, Tensor, int]]:
        for index in self.shown:
            cut = self.nested.values > self.nested.thresholds[index]
            yield self.exchange, torch.from_numpy(cut), self.blur_px
        for count in self.fine:
            yield self.exchange, torch.from_numpy(self.ranked.top(count)), self.blur_px
        for count in self.steps:
            yield self.exchange, torch.from_numpy(self.ranked.top(count)), 1
        for count in self.steps:
            yield self.exchange, torch.from_numpy(~self.ranked.top(count)), 1


def score_curves(
    classifier: ScoredClassifier,
    pair: PairBatch,
    maps: Mapping[str, Tensor],
    *,
    settings: CurveSettings | None = None,
) -> tuple[dict[str, Curve], ...]:
    """Return the curve of every map of every pair.

    Parameters
    ----------
    classifier : ScoredClassifier
    pair : PairBatch
        Of N pairs.
    maps : mapping of str to (N, 1, ...)
        Maps by method as the method gives them; they are normalized here.
    settings : CurveSettings, optional

    Returns
    -------
    tuple of dict
        One a pair, curves by method.

    Raises
    ------
    ExplanationError
        If maps and images differ in shape, or a map is zero or not finite.

    Notes
    -----
    Eckstein et al. 2021 and the authors' code: normalize, threshold, close, count the area, blur, blend, classify;
    the score is the change of the wanted class's *probability*. Ends of the curve are (0, 0) and (1, total), total
    with the whole image exchanged (the code takes the score at its first threshold, the same unless a map is -1
    somewhere). All distinct masks of all maps of a case share the batches; the empty and the full mask are known
    without looking. Insertion and deletion (Petsiuk et al. 2018, arXiv 1806.07421) put hard pixels of one image into
    the other, not into a blurred or constant image. The smallest flipping area uses the map's largest pixels, soft
    edges, no closing.
    """
    settings = settings or CurveSettings()
    for name, values in maps.items():
        if values.shape != pair.real.shape:
            raise ExplanationError(
                f"A map has the shape of its image: {name} is {tuple(values.shape)}, the images "
                f"{tuple(pair.real.shape)}."
            )
        if not bool(torch.isfinite(values).all()):
            raise ExplanationError(f"A curve needs finite maps: {name} is not.")
        if not bool(values.flatten(1).any(dim=1).all()):
            raise ExplanationError(
                f"A curve needs a map that is not zero everywhere: {name} is, for at least one pair."
            )
    both = classifier.probabilities(
        torch.cat([pair.real, pair.fake]), batch=settings.batch, precision=settings.precision
    ).double()
    shape = tuple(pair.real.shape[2:])
    sizes = MaskShape.scaled(shape, closing=settings.closing, symmetric=settings.symmetric_closing)
    plans: list[list[_Plan]] = []
    for number, exchange in enumerate(exchanges(pair, settings.preset)):
        plans.append(
            [
                _planned(name, normalized(values[number : number + 1], settings.preset), exchange, sizes, settings)
                for name, values in maps.items()
            ]
        )
    seen = hybrid_probabilities(
        classifier,
        (mask for case in plans for plan in case for mask in plan.masks()),
        batch=settings.batch,
        precision=settings.precision,
    ).double()
    result, start = [], 0
    for number, case in enumerate(plans):
        real, fake = both[number].numpy(), both[number + len(plans)].numpy()
        ends = (real, fake) if settings.preset == "dapi" else (fake, real)
        curves = {}
        for plan in case:
            own = seen[start : start + plan.count].numpy()
            start += plan.count
            curves[plan.method] = _curve(plan, own, inserted=ends[0], into=ends[1], settings=settings)
        result.append(curves)
    return tuple(result)


def _planned(method: str, values: Tensor, exchange: Exchange, sizes: MaskShape, settings: CurveSettings) -> _Plan:
    own = values[0, 0].float().cpu().numpy()
    nested = nested_masks(own, preset=settings.preset, closing_px=sizes.closing_px)
    first, _ = nested.distinct()
    # What is exchanged nowhere or everywhere is one of the two images.
    shown = np.array([i for i in first if 0 < nested.sizes[i] < own.size], dtype=np.int64)
    fine = np.geomspace(settings.finest_area, 1, settings.fine_areas) if settings.fine_areas else np.empty(0)
    steps = np.linspace(0, 1, settings.perturbation_steps + 1)[1:-1] if settings.perturbation_steps else np.empty(0)
    return _Plan(
        exchange,
        method,
        nested,
        shown,
        _Ranked.of(own),
        tuple(int(n) for n in np.unique(np.maximum(np.rint(fine * own.size), 1)).astype(int) if n < own.size),
        tuple(int(n) for n in np.unique(np.rint(steps * own.size)).astype(int)),
        sizes.blur_px,
    )


def _curve(plan: _Plan, seen: Float64, *, inserted: Float64, into: Float64, settings: CurveSettings) -> Curve:
    """Put the classifier's answers ``seen`` (plan.count, classes) and those for the two images together."""
    wanted, nested = plan.exchange.wanted, plan.nested
    size, total = nested.values.size, float(inserted[wanted] - into[wanted])
    known = {0: 0.0, size: total}
    known |= {int(nested.sizes[i]): float(p[wanted] - into[wanted]) for i, p in zip(plan.shown, seen)}
    scores = np.array([known[int(n)] for n in nested.sizes])
    seen = seen[len(plan.shown) :]
    flipping = _smallest_flip(plan.fine, seen, wanted, inserted, size) if settings.fine_areas else None
    seen = seen[len(plan.fine) :]
    insertion = deletion = None
    if settings.perturbation_steps:
        along = np.array([0, *plan.steps, size]) / size
        middle = seen[:, wanted]
        half = len(plan.steps)
        insertion = float(np.trapezoid([into[wanted], *middle[:half], inserted[wanted]], along))
        deletion = float(np.trapezoid([inserted[wanted], *middle[half:], into[wanted]], along))
    best = optimal_index(nested.areas, scores, settings.preset)
    hard = torch.from_numpy(nested.values > nested.thresholds[best])[None, None]
    mask = softened(hard, plan.blur_px)
    exchange = plan.exchange
    line = interpolated(nested.areas, scores, total)
    return Curve(
        method=plan.method,
        preset=settings.preset,
        direction=exchange.direction,
        thresholds=nested.thresholds,
        areas=nested.areas,
        scores=scores,
        total=total,
        dac=float(np.trapezoid(line, AREAS)),
        first_tenth=float(np.trapezoid(line[:11], AREAS[:11]) / AREAS[10]),
        optimal=best,
        mask=mask[0, 0].numpy(),
        hybrid=exchange.hybrids(mask)[0, 0].cpu().numpy(),
        closing=settings.closing,
        symmetric_closing=settings.symmetric_closing,
        distinct_masks=len(plan.shown),
        smallest_flipping_area=flipping,
        insertion=insertion,
        deletion=deletion,
    )


def interpolated(areas: npt.ArrayLike, scores: npt.ArrayLike, total: float) -> Float64:
    """Return a curve at :data:`AREAS`, with the ends (0, 0) and (1, total)."""
    along = np.concatenate([[1.0], np.asarray(areas, dtype=np.float64), [0.0]])
    heights = np.concatenate([[total], np.asarray(scores, dtype=np.float64), [0.0]])
    order = np.argsort(along, kind="stable")
    return np.interp(AREAS, along[order], heights[order])


def optimal_index(areas: npt.ArrayLike, scores: npt.ArrayLike, preset: Preset) -> int:
    """Return the index of the mask that changes most with least: argmin s^2 + (1 - d)^2 (dapi), argmin s - d (quac)."""
    s, d = np.asarray(areas, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    cost = s**2 + (1 - d) ** 2 if preset == "dapi" else s - d
    return int(np.argmin(cost))


def _smallest_flip(counts: tuple[int, ...], seen: Float64, wanted: int, inserted: Float64, size: int) -> float | None:
    for count, probabilities in zip(counts, seen):
        if int(np.argmax(probabilities)) == wanted:
            return count / size
    return 1.0 if int(np.argmax(inserted)) == wanted else None
