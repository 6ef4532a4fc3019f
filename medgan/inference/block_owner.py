"""Which process does a piece of work, and whether it is still alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Owner:
    """A process, told apart from later ones that are given its number.

    Parameters
    ----------
    host : str
        Machine, its boot, and the namespace that process numbers count in; containers have one of their own.
    pid : int
    started : str
        When the process began, in ticks since the boot; empty where the system does not say.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return the owner that the caller is."""
        return cls(_here(), os.getpid(), _started(os.getpid()))

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Owner:
        """Return the owner that :meth:`as_dict` gave."""
        return cls(str(facts["host"]), int(facts["pid"]), str(facts["started"]))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    def is_alive(self) -> bool | None:
        """Tell whether the process runs; None if it is another machine's, which cannot be asked.

        Examples
        --------
        >>> Owner.this_process().is_alive()
        True
        """
        if self.host != _here():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        # A dead child that nobody has waited for still has its number.
        return _started(self.pid) == self.started and not _is_zombie(self.pid)


def _here() -> str:
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        # No Linux: the name of the machine has to do.
        pass
    return " ".join(parts)


def _stat(pid: int) -> list[str]:
    """Return the fields of a process after its name, which may hold spaces; none where the system has no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] in (["Z"], ["X"])
