"""Worker processes share entries, and their deaths are counted."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from plain_work import PlainWork

from medgan.commands.console import Console
from medgan.commands.out_of_core_hands import Hands
from medgan.commands.out_of_core_run import done_by
from medgan.commands.out_of_core_workers import DEATHS_BEFORE_WORK, work_in_processes
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import Rules

KEYS = [f"case_{n}" for n in range(6)]


@pytest.fixture
def manifest(tmp_path) -> BlockManifest:
    return BlockManifest.opened(tmp_path / "m", {})


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def run(manifest, work, *, workers=2, threads=1):
    told = []
    rules = Rules("r")
    sentences = work_in_processes(work, manifest, KEYS, workers=workers, threads=threads, rules=rules, tell=told.append)
    return sentences, told


def test_each_entry_is_done_once_with_the_threads_of_its_share(manifest, notes):
    before = dict(os.environ)
    sentences, told = run(manifest, PlainWork(notes), threads=3)
    assert sentences == []
    assert Counter(event.kind for event in told) == {"begun": 6, "done": 6}
    lines = [(notes / f"{key}.txt").read_text().splitlines() for key in KEYS]
    assert all(len(each) == 1 and each[0].endswith(" 3") for each in lines)
    assert str(os.getpid()) not in {each[0].split()[0] for each in lines}
    assert dict(os.environ) == before


def test_an_entry_that_kills_its_workers_is_named_and_the_rest_is_done(manifest, notes):
    sentences, _ = run(manifest, PlainWork(notes, deadly="case_3"))
    assert len(sentences) == 3
    assert set(sentences) == {"A worker was ended from outside at case_3 (SIGKILL)."}
    assert manifest.done_keys() == set(KEYS) - {"case_3"}
    assert manifest.state("case_3", run="r") == "failed"
    assert "lack of memory" in manifest.failure("case_3")


def test_workers_that_die_before_they_begin_are_not_started_for_ever(manifest, notes):
    sentences, told = run(manifest, PlainWork(notes, how="dies"))
    assert sentences == ["A worker was ended from outside before it began anything (exit code 7)."] * len(sentences)
    assert DEATHS_BEFORE_WORK <= len(sentences) <= DEATHS_BEFORE_WORK + 1
    assert told == []


def test_work_that_cannot_be_opened_is_said(manifest, notes):
    _, told = run(manifest, PlainWork(notes, how="refused"))
    assert [(event.kind, event.reason) for event in told] == [("stopped", "no such model")] * 2


def test_the_tally_counts_what_each_entry_came_to(manifest, notes, capsys):
    manifest.claim("case_0", run="earlier").finish({})
    manifest.claim("case_1", run="another")  # by this process, which lives
    rules = Rules("r", tries=1, waits=False)
    tally = done_by(
        Hands(),
        PlainWork(notes / "nowhere"),
        manifest,
        KEYS[:4],
        processes=1,
        rules=rules,
        words="working",
        console=Console(),
    )
    assert tally.done == ("case_0",)
    assert tally.done_here == ()
    assert tally.running == ("case_1",)
    assert set(tally.failed) == {"case_2", "case_3"}
    assert not tally.is_complete
    assert "working: 3 of 4" in capsys.readouterr().err
    tally = done_by(
        Hands(), PlainWork(notes), manifest, KEYS[:3], processes=1, rules=Rules("s", waits=False), words="w",
        console=Console(quiet=True),
    )  # fmt: skip
    assert tally.done_here == ("case_2",)
