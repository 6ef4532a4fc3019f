"""Speed of a real translation from file to file, without and with the time that importing takes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.bench_case import NOT_MEASURED, Deviation, compared, left_out
from medgan.commands.bench_limb_peer import MODEL, FileTranslation
from medgan.commands.bench_settings import BFLOAT16_ABSENT, BenchRequest, require_peer
from medgan.commands.bench_threads import fastest_threads, torch_threads
from medgan.commands.bench_timing import Child, Side, in_turns
from medgan.commands.bench_translate import (
    MEAN_BOUND_HU,
    PEAK_WORDS,
    PRECISIONS,
    RANGE_BOUND,
    TAIL_BOUND_HU,
    TAIL_PERCENT,
    worst_of,
)
from medgan.errors import SettingsError

if TYPE_CHECKING:
    from medgan.commands.bench_sliding_window import PeerChoice

FILE = Path("mrct/sts_ibsi/nifti/STS_005/MR_T1_image.nii.gz")
"""Below the folder of real scans: T1 of a limb, 126 x 155 x 79 voxels."""
WITHOUT = {p: f"translate a limb, file to file, {p}" for p in PRECISIONS}
WITH = "translate a limb, file to file, with imports"
ROWS = (*WITHOUT.values(), WITH)
WANTED = 2.0
HU_RANGE = 2524.0
"""From -1024 to 1500 HU, the embedded model's range."""


def bench_limb(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows of a limb; without real scans, rows that say so.

    Raises
    ------
    SettingsError
        If a folder of real scans is given and the limb is not in it.
    """
    if request.data_root is None:
        why = "a real scan is needed: pass --data-root FOLDER"
        return [left_out(case, peer="MONAI, plain network", why=why, status=NOT_MEASURED) for case in ROWS]
    scan = request.data_root / FILE
    if not scan.is_file():
        raise SettingsError(
            f"The benchmark's limb must be below the folder of --data-root as {FILE}: there is none. "
            "Leave --data-root out to run without it."
        )
    return rows_of(scan, request)


def rows_of(scan: Path, request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows for one NIfTI file of an MR."""
    from medgan.inference.bundle import find_bundle

    version = require_peer()
    peer_name = f"MONAI {version} file to file, plain network in float32"
    peer = FileTranslation(find_bundle(MODEL, task="translation"))
    with tempfile.TemporaryDirectory(prefix="medgan-bench-") as name:
        folder = Path(name)
        theirs = folder / "peer.nii.gz"
        own = {precision: folder / f"{precision}.nii.gz" for precision in request.precisions}
        found: dict[str, list[list[Deviation]]] = {precision: [] for precision in request.precisions}

        def judge(_: dict[str, Any]) -> None:
            reference = _values_of(theirs)
            for precision, path in own.items():
                found[precision].append(file_deviations(path, reference, precision=precision))

        sides = {"peer": Side(lambda: peer(scan, theirs))}
        best: dict[str, int] = {}
        for precision, path in own.items():
            run = partial(_translate, scan, path, precision)
            best[precision] = fastest_threads(run)
            sides[precision] = Side(partial(_with_threads, best[precision], run))
        turns = in_turns(sides, rounds=request.rounds, judge=judge, advance=request.advance)
        choice = peer.choice
        shape = " x ".join(map(str, _values_of(scan).shape))
        rows = []
        for precision in PRECISIONS:
            if precision not in request.precisions:
                rows.append(left_out(WITHOUT[precision], peer=peer_name, why=BFLOAT16_ABSENT))
                continue
            rows.append(
                compared(
                    WITHOUT[precision],
                    peer=peer_name,
                    medgan_s=turns.seconds[precision],
                    peer_s=turns.seconds["peer"],
                    deviations=worst_of(found[precision]),
                    ratio_wanted=WANTED,
                    medgan_peak_mb=turns.peak_mb[precision],
                    peer_peak_mb=turns.peak_mb["peer"],
                    peak_words=PEAK_WORDS,
                    notes=[
                        f"{shape} voxels; medgan also writes a sidecar and a picture",
                        "" if choice is None else choice.in_words,
                        f"medgan at its: {best[precision]} thread(s)",
                    ],
                )
            )
        if request.quick:
            why = "the two programs alone take a minute; run without --quick"
            return [*rows, left_out(WITH, peer=peer_name, why=why, status=NOT_MEASURED)]
        return [*rows, _with_imports(scan, folder, request, choice, peer_name)]


def file_deviations(path: Path, reference: Any, *, precision: str) -> list[Deviation]:
    """Return how far a written translation is from the peer's, where either holds more than air."""
    values = _values_of(path).astype(np.float32)
    reference = reference.astype(np.float32)
    if values.shape != reference.shape:
        return [Deviation(float("inf"), "HU", MEAN_BOUND_HU, "other shape")]
    inside = (values > -1024) | (reference > -1024)
    difference = np.abs(values - reference)[inside]
    if not difference.size:
        return [Deviation(float("inf"), "HU", MEAN_BOUND_HU, "both are nothing but air")]
    tail = Deviation(float(np.percentile(difference, TAIL_PERCENT)), "HU", TAIL_BOUND_HU, f"{TAIL_PERCENT:g} % within")
    if precision == "float32":
        # Both round to whole HU, which may fall on either side: one HU is no difference of computing.
        largest = max(0.0, float(difference.max()) - 1.0) / HU_RANGE
        return [Deviation(largest, "of the range", RANGE_BOUND, "largest beyond rounding to 1 HU"), tail]
    return [Deviation(float(difference.mean()), "HU", MEAN_BOUND_HU, "mean"), tail]


def _with_imports(
    scan: Path, folder: Path, request: BenchRequest, choice: PeerChoice | None, peer_name: str
) -> dict[str, Any]:
    precision = request.precisions[-1]
    own, theirs = folder / "own_process.nii.gz", folder / "peer_process.nii.gz"
    medgan = [
        sys.executable, "-m", "medgan", "translate", str(scan), "--model", MODEL, "--out", str(own), "--precision",
        precision, "--device", "cpu", "--overwrite", "--quiet",
    ]  # fmt: skip
    threads, last, batch = (1, 0, 1) if choice is None else (choice.threads, int(choice.channels_last), choice.batch)
    script = (
        "from medgan.commands.bench_limb_peer import main\n"
        f"main({str(scan)!r}, {str(theirs)!r}, {threads}, {last}, {batch})"
    )
    sides = {"medgan": Child(medgan), "peer": Child([sys.executable, "-W", "ignore", "-c", script])}
    found: list[list[Deviation]] = []
    turns = in_turns(
        {name: Side(child, gauge=child) for name, child in sides.items()},
        rounds=request.rounds,
        judge=lambda _: found.append(file_deviations(own, _values_of(theirs), precision=precision)),
        advance=request.advance,
    )
    return compared(
        WITH,
        peer=peer_name,
        medgan_s=turns.seconds["medgan"],
        peer_s=turns.seconds["peer"],
        deviations=worst_of(found),
        medgan_peak_mb=turns.peak_mb["medgan"],
        peer_peak_mb=turns.peak_mb["peer"],
        peak_words="resident peak of the whole process",
        notes=[f"two programs, started anew each time; medgan in {precision}"],
    )


def _values_of(path: Path) -> Any:
    return np.asarray(import_module("nibabel").load(path).dataobj)


def _with_threads(threads: int, run: Callable[[], None]) -> None:
    with torch_threads(threads):
        run()


def _translate(scan: Path, out: Path, precision: str) -> None:
    from medgan.commands.console import Console
    from medgan.commands.translate import translate

    translate(
        scan, model=MODEL, out=out, device="cpu", precision=precision, overwrite=True, console=Console(quiet=True)
    )
