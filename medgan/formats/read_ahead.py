"""Work that is done one step ahead of its use, by a thread of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Made(Generic[Item]):
    item: Item


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def ahead(items: Generator[Item], *, steps: int) -> Generator[Item]:
    """Yield what ``items`` yields, made by a thread while the caller works on what came before.

    Parameters
    ----------
    items : generator
        Closed by the thread that runs it. What it raises is raised here, after everything that came before.
    steps : int
        Most items between their making and the end of the caller's work on them: a generator that fills ``steps``
        buffers in turn never touches one in use.

    Examples
    --------
    >>> list(ahead((n * n for n in range(4)), steps=2))
    [0, 1, 4, 9]
    """
    done: SimpleQueue[_Made[Item] | _Ended] = SimpleQueue()
    free, is_left = Semaphore(steps), False

    def make() -> None:
        error: BaseException | None = None
        try:
            with closing(items):
                while True:
                    free.acquire()
                    if is_left:
                        break
                    done.put(_Made(next(items)))
        except StopIteration:
            pass
        except BaseException as caught:  # raised again where the items are used
            error = caught
        done.put(_Ended(error))

    maker = Thread(target=make, name="medgan-ahead", daemon=True)
    maker.start()
    try:
        while isinstance(next_one := done.get(), _Made):
            yield next_one.item
            free.release()
        if next_one.error is not None:
            raise next_one.error
    finally:
        is_left = True
        free.release()
        maker.join()
