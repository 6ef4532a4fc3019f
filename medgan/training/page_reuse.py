"""Let the C library keep the memory of large tensors instead of giving it back and asking anew for every layer."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 1 << 30
_SET_BY_PERSON = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def reuse_pages() -> bool:
    """Tell the allocator of this process to reuse freed memory up to 1 GiB; return whether it was told.

    Notes
    -----
    glibc maps every block above 32 MiB anew and unmaps it when it is freed, and the system fills each new page with
    zeros: a quarter of the time of a 96^3 forward pass, whose activations are of that size. What is freed is kept, so a
    process stays as large as it once was. Nothing is changed where another allocator is loaded, the environment has
    settings of its own, or the C library is not glibc.
    """
    if not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _SET_BY_PERSON):
        return False
    try:
        library = ctypes.CDLL(None)
        told = [library.mallopt(option, _LARGEST) for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)]
    except (OSError, AttributeError):
        return False
    # mallopt returns 1 for success.
    return told == [1, 1]
