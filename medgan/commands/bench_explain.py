"""Speed of score curves: medgan's batched way against the published one, mask by mask and image by image.

Both sides get the same pairs, the same maps and the same classifier, pair by pair in turns; maps are computed before
and belong to neither. The ratio counts only where the areas under the curves agree.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgan.explanation.discriminative import PairBatch
    from medgan.explanation.literal_curve import CurveTiming
    from medgan.explanation.scored_classifier import ScoredClassifier

DEVIATION_BOUND = 1e-4
"""Largest difference of the area under a curve in float32 that a ratio is printed for."""
BFLOAT16_BOUND = 0.02
"""The same for bfloat16, which is an option and states its deviation (a free choice)."""
PEER = "literal reference: one mask, one hybrid, one forward pass at a time"
SIDE_PX = 224


def bench_explain(
    *,
    quick: bool = False,
    precision: str = "auto",
    threads: int | None = None,
    pairs: int | None = None,
    side_px: int = SIDE_PX,
    batch: int = 32,
    classifier: ScoredClassifier | None = None,
) -> dict[str, Any]:
    """Return ``cases`` with seconds a pair of the fast and of the literal curve.

    Parameters
    ----------
    quick : bool
        Three pairs instead of twenty; the work of a pair is the same.
    precision : str
        ``auto`` asks the machine; where that gives bfloat16, a second case has it.
    threads : int, optional
        CPU threads of both sides; torch's default if not given.
    pairs, side_px, batch : int, optional
        How many pairs of which size, and images in a forward pass of the fast side.
    classifier : ScoredClassifier, optional
        By default MONAI's DenseNet-121 with fixed random weights, which serve for timing.

    Returns
    -------
    dict
        ``machine`` in words, ``precision``, and ``cases`` with ``case, peer, medgan_s, peer_s, ratio`` (peer_s /
        medgan_s, None where the deviation breaks its bound), ``ratio_min, ratio_max, deviation, deviation_unit,
        deviation_bound, medgan_peak_mb, peer_peak_mb``, and ``passes`` of both sides. Peaks are of the whole process:
        one for both.
    """
    import torch

    from medgan.explanation.literal_curve import timed_curves
    from medgan.runs import processor
    from medgan.training.precision import resolve_precision

    if threads is not None:
        torch.set_num_threads(threads)
    record = resolve_precision(precision, device="cpu")
    count = pairs or (3 if quick else 20)
    judge = classifier or _random_densenet()
    timings = [
        timed_curves(judge, pair, _maps(judge, pair, batch), batch=batch, bfloat16=record.precision == "bfloat16")
        for pair in _pairs(count, side_px)
    ]
    words = f"score curve of a pair, dapi, {side_px} x {side_px} px, {'DenseNet-121' if classifier is None else 'own'}"
    cases = [_case(f"{words}, float32", timings, bfloat16=False)]
    if record.precision == "bfloat16":
        cases.append(_case(f"{words}, bfloat16", timings, bfloat16=True))
    machine = f"{processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    return {"machine": machine, "precision": record.as_dict(), "pairs": count, "batch": batch, "cases": cases}


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the cases for people."""
    lines = [f"{facts['machine']}; {facts['pairs']} pairs, batch {facts['batch']}"]
    for case in facts["cases"]:
        ratio = "no ratio: the areas differ" if case["ratio"] is None else f"{case['ratio']:.1f}x"
        spread = f" ({case['ratio_min']:.1f} to {case['ratio_max']:.1f})" if case["ratio"] is not None else ""
        lines.append(
            f"{case['case']}: {case['medgan_s']:.2f} s, {case['peer']} {case['peer_s']:.2f} s, {ratio}{spread}; "
            f"{case['passes']:.0f} forward passes against {case['peer_passes']:.0f}; only those counted "
            f"{case['ratio_passes_only']:.1f}x; deviation {case['deviation']:.2g} {case['deviation_unit']} (bound "
            f"{case['deviation_bound']:g})"
        )
    return lines


def _case(words: str, timings: list[CurveTiming], *, bfloat16: bool) -> dict[str, Any]:
    import resource

    own = [(t.bfloat16_seconds or 0.0) if bfloat16 else t.seconds for t in timings]
    peer = [t.literal_seconds for t in timings]
    deviation = max((t.bfloat16_deviation or 0.0) if bfloat16 else t.area_deviation for t in timings)
    bound = BFLOAT16_BOUND if bfloat16 else DEVIATION_BOUND
    ratios = [theirs / mine for mine, theirs in zip(own, peer)]
    passes_only = [t.classifier_speedup * t.seconds / mine for t, mine in zip(timings, own)]
    holds = deviation <= bound
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "case": words,
        "peer": PEER,
        "medgan_s": statistics.median(own),
        "peer_s": statistics.median(peer),
        "ratio": statistics.median(ratios) if holds else None,
        "ratio_min": min(ratios) if holds else None,
        "ratio_max": max(ratios) if holds else None,
        "ratio_passes_only": statistics.median(passes_only),
        "passes": statistics.mean(t.passes for t in timings),
        "peer_passes": statistics.mean(t.literal_passes for t in timings),
        "deviation": deviation,
        "deviation_unit": "area under the curve",
        "deviation_bound": bound,
        "medgan_peak_mb": peak_mb,
        "peer_peak_mb": peak_mb,
    }


def _random_densenet() -> ScoredClassifier:
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


def _maps(classifier: ScoredClassifier, pair: PairBatch, batch: int) -> Any:
    from medgan.explanation.attribution import AttributionSettings
    from medgan.explanation.discriminative import pair_attribution

    return pair_attribution("d_ig", classifier, pair, settings=AttributionSettings(steps=8), batch=batch).maps
