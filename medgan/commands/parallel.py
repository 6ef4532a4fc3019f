"""The same work on many items, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from medgan.errors import CohortError
from medgan.volume.side_by_side import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_done(function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int) -> Iterator[tuple[int, Result]]:
    """Yield the position and the result of each item as they are done; an error of ``function`` ends the work.

    Parameters
    ----------
    function : callable
        A function of a module, or a partial one, whose result does not depend on the process it runs in.
    items : sequence
    jobs : int
        Processes at most; with one, or one item, all is done here.

    Raises
    ------
    CohortError
        If a process is ended from outside.
    """
    jobs = min(jobs, len(items))
    if jobs <= 1:
        for position, item in enumerate(items):
            yield position, function(item)
        return
    from concurrent.futures.process import BrokenProcessPool

    from joblib import Parallel, delayed

    threads = max(1, usable_cores() // jobs)
    run = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered", batch_size=1)
    try:
        yield from run(delayed(_done)(function, position, item, threads) for position, item in enumerate(items))
    except BrokenProcessPool:
        raise CohortError(
            f"One of {jobs} processes was ended from outside, most likely for lack of memory: use fewer --jobs. "
            "The same command continues where this one stopped."
        ) from None


def _done(function: Callable[[Any], Any], position: int, item: Any, threads: int) -> tuple[int, Any]:
    import SimpleITK as sitk

    # Joblib bounds the threads of the linear algebra libraries, but does not know ITK's.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return position, function(item)
