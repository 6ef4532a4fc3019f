"""A block that one process works on: renewed while it does, and ended as finished, failed or given back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgan.errors import OutputError
from medgan.formats.output import write_bytes
from medgan.inference.block_owner import Owner

HEARTBEAT_S = 20.0
"""How often a claim is renewed while its block is worked on."""


@dataclass(frozen=True)
class Claim:
    """A block that the caller, and nobody else, works on.

    Parameters
    ----------
    key : str
    path : Path
        File of the claim, ``KEY.N`` for the N-th try.
    done : Path
        File that says that the block is done.
    """

    key: str
    path: Path
    done: Path

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Mark the block as done, by the run that claimed it.

        Raises
        ------
        OutputError
            If that cannot be written; the block counts as not done then.
        """
        write_bytes(self.done, json.dumps({"run": self._run(), **facts}).encode(), overwrite=True)
        # Who looks from now on sees that it is done, and asks for no claim.
        for number in range(1, int(self.path.name.rpartition(".")[2]) + 1):
            self.path.with_name(f"{self.key}.{number}").unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Say why the block could not be done; others may try again."""
        text = json.dumps({"run": self._run(), "owner": Owner.this_process().as_dict(), "failure": reason})
        try:
            write_bytes(self.path, text.encode(), overwrite=True)
        except OutputError:
            # No room even for the reason: what must not stay is a claim that looks alive.
            self.release()

    def release(self) -> None:
        """Give the block back as if it had not been begun."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return

    @contextmanager
    def renewed(self, every_s: float = HEARTBEAT_S) -> Iterator[None]:
        """Renew the claim in the background while the block is worked on."""
        ended = threading.Event()
        thread = threading.Thread(target=self._renew, args=(ended, every_s), daemon=True, name="medgan-claim")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _renew(self, ended: threading.Event, every_s: float) -> None:
        while not ended.wait(every_s):
            try:
                os.utime(self.path)
            except OSError:
                continue

    def _run(self) -> str:
        try:
            return str(json.loads(self.path.read_text(encoding="utf-8"))["run"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
