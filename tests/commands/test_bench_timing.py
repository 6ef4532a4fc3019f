"""Timing in turns, with clocks that the tests wind."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from medgan.commands.bench_timing import Child, ResidentGauge, Side, in_turns
from medgan.errors import SettingsError


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeGauge:
    def __init__(self, peaks: list[float | None]) -> None:
        self.peaks, self.begun = iter(peaks), 0

    def begin(self) -> None:
        self.begun += 1

    def peak_mb(self) -> float | None:
        return next(self.peaks)


def sides_of(clock: FakeClock, seconds: dict[str, list[float]], order: list[str]) -> dict[str, Side]:
    left = {name: iter(values) for name, values in seconds.items()}

    def run(name: str) -> str:
        order.append(name)
        clock.now += next(left[name])
        return name.upper()

    return {name: Side(lambda n=name: run(n), FakeGauge([1.0] * 9)) for name in seconds}


def test_sides_take_turns_backwards_every_other_round_after_a_warm_up_that_does_not_count():
    clock, order, told, judged = FakeClock(), [], [], []
    sides = sides_of(clock, {"one": [9, 1, 2, 3], "other": [9, 4, 5, 6]}, order)
    turns = in_turns(
        sides, rounds=3, clock=clock, judge=judged.append, advance=lambda done, total: told.append((done, total))
    )
    assert order == ["one", "other", "one", "other", "other", "one", "one", "other"]
    assert turns.seconds == {"one": [1, 2, 3], "other": [4, 5, 6]}
    assert judged == [{"one": "ONE", "other": "OTHER"}] * 3
    assert told == [(n, 8) for n in range(1, 9)]


@pytest.mark.parametrize(("first", "rounds"), [(61.0, 3), (60.0, 5)])
def test_runs_of_more_than_a_minute_are_repeated_three_times(first, rounds):
    clock = FakeClock()
    sides = sides_of(clock, {"one": [first, 1, 1, 1, 1], "other": [1] * 5}, [])
    assert len(in_turns(sides, clock=clock, warm_up=False).seconds["one"]) == rounds


def test_rounds_of_long_runs_stay_where_each_is_a_state_of_its_own():
    clock = FakeClock()
    sides = sides_of(clock, {"one": [99.0] * 5}, [])
    assert len(in_turns(sides, clock=clock, warm_up=False, long_rounds=None).seconds["one"]) == 5


def test_preparing_is_neither_timed_nor_judged():
    clock, prepared = FakeClock(), []

    def prepare() -> None:
        prepared.append(clock.now)
        clock.now += 100

    side = Side(lambda: setattr(clock, "now", clock.now + 2), FakeGauge([1.0] * 2), prepare)
    assert in_turns({"one": side}, rounds=2, clock=clock).seconds["one"] == [2, 2]
    assert len(prepared) == 3


def test_the_most_memory_of_all_rounds_counts_and_none_is_unknown():
    def turns(peaks: list[float | None]) -> float | None:
        return in_turns({"one": Side(lambda: None, FakeGauge(peaks))}, rounds=3).peak_mb["one"]

    assert turns([3.0, 7.0, 5.0]) == 7.0
    assert turns([None, None, None]) is None


def test_the_resident_gauge_sees_memory_that_is_given_back_and_not_what_was_held_before():
    held = np.ones(30_000_000 // 8)
    gauge = ResidentGauge()
    gauge.begin()
    if gauge.peak_mb() is None:
        pytest.skip("this system does not say how much memory a process holds")
    assert gauge.peak_mb() < 10
    passing = np.ones(80_000_000 // 8)
    del passing
    assert 70 < gauge.peak_mb() < 100
    gauge.begin()
    assert gauge.peak_mb() < 10
    assert held[0] == 1


def test_a_program_is_run_each_time_and_its_own_memory_is_known():
    child = Child([sys.executable, "-S", "-c", "b = bytearray(60_000_000)"])
    child()
    small = Child([sys.executable, "-S", "-c", "pass"])
    small()
    assert child.peak_mb() - small.peak_mb() > 50
    before = child.peak_mb()
    child.begin()
    child()
    assert child.peak_mb() == before


@pytest.mark.parametrize(
    ("code", "words"), [("import sys; sys.exit('no way')", "no way"), ("raise SystemExit(3)", "3")]
)
def test_a_program_that_fails_is_refused_with_its_last_words(code, words):
    child = Child([sys.executable, "-S", "-c", code])
    with pytest.raises(SettingsError, match="must end with 0") as refused:
        child()
    assert words in str(refused.value)
