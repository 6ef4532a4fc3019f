"""Speed of a CycleGAN's training step: medgan's fast form against the plain, eager float32 one.

All sides begin every timed step from the same state and see the same images; between two timed steps the state moves
on, so that gradients are compared at different stages of a training.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from medgan.commands.bench_case import Deviation, compared, left_out
from medgan.commands.bench_settings import BFLOAT16_ABSENT, BenchRequest
from medgan.commands.bench_threads import fastest_seconds
from medgan.commands.bench_timing import Side, in_turns

if TYPE_CHECKING:
    from medgan.methods.cyclegan import CycleGANBatch, CycleGANSettings, CycleGANState

PRECISIONS = ("float32", "bfloat16")
STEP = {p: f"3-D CycleGAN training step, width 16, {p}" for p in PRECISIONS}
ROWS = tuple(STEP.values())
PEER = "plain, eager float32 CycleGAN step"
WANTED = {"float32": 1.5, "bfloat16": 2.0}
COSINE_BOUND = 0.01
"""Largest 1 - cosine of the two sides' gradients, tensor by tensor."""
STATES = 10
SIDE, QUICK_SIDE = 64, 40
DRIFT_SIDE, DRIFT_STEPS, QUICK_DRIFT_STEPS = 32, 4, 2
ZERO_BY_CONSTRUCTION = "biases in front of an instance normalization"
FORMATS = {"float32": "all in float32", "bfloat16": "forward passes in float32, backward passes in bfloat16"}
"""Rounding the forward pass as well would be faster and miss the bound, see :mod:`medgan.networks.narrow_gradient`."""
PEAK_WORDS = "most resident memory of the process during a step beyond what it held before"


def bench_train(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows of a training step."""
    from medgan.methods.cyclegan import build, step
    from medgan.seeding import torch_generator

    side = 24 if request.tiny else QUICK_SIDE if request.quick else SIDE
    drift_side = min(side, DRIFT_SIDE)
    settings = step_settings(width=2 if request.tiny else 16, blocks=1 if request.tiny else 6)
    states = {name: build(settings, seed=1, form="plain" if name == "peer" else "fast")
              for name in ("peer", *request.precisions)}  # fmt: skip
    batches = [_batch(side, number) for number in range(2)]
    layout = _tuned(states["peer"], batches[0], settings)
    current: dict[str, Any] = {"state": deepcopy(states["peer"].state_dict()), "number": 0}
    drifts = 1 if request.tiny else QUICK_DRIFT_STEPS if request.quick else DRIFT_STEPS
    small = [_batch(drift_side, number) for number in range(drifts)]
    worst: dict[str, float] = dict.fromkeys(request.precisions, 0.0)

    def begin(name: str) -> None:
        states[name].load_state_dict(current["state"])

    def run(name: str) -> None:
        number = current["number"]
        precision = "float32" if name == "peer" else name
        step(states[name], batches[number % 2], settings, torch_generator(1, number), precision=precision)

    def judge(_: dict[str, Any]) -> None:
        for name in request.precisions:
            worst[name] = max(worst[name], gradient_deviation(states[name], states["peer"]))
        # Small patches move the weights at an eighth of the cost.
        driven = states["float32"]
        for drift, batch in enumerate(small):
            step(driven, batch, settings, torch_generator(2, drift), precision="float32")
        # A copy: the state of a training is made of tensors that its next step changes.
        current.update(state=deepcopy(driven.state_dict()), number=current["number"] + 1)

    turns = in_turns(
        {name: Side(lambda n=name: run(n), prepare=lambda n=name: begin(n)) for name in states},  # type: ignore[misc]
        rounds=request.rounds if request.quick or request.tiny else STATES,
        long_rounds=None,
        judge=judge,
        advance=request.advance,
    )
    rows = []
    for precision in PRECISIONS:
        if precision not in request.precisions:
            rows.append(left_out(STEP[precision], peer=PEER, why=BFLOAT16_ABSENT))
            continue
        rows.append(
            compared(
                STEP[precision],
                peer=PEER,
                medgan_s=turns.seconds[precision],
                peer_s=turns.seconds["peer"],
                deviations=[Deviation(worst[precision], "1 - cosine", COSINE_BOUND, "gradient of a tensor, largest")],
                ratio_wanted=WANTED[precision],
                medgan_peak_mb=turns.peak_mb[precision],
                peer_peak_mb=turns.peak_mb["peer"],
                peak_words=PEAK_WORDS,
                notes=[
                    f"patches of {side} x {side} x {side}, 6 residual blocks",
                    FORMATS[precision],
                    f"at {len(turns.seconds['peer'])} training states, left out as zero by construction: "
                    f"{ZERO_BY_CONSTRUCTION}",
                    f"peer at its best: {layout}",
                ],
            )
        )
    return rows


def step_settings(*, width: int, blocks: int) -> CycleGANSettings:
    """Return the published losses with both networks of one width; no pool, so that patches may have two sizes."""
    from medgan.methods.cyclegan import CycleGANSettings, DiscriminatorSettings, GeneratorSettings

    return CycleGANSettings(
        steps=1000,
        generator=GeneratorSettings(width=width, blocks=blocks),
        discriminator=DiscriminatorSettings(width=width),
        pool=0,
    )


def gradient_deviation(one: CycleGANState, other: CycleGANState) -> float:
    """Return the largest 1 - cosine between the gradients that two states' last steps left, tensor by tensor."""
    import torch

    worst = 0.0
    for name, network in _networks(one).items():
        theirs = dict(_networks(other)[name].named_parameters())
        for key, parameter in network.named_parameters():
            if is_zero_by_construction(name, key, network):
                continue
            a, b = parameter.grad, theirs[key].grad
            if a is None or b is None:
                return float("nan")
            cosine = torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0)
            worst = max(worst, 1.0 - float(cosine))
    return worst


def is_zero_by_construction(network_name: str, key: str, network: Any) -> bool:
    """Tell whether a parameter's gradient is zero whatever the images: a constant that a normalization takes away.

    Notes
    -----
    In a generator every bias but the head's; in a discriminator every bias but that of the first convolution and of the
    verdict, which nothing normalizes.
    """
    if not key.endswith(".bias") or network.normalization != "instance":
        return False
    kept = ("head.bias",) if network_name.endswith(("_target", "_source")) else ("features.0.bias", "verdict.bias")
    return key not in kept


def _networks(state: CycleGANState) -> dict[str, Any]:
    names = ("source_to_target", "target_to_source", "target_discriminator", "source_discriminator")
    return {name: getattr(state, name) for name in names}


def _tuned(state: CycleGANState, batch: CycleGANBatch, settings: CycleGANSettings) -> str:
    """Put the peer's networks into the memory layout that is faster for it, and return its name."""
    import torch

    from medgan.methods.cyclegan import step
    from medgan.seeding import torch_generator

    seconds: dict[str, float] = {}
    formats = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last_3d}
    for name, layout in formats.items():
        for network in _networks(state).values():
            network.to(memory_format=layout)
        seconds[name] = fastest_seconds(lambda: step(state, batch, settings, torch_generator(1), precision="float32"))
    best = min(seconds, key=seconds.__getitem__)
    for network in _networks(state).values():
        network.to(memory_format=formats[best])
    return f"{torch.get_num_threads()} thread(s), {best}"


def _batch(side: int, number: int) -> CycleGANBatch:
    """Return an MR of one head phantom and the CT of another, side x side x side voxels, in [-1, 1]."""
    import torch

    from medgan.methods.cyclegan import CycleGANBatch
    from medgan.phantoms.head import head_phantom
    from medgan.phantoms.paired_imaging import CLEAN
    from medgan.preprocessing.intensity import PiecewiseHu
    from medgan.seeding import numpy_generator

    shape, spacing = (side,) * 3, (190.0 / side, 240.0 / side, 260.0 / side)
    source, target = (
        head_phantom(
            generator=numpy_generator(9, "bench train", number, which),
            shape=shape,
            spacing_mm=spacing,
            acquisition=CLEAN,
        )
        for which in ("mr", "ct")
    )
    mr = torch.from_numpy(source.mr.array.copy())
    mr = (mr / mr.max() * 2 - 1)[None, None]
    ct = torch.from_numpy(PiecewiseHu().intensity_map.forward(target.ct.array))[None, None]
    return CycleGANBatch(source=mr.float(), target=ct.float())
