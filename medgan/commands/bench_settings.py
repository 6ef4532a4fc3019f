"""What a run of the benchmark was asked for, as every case needs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from medgan.errors import SettingsError

BFLOAT16_ABSENT = "this CPU has no bf16 instructions"
MONAI_WANTED = (1, 6)


def _nothing(done: int, total: int) -> None:
    """Take no notice of how far the work is."""


@dataclass(frozen=True)
class BenchRequest:
    """How the cases are to be run.

    Parameters
    ----------
    quick : bool
        The same work a patch on smaller volumes.
    data_root : Path, optional
        Folder of real scans.
    bfloat16 : bool
        Whether rows in bfloat16 are measured.
    advance : callable
        Told runs done and in all.
    tiny : bool
        Sizes at which nothing is to be learned about speed, for trying the program out.
    """

    quick: bool = False
    data_root: Path | None = None
    bfloat16: bool = False
    advance: Callable[[int, int], None] = _nothing
    tiny: bool = False

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that are measured."""
        return ("float32", "bfloat16") if self.bfloat16 else ("float32",)

    @property
    def rounds(self) -> int:
        """Timed rounds of a case."""
        return 2 if self.tiny else 5


def require_peer() -> str:
    """Return MONAI's version, by which the peer is named.

    Raises
    ------
    SettingsError
        If it is not installed or older than what medgan is compared with.
    """
    try:
        found = version("monai")
    except PackageNotFoundError:
        found = ""
    if tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < MONAI_WANTED:
        wanted = ".".join(map(str, MONAI_WANTED))
        raise SettingsError(
            f"This case compares medgan with MONAI {wanted} or newer: found {found or 'none'}. "
            f"Install it (pip install 'monai>={wanted}'), or run the cases io, startup and growth, which need none."
        )
    # What MONAI misses on this machine is no news of the benchmark, and it says so again in every round.
    logging.getLogger("monai").setLevel(logging.ERROR)
    return found
