"""Speed of .nii.gz: medgan's reader and writer against nibabel's, bit for bit."""

from __future__ import annotations

import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.bench_case import Deviation, compared
from medgan.commands.bench_settings import BenchRequest
from medgan.commands.bench_timing import Side, in_turns

if TYPE_CHECKING:
    from medgan.volume import Volume

LOAD, SAVE = "load .nii.gz", "save .nii.gz"
ROWS = (LOAD, SAVE)
WANTED = {LOAD: 1.7, SAVE: 6.0}
SHAPE, QUICK_SHAPE, TINY_SHAPE = (256, 256, 176), (192, 192, 96), (12, 10, 8)
PEAK_WORDS = "most resident memory of the process during a run beyond what it held before"


def bench_io(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows of loading and saving a CT in HU, int16."""
    nibabel: Any = import_module("nibabel")

    from medgan.formats import read_volume, write_volume
    from medgan.volume import Quantity

    volume = _scan(request)
    peer = f"nibabel {version('nibabel')}"
    with tempfile.TemporaryDirectory(prefix="medgan-bench-") as name:
        folder = Path(name)
        stored = write_volume(volume, folder / "scan.nii.gz")
        own, theirs = folder / "own.nii.gz", folder / "theirs.nii.gz"
        differing: dict[str, int] = {LOAD: 0, SAVE: 0}

        def load_peer() -> Any:
            return np.asarray(nibabel.load(stored).dataobj)

        def save_peer() -> None:
            # As medgan does: rounded to int16, clipped to what it holds.
            values = np.clip(np.rint(volume.array), -32768, 32767).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(values, volume.grid.affine), theirs)

        def judge_loaded(results: dict[str, Any]) -> None:
            differing[LOAD] += int((results["medgan"].array != results["peer"]).sum())

        def judge_saved(_: dict[str, Any]) -> None:
            one, other = (np.asarray(nibabel.load(path).dataobj) for path in (own, theirs))
            differing[SAVE] += int((one != other).sum())

        loads = in_turns(
            {
                "medgan": Side(lambda: read_volume(stored, quantity=Quantity.HOUNSFIELD)),
                "peer": Side(load_peer),
            },
            rounds=request.rounds,
            judge=judge_loaded,
            advance=request.advance,
        )
        saves = in_turns(
            {
                # A new file each time: replacing one costs the file system as much again, whoever does it.
                "medgan": Side(lambda: write_volume(volume, own), prepare=lambda: own.unlink(missing_ok=True)),
                "peer": Side(save_peer, prepare=lambda: theirs.unlink(missing_ok=True)),
            },
            rounds=request.rounds,
            judge=judge_saved,
            advance=request.advance,
        )
        sizes = {path.stem: path.stat().st_size / 1e6 for path in (own, theirs)}
    shape = " x ".join(map(str, volume.shape))
    notes = {
        LOAD: [f"{shape} voxels, int16; medgan also takes the SHA-256 of the file"],
        SAVE: [
            f"{shape} voxels, int16; a new file each time, "
            f"{sizes['own.nii']:.1f} MB against {sizes['theirs.nii']:.1f} MB"
        ],
    }
    return [
        compared(
            case,
            peer=peer,
            medgan_s=turns.seconds["medgan"],
            peer_s=turns.seconds["peer"],
            deviations=[Deviation(float(differing[case]), "voxels", 0.0, "not equal in every bit")],
            ratio_wanted=WANTED[case],
            medgan_peak_mb=turns.peak_mb["medgan"],
            peer_peak_mb=turns.peak_mb["peer"],
            peak_words=PEAK_WORDS,
            notes=notes[case],
        )
        for case, turns in ((LOAD, loads), (SAVE, saves))
    ]


def _scan(request: BenchRequest) -> Volume:
    """Return the CT of a head with noise, which compresses as badly as a scan's."""
    from medgan.phantoms.head import head_phantom
    from medgan.phantoms.paired_imaging import CLEAN
    from medgan.seeding import numpy_generator

    shape = TINY_SHAPE if request.tiny else QUICK_SHAPE if request.quick else SHAPE
    spacing = (256.0 / shape[0], 256.0 / shape[1], 264.0 / shape[2])
    head = head_phantom(generator=numpy_generator(5, "bench io"), shape=shape, spacing_mm=spacing, acquisition=CLEAN)
    return head.ct
