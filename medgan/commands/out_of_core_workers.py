"""Worker processes on this machine: started anew when one dies, and ended with the process that started them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from medgan.errors import MedganError
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import Event, Rules, Tell, Work, order_of, take

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
DEATHS_BEFORE_WORK = 3
"""So many workers that die before they begin an entry, and no more are started."""


@dataclass
class _Worker:
    """One process and what is known of it."""

    place: int
    process: BaseProcess
    events: Connection
    key: str | None = None
    is_done: bool = False


def work_in_processes(
    work: Work,
    manifest: BlockManifest,
    keys: Sequence[str],
    *,
    workers: int,
    threads: int = 1,
    rules: Rules,
    tell: Tell,
) -> list[str]:
    """Let several processes work until nothing is left to begin.

    Parameters
    ----------
    work : Work
        Sent to every process.
    manifest : BlockManifest
    keys : sequence of str
    workers, threads : int
        Processes, and threads of each.
    rules : Rules
    tell : callable
        Told of every event, in this process.

    Returns
    -------
    list of str
        What happened to workers: each that died, with the entry it was at.
    """
    events: list[str] = []
    deaths = 0
    running: list[_Worker] = []
    try:
        for place in range(1, min(workers, len(keys)) + 1):
            running.append(_started(place, workers, work, manifest, keys, threads, rules))
        while running:
            wait([*(worker.events for worker in running), *(worker.process.sentinel for worker in running)], timeout=5)
            for worker in list(running):
                _listen(worker, tell)
                if worker.process.exitcode is None:
                    continue
                _listen(worker, tell)
                running.remove(worker)
                worker.process.join()
                worker.events.close()
                if worker.is_done:
                    continue
                at = f"at {worker.key}" if worker.key else "before it began anything"
                events.append(f"A worker was ended from outside {at} ({_ending(worker.process.exitcode)}).")
                deaths += worker.key is None
                if deaths < DEATHS_BEFORE_WORK and manifest.is_there:
                    running.append(_started(worker.place, workers, work, manifest, keys, threads, rules))
    finally:
        for worker in running:
            worker.process.kill()
        for worker in running:
            worker.process.join()
    return events


def _started(
    place: int,
    places: int,
    work: Work,
    manifest: BlockManifest,
    keys: Sequence[str],
    threads: int,
    rules: Rules,
) -> _Worker:
    # Spawned, not forked: a fork inherits the locks of PyTorch's and Zarr's threads.
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    arguments = (theirs, os.getpid(), work, manifest, order_of(keys, place, places), rules)
    process = context.Process(target=_work, args=arguments, daemon=True, name=f"medgan-worker-{place}")
    with _threads_of_children(threads):
        process.start()
    # Only the child holds the other end now: that it dies is seen here as the end of the events.
    theirs.close()
    return _Worker(place, process, ours)


def _work(
    events: Connection, parent: int, work: Work, manifest: BlockManifest, keys: Sequence[str], rules: Rules
) -> None:
    """Run in the child."""
    # Ctrl-C goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        try:
            take(manifest, keys, work.opened(), rules=rules, tell=events.send)
        except MedganError as error:
            events.send(Event("stopped", "", reason=str(error)))
        events.send(None)
    except BrokenPipeError:
        # Nobody listens any more; what is finished is in the manifest.
        return


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def _listen(worker: _Worker, tell: Tell) -> None:
    while not worker.is_done:
        try:
            if not worker.events.poll():
                return
            event: Any = worker.events.recv()
        except (EOFError, OSError):
            return
        if event is None:
            worker.is_done = True
            return
        worker.key = event.key if event.kind == "begun" else None
        tell(event)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


@contextmanager
def _threads_of_children(threads: int) -> Iterator[None]:
    """Bound the threads of numeric libraries in processes started inside: they read these names when they load."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
