"""Do what a manifest lists, one entry after the other, beside any number of others who do the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from medgan.errors import MedganError, OutputError
from medgan.inference.block_claim import Claim
from medgan.inference.block_manifest import TRIES, BlockManifest

Entry = TypeVar("Entry")
Do = Callable[[str], Mapping[str, Any]]
"""Does one entry and returns what is recorded of it."""
POLL_S = 0.5
REFUSED_WRITES = 3
"""So many entries in a row whose results cannot be written, and a worker stops: the disk is full for all."""


class Work(Protocol):
    """Work that can be sent to another process."""

    def opened(self) -> Do:
        """Load what all entries need, such as a network, and return what does one."""


@dataclass(frozen=True)
class Event:
    """What happened to an entry.

    Attributes
    ----------
    kind : str
        ``begun``, ``done``, ``failed`` (this try; others may follow), or ``stopped`` (the worker, not an entry).
    key : str
    facts : mapping
        What was recorded, of a ``done`` one.
    reason : str
        Why it ``failed``, or the worker ``stopped``.
    is_output : bool
        Whether it failed because its result could not be written.
    """

    kind: Literal["begun", "done", "failed", "stopped"]
    key: str
    facts: Mapping[str, Any] | None = None
    reason: str = ""
    is_output: bool = False


Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Rules:
    """How a run goes about its entries.

    Attributes
    ----------
    run : str
        Name of the run, shared by all its workers.
    tries : int
        How often the run begins an entry.
    waits : bool
        Whether a worker with nothing left to begin waits for what others do, in case they die.
    refused_writes : int
        So many entries in a row whose results cannot be written, and a worker stops.
    """

    run: str
    tries: int = TRIES
    waits: bool = True
    refused_writes: int = REFUSED_WRITES


def order_of(keys: Sequence[Entry], place: int, places: int) -> list[Entry]:
    """Return every ``places``-th entry from ``place`` on (counted from 1), then the others.

    Examples
    --------
    >>> order_of(["a", "b", "c", "d", "e"], 2, 2)
    ['b', 'd', 'a', 'c', 'e']
    """
    own = list(keys[place - 1 :: places])
    others = [key for number, key in enumerate(keys) if number % places != place - 1]
    return [*own, *others]


def take(manifest: BlockManifest, keys: Sequence[str], do: Do, *, rules: Rules, tell: Tell) -> None:
    """Begin every entry that nobody else does, in order; what failed is tried again after all others.

    Parameters
    ----------
    manifest : BlockManifest
    keys : sequence of str
    do : callable
    rules : Rules
    tell : callable
        Told of every :class:`Event`.

    Notes
    -----
    Returns when nothing is left to begin. An entry that raises does not end the others' work; one whose result cannot
    be written does, after ``rules.refused_writes`` in a row.
    """
    left, refused = list(keys), 0
    while left:
        done = manifest.done_keys()
        later, tried = [], False
        for key in left:
            if key in done:
                continue
            try:
                claim = manifest.claim(key, run=rules.run, tries=rules.tries)
            except OutputError as error:
                tell(Event("stopped", key, reason=str(error)))
                return
            if claim is None:
                if manifest.state(key, run=rules.run, tries=rules.tries) in ("running", "pending"):
                    later.append(key)
                continue
            tried = True
            event = attempted(claim, do, tell)
            if event.kind == "failed":
                later.append(key)
            refused = refused + 1 if event.is_output else 0
            if refused == rules.refused_writes:
                tell(Event("stopped", key, reason=event.reason))
                return
        if not manifest.is_there:
            return
        left = later
        if left and not tried:
            if not rules.waits:
                return
            time.sleep(POLL_S)


def attempted(claim: Claim, do: Do, tell: Tell) -> Event:
    """Do one claimed entry, and record how it went."""
    tell(Event("begun", claim.key))
    try:
        with claim.renewed():
            facts = dict(do(claim.key))
        claim.finish(facts)
        event = Event("done", claim.key, facts=facts)
    except MedganError as error:
        claim.fail(str(error))
        event = Event("failed", claim.key, reason=str(error), is_output=isinstance(error, OutputError))
    except Exception as error:  # One entry must not end the work on a thousand others.
        reason = _in_words(error)
        claim.fail(reason)
        event = Event("failed", claim.key, reason=reason)
    except BaseException:
        claim.release()
        raise
    tell(event)
    return event


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError) or "allocate" in str(error):
        return "There was not enough memory: use fewer --workers, or a smaller --block."
    return f"Internal failure ({type(error).__name__}); please report it."
