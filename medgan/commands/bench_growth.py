"""How a translation grows with the volume: seconds a patch, and memory beyond what goes in and comes out."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.bench_case import Figure, stated
from medgan.commands.bench_settings import BenchRequest
from medgan.commands.bench_timing import Side, in_turns

if TYPE_CHECKING:
    from medgan.cohort import Case
    from medgan.inference.translator import Translator

TIMES, MEMORY = "growth of seconds a patch at 1, 2, 4, 8 times the voxels", "growth of memory beyond input and output"
ROWS = (TIMES, MEMORY)
PEER = "medgan itself at one time the voxels"
FLAT_WITHIN_PERCENT = 25.0
CONSTANT_WITHIN_BYTES = 0.5
"""Bytes a voxel by which memory may grow and still be called constant: an eighth of one float32 volume; a free
choice."""
SHAPES = ((112, 112, 64), (112, 112, 128), (112, 224, 128), (224, 224, 128))
QUICK_SHAPES = ((64, 64, 112), (64, 128, 112), (128, 128, 112), (128, 128, 224))
MEMORY_SHAPES = ((224, 224, 128), (224, 224, 256), (224, 448, 256), (448, 448, 256))
QUICK_MEMORY_SHAPES = ((128, 128, 224), (128, 256, 224), (256, 256, 224), (256, 256, 448))
"""Of memory: the heap takes some MB more or less from run to run, which a voxel of a larger volume weighs less."""
TINY_SHAPES = ((16, 16, 16), (16, 16, 32), (16, 32, 32), (32, 32, 32))
PEAK_WORDS = "most resident memory during a run beyond what the process held before and beyond the result"


def bench_growth(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows of growth, in the precision that this machine prefers."""
    from medgan.commands.bench_translate import random_bundle
    from medgan.inference.bundle import find_bundle
    from medgan.inference.translator import Translator
    from medgan.patches.layout import PatchLayout

    precision = "bfloat16" if request.bfloat16 else "float32"
    shapes = TINY_SHAPES if request.tiny else QUICK_SHAPES if request.quick else SHAPES
    with tempfile.TemporaryDirectory(prefix="medgan-bench-") as folder:
        bundle = (
            random_bundle(Path(folder) / "random", width=2, patch=16)
            if request.tiny
            else find_bundle("phantom-mr-to-ct", task="translation")
        )
        translator = Translator(bundle, precision=precision)
    patch = bundle.facts.patch
    cases = {f"{2**power}x": _noise(shape) for power, shape in enumerate(shapes)}
    turns = in_turns(
        {name: Side(lambda c=case: translator.normalized(c)) for name, case in cases.items()},  # type: ignore[misc]
        rounds=request.rounds,
        advance=request.advance,
    )
    patches = [len(PatchLayout(shape, patch.shape, patch.overlap)) for shape in shapes]
    a_patch = [[seconds / count for seconds in turns.seconds[name]] for name, count in zip(cases, patches)]
    voxels = [int(np.prod(shape)) for shape in shapes]
    large = shapes if request.tiny else QUICK_MEMORY_SHAPES if request.quick else MEMORY_SHAPES
    beyond = _memory_beyond(translator, large)
    rounds = [[each[number] / a_patch[0][number] for each in a_patch] for number in range(len(a_patch[0]))]
    # The size whose median strays most from one time the voxels, with its spread over the rounds.
    relative = [sorted(100 * (each[size] - 1) for each in rounds) for size in range(1, len(shapes))]
    strays = max(relative, key=lambda values: abs(statistics.median(values)))
    farthest = statistics.median(strays)
    words = f"{precision}, patches of {patch.shape[0]}: " + ", ".join(
        f"{name} {statistics.median(seconds) * 1000:.0f} ms" for name, seconds in zip(cases, a_patch)
    )
    growth = {
        "precision": precision, "patch": patch.shape[0], "voxels": voxels, "patches": patches,
        "seconds_a_patch": a_patch, "memory_voxels": [int(np.prod(shape)) for shape in large],
        "memory_beyond_mb": beyond,
    }  # fmt: skip
    timed = stated(
        TIMES,
        peer=PEER,
        figure=Figure(abs(farthest), min(map(abs, strays)), max(map(abs, strays)), "%",
                      "seconds a patch stray by at most", FLAT_WITHIN_PERCENT, at_least=False),
        medgan_s=turns.seconds["8x"],
        peer_s=turns.seconds["1x"],
        notes=[words],
        growth=growth,
    )  # fmt: skip
    return [timed, _memory_row(beyond, growth["memory_voxels"], turns.seconds["8x"], turns.seconds["1x"])]


def _memory_beyond(translator: Translator, shapes: tuple[tuple[int, int, int], ...]) -> list[float | None]:
    """Return MB beyond input and result of one run a shape."""
    beyond = []
    for shape in shapes:
        case = _noise(shape)
        side = {"": Side(lambda c=case: translator.normalized(c))}  # type: ignore[misc]
        peak = in_turns(side, rounds=1, long_rounds=None, warm_up=False).peak_mb[""]
        beyond.append(None if peak is None else max(0.0, peak - 4 * case.image.array.size / 2**20))
    return beyond


def _memory_row(
    beyond: list[float | None], voxels: list[int], seconds: list[float], seconds_1x: list[float]
) -> dict[str, Any]:
    from medgan.commands.bench_case import left_out

    first, last = beyond[0], beyond[-1]
    if first is None or last is None:
        return left_out(MEMORY, peer=PEER, why="this system does not say how much memory a process needs.")
    bytes_a_voxel = (last - first) * 2**20 / (voxels[-1] - voxels[0])
    return stated(
        MEMORY,
        peer=PEER,
        figure=Figure(
            bytes_a_voxel,
            bytes_a_voxel,
            bytes_a_voxel,
            "bytes a further voxel",
            "grows by",
            CONSTANT_WITHIN_BYTES,
            at_least=False,
        ),
        medgan_s=seconds,
        peer_s=seconds_1x,
        medgan_peak_mb=last,
        peer_peak_mb=first,
        peak_words=PEAK_WORDS,
        notes=[
            f"{voxels[0] / 1e6:.1f} to {voxels[-1] / 1e6:.1f} million voxels, one run each: "
            + ", ".join(f"{each or 0:.0f}" for each in beyond)
            + " MB"
        ],
    )


def _noise(shape: tuple[int, int, int]) -> Case:
    """Return a prepared image all of which is body, so that nothing is skipped."""
    from medgan.cohort import Case
    from medgan.geometry import Grid
    from medgan.seeding import numpy_generator
    from medgan.volume import LabelMap, Quantity, Volume

    grid = Grid(shape, np.diag([2.0, 2.0, 2.4, 1.0]))
    values = numpy_generator(3, "bench growth").random(shape, dtype=np.float32)
    values *= 2
    values -= 1
    body = LabelMap(np.ones(shape, dtype=np.uint8), grid, {1: "body"})
    return Case("noise", "noise", {"mr": Volume(values, grid, Quantity.NORMALIZED)}).with_label("body", body)
