"""Workers of a Dask cluster, found by the address of its scheduler: dask-jobqueue, Kubernetes, a cloud, or by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from distributed import Client, WorkerPlugin, get_worker, wait

from medgan.errors import SettingsError
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import POLL_S, Do, Event, Rules, Tell, Work, attempted

SECONDS_TO_CONNECT, SECONDS_WITHOUT_WORKERS = 30, 600
"""Workers of a queue may come late: only after this is a cluster taken for one without any."""
AHEAD = 2
"""Entries that are sent for each thread of the cluster before one of them is back."""


class OpenedWork(WorkerPlugin):
    """A plugin of a Dask worker, which loads the network once, when the first entry comes."""

    def __init__(self, work: Work, name: str) -> None:
        self.work, self.name = work, name

    def setup(self, worker: Any) -> None:
        """Make what cannot be sent between machines."""
        self._lock, self._do = threading.Lock(), dict[str, Do]()

    def opened(self) -> Do:
        """Return what does an entry."""
        with self._lock:
            if "do" not in self._do:
                self._do["do"] = self.work.opened()
            return self._do["do"]


def work_on_cluster(
    work: Work,
    manifest: BlockManifest,
    keys: Sequence[str],
    *,
    scheduler: str,
    rules: Rules,
    tell: Tell,
    patience_s: float = SECONDS_WITHOUT_WORKERS,
) -> list[str]:
    """Let the workers of a cluster work until nothing is left to begin; new ones may join and others may leave.

    Parameters
    ----------
    work : Work
    manifest : BlockManifest
        On a disk that all workers see under the same name, as are source, model and output.
    keys : sequence of str
    scheduler : str
        Address.
    rules : Rules
    tell : callable
    patience_s : float
        How long a cluster may be without workers.

    Returns
    -------
    list of str
        What happened to workers.

    Raises
    ------
    SettingsError
        If nobody answers, or no worker comes.
    """
    plugin = OpenedWork(work, f"medgan-{rules.run}")
    with _connected(scheduler) as client:
        client.register_plugin(plugin)
        try:
            return _worked(client, manifest, list(keys), plugin.name, rules, tell, patience_s)
        finally:
            # The network need not stay in the memory of workers that others use as well.
            client.unregister_worker_plugin(plugin.name)


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise SettingsError(
            f"No Dask scheduler answers at {scheduler} ({type(error).__name__}): is it running, and its port open?"
        ) from None
    with client, client.as_current():
        yield client


def _worked(
    client: Client,
    manifest: BlockManifest,
    left: list[str],
    plugin: str,
    rules: Rules,
    tell: Tell,
    patience_s: float,
) -> list[str]:
    events, waiting, flying, untold = list[str](), list[str](), dict[Any, str](), set[str]()
    seen = time.monotonic()
    left.reverse()
    while left or flying or waiting:
        threads = sum(client.nthreads().values())
        if threads:
            seen = time.monotonic()
        elif time.monotonic() - seen > patience_s:
            raise SettingsError(
                f"The Dask cluster has had no workers for {patience_s:g} s: start some; the same command continues."
            )
        while left and len(flying) < AHEAD * max(threads, 1):
            key = left.pop()
            state = manifest.state(key, run=rules.run, tries=rules.tries)
            if state == "pending":
                # Who begins a lost entry again is for the manifest to say, not for Dask.
                flying[client.submit(_attempt, manifest, key, rules, plugin, pure=False, retries=0)] = key
            elif state == "running":
                waiting.append(key)
            elif state == "done" and key in untold and manifest.done_facts(key).get("run") == rules.run:
                # The worker had finished it, and died before it could say so; Dask may have sent it to another since.
                tell(Event("done", key, facts=manifest.done_facts(key)))
        if not flying:
            left, waiting = waiting, []
            if not manifest.is_there:
                break
            if left:
                time.sleep(POLL_S)
            continue
        for future in _finished(flying):
            key = flying.pop(future)
            event = future.result() if future.status == "finished" else None
            if future.status != "finished":
                events.append(f"A worker of the cluster was lost at {key}.")
            if event is None:
                untold.add(key)
            if event is None or event.kind == "failed":
                waiting.append(key)
            if event is not None:
                tell(event)
    return events


def _finished(flying: Mapping[Any, str]) -> list[Any]:
    try:
        return list(wait(list(flying), timeout=5, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return []


def _attempt(manifest: BlockManifest, key: str, rules: Rules, plugin: str) -> Event | None:
    """Run on the cluster: do one entry, unless somebody else does."""
    claim = manifest.claim(key, run=rules.run, tries=rules.tries)
    if claim is None:
        return None
    opened: Any = get_worker().plugins[plugin]
    # Opened inside, so that a model that cannot be loaded there is this entry's failure.
    return attempted(claim, lambda name: opened.opened()(name), lambda event: None)
