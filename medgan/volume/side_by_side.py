"""Threads for work on arrays, which NumPy, SciPy and compressors do without holding the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")

MOST_THREADS = 4
"""Beyond it the memory's bandwidth is the bound."""


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads() -> int:
    """Return the number of cores that this process may run on, at most :data:`MOST_THREADS`.

    ``OMP_NUM_THREADS`` bounds it too, as it does linear algebra: it is how one of several processes is told its share.
    """
    cores = usable_cores()
    told = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(MOST_THREADS, cores, int(told) if told.isdecimal() else cores))


def side_by_side(do: Callable[[Part], object], parts: Sequence[Part]) -> None:
    """Do the parts at once, a thread for each; one part is done here. The first error is raised when all have ended.

    Examples
    --------
    >>> squares = [0, 0]
    >>> side_by_side(lambda n: squares.__setitem__(n, n * n + 1), range(2))
    >>> squares
    [1, 2]
    """
    if len(parts) == 1:
        do(parts[0])
        return
    with ThreadPoolExecutor(max(1, len(parts)), "medgan-part") as pool:
        for done in [pool.submit(do, part) for part in parts]:
            done.result()
