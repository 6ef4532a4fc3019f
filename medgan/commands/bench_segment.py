"""Speed of training a segmenter: medgan's step against the same step in plain, eager float32.

Both sides have the same first weights and see the same batches, in turns after a warm-up. The ratio counts only where
the gradients agree.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

DEVIATION_BOUND = 0.02
"""Largest 1 − cosine of the two sides' gradients, tensor by tensor, that a ratio is printed for."""
PEER = "plain eager float32 PyTorch"


def bench_segment(*, quick: bool = False, precision: str = "auto", threads: int | None = None) -> dict[str, Any]:
    """Return ``cases`` with seconds a step of the cross-entropy and the hybrid arm, each beside its plain form.

    Parameters
    ----------
    quick : bool
        Five rounds instead of fifteen; the work of a round is the same.
    precision : str
        ``auto`` asks the machine, as a training does.
    threads : int, optional
        CPU threads of both sides; torch's default if not given.

    Returns
    -------
    dict
        ``machine`` in words, ``precision``, and ``cases`` with ``case, peer, medgan_s, peer_s, ratio`` (peer_s /
        medgan_s, None where the deviation breaks its bound), ``ratio_min, ratio_max, deviation, deviation_unit,
        deviation_bound, medgan_peak_mb, peer_peak_mb``. Peaks are of the whole process: one for both.
    """
    import torch

    from medgan.runs import processor
    from medgan.training.precision import resolve_precision

    if threads is not None:
        torch.set_num_threads(threads)
    record = resolve_precision(precision, device="cpu")
    rounds = 5 if quick else 15
    cases = [
        _case(arm, form_precision, rounds)
        for arm in ("cross_entropy", "hybrid")
        for form_precision in dict.fromkeys(("float32", record.precision))
    ]
    words = f"{processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    return {"machine": words, "precision": record.as_dict(), "rounds": rounds, "cases": cases}


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the cases for people."""
    lines = [facts["machine"]]
    for case in facts["cases"]:
        ratio = "no ratio: the gradients differ" if case["ratio"] is None else f"{case['ratio']:.2f}x"
        spread = f" ({case['ratio_min']:.2f} to {case['ratio_max']:.2f})" if case["ratio"] is not None else ""
        lines.append(
            f"{case['case']}: {case['medgan_s']:.3f} s, {case['peer']} {case['peer_s']:.3f} s, {ratio}{spread}; "
            f"deviation {case['deviation']:.2g} {case['deviation_unit']} (bound {case['deviation_bound']:g})"
        )
    return lines


def _case(arm: str, precision: str, rounds: int) -> dict[str, Any]:
    import resource

    from medgan.methods.adversarial_segmentation import (
        AdversarialSegmentationSettings,
        MapDiscriminatorSettings,
        SegmenterSettings,
        build,
    )

    settings = AdversarialSegmentationSettings(
        arm=arm,  # type: ignore[arg-type]
        steps=1000,
        adversarial_start=0.0,
        segmenter=SegmenterSettings(width=16, levels=3),
        discriminator=MapDiscriminatorSettings(width=16, layers=3),
        adversarial_weight=0.1,
    )
    sides = {
        "medgan": (build(settings, seed=1, form="fast"), precision),
        "peer": (build(settings, seed=1, form="plain"), "float32"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    deviation = 0.0
    for number in range(rounds + 1):
        batch = _batch(number)
        for name, (state, of_side) in sides.items():
            elapsed = _step(state, batch, settings, of_side)
            if number:
                seconds[name].append(elapsed)
        if number == 0:
            deviation = _deviation(sides["medgan"][0], sides["peer"][0])
    ratios = [peer / own for own, peer in zip(seconds["medgan"], seconds["peer"])]
    holds = deviation <= DEVIATION_BOUND
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "case": f"training step, {arm}, 12 slices of 3 x 48 x 48, {precision}",
        "peer": PEER,
        "medgan_s": statistics.median(seconds["medgan"]),
        "peer_s": statistics.median(seconds["peer"]),
        "ratio": statistics.median(ratios) if holds else None,
        "ratio_min": min(ratios) if holds else None,
        "ratio_max": max(ratios) if holds else None,
        "deviation": deviation,
        "deviation_unit": "1 - cosine of gradients",
        "deviation_bound": DEVIATION_BOUND,
        "medgan_peak_mb": peak_mb,
        "peer_peak_mb": peak_mb,
    }


def _batch(number: int) -> Any:
    import torch

    from medgan.methods.adversarial_segmentation import SegmentationBatch
    from medgan.seeding import torch_generator

    generator = torch_generator(3, "bench segment", number)
    images = torch.rand(12, 3, 48, 48, generator=generator) * 2 - 1
    # Labels that follow from the image, so that gradients are those of something learnable.
    labels = (images.mean(1) > 0.1).long() + 2 * (images[:, 0] > 0.8).long()
    return SegmentationBatch(images=images, labels=labels.clamp(max=3))


def _step(state: Any, batch: Any, settings: Any, precision: str) -> float:
    from medgan.methods.adversarial_segmentation import step
    from medgan.seeding import torch_generator

    begun = time.perf_counter()
    step(state, batch, settings, torch_generator(1), precision=precision)
    return time.perf_counter() - begun


def _deviation(one: Any, other: Any) -> float:
    """Return the largest 1 − cosine between the first step's gradients of the two sides, over tensors that have one."""
    import torch

    worst = 0.0
    for a, b in zip(one.segmenter.parameters(), other.segmenter.parameters()):
        # Biases before a normalization have a gradient of zero by construction: rounding has no direction.
        if a.ndim < 2 or a.grad is None or b.grad is None:
            continue
        cosine = torch.nn.functional.cosine_similarity(a.grad.flatten().double(), b.grad.flatten().double(), dim=0)
        worst = max(worst, 1 - float(cosine))
    return worst
