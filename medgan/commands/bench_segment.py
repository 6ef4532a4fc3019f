"""Speed of training a segmenter: medgan's step against the same step in plain, eager float32.

Both sides have the same first weights and see the same batches, in turns after a warm-up. The ratio counts only where
the gradients of the first step agree.
"""

from __future__ import annotations

from typing import Any

from medgan.commands.bench_case import Deviation, compared, left_out
from medgan.commands.bench_settings import BFLOAT16_ABSENT, BenchRequest
from medgan.commands.bench_timing import Side, in_turns

PRECISIONS = ("float32", "bfloat16")
ARMS = ("cross_entropy", "hybrid")
STEP = {(arm, p): f"segmenter training step, {arm}, 12 slices of 3 x 48 x 48, {p}" for arm in ARMS for p in PRECISIONS}
ROWS = tuple(STEP.values())
DEVIATION_BOUND = 0.02
"""Largest 1 - cosine of the two sides' gradients, tensor by tensor; a free choice."""
PEER = "plain, eager float32 PyTorch"
ROUNDS = 15
PEAK_WORDS = "most resident memory of the process during a step beyond what it held before"


def bench_segment(request: BenchRequest, *, bound: float = DEVIATION_BOUND) -> list[dict[str, Any]]:
    """Return the rows of the cross-entropy and the hybrid arm."""
    return [row for arm in ARMS for row in _rows(arm, request, bound)]


def _rows(arm: str, request: BenchRequest, bound: float) -> list[dict[str, Any]]:
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
    names = ("peer", *request.precisions)
    states = {name: build(settings, seed=1, form="plain" if name == "peer" else "fast") for name in names}
    numbers = dict.fromkeys(names, 0)

    def run(name: str) -> None:
        _step(states[name], _batch(numbers[name]), settings, "float32" if name == "peer" else name)
        numbers[name] += 1

    # The step that is judged comes first and warms up.
    for name in names:
        run(name)
    deviation = {name: _deviation(states[name], states["peer"]) for name in request.precisions}
    turns = in_turns(
        {name: Side(lambda n=name: run(n)) for name in names},  # type: ignore[misc]
        rounds=request.rounds if request.quick or request.tiny else ROUNDS,
        warm_up=False,
        advance=request.advance,
    )
    rows = []
    for precision in PRECISIONS:
        if precision not in request.precisions:
            rows.append(left_out(STEP[arm, precision], peer=PEER, why=BFLOAT16_ABSENT))
            continue
        rows.append(
            compared(
                STEP[arm, precision],
                peer=PEER,
                medgan_s=turns.seconds[precision],
                peer_s=turns.seconds["peer"],
                deviations=[Deviation(deviation[precision], "1 - cosine", bound, "gradient of a tensor, largest")],
                medgan_peak_mb=turns.peak_mb[precision],
                peer_peak_mb=turns.peak_mb["peer"],
                peak_words=PEAK_WORDS,
            )
        )
    return rows


def _batch(number: int) -> Any:
    import torch

    from medgan.methods.adversarial_segmentation import SegmentationBatch
    from medgan.seeding import torch_generator

    generator = torch_generator(3, "bench segment", number)
    images = torch.rand(12, 3, 48, 48, generator=generator) * 2 - 1
    # Labels that follow from the image, so that gradients are those of something learnable.
    labels = (images.mean(1) > 0.1).long() + 2 * (images[:, 0] > 0.8).long()
    return SegmentationBatch(images=images, labels=labels.clamp(max=3))


def _step(state: Any, batch: Any, settings: Any, precision: str) -> None:
    from medgan.methods.adversarial_segmentation import step
    from medgan.seeding import torch_generator

    step(state, batch, settings, torch_generator(1), precision=precision)


def _deviation(one: Any, other: Any) -> float:
    """Return the largest 1 - cosine between the last steps' gradients of the two sides, over tensors that have one."""
    import torch

    worst = 0.0
    for a, b in zip(one.segmenter.parameters(), other.segmenter.parameters()):
        # Biases before a normalization have a gradient of zero by construction: rounding has no direction.
        if a.ndim < 2 or a.grad is None or b.grad is None:
            continue
        cosine = torch.nn.functional.cosine_similarity(a.grad.flatten().double(), b.grad.flatten().double(), dim=0)
        worst = max(worst, 1 - float(cosine))
    return worst
