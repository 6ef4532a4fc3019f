"""Who does the work of an output in many parts: this process, workers on this machine, a job array, or a cluster."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from typing import Any

from medgan.errors import SettingsError
from medgan.inference.block_manifest import TRIES
from medgan.inference.block_work import Rules


@dataclass(frozen=True)
class Hands:
    """Who works.

    Attributes
    ----------
    workers : int or None
        Processes on this machine.
    shard : (i, n) or None
        Which of n calls this is, counted from 1.
    scheduler : str or None
        Address of a Dask scheduler.
    """

    workers: int | None = None
    shard: tuple[int, int] | None = None
    scheduler: str | None = None

    @classmethod
    def asked(cls, *, workers: int | None = None, shard: str | None = None, scheduler: str | None = None) -> Hands:
        """Read the options.

        Raises
        ------
        SettingsError
            If two contradict each other, or the shard does not exist.

        Examples
        --------
        >>> Hands.asked(shard="2/8").shard
        (2, 8)
        """
        given = {"--workers": workers, "--shard": shard, "--scheduler": scheduler}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise SettingsError(
                f"{' and '.join(named)} exclude each other: --workers are processes of one call, --shard i/n is one of "
                "n calls with one process each, --scheduler takes the workers of a Dask cluster."
            )
        if scheduler is not None and not re.fullmatch(r"(\w+://)?[^\s/]+", scheduler):
            raise SettingsError(f"--scheduler needs an address such as tcp://10.0.0.5:8786: found {scheduler!r}.")
        return cls(workers, None if shard is None else _shard(shard), scheduler)

    def rules(self, *, tries: int = TRIES) -> Rules:
        """Return how this call works beside others.

        Notes
        -----
        The tasks of one SLURM array share a name, so a block that fails is tried :data:`TRIES` times by all of them
        together. A shard does not wait for what others do: its time on a cluster is dear.
        """
        array = os.environ.get("SLURM_ARRAY_JOB_ID") if self.shard else None
        again = os.environ.get("SLURM_RESTART_COUNT", "0")
        return Rules(f"slurm-{array}-{again}" if array else secrets.token_hex(8), tries, waits=self.shard is None)

    def processes(self, device: str, usable: int) -> int:
        """Return how many processes of this machine work.

        Raises
        ------
        SettingsError
            For several on one accelerator.
        """
        if self.shard is not None or self.scheduler is not None:
            return 1
        if self.workers is None:
            return usable if device == "cpu" else 1
        if self.workers > 1 and device != "cpu":
            raise SettingsError(f"Several processes share a CPU, not {device}: use --workers 1, or --device cpu.")
        return self.workers

    @property
    def options(self) -> dict[str, Any]:
        """The options as given, for those who refuse them."""
        return {"--workers": self.workers, "--shard": self.shard, "--scheduler": self.scheduler}


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None:
        raise SettingsError(f"--shard needs i/n, such as 1/8 for the first of eight: found {text!r}.")
    place, places = int(match[1]), int(match[2])
    if not 1 <= place <= places:
        raise SettingsError(f"--shard {text} does not exist: of n shards they are 1/n to n/n, counted from 1.")
    return place, places
