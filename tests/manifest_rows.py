"""Rows of small manifests, valid unless a test says otherwise."""

from __future__ import annotations

import hashlib
from typing import Any

from medgan.cohort import CaseEntry, Manifest

FACTS = {"title": "Two limbs", "license": "CC BY 4.0", "citation": "Nobody 2024", "obtain": "Ask nobody: ü."}


def digest(word: str) -> str:
    """SHA-256 of a word, as a stand-in for that of a file."""
    return hashlib.sha256(word.encode()).hexdigest()


def entry(**changes: Any) -> CaseEntry:
    """Return one valid row; its file and digest follow from case and domain unless they are given."""
    row = {"case_id": "limb_1", "subject_id": "limb_1", "split": "train", "domain": "mr", "modality": "MR"}
    row |= {"quantity": "mr_signal"} | changes
    row.setdefault("path", f"images/{row['case_id']}_{row['domain']}.nii.gz")
    row.setdefault("sha256", digest(row["path"]))
    return CaseEntry(**row)


def paired(case_id: str, split: str) -> tuple[CaseEntry, CaseEntry]:
    """Return MR and CT of one subject."""
    same = {"case_id": case_id, "subject_id": case_id, "split": split}
    return entry(**same), entry(**same, domain="ct", modality="CT", quantity="hounsfield")


def manifest(*entries: CaseEntry) -> Manifest:
    """Return a manifest of these rows."""
    return Manifest(**FACTS, entries=entries)
