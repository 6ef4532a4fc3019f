"""Judge many mutations in a process of its own: a decoder that crashes then fails one test, not the whole run.

``python dicom_fuzz_run.py FIRST_SEED LAST_SEED [SOURCE ...]`` prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from dicom_mutations import SOURCES, Mutation

from medgan.errors import MedganError
from medgan.formats.inventory import take_inventory


def write(mutation: Mutation, folder: Path) -> None:
    for name, data in mutation.files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def judged(folder: Path) -> tuple[list[str], list[str]]:
    """What became of the images in a folder, and which sentences are none.

    A verdict for each image; reading gives a finite volume or one sentence.
    """
    # What a person would name: the archive, the directory of a disc, or the folder.
    archives, directory = sorted(folder.glob("*.zip")), folder / "DICOMDIR"
    try:
        inventory = take_inventory(archives or [directory if directory.exists() else folder])
    except MedganError as error:
        # An archive or a directory that is damaged as a whole.
        return ["refused as a whole"], _no_sentences([str(error)], folder)
    json.dumps([item.as_dict() for item in inventory.items], allow_nan=False)
    outcomes, wrong = [], []
    if not inventory.items:
        outcomes.append("other objects only" if inventory.other else "nothing")
    for item in inventory.items:
        outcomes.append(item.verdict)
        sentences = list(item.reasons)
        try:
            file = item.read()
        except MedganError as error:
            outcomes.append("not read")
            sentences.append(str(error))
        else:
            outcomes.append("read")
            if item.verdict == "refused" or not np.isfinite(file.volume.array).all():
                wrong.append(f"{item.verdict}, but read")
            if not np.isfinite(file.volume.grid.affine).all() or file.volume.shape != item.shape:
                wrong.append(f"{item.shape} became {file.volume.shape}")
            sentences += file.notices
        wrong += _no_sentences(sentences, folder)
    return outcomes, wrong


def _no_sentences(texts: list[str], folder: Path) -> list[str]:
    return [text for text in texts if not text.endswith(".") or not text.isprintable() or str(folder) in text]


def report(mutations: Iterator[Mutation]) -> dict[str, object]:
    counts: Counter[str] = Counter()
    failures: list[str] = []
    slowest = ("", 0.0)
    cases = 0
    base = Path(tempfile.mkdtemp())
    try:
        for mutation in mutations:
            # The last one written is the one that crashed.
            sys.stderr.write(f"{mutation}\n")
            sys.stderr.flush()
            folder = base / "case"
            write(mutation, folder)
            start = time.perf_counter()
            try:
                outcomes, wrong = judged(folder)
            except Exception:
                outcomes, wrong = ["error"], [traceback.format_exc(limit=-3)]
            seconds = time.perf_counter() - start
            slowest = max(slowest, (str(mutation), seconds), key=lambda each: each[1])
            counts.update(outcomes)
            failures += [f"{mutation}: {text}" for text in wrong]
            cases += 1
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return {"cases": cases, "counts": counts, "failures": failures, "slowest": slowest, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process ever held; ``ru_maxrss`` would count its parent's before it began."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    warnings.simplefilter("error")
    first, last = int(sys.argv[1]), int(sys.argv[2])
    chosen = sys.argv[3:] or sorted(SOURCES)
    json.dump(report(Mutation(source, seed) for seed in range(first, last) for source in chosen), sys.stdout)
