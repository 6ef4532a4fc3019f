"""How a command talks: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol


class Advance(Protocol):
    """Told how far a piece of work is."""

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` steps are done."""


@dataclass(frozen=True)
class Console:
    """Where a command speaks.

    Attributes
    ----------
    quiet : bool
        No notices and no progress; errors and results remain.
    as_json : bool
        The result is one JSON object on stdout instead of lines for people.
    """

    quiet: bool = False
    as_json: bool = False

    def notice(self, sentence: str) -> None:
        """Say a sentence on stderr."""
        if not self.quiet:
            sys.stderr.write(sentence + "\n")
            sys.stderr.flush()

    def result(self, facts: dict[str, Any], lines: list[str]) -> None:
        """Print the result: the facts as JSON, or the lines."""
        text = json.dumps(facts, ensure_ascii=False) if self.as_json else "\n".join(lines)
        if text:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, words: str, *, initial: int = 0, rate: Callable[[], str] = str) -> Iterator[Advance]:
        """Show a bar with the time left on stderr while the block runs; on a pipe, a line every tenth of the way.

        ``rate`` gives further words, such as how much is done a second.
        """
        if self.quiet:
            yield lambda done, total: None
        elif sys.stderr.isatty():
            yield from _bar(words, initial, rate)
        else:
            yield _lines(words, rate)


def _bar(words: str, initial: int, rate: Callable[[], str]) -> Iterator[Advance]:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
        task = progress.add_task(words, total=None, completed=initial)
        yield lambda done, total: progress.update(task, completed=done, total=total, description=f"{words}{rate()}")


def _lines(words: str, rate: Callable[[], str]) -> Advance:
    shown, begun, before = -1, time.monotonic(), None

    def advance(done: int, total: int) -> None:
        nonlocal shown, begun, before
        if before is None:
            # What was done before the first report took no time of this run, or a time that says little: starting up.
            begun, before = time.monotonic(), done
        tenth = 10 * done // max(total, 1)
        if tenth > shown:
            shown = tenth
            left = (time.monotonic() - begun) * (total - done) / max(done - before, 1)
            sys.stderr.write(f"{words}: {done} of {total}{rate()}{_left_in_words(left)}\n")
            sys.stderr.flush()

    return advance


def _left_in_words(seconds: float) -> str:
    """Return the time left for people, nothing where it is not worth a word.

    Examples
    --------
    >>> _left_in_words(4), _left_in_words(42), _left_in_words(150), _left_in_words(7200)
    ('', ', about 40 s left', ', about 2 min left', ', about 2 h left')
    """
    if seconds < 5:
        return ""
    if seconds < 95:
        return f", about {10 * max(round(seconds / 10), 1)} s left"
    return f", about {round(seconds / 60)} min left" if seconds < 5700 else f", about {round(seconds / 3600)} h left"
