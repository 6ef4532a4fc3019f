"""Speed of score curves: medgan's batched way against the published one, mask by mask and image by image.

Both sides get the same pairs, the same maps and the same classifier, pair by pair in turns; maps are computed before
and belong to neither. The ratio counts only where the areas under the curves agree.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from medgan.commands.bench_case import Deviation, compared, left_out
from medgan.commands.bench_settings import BFLOAT16_ABSENT, BenchRequest, require_peer
from medgan.commands.bench_timing import Side, in_turns

if TYPE_CHECKING:
    from medgan.explanation.discriminative import PairBatch
    from medgan.explanation.scored_classifier import ScoredClassifier

PRECISIONS = ("float32", "bfloat16")
CURVE = {p: f"score curve of a pair of radiographs, {p}" for p in PRECISIONS}
ROWS = tuple(CURVE.values())
PEER = "literal reference: one mask, one hybrid, one forward pass at a time"
BOUNDS = {"float32": 1e-4, "bfloat16": 0.02}
"""Largest difference of the area under a curve; that of bfloat16, which is an option, is a free choice."""
SIDE_PX, TINY_SIDE_PX = 112, 32
BATCH = 32
PEAK_WORDS = "most resident memory of the process during a run beyond what it held before"


def bench_explain(
    request: BenchRequest, *, classifier: ScoredClassifier | None = None, bounds: dict[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a score curve of each precision.

    Parameters
    ----------
    request : BenchRequest
        Quick: the embedded classifier of 28 px; the passes a pair are the same.
    classifier : ScoredClassifier, optional
        By default MONAI's DenseNet-121 with fixed random weights, which serve for timing, of 112 px.
    bounds : dict, optional
        Of the deviation by precision.
    """
    from medgan.explanation.curve import CurveSettings, score_curves
    from medgan.explanation.literal_curve import literal_curve

    judge, side_px, words = _judge(request) if classifier is None else (classifier, TINY_SIDE_PX, "a classifier given")
    pairs = _pairs(request.rounds + 1, side_px)
    maps = [_maps(judge, pair) for pair in pairs]
    worst: dict[str, float] = dict.fromkeys(request.precisions, 0.0)
    passes: dict[str, list[float]] = {"own": [], "peer": [], "only": []}
    settings = {
        precision: CurveSettings(preset="dapi", batch=BATCH, fine_areas=0, perturbation_steps=0, precision=precision)
        for precision in request.precisions
    }  # fmt: skip
    # The first pair warms up; every further round has a pair of its own.
    round_of = {name: iter(range(len(pairs))) for name in ("peer", *request.precisions)}

    def literal() -> Any:
        number = next(round_of["peer"])
        return literal_curve(judge, pairs[number], maps[number], preset="dapi")

    def fast(precision: str) -> Any:
        number = next(round_of[precision])
        return score_curves(judge, pairs[number], {"map": maps[number]}, settings=settings[precision])[0]["map"]

    def compare(results: dict[str, Any]) -> None:
        for precision in request.precisions:
            worst[precision] = max(worst[precision], abs(results[precision].dac - results["peer"].dac))
        passes["own"].append(results["float32"].distinct_masks + 2)
        passes["peer"].append(results["peer"].passes)
        passes["only"].append(results["peer"].classifier_seconds)

    sides = {"peer": Side(literal)}
    sides |= {p: Side(lambda p=p: fast(p)) for p in request.precisions}  # type: ignore[misc]
    turns = in_turns(sides, rounds=request.rounds, long_rounds=None, judge=compare, advance=request.advance)
    rows = []
    for precision in PRECISIONS:
        if precision not in request.precisions:
            rows.append(left_out(CURVE[precision], peer=PEER, why=BFLOAT16_ABSENT))
            continue
        only = statistics.median(spent / own for spent, own in zip(passes["only"], turns.seconds[precision]))
        own, theirs = (statistics.mean(passes[name]) for name in ("own", "peer"))
        rows.append(
            compared(
                CURVE[precision],
                peer=PEER,
                medgan_s=turns.seconds[precision],
                peer_s=turns.seconds["peer"],
                deviations=[
                    Deviation(worst[precision], "area under the curve", (bounds or BOUNDS)[precision], "largest")
                ],
                medgan_peak_mb=turns.peak_mb[precision],
                peer_peak_mb=turns.peak_mb["peer"],
                peak_words=PEAK_WORDS,
                notes=[
                    f"dapi, {words}, {side_px} x {side_px} px, {own:.0f} forward passes against {theirs:.0f}; "
                    f"only the passes counted {only:.1f}x"
                ],
                passes=own,
                peer_passes=theirs,
                ratio_passes_only=only,
            )
        )
    return rows


def _judge(request: BenchRequest) -> tuple[ScoredClassifier, int, str]:
    """Return a classifier, the side of its radiographs in px, and its name."""
    if not (request.quick or request.tiny):
        return _random_densenet(), SIDE_PX, "DenseNet-121"
    from medgan.explanation.scored_classifier import ScoredClassifier
    from medgan.inference.bundle import find_bundle

    bundle = find_bundle("chest28-classifier", task="classification")
    facts = bundle.facts
    judge = ScoredClassifier(bundle.network(), facts.target_layer, "logit", tuple(facts.labels))
    return judge, facts.domain.input_size[0], f"the embedded {facts.name}"


def _random_densenet() -> ScoredClassifier:
    require_peer()
    import torch
    from monai.networks.nets import DenseNet121

    from medgan.explanation.scored_classifier import ScoredClassifier

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = DenseNet121(spatial_dims=2, in_channels=1, out_channels=2).eval().requires_grad_(False)
    return ScoredClassifier(module, "features.norm5", "logit", ("absent", "present"))


def _pairs(count: int, side_px: int) -> list[PairBatch]:
    """Return pairs of phantom chests without and with a lesion, one a subject."""
    import torch

    from medgan.explanation.discriminative import PairBatch
    from medgan.phantoms.chest import chest_twins
    from medgan.seeding import numpy_generator

    made = []
    for number in range(count):
        twins = chest_twins(
            generator=numpy_generator(7, "bench explain", number), shape=(side_px, side_px), kind="consolidation"
        )
        real, fake = (torch.from_numpy(r.array.copy())[None, None] for r in (twins.without_lesion, twins.with_lesion))
        made.append(PairBatch(real=real, fake=fake, source=0, target=1))
    return made


def _maps(classifier: ScoredClassifier, pair: PairBatch) -> Any:
    from medgan.explanation.attribution import AttributionSettings
    from medgan.explanation.discriminative import pair_attribution

    return pair_attribution("d_ig", classifier, pair, settings=AttributionSettings(steps=8), batch=BATCH).maps
