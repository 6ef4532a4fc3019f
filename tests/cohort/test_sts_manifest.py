"""The manifest of the limb study: no subject on both sides, and, where they are, the files themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgan.cohort import Manifest
from medgan.cohort.manifest import digest_of
from medgan.commands.cohort_data import read_case, training_entries
from medgan.volume import Quantity

MANIFESTS = sorted((Path(__file__).resolve().parents[2] / "data_manifests").glob("*.yaml"))
LIMBS = next(file for file in MANIFESTS if file.stem == "sts_limbs")


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_every_manifest_of_the_project_is_valid(file):
    assert Manifest.read(file).entries


def test_subjects_are_dealt_as_the_study_says():
    manifest = Manifest.read(LIMBS)
    sources, targets = training_entries(manifest, source="mr", target="ct")
    assert len(sources) == len({e.subject_id for e in sources}) == 7
    assert len(targets) == len({e.subject_id for e in targets}) == 7
    assert not {e.subject_id for e in sources} & {e.subject_id for e in targets}
    validation, test = (manifest.pairs(split=s, source="mr", target="ct") for s in ("validation", "test"))
    assert (len(validation), len(test)) == (2, 4)
    assert len(manifest.entries) == 7 + 7 + 2 * (2 + 4)
    assert len({e.subject_id for e in manifest.entries}) == 20
    assert all(
        (e.domain, e.modality, e.quantity) in {("mr", "MR", "mr_signal"), ("ct", "CT", "hounsfield")}
        for e in manifest.entries
    )


def test_all_files_are_the_ones_meant_and_can_be_read(shared_data):
    manifest = Manifest.read(LIMBS)
    assert [e.path for e in manifest.entries if digest_of(shared_data / e.path) != e.sha256] == []
    for entry in manifest.entries[::3]:
        case = read_case(entry, shared_data)
        assert case.image.quantity is Quantity.named(entry.quantity)
        assert entry.sha256 in case.image.provenance.sources
        assert min(case.image.shape) >= 25
        assert case.image.array.max() > case.image.array.min()
