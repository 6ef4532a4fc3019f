"""What a side of a comparison is fastest with, before the rounds that count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RUNS = 3
"""Runs with each choice of either side, of which the first finds kernels and memory and the fastest counts."""


def fastest_seconds(run: Callable[[], object]) -> float:
    """Return the seconds of the fastest of :data:`RUNS` runs."""
    seconds = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def fastest_threads(run: Callable[[], object]) -> int:
    """Return the number of threads that medgan is faster with, one or all, as the peer gets the better too."""
    import torch

    seconds = {}
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        with torch_threads(threads):
            seconds[threads] = fastest_seconds(run)
    return min(seconds, key=seconds.__getitem__)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch work with so many threads meanwhile."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
