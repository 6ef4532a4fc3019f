"""The choice between float32 and bfloat16, asked once a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medgan.errors import TrainingError
from medgan.training import precision
from medgan.training.precision import autocast, resolve_precision


@pytest.fixture
def with_instructions(monkeypatch):
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset({"avx2", "avx512_bf16"}))
    monkeypatch.setattr(precision, "processor_name", lambda: "Test Processor 9")


def answer(monkeypatch, speedup: float) -> list[float]:
    """Replace the probe; the list that is returned grows with every call."""
    calls: list[float] = []

    def probe() -> float:
        calls.append(speedup)
        return speedup

    monkeypatch.setattr(precision, "probe_speedup", probe)
    return calls


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_an_explicit_choice_is_taken_at_its_word(monkeypatch, tmp_path, asked):
    calls = answer(monkeypatch, 0.1)
    record = resolve_precision(asked, cache_folder=tmp_path)
    assert record.precision == asked
    assert not calls
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("speedup", "chosen"), [(3.0, "bfloat16"), (1.1, "float32"), (0.02, "float32")])
def test_auto_follows_the_probe_and_asks_once(monkeypatch, tmp_path, with_instructions, speedup, chosen):
    calls = answer(monkeypatch, speedup)
    first = resolve_precision("auto", cache_folder=tmp_path / "new")
    second = resolve_precision("auto", cache_folder=tmp_path / "new")
    assert first == second
    assert len(calls) == 1
    assert first.precision == chosen
    assert first.speedup == speedup
    assert f"{speedup:.2f} times" in first.reason
    assert json.loads(json.dumps(first.as_dict()))["processor"] == "Test Processor 9"


def test_another_processor_or_torch_asks_again(monkeypatch, tmp_path, with_instructions):
    calls = answer(monkeypatch, 2.0)
    resolve_precision("auto", cache_folder=tmp_path)
    monkeypatch.setattr(precision, "processor_name", lambda: "Another")
    resolve_precision("auto", cache_folder=tmp_path)
    monkeypatch.setattr(torch, "__version__", "9.9")
    resolve_precision("auto", cache_folder=tmp_path)
    assert len(calls) == 3
    assert len(json.loads((tmp_path / "precision.json").read_text())) == 3


def test_without_instructions_there_is_no_probe(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset({"avx2"}))
    calls = answer(monkeypatch, 3.0)
    record = resolve_precision("auto", cache_folder=tmp_path)
    assert record.precision == "float32"
    assert "no bfloat16 instructions" in record.reason
    assert not calls


@pytest.mark.parametrize("content", ["", "{not json", "[1]", '{"Test Processor 9": "fast"}'])
def test_a_damaged_cache_is_asked_anew(monkeypatch, tmp_path, with_instructions, content):
    (tmp_path / "precision.json").write_text(content)
    calls = answer(monkeypatch, 2.0)
    assert resolve_precision("auto", cache_folder=tmp_path).precision == "bfloat16"
    assert len(calls) == 1


def test_a_cache_that_cannot_be_written_does_not_stop_anything(monkeypatch, tmp_path, with_instructions):
    answer(monkeypatch, 2.0)
    (tmp_path / "file").write_text("in the way")
    assert resolve_precision("auto", cache_folder=tmp_path / "file" / "folder").precision == "bfloat16"


def test_the_platform_cache_folder_is_used(monkeypatch, tmp_path, with_instructions):
    answer(monkeypatch, 2.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    resolve_precision("auto")
    assert (tmp_path / "medgan" / "precision.json").is_file()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert precision.default_cache_folder() == tmp_path / "me" / ".cache" / "medgan"


def test_the_probe_measures_something():
    threads = torch.get_num_threads()
    assert precision.probe_speedup(seconds=0.01) > 0
    assert torch.get_num_threads() == threads


def test_the_processor_is_read_from_cpuinfo(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\n")
    assert precision.processor_name(cpuinfo) == "Some CPU"
    assert precision.processor_flags(cpuinfo) == {"fpu", "avx2", "amx_bf16"}
    assert precision.processor_name(tmp_path / "absent") == "unknown"
    assert precision.processor_flags(tmp_path / "absent") == frozenset()


def test_autocast_in_both_precisions_and_unknown_words():
    matrix = torch.ones(4, 4)
    with autocast("bfloat16", "cpu"):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with autocast("float32", "cpu"):
        assert (matrix @ matrix).dtype == torch.float32
    with pytest.raises(TrainingError, match="'float32' or 'bfloat16': found 'auto'"):
        autocast("auto", "cpu")
    with pytest.raises(TrainingError, match="'auto', 'float32' or 'bfloat16': found 'half'"):
        resolve_precision("half")
