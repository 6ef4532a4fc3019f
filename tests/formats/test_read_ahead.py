"""Work ahead of its use: the same items in the same order, errors in their place, and no thread left behind."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import numpy as np
import pytest

from medgan.formats.read_ahead import ahead


def test_items_come_in_order_and_the_thread_ends():
    before = threading.active_count()
    assert list(ahead((n for n in range(50)), steps=3)) == list(range(50))
    assert list(ahead((n for n in range(0)), steps=1)) == []
    assert threading.active_count() == before


def test_error_is_raised_after_what_came_before():
    def failing():
        yield 1
        yield 2
        raise KeyError("third")

    seen = []

    def see_all():
        for item in ahead(failing(), steps=2):
            seen.append(item)

    with pytest.raises(KeyError, match="third"):
        see_all()
    assert seen == [1, 2]


def test_leaving_early_closes_the_generator_and_ends_the_thread():
    before, closed = threading.active_count(), []

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    with closing(ahead(endless(), steps=2)) as items:
        for _, item in zip(range(3), items):
            assert item == 0
    assert closed == [True]
    assert threading.active_count() == before


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_buffers_that_take_turns_are_never_written_to_while_in_use(steps):
    buffers = np.zeros((steps, 100), np.int64)

    def filled():
        for n in range(60):
            buffer = buffers[n % steps]
            buffer[:] = n
            yield n, buffer

    for n, buffer in ahead(filled(), steps=steps):
        if n % 7 == 0:
            time.sleep(0.002)  # Time for the maker to run into it.
        assert (buffer == n).all()


def test_maker_is_at_most_the_steps_ahead():
    made = []

    def counted():
        for n in range(30):
            made.append(n)
            yield n

    for n in ahead(counted(), steps=3):
        time.sleep(0.001)
        assert len(made) <= n + 3
