"""Two or more ways of doing one thing, timed in turns, with the memory that each needs."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from medgan.errors import SettingsError

ROUNDS = 5
"""Least number of rounds of a case."""
ROUNDS_OF_LONG_RUNS = 3
"""The same where one run takes longer than :data:`LONG_RUN_S`."""
LONG_RUN_S = 60.0

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_HIGH_WATER = "5"  # Linux, Documentation/filesystems/proc.rst
_BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


class Gauge(Protocol):
    """Measures the memory of a run."""

    def begin(self) -> None:
        """Be told that a run begins."""

    def peak_mb(self) -> float | None:
        """Return the most memory of the run that has ended in MB, None where this system does not say."""


class ResidentGauge:
    """The most memory of this process during a run beyond what it held before.

    Notes
    -----
    Linux counts the high-water mark of resident memory and lets a process reset it. The heap is trimmed before, so that
    memory which an earlier run has freed is not had for nothing.
    """

    def __init__(self) -> None:
        self._before: float | None = None

    def begin(self) -> None:
        """Trim the heap and reset the high-water mark."""
        # Only glibc has it; elsewhere the peak may be too low by what the heap kept.
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)
        try:
            _RESET.write_text(_RESET_HIGH_WATER)
            self._before = _status_mb("VmRSS")
        except OSError:
            self._before = None

    def peak_mb(self) -> float | None:
        """Return the rise of the high-water mark."""
        if self._before is None:
            return None
        peak = _status_mb("VmHWM")
        return None if peak is None else max(0.0, peak - self._before)


class Child:
    """A program that is run as a process of its own, and the memory that it needed in all.

    Parameters
    ----------
    command : sequence of str
    environment : mapping, optional
        Added to this process's.

    Notes
    -----
    Its output goes nowhere; a failure raises with the last line that it said. The first run, a warm-up, goes through a
    small process between, because Linux counts the memory of the process that starts a program as the program's own.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        self._command, self._environment = list(command), {**os.environ, **(environment or {})}
        self._peak_mb: float | None = None

    def __call__(self) -> None:
        """Run it to its end.

        Raises
        ------
        SettingsError
            If it ends with another code than 0.
        """
        first = self._peak_mb is None
        command = [sys.executable, "-S", "-c", _BETWEEN, *self._command] if first else self._command
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if first else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            words = said[-1] if said else "it said nothing"
            raise SettingsError(f"A program of the benchmark must end with 0: found {done.returncode} ({words}).")
        if first:
            self._peak_mb = int(done.stdout) / 1024

    def begin(self) -> None:
        """Nothing is to be reset: the peak is that of the first run."""

    def peak_mb(self) -> float | None:
        """Return the resident peak of the whole process."""
        return self._peak_mb


@dataclass(frozen=True, eq=False)
class Side:
    """One way of doing it.

    Parameters
    ----------
    run : callable
        Does it once; what it returns goes to the judge.
    gauge : Gauge
        Measures memory; this process's by default.
    prepare : callable, optional
        Called before every run, outside of the clock.
    """

    run: Callable[[], Any]
    gauge: Gauge = field(default_factory=ResidentGauge)
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Turns:
    """What was measured, by name of side: seconds of every round in order, and the most memory over all rounds."""

    seconds: dict[str, list[float]]
    peak_mb: dict[str, float | None]


def in_turns(
    sides: Mapping[str, Side],
    *,
    rounds: int = ROUNDS,
    long_rounds: int | None = ROUNDS_OF_LONG_RUNS,
    warm_up: bool = True,
    judge: Callable[[dict[str, Any]], None] | None = None,
    advance: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Turns:
    """Run all sides round by round, so that whatever else the machine does meets all of them.

    Parameters
    ----------
    sides : mapping of name to Side
    rounds : int
        Timed rounds.
    long_rounds : int, optional
        Timed rounds where a run of the first one took longer than a minute; None: as many all the same.
    warm_up : bool
        One round before that is neither timed nor judged.
    judge : callable, optional
        Given the results of every timed round by name of side.
    advance : callable, optional
        Told runs done and runs in all.
    clock : callable
        Seconds.

    Notes
    -----
    Every other round goes through the sides backwards: what drifts does not always meet the same side first.
    """
    names = list(sides)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, float | None] = dict.fromkeys(names)
    done = 0

    def runs(count: int) -> int:
        return (count + warm_up) * len(names)

    if warm_up:
        for name in names:
            _prepared(sides[name]).run()
            done += 1
            if advance is not None:
                advance(done, runs(rounds))
    with _garbage_set_apart():
        number = 0
        while number < rounds:
            results = {}
            for name in names if number % 2 == 0 else names[::-1]:
                side = _prepared(sides[name])
                gc.collect()
                side.gauge.begin()
                begun = clock()
                results[name] = side.run()
                seconds[name].append(clock() - begun)
                peak = side.gauge.peak_mb()
                if peak is not None:
                    peaks[name] = max(peak, peaks[name] or 0.0)
                done += 1
                if advance is not None:
                    advance(done, runs(rounds))
            if judge is not None:
                judge(results)
            number += 1
            if number == 1 and long_rounds is not None and max(each[0] for each in seconds.values()) > LONG_RUN_S:
                rounds = min(rounds, long_rounds)
    return Turns(seconds=seconds, peak_mb=peaks)


@contextmanager
def _garbage_set_apart() -> Iterator[None]:
    """Leave out of collections what libraries have made so far: to look through it, inside a run, takes up to 0.2 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _prepared(side: Side) -> Side:
    if side.prepare is not None:
        side.prepare()
    return side


def _status_mb(field_name: str) -> float | None:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field_name}:"):
            return int(line.split()[1]) / 1024
    return None
