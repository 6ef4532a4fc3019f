"""Import large libraries without a search for garbage in between."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected_imports() -> Iterator[None]:
    """Let a block import PyTorch and what comes with it, without garbage collection; nothing changes where it is there.

    Notes
    -----
    Python looks through all objects again and again while an import makes half a million of them, none of which is
    garbage: a third of the import's time. Afterwards they are frozen (``gc.freeze``), so that no later search looks at
    them either. Only the first such import of a process does so, because freezing keeps what is garbage by then.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
