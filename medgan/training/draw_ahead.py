"""Draw the batch of the next step while this step computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

BatchT = TypeVar("BatchT")


@contextmanager
def drawn_ahead(batches: Callable[[int, int], BatchT], *, last_step: int) -> Iterator[Callable[[int, int], BatchT]]:
    """Give batches of which the next one is drawn by a thread of its own, one ahead at most.

    Parameters
    ----------
    batches : callable
        ``batches(step, attempt) -> batch``, a pure function. Only the thread calls it, one call at a time.
    last_step : int
        Nothing is drawn beyond it.

    Yields
    ------
    callable
        The same function of step and attempt. An error of a batch is raised where the batch is asked for, not where
        it was drawn. What was drawn for another attempt is thrown away with its error.

    Notes
    -----
    When the context ends, also by an error or an interruption, it waits for the batch that is being drawn: no thread
    is left.

    Examples
    --------
    >>> with drawn_ahead(lambda step, attempt: 10 * attempt + step, last_step=3) as batches:
    ...     batches(1, 0), batches(2, 0), batches(1, 1)
    (1, 2, 11)
    """
    ahead: dict[tuple[int, int], Future[BatchT]] = {}
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="medgan-draw") as drawer:

        def taken(step: int, attempt: int) -> BatchT:
            wanted = ahead.pop((step, attempt), None) or drawer.submit(batches, step, attempt)
            ahead.clear()
            batch = wanted.result()
            if step < last_step:
                ahead[step + 1, attempt] = drawer.submit(batches, step + 1, attempt)
            return batch

        try:
            yield taken
        finally:
            drawer.shutdown(wait=True, cancel_futures=True)
