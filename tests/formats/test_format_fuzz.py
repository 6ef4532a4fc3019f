"""Mangled files: each ends in a finite volume or in one sentence, quickly and in bounded memory."""

import time
import tracemalloc

import numpy as np
import pytest
from stored_phantoms import SHORTS, gzipped, metaimage_text, nifti_bytes, nrrd_text, rotated, zlibbed

from medgan.errors import MedganError
from medgan.formats import read_image, read_label_file
from medgan.volume import Quantity

RAW = SHORTS.tobytes(order="F")
SCALED = nifti_bytes(SHORTS, rotated(), scl_slope=0.5, scl_inter=-3.0, qform_code=1)
SEEDS = {
    "plain.nii": {"plain.nii": SCALED},
    "big.nii": {"big.nii": nifti_bytes(SHORTS.astype(np.float64), rotated(), order=">")},
    "two.nii": {"two.nii": nifti_bytes(SHORTS, rotated(), version=2)},
    "packed.nii.gz": {"packed.nii.gz": gzipped(SCALED)},
    "pair.hdr": {"pair.hdr": nifti_bytes(SHORTS, pair=True), "pair.img": RAW},
    "raw.mha": {"raw.mha": metaimage_text() + RAW},
    "packed.mha": {"packed.mha": metaimage_text(CompressedData="True") + zlibbed(RAW)},
    "list.mhd": {
        "list.mhd": metaimage_text(ElementDataFile="LIST") + b"x.raw\ny.raw\n",
        "x.raw": RAW[:24],
        "y.raw": RAW[24:],
    },
    "raw.nrrd": {"raw.nrrd": nrrd_text() + RAW},
    "packed.nrrd": {"packed.nrrd": nrrd_text(encoding="gzip") + gzipped(RAW)},
    "pattern.nhdr": {
        "pattern.nhdr": nrrd_text("data file: s%d.raw 1 2 1", end=""),
        "s1.raw": RAW[:24],
        "s2.raw": RAW[24:],
    },
}
TOKENS = [
    b"0",
    b"-1",
    b"nan",
    b"1e99",
    b"99999999999999999999",
    b"2147483648",
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b"%s",
    b"../",
    b"=",
]
CASES_PER_SEED = 60


def mangled(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three random injuries of a kind that disks, transfers and editors inflict."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not changed:
            break
        at = int(rng.integers(len(changed)))
        kind = rng.integers(7)
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + 8] = rng.bytes(min(8, len(changed) - at))
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            del changed[at : at + int(rng.integers(1, 40))]
        elif kind == 4:
            changed[at:at] = changed[at : at + int(rng.integers(1, 40))]
        elif kind == 5:
            token = TOKENS[rng.integers(len(TOKENS))]
            changed[at : at + len(token)] = token
        else:
            # Numbers of a text header, or of a binary one, often lie beside digits or zeros.
            digits = [i for i, byte in enumerate(changed) if chr(byte).isdigit() or byte == 0]
            if digits:
                changed[digits[rng.integers(len(digits))]] = int(rng.integers(256))
    return bytes(changed)


def assert_image_or_sentence(read, path):
    try:
        return read()
    except MedganError as error:
        message = str(error)
        assert message
        assert "\n" not in message
        assert str(path.parent) not in message
        assert message.endswith(".")
        assert any(each.name in message for each in path.parent.iterdir())
        return None


@pytest.mark.parametrize("name", SEEDS)
def test_mangled_files_end_in_a_volume_or_a_sentence(tmp_path, name):
    rng = np.random.default_rng(20260 + sorted(SEEDS).index(name))
    files = SEEDS[name]
    outcomes = {"read": 0, "refused": 0}
    tracemalloc.start()
    for case in range(CASES_PER_SEED):
        folder = tmp_path / str(case)
        folder.mkdir()
        victim = list(files)[0 if rng.random() < 0.8 else rng.integers(len(files))]
        for each, data in files.items():
            hurt = mangled(data, rng) if each == victim else data
            if each == "packed.nii.gz" and rng.random() < 0.5:
                hurt = gzipped(mangled(SCALED, rng))
            (folder / each).write_bytes(hurt)
        path = folder / name
        start = time.perf_counter()
        for assume in (False, True):
            image = assert_image_or_sentence(
                lambda path=path, assume=assume: read_image(path, quantity=Quantity.MR_SIGNAL, assume_axes=assume), path
            )
            outcomes["read" if image else "refused"] += 1
            if image:
                assert np.isfinite(image.volume.array).all()
                assert np.isfinite(image.volume.grid.affine).all()
        assert_image_or_sentence(lambda path=path: read_label_file(path, assume_axes=True), path)
        assert time.perf_counter() - start < 2.0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The first reading imports nibabel; a file of this size never needs more than a block of voxels.
    assert peak < 60_000_000
    assert outcomes["refused"] > 5
    if name != "packed.nii.gz":
        assert outcomes["read"] > 5


def test_seeds_are_read_when_whole(tmp_path):
    for name, files in SEEDS.items():
        for each, data in files.items():
            (tmp_path / each).write_bytes(data)
        assert read_image(tmp_path / name, quantity=Quantity.MR_SIGNAL).volume.shape == SHORTS.shape
