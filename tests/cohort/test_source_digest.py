"""The digest of an image covers every file that it is read from, and a folder's is what a shell gives."""

from __future__ import annotations

import hashlib
import subprocess

import numpy as np
import pytest
from dicom_phantoms import series_of
from stored_phantoms import SHORTS, nifti_bytes, written_mhd

from medgan.cohort.source_digest import combined, digest_of
from medgan.errors import FormatError
from medgan.phantoms.dicom_folder import write_archive, write_file_set, write_series


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_one_file_has_its_own_digest(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"voxels")
    assert digest_of(tmp_path / "a.nii.gz") == sha256(b"voxels")
    archive = write_archive(series_of(), tmp_path / "a.zip")
    assert digest_of(archive) == sha256(archive.read_bytes())


def test_a_header_counts_with_its_data(tmp_path):
    path = written_mhd(tmp_path)
    before = digest_of(path)
    assert before == combined([sha256(path.read_bytes()), sha256(bytes(24))])
    (tmp_path / "v.raw").write_bytes(bytes(23) + b"\1")
    assert digest_of(path) != before


def test_a_pair_has_one_digest_by_either_name(tmp_path):
    (tmp_path / "p.hdr").write_bytes(nifti_bytes(SHORTS, pair=True))
    (tmp_path / "p.img").write_bytes(SHORTS.tobytes(order="F"))
    assert digest_of(tmp_path / "p.hdr") == digest_of(tmp_path / "p.img")


def test_a_folder_has_the_digest_that_a_shell_gives(tmp_path):
    write_series(series_of(), tmp_path / "in")
    (tmp_path / "in" / "deeper").mkdir()
    (tmp_path / "in" / "deeper" / "a b").write_bytes(b"x")
    (tmp_path / "in" / ".hidden").write_bytes(b"y")
    command = "find -L in -type f -exec sha256sum {} + | cut -c1-64 | sort | sha256sum"
    shell = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert digest_of(tmp_path / "in") == shell.stdout[:64]


def test_a_folder_s_digest_sees_every_file_and_no_name(tmp_path):
    paths = write_series(series_of(), tmp_path)
    before = digest_of(tmp_path)
    paths[0].rename(tmp_path / "renamed")
    assert digest_of(tmp_path) == before
    data = bytearray(paths[1].read_bytes())
    data[-1] ^= 1
    paths[1].write_bytes(data)
    changed = digest_of(tmp_path)
    assert changed != before
    (tmp_path / "more").write_bytes(b"")
    assert digest_of(tmp_path) not in (before, changed)


def test_a_folder_of_one_file_is_not_that_file(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"x")
    assert digest_of(tmp_path / "in") == combined([sha256(b"x")]) != sha256(b"x")


def test_a_directory_stands_for_what_it_lists(tmp_path):
    directory = write_file_set(series_of(), tmp_path / "set")
    files = [path for path in (tmp_path / "set").rglob("*") if path.is_file()]
    assert digest_of(directory) == combined(sha256(path.read_bytes()) for path in files)
    (tmp_path / "set" / "not_listed").write_bytes(b"")
    assert digest_of(directory) == combined(sha256(path.read_bytes()) for path in files)


def test_what_is_missing_is_refused(tmp_path):
    path = written_mhd(tmp_path)
    (tmp_path / "v.raw").unlink()
    with pytest.raises(FormatError, match=r"v\.mhd: its data file v\.raw is missing"):
        digest_of(path)
    with pytest.raises(FormatError, match="absent does not exist"):
        digest_of(tmp_path / "absent")


def test_digests_are_combined_as_a_set_of_lines():
    digests = [sha256(bytes([n])) for n in range(5)]
    shuffled = [digests[n] for n in np.random.default_rng(0).permutation(5)]
    assert combined(shuffled) == combined(digests) == sha256("".join(f"{d}\n" for d in sorted(digests)).encode())
