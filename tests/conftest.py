"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

_BESIDE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans: MEDGAN_SHARED_DATA, else ../shared/data beside the repository; skips if absent."""
    folder = Path(os.environ.get("MEDGAN_SHARED_DATA", _BESIDE_REPOSITORY))
    if not folder.is_dir():
        pytest.skip("real scans are absent: set MEDGAN_SHARED_DATA or put them in ../shared/data beside the repository")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(20260)
