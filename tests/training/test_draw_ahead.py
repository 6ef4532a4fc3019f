"""Batches that are drawn one ahead: the same batches and errors, never two ahead, and no thread left."""

from __future__ import annotations

import threading

import pytest

from medgan.training.draw_ahead import drawn_ahead


def drawing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("medgan-draw")]


class Drawer:
    """Records what it was asked for, by which thread, and refuses one step."""

    def __init__(self, refused: int | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self.refused = refused
        self.drawn = threading.Semaphore(0)

    def __call__(self, step: int, attempt: int) -> str:
        self.asked.append((step, attempt))
        self.threads.add(threading.current_thread().name)
        self.drawn.release()
        if step == self.refused:
            raise ValueError(f"no batch for step {step}")
        return f"{attempt}.{step}"

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.drawn.acquire(timeout=10)


def test_batches_come_in_order_from_one_thread_and_none_beyond_the_last_step():
    drawer = Drawer()
    with drawn_ahead(drawer, last_step=4) as batches:
        assert [batches(step, 0) for step in (1, 2, 3, 4)] == ["0.1", "0.2", "0.3", "0.4"]
    assert drawer.asked == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert len(drawer.threads) == 1
    assert threading.current_thread().name not in drawer.threads


def test_the_next_batch_is_drawn_while_nobody_asks_and_only_one():
    drawer = Drawer()
    with drawn_ahead(drawer, last_step=9) as batches:
        batches(1, 0)
        drawer.wait_for(2)
        assert not drawer.drawn.acquire(timeout=0.05)
        assert drawer.asked == [(1, 0), (2, 0)]


def test_an_error_is_raised_at_its_own_step():
    with drawn_ahead(Drawer(refused=3), last_step=9) as batches:
        assert batches(1, 0) == "0.1"
        assert batches(2, 0) == "0.2"
        with pytest.raises(ValueError, match="no batch for step 3"):
            batches(3, 0)
        # Asked again, it is drawn again.
        with pytest.raises(ValueError, match="no batch for step 3"):
            batches(3, 0)
    assert not drawing_threads()


def test_what_was_drawn_for_another_attempt_is_thrown_away_with_its_error():
    drawer = Drawer(refused=3)
    with drawn_ahead(drawer, last_step=9) as batches:
        batches(2, 0)
        drawer.wait_for(2)
        assert batches(1, 1) == "1.1"
        assert batches(2, 1) == "1.2"
    assert drawer.asked[:4] == [(2, 0), (3, 0), (1, 1), (2, 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_no_thread_is_left_when_the_work_ends_by_an_error(error):
    began, finished = threading.Event(), threading.Event()

    def slow(step: int, attempt: int) -> int:
        if step == 2:
            began.set()
            threading.Event().wait(0.1)
            finished.set()
        return step

    def stopped() -> None:
        with drawn_ahead(slow, last_step=9) as batches:
            batches(1, 0)
            assert began.wait(10)
            assert drawing_threads()
            raise error

    with pytest.raises(error):
        stopped()
    # What was being drawn came to its end: it may hold a file.
    assert finished.is_set()
    assert not drawing_threads()


def test_no_thread_begins_where_no_batch_is_asked_for():
    with drawn_ahead(Drawer(), last_step=9):
        assert not drawing_threads()
