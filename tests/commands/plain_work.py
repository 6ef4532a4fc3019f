"""Work without a network for the tests of workers: quick to send, and it fails as told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgan.errors import BundleError


@dataclass(frozen=True)
class PlainWork:
    """Notes each entry in a folder; the entry ``deadly`` kills its worker, ``refused`` work cannot be opened."""

    folder: Path
    deadly: str = ""
    how: str = ""

    def opened(self) -> Callable[[str], dict[str, Any]]:
        if self.how == "refused":
            raise BundleError("no such model")
        if self.how == "dies":
            os._exit(7)
        return self.done

    def done(self, key: str) -> dict[str, Any]:
        if key == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / f"{key}.txt").open("a") as file:
            file.write(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
        return {"voxels": 10}
