"""Threads: as many as there are cores and as one is told, and no error is lost."""

from __future__ import annotations

import threading

import pytest

from medgan.volume import side_by_side as module
from medgan.volume.side_by_side import MOST_THREADS, side_by_side, usable_threads


@pytest.mark.parametrize(
    ("cores", "told", "wanted"),
    [(1, None, 1), (2, None, 2), (64, None, MOST_THREADS), (64, "3", 3), (2, "8", 2), (2, "0", 1), (2, "many", 2)],
)
def test_number_of_threads(monkeypatch, cores, told, wanted):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert usable_threads() == wanted


def test_parts_are_done_at_once_and_one_part_here():
    meeting = threading.Barrier(3, timeout=10)
    side_by_side(lambda _: meeting.wait(), [1, 2, 3])
    where = []
    side_by_side(lambda _: where.append(threading.current_thread()), ["alone"])
    assert where == [threading.current_thread()]
    side_by_side(where.append, [])
    assert len(where) == 1


@pytest.mark.parametrize("parts", [[1], [1, 2, 3]])
def test_error_is_raised(parts):
    def fails(part):
        if part == parts[-1]:
            raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match=f"part {parts[-1]}"):
        side_by_side(fails, parts)
