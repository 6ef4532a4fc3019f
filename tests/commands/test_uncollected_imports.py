"""Importing without a search for garbage in between: only where PyTorch is yet to come, and never for good."""

from __future__ import annotations

import gc
import sys

import pytest

from medgan.commands.uncollected_imports import uncollected_imports


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    frozen = gc.get_freeze_count()
    yield
    if not frozen:
        gc.unfreeze()


def test_a_first_import_is_not_collected_and_what_it_made_is_frozen(without_torch):
    with uncollected_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_collection_comes_back_after_an_import_that_fails(without_torch):
    with pytest.raises(ImportError), uncollected_imports():
        raise ImportError
    assert gc.isenabled()


def test_a_later_import_changes_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", sys)
    before = gc.get_freeze_count()
    with uncollected_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_a_process_that_collects_no_garbage_is_left_alone(without_torch):
    before = gc.get_freeze_count()
    gc.disable()
    try:
        with uncollected_imports():
            pass
        assert not gc.isenabled()
        assert gc.get_freeze_count() == before
    finally:
        gc.enable()
