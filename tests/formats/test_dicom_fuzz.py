"""Damaged DICOM ends in a verdict: no traceback, no crash, no hang, and no more memory than a stated bound."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from dicom_fuzz_run import judged, write
from dicom_mutations import SOURCES, Mutation, intact
from dicom_phantoms import series_of

from medgan.formats.inventory import take_inventory
from medgan.phantoms.dicom_file import DicomFile
from medgan.phantoms.dicom_folder import write_archive

HERE = Path(__file__).parent
PEAK_MB = 200
"""Interpreter, NumPy and pydicom take 75 MB; the rest is what a file of a few kilobytes may ever cost."""
LONGEST_S = 30
"""For one case on a busy machine; the usual one takes 10 ms, 100 ms where a decoder process is started."""

FOUND = {
    "unknown VR in the header": Mutation("MR, echoes", 18),
    "unknown VR where pixels are described": Mutation("MR, b-values", 56),
    "unknown VR of the modality": Mutation("CT, JPEG lossless, first order", 194),
    "unknown VR of the series number": Mutation("MR, b-values", 294),
    "unknown VR in big-endian": Mutation("CT, big-endian", 297),
    "transfer syntax that is no UID": Mutation("MR, echoes", 5),
    "unknown character set in a bare file": Mutation("CT, bare", 21),
    "unknown character set": Mutation("MR, b-values", 33),
    "unknown character set, deflated": Mutation("CT, deflated", 49),
    "functional groups that are no sequence": Mutation("MR, enhanced", 1448),
    "JPEG whose precision made GDCM abort": Mutation("MR, JPEG", 56),
    "lossless JPEG whose markers made GDCM abort": Mutation("CT, JPEG lossless, first order", 74),
    "truncated JPEG-LS that was decoded for three seconds": Mutation("CT, enhanced, JPEG-LS", 310),
}
"""Failures of earlier readers, kept."""


COMPRESSED = tuple(name for name in SOURCES if any(code in name for code in ("JPEG", "RLE")))
"""A damaged one of these may cost the start of a decoder process."""
NATIVE = tuple(name for name in SOURCES if name not in COMPRESSED)


def fuzzed(first: int, last: int, *sources: str) -> dict:
    """The report of a run in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, str(HERE / "dicom_fuzz_run.py"), str(first), str(last), *sources]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    begun = [line for line in done.stderr.splitlines() if line.startswith("Mutation(")]
    assert done.returncode == 0, f"exit {done.returncode} in {begun[-1:]}"
    return json.loads(done.stdout)


def assert_sound(report: dict) -> None:
    assert report["failures"] == []
    assert report["peak_mb"] < PEAK_MB
    assert report["slowest"][1] < LONGEST_S, report["slowest"]
    # Neither all nor none: the mutations matter, and are no wholesale destruction.
    counts = report["counts"]
    for outcome in ("accepted", "refused", "read", "not read"):
        assert counts.get(outcome, 0) > report["cases"] / 100, counts


def test_mutations_end_in_a_verdict():
    native, compressed = fuzzed(0, 17, *NATIVE), fuzzed(0, 5, *COMPRESSED)
    assert native["cases"] + compressed["cases"] >= 300
    assert_sound(native)
    assert_sound(compressed)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_thousand_mutations_end_in_a_verdict():
    total: Counter[str] = Counter()
    cases, failures = 0, []
    steps = [(first, 40, NATIVE) for first in range(1000, 1600, 40)]
    steps += [(first, 20, COMPRESSED) for first in range(1000, 1120, 20)]
    for first, count, sources in steps:
        report = fuzzed(first, first + count, *sources)
        failures += report["failures"]
        assert_sound({**report, "failures": []})
        cases += report["cases"]
        total.update(report["counts"])
    print(f"{cases} mutations: {dict(total)}")  # noqa: T201
    assert failures == []
    assert cases >= 10_000


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    mutation = FOUND[name]
    report = fuzzed(mutation.seed, mutation.seed + 1, mutation.source)
    assert report["failures"] == []
    assert report["slowest"][1] < LONGEST_S


@pytest.mark.parametrize("source", SOURCES)
def test_sources_are_read_when_whole(tmp_path, source):
    for name, file in intact(source).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.as_bytes if isinstance(file, DicomFile) else file)
    outcomes, wrong = judged(tmp_path)
    assert wrong == []
    assert ("read" in outcomes) is (source != "radiograph")
    # The archive holds members that would escape: they are refused. Radiographs are no volumes.
    assert ("not read" in outcomes) is (source in ("archive", "radiograph"))
    assert ("refused" in outcomes) is (source == "archive")


def test_a_mutation_is_a_function_of_source_and_seed(tmp_path):
    assert Mutation("CT", 3).files() == Mutation("CT", 3).files()
    assert Mutation("CT", 3).files() != Mutation("CT", 4).files()
    write(Mutation("CT", 3), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


_START = {"CT, JPEG-LS": b"\xff\xf7", "CT, JPEG lossless": b"\xff\xc3", "MR, JPEG": b"\xff\xc0"}


def with_code_of(data: bytes, source: str, size: int) -> bytes:
    """The bytes of a file whose compressed image claims to be of another size than the header says."""
    image = data.index(b"\xff\xd8" if source in _START else b"\xff\x4f\xff\x51")
    if source in _START:
        at = data.index(_START[source], image) + 5
        return data[:at] + struct.pack(">HH", size, size) + data[at + 4 :]
    at = image + 8
    return (
        data[:at]
        + struct.pack(">II", size, size)
        + data[at + 8 : at + 16]
        + struct.pack(">II", size, size)
        + data[at + 24 :]
    )


@pytest.mark.parametrize("source", [*_START, "CT, JPEG 2000"])
def test_a_compressed_image_larger_than_the_header_says_is_never_decoded(tmp_path, source):
    for name, file in intact(source).items():
        (tmp_path / name).write_bytes(with_code_of(file.as_bytes, source, 60000))
    (item,) = take_inventory([tmp_path]).items
    with pytest.raises(ValueError, match="60000 x 60000"):
        item.read()


@pytest.mark.parametrize("source", [s for s in SOURCES if s not in ("file set", "archive")])
def test_sizes_that_no_file_can_hold_are_refused(tmp_path, source):
    for name, file in intact(source).items():
        large = file.with_elements(Rows=65535, Columns=65535)
        if "NumberOfFrames" in file.dataset:
            large = large.with_elements(NumberOfFrames="2147483647")
        (tmp_path / name).write_bytes(large.as_bytes)
    items = take_inventory([tmp_path]).items
    assert items
    assert {item.verdict for item in items} == {"refused"}


def test_an_archive_damaged_anywhere_ends_in_a_verdict(tmp_path):
    archive = write_archive(series_of(), tmp_path / "whole.zip")
    data = archive.read_bytes()
    archive.unlink()
    for at in range(0, len(data), max(1, len(data) // 60)):
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "cut.zip").write_bytes(data[:at])
        (folder / "hurt.zip").write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        assert judged(folder)[1] == []
        shutil.rmtree(folder)


def test_links_pipes_and_unreadable_files_end_in_a_verdict(tmp_path):
    series = series_of()
    for file in series.slices:
        (tmp_path / file.name).write_bytes(file.as_bytes)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken.dcm").symlink_to(tmp_path / "nowhere.dcm")
    os.mkfifo(tmp_path / "pipe.dcm")
    outcomes, wrong = judged(tmp_path)
    assert wrong == []
    assert outcomes == ["accepted", "read"]
