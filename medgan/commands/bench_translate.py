"""Speed of a translation: medgan's patches against MONAI's sliding window around the plain network.

Both get the same prepared image, the same weights, the same lattice of patches and the same weights of overlaps.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.bench_case import Deviation, Figure, compared, left_out, stated
from medgan.commands.bench_settings import BFLOAT16_ABSENT, BenchRequest, require_peer
from medgan.commands.bench_threads import fastest_threads, torch_threads
from medgan.commands.bench_timing import Side, in_turns

if TYPE_CHECKING:
    from medgan.cohort import Case
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.translator import Translator

PRECISIONS = ("float32", "bfloat16")
RESIDUAL = {p: f"translate a head, residual generator of width 32, {p}" for p in PRECISIONS}
SHARE = {p: f"share of the matrix rate while that head is translated, {p}" for p in PRECISIONS}
EMBEDDED = {p: f"translate a head, embedded model, outside air skipped, {p}" for p in PRECISIONS}
ROWS = (*RESIDUAL.values(), *SHARE.values(), *EMBEDDED.values())

RANGE_BOUND = 1e-3
"""Largest difference in float32, as a share of the range of the network's output."""
RANDOM_BFLOAT16_BOUND = 0.01
"""Mean difference in bfloat16 of a network with random weights, as a share of the range: a free choice, because the
bound in HU is one for models that translate."""
MEAN_BOUND_HU, TAIL_BOUND_HU, TAIL_PERCENT = 2.0, 20.0, 99.9
WANTED = {"residual": {"float32": 2.0, "bfloat16": 5.5}, "embedded": {"float32": 3.0, "bfloat16": 8.0}}
SHARE_WANTED = 45.0
PATCH, OVERLAP = 64, 0.25
SHAPE, SPACING_MM = (256, 256, 176), (1.0, 1.0, 1.5)
QUICK_BOX = ((80, 96, 60), (192, 160, 124))
"""Of the head, in the quick set: two patches."""
QUICK_CORNER = ((0, 0, 0), (112, 112, 112))
"""The same of the embedded model: eight patches at a corner, some of which hold air only."""
PEAK_WORDS = "most resident memory of the process during a run beyond what it held before"


def bench_translate(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows of a translation in memory."""
    version = require_peer()
    head = _head(request)
    with tempfile.TemporaryDirectory(prefix="medgan-bench-") as name:
        folder = Path(name)
        return [*_residual_rows(request, head, version, folder), *_embedded_rows(request, head, version, folder)]


@dataclass
class _Timeline:
    """When the patches of a run were done; the clock of each run begins with :meth:`begin`."""

    marks: list[float] = field(default_factory=list)

    def begin(self) -> None:
        self.marks = [time.perf_counter()]

    def progress(self, done: int, total: int) -> None:
        self.marks.append(time.perf_counter())


def _residual_rows(request: BenchRequest, head: Case, version: str, folder: Path) -> list[dict[str, Any]]:
    import torch

    from medgan.commands.bench_gemm import SIDE, multiplication_rate, operations_of

    bundle = random_bundle(folder / "random", width=4 if request.tiny else 32, patch=_patch(request))
    image = _cut(head, QUICK_BOX if request.quick else None)
    inside = image.label("body").mask()
    prepared = _prepared(image, bundle, everywhere=True)
    deviations: dict[str, list[float]] = {precision: [] for precision in request.precisions}
    timelines = {precision: _Timeline() for precision in request.precisions}
    shares: dict[str, list[tuple[float, float]]] = {precision: [] for precision in request.precisions}
    network = bundle.network()
    window = torch.zeros(1, 1, *bundle.facts.patch.shape)
    operations = operations_of(network, window, torch.ones_like(window))
    side = 128 if request.tiny else SIDE
    threads = _best_threads(request, bundle, prepared)
    with torch_threads(threads):
        rates = {precision: multiplication_rate(precision, side=side) for precision in request.precisions}

    def judge(results: dict[str, Any]) -> None:
        for precision in request.precisions:
            difference = np.abs(results[precision] - results["peer"]) / 2.0
            # The norm lifts the noise of patches of air, and with it bfloat16's rounding, to the size of the image.
            found = difference.max() if precision == "float32" else difference[inside].mean()
            deviations[precision].append(float(found))
            shares[precision].append(_shares(timelines[precision].marks, operations, rates[precision]))

    turns, choice, layout = _measured(request, bundle, prepared, judge, threads, timelines)
    rows = []
    for precision in PRECISIONS:
        if precision not in request.precisions:
            rows.append(left_out(RESIDUAL[precision], peer=_peer(version), why=BFLOAT16_ABSENT))
            continue
        bound, words = (
            (RANGE_BOUND, "largest") if precision == "float32" else (RANDOM_BFLOAT16_BOUND, "mean inside the body")
        )
        rows.append(
            compared(
                RESIDUAL[precision],
                peer=_peer(version),
                medgan_s=turns.seconds[precision],
                peer_s=turns.seconds["peer"],
                deviations=[Deviation(max(deviations[precision]), "of the range", bound, words)],
                ratio_wanted=WANTED["residual"][precision],
                medgan_peak_mb=turns.peak_mb[precision],
                peer_peak_mb=turns.peak_mb["peer"],
                peak_words=PEAK_WORDS,
                notes=[_work(prepared, layout), choice],
            )
        )
    return rows + [_share_row(precision, request, shares, turns.seconds, rates) for precision in PRECISIONS]


def _share_row(
    precision: str,
    request: BenchRequest,
    shares: dict[str, list[tuple[float, float]]],
    seconds: dict[str, list[float]],
    rates: dict[str, float],
) -> dict[str, Any]:
    peer = "matrix product of 2048 x 2048"
    if precision not in request.precisions:
        return left_out(SHARE[precision], peer=peer, why=BFLOAT16_ABSENT)
    inner = [each[0] for each in shares[precision]]
    whole = statistics.median(each[1] for each in shares[precision])
    return stated(
        SHARE[precision],
        peer=peer,
        figure=Figure(
            statistics.median(inner), min(inner), max(inner), "%", "first to last patch", SHARE_WANTED, at_least=True
        ),
        medgan_s=seconds[precision],
        notes=[f"whole call {whole:.1f} %", f"matrix product {rates[precision] / 1e9:.0f} GFLOP/s in the same run"],
        whole_call=whole,
        matrix_rate=rates[precision],
    )


def _embedded_rows(request: BenchRequest, head: Case, version: str, folder: Path) -> list[dict[str, Any]]:
    from medgan.inference.bundle import find_bundle
    from medgan.patches.layout import PatchLayout

    bundle = (
        random_bundle(folder / "tiny", width=2, patch=_patch(request))
        if request.tiny
        else find_bundle("phantom-mr-to-ct", task="translation")
    )
    prepared = _prepared(_cut(head, QUICK_CORNER if request.quick else None), bundle, everywhere=False)
    body = prepared.label("body")
    inside = body.mask()
    found: dict[str, list[list[Deviation]]] = {precision: [] for precision in request.precisions}

    def judge(results: dict[str, Any]) -> None:
        for precision in request.precisions:
            found[precision].append(
                hu_deviations(results[precision], results["peer"], inside, bundle=bundle, precision=precision)
            )

    layout = PatchLayout(prepared.image.shape, bundle.facts.patch.shape, bundle.facts.patch.overlap)
    skipped = sum(not body.read(piece.box).array.any() for piece in layout)
    threads = _best_threads(request, bundle, prepared)
    turns, choice, _ = _measured(request, bundle, prepared, judge, threads)
    rows = []
    for precision in PRECISIONS:
        if precision not in request.precisions:
            rows.append(left_out(EMBEDDED[precision], peer=_peer(version), why=BFLOAT16_ABSENT))
            continue
        rows.append(
            compared(
                EMBEDDED[precision],
                peer=_peer(version),
                medgan_s=turns.seconds[precision],
                peer_s=turns.seconds["peer"],
                deviations=worst_of(found[precision]),
                ratio_wanted=WANTED["embedded"][precision],
                medgan_peak_mb=turns.peak_mb[precision],
                peer_peak_mb=turns.peak_mb["peer"],
                peak_words=PEAK_WORDS,
                notes=[_work(prepared, layout), f"{100 * skipped / len(layout):.0f} % of the patches skipped", choice],
                skipped_share=skipped / len(layout),
            )
        )
    return rows


def hu_deviations(
    own: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
    inside: npt.NDArray[np.bool_],
    *,
    bundle: ModelBundle[Any],
    precision: str,
) -> list[Deviation]:
    """Return how far two normalized translations differ inside the body in HU, and that outside is outside.

    Parameters
    ----------
    own, theirs : (I, J, K) float32
        Normalized; of the same image.
    inside : (I, J, K) bool
        The body.
    bundle : ModelBundle
        Whose intensity map gives HU.
    precision : str
        float32 is held to a share of the range, bfloat16 to a mean and to a percentile in HU.
    """
    strays = Deviation(float((own[~inside] != -1.0).sum()), "voxels", 0.0, "other than the outside value outside")
    if precision == "float32":
        largest = float(np.abs(own[inside] - theirs[inside]).max()) / 2.0
        return [Deviation(largest, "of the range", RANGE_BOUND, "largest"), strays]
    difference = np.abs(bundle.target_map.inverse(own[inside]) - bundle.target_map.inverse(theirs[inside]))
    return [
        Deviation(float(difference.mean()), "HU", MEAN_BOUND_HU, "mean"),
        Deviation(float(np.percentile(difference, TAIL_PERCENT)), "HU", TAIL_BOUND_HU, f"{TAIL_PERCENT:g} % within"),
        strays,
    ]


def worst_of(rounds: Sequence[Sequence[Deviation]]) -> list[Deviation]:
    """Return of every kind of deviation the worst of all rounds."""
    return [max(each, key=lambda deviation: deviation.value) for each in zip(*rounds)]


def random_bundle(folder: Path, *, width: int, patch: int) -> ModelBundle[Any]:
    """Return a model of the published network with fixed random weights, which serve for timing."""
    from medgan.inference.bundle import ModelBundle, find_bundle
    from medgan.networks.initialization import initialize
    from medgan.networks.residual_generator import ResidualGenerator
    from medgan.seeding import torch_generator

    settings: dict[str, Any] = {
        "spatial_dims": 3, "width": width, "blocks": 6, "normalization": "instance", "body_mask": True,
    }  # fmt: skip
    network = ResidualGenerator(**settings)
    initialize(network, torch_generator(1, "bench translate"))
    like = find_bundle("phantom-mr-to-ct").facts.model_dump(mode="json")
    facts = {
        key: like[key] for key in ("task", "source", "target", "target_knots", "trained_domain", "training", "license")
    }
    facts |= {
        "name": "random-weights",
        "trained_anatomy": "nothing: random weights",
        "recipe": [{"stage": "mr_percentiles"}],
        "network": {"name": "residual_generator", "settings": settings},
        "patch": {"shape": [patch] * 3, "overlap": OVERLAP},
        "intended_use": "Timing.",
    }
    return ModelBundle.write(folder, facts=facts, weights=network.state_dict(), card="Random weights, for timing.\n")


def _measured(
    request: BenchRequest, bundle: ModelBundle[Any], prepared: Case, judge: Any, threads: int, timelines: Any = None
) -> Any:
    """Time the peer and medgan in each precision; return the turns, the peer's choice and the layout."""
    from medgan.commands.bench_sliding_window import SlidingWindow
    from medgan.inference.translator import Translator
    from medgan.patches.layout import PatchLayout

    patch = bundle.facts.patch
    layout = PatchLayout(prepared.image.shape, patch.shape, patch.overlap)
    peer = SlidingWindow(bundle.network(), layout)
    piece = _first_patch(prepared, patch.shape)
    sides = {"peer": Side(lambda: peer(prepared))}
    translators = [Translator(bundle, precision=precision) for precision in request.precisions]
    for precision, translator in zip(request.precisions, translators):
        timeline = _Timeline() if timelines is None else timelines[precision]
        sides[precision] = Side(
            lambda t=translator, line=timeline: _run(t, prepared, threads, line),  # type: ignore[misc]
            prepare=timeline.begin,
        )
    # One patch warms up what a whole run, which may take minutes, would.
    peer(piece)
    for translator in translators:
        translator.normalized(piece)
    turns = in_turns(sides, rounds=request.rounds, judge=judge, advance=request.advance, warm_up=False)
    return turns, f"{peer.choice.in_words}, medgan at its: {threads} thread(s)", layout


def _run(translator: Translator, prepared: Case, threads: int, timeline: _Timeline) -> npt.NDArray[np.float32]:
    with torch_threads(threads):
        return translator.normalized(prepared, progress=timeline.progress)


def _best_threads(request: BenchRequest, bundle: ModelBundle[Any], prepared: Case) -> int:
    """Return the number of threads that one patch is faster with, in the faster precision."""
    from medgan.inference.translator import Translator

    translator = Translator(bundle, precision=request.precisions[-1])
    piece = _first_patch(prepared, bundle.facts.patch.shape)
    return fastest_threads(lambda: translator.normalized(piece))


def _first_patch(prepared: Case, patch: tuple[int, int, int]) -> Case:
    """Return the middle of a prepared image, as large as a patch."""
    from medgan.cohort import Case
    from medgan.geometry import Box

    start = [max(0, (size - length) // 2) for size, length in zip(prepared.image.shape, patch)]
    box = Box.of_shape(patch).shifted(start).intersection(prepared.image.grid.box)
    ((name, image),) = prepared.images.items()
    cut = Case(prepared.case_id, prepared.subject_id, {name: image.cropped(box)})
    return cut.with_label("body", prepared.label("body").read(box))


def _shares(marks: list[float], operations: int, rate: float) -> tuple[float, float]:
    """Return percent of the matrix rate from the first to the last patch, and over the whole call."""
    patches = len(marks) - 1
    whole = patches * operations / (marks[-1] - marks[0]) / rate
    inner = (patches - 1) * operations / (marks[-1] - marks[1]) / rate if patches > 1 else whole
    return 100 * inner, 100 * whole


def _prepared(head: Case, bundle: ModelBundle[Any], *, everywhere: bool) -> Case:
    """Return the head as the network gets it: normalized by the last stage of the recipe, on its own grid."""
    from medgan.volume import LabelMap

    if everywhere:
        grid = head.image.grid
        head = head.with_label("body", LabelMap(np.ones(grid.shape, dtype=np.uint8), grid, {1: "body"}))
    prepared: Case = bundle.recipe.stages[-1](head)
    return prepared


def _head(request: BenchRequest) -> Case:
    """Return the MR of a head with noise, and its body."""
    from medgan.cohort import Case
    from medgan.phantoms.head import head_phantom
    from medgan.phantoms.paired_imaging import CLEAN
    from medgan.seeding import numpy_generator

    shape, spacing = ((24, 20, 20), (12.0, 12.0, 14.0)) if request.tiny else (SHAPE, SPACING_MM)
    phantom = head_phantom(
        generator=numpy_generator(5, "bench head"), shape=shape, spacing_mm=spacing, acquisition=CLEAN
    )
    return Case("head", "head", {"mr": phantom.mr}).with_label("body", phantom.body)


def _cut(head: Case, corners: tuple[tuple[int, int, int], tuple[int, int, int]] | None) -> Case:
    """Return a part of the head, or all of it."""
    from medgan.cohort import Case
    from medgan.geometry import Box

    if corners is None or head.image.shape != SHAPE:
        return head
    box = Box(*corners)
    cut = Case(head.case_id, head.subject_id, {"mr": head.image.cropped(box)})
    return cut.with_label("body", head.label("body").read(box))


def _patch(request: BenchRequest) -> int:
    return 16 if request.tiny else PATCH


def _peer(version: str) -> str:
    return f"MONAI {version} sliding window, plain network in float32"


def _work(prepared: Case, layout: Any) -> str:
    return f"{' x '.join(map(str, prepared.image.shape))} voxels, {len(layout)} patches of {layout.patch[0]}"
