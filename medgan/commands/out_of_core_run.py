"""Do all entries of a manifest by whoever was asked to, and say how it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from medgan.commands.console import Advance, Console
from medgan.commands.out_of_core_hands import Hands
from medgan.errors import SettingsError
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import Event, Rules, Work, order_of, take

LOOK_S = 1.0
"""Seconds between two looks at what others have finished."""


@dataclass(frozen=True)
class Tally:
    """How far the entries are after a run.

    Attributes
    ----------
    done : tuple of str
        All that are finished, by whomever.
    done_here : tuple of str
        Those that this run's own workers finished.
    failed : dict of str to str
        Entries that this run may not begin again, with the reason.
    running : tuple of str
        Entries that others work on.
    untried : tuple of str
        Entries that nobody works on.
    stopped : tuple of str
        Why workers stopped before nothing was left.
    events : tuple of str
        What else happened to workers.
    seconds : float
    """

    done: tuple[str, ...]
    done_here: tuple[str, ...]
    failed: dict[str, str]
    running: tuple[str, ...]
    untried: tuple[str, ...]
    stopped: tuple[str, ...]
    events: tuple[str, ...]
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether every entry is done."""
        return not (self.failed or self.running or self.untried)


@dataclass
class Watch:
    """Follows the events of a run for those who look on.

    Attributes
    ----------
    console : Console
    manifest : BlockManifest
    keys : tuple of str
    rules : Rules
    advance : callable
    name_of : callable
        Of an entry, for people.
    """

    console: Console
    manifest: BlockManifest
    keys: tuple[str, ...]
    rules: Rules
    advance: Advance
    name_of: Callable[[str], str]
    done: list[str] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)
    stopped: list[str] = field(default_factory=list)
    voxels: int = 0
    began: float = field(default_factory=time.monotonic)
    _looked: float = 0.0
    _known: int = 0

    def tell(self, event: Event) -> None:
        """Take note of an event."""
        if event.kind == "done":
            self.done.append(event.key)
            facts = event.facts or {}
            self.voxels += int(facts.get("voxels", 0))
            for sentence in facts.get("said", ()):
                self.console.notice(f"{self.name_of(event.key)}: {sentence}")
            self.look()
        elif event.kind == "failed":
            self.console.notice(f"{self.name_of(event.key)}: {event.reason}")
            if self.manifest.state(event.key, run=self.rules.run, tries=self.rules.tries) == "failed":
                self.given_up.add(event.key)
                self.look()
        elif event.kind == "stopped":
            self.stopped.append(event.reason)

    def look(self) -> None:
        """Report what is done by all; the disk is not asked more often than once a second."""
        if time.monotonic() - self._looked > LOOK_S or len(self.keys) < 100:
            self._known = len(self.manifest.done_keys() & set(self.keys))
            self._looked = time.monotonic()
        else:
            self._known += 1
        self.advance(min(self._known + len(self.given_up), len(self.keys)), len(self.keys))

    def rate(self) -> str:
        """Return the voxels a second of this run's own workers, nothing before the first block."""
        per_second = self.voxels / max(time.monotonic() - self.began, 1e-3)
        return f", {in_figures(per_second)} voxels a second" if self.voxels else ""


def done_by(
    hands: Hands,
    work: Work,
    manifest: BlockManifest,
    keys: Sequence[str],
    *,
    processes: int,
    rules: Rules,
    threads: int = 1,
    words: str,
    name_of: Callable[[str], str] = str,
    console: Console,
) -> Tally:
    """Let the hands that were asked for work until nothing is left to begin.

    Parameters
    ----------
    hands : Hands
    work : Work
    manifest : BlockManifest
    keys : sequence of str
        All entries; what is done already is not done again.
    processes, threads : int
        On this machine; of each process, where there are several.
    rules : Rules
    words : str
        What is done, for the progress.
    name_of : callable
    console : Console

    Raises
    ------
    SettingsError
        If a cluster cannot be reached.
    """
    begun = time.perf_counter()
    watch = Watch(console, manifest, tuple(keys), rules, lambda done, total: None, name_of)
    with console.progress(words, rate=watch.rate) as advance:
        watch.advance = advance
        watch.look()
        events = _worked(hands, work, manifest, keys, processes, rules, threads, watch)
    seconds = time.perf_counter() - begun
    return _tally(manifest, keys, rules, watch, events, seconds)


def _worked(
    hands: Hands,
    work: Work,
    manifest: BlockManifest,
    keys: Sequence[str],
    processes: int,
    rules: Rules,
    threads: int,
    watch: Watch,
) -> list[str]:
    done = manifest.done_keys()
    left = [key for key in keys if key not in done]
    if not left:
        return []
    if hands.scheduler is not None:
        try:
            from medgan.commands.out_of_core_dask import work_on_cluster
        except ImportError:
            raise SettingsError("--scheduler needs Dask: pip install 'medgan[cluster]'.") from None
        return work_on_cluster(work, manifest, left, scheduler=hands.scheduler, rules=rules, tell=watch.tell)
    if processes > 1 and len(left) > 1:
        from medgan.commands.out_of_core_workers import work_in_processes

        return work_in_processes(work, manifest, left, workers=processes, threads=threads, rules=rules, tell=watch.tell)
    # The share is counted over all entries, so that it is the same for a task that starts late.
    order = order_of(keys, *(hands.shard or (1, 1)))
    take(manifest, order, work.opened(), rules=rules, tell=watch.tell)
    return []


def _tally(
    manifest: BlockManifest, keys: Sequence[str], rules: Rules, watch: Watch, events: Sequence[str], seconds: float
) -> Tally:
    own = tuple(watch.done)
    if not manifest.is_there:
        # Somebody else finished the last entry, and completed the output.
        return Tally(tuple(keys), own, {}, (), (), (), tuple(events), seconds)
    finished = manifest.done_keys()
    done = tuple(key for key in keys if key in finished)
    failed, running, untried = dict[str, str](), list[str](), list[str]()
    for key in keys:
        if key in finished:
            continue
        state = manifest.state(key, run=rules.run, tries=rules.tries)
        reason = manifest.failure(key)
        if state == "running":
            running.append(key)
        elif state != "done":
            if reason is None:
                untried.append(key)
            else:
                failed[key] = reason
    stopped = tuple(dict.fromkeys(watch.stopped))
    return Tally(done, own, failed, tuple(running), tuple(untried), stopped, tuple(events), seconds)


def in_figures(number: float) -> str:
    """Return a large number for people, with two or three digits that count.

    Examples
    --------
    >>> in_figures(12_345_678), in_figures(4_200), in_figures(31)
    ('12.3 million', '4.2 thousand', '31')
    """
    if number >= 1e6:
        return f"{number / 1e6:.3g} million"
    return f"{number / 1e3:.3g} thousand" if number >= 1e3 else f"{number:.0f}"
