"""How much memory a network needs at once, found without computing anything, and how much there is."""

from __future__ import annotations

import copy
import os
import weakref
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 2**30
SCRATCH = 1.3
"""Measured memory of a run by what its tensors hold; convolution kernels keep rearranged copies beside them."""
FIXED = 64 * 2**20
"""Bytes that libraries take at their first call, whatever the volume; measured as well."""


class LiveBytes(TorchDispatchMode):
    """Adds up the memory of tensors while they live, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()

        def freed(_: Any) -> None:
            del self._known[key]
            self.now -= size

        self._known[key] = weakref.ref(storage, freed)
        self.now += size
        self.most = max(self.most, self.now)


def needed_bytes(network: torch.nn.Module, shape: tuple[int, int, int]) -> int:
    """Return what a network that takes an image and a body mask needs for one volume.

    Parameters
    ----------
    network : module
        Its weights' number format is that of the computation.
    shape : (I, J, K)
        Voxels of the volume.

    Returns
    -------
    int
        Bytes: the most that tensors hold at one moment, times :data:`SCRATCH`, two arrays of the volume in float32, and
        :data:`FIXED`.

    Notes
    -----
    The network runs on PyTorch's fake tensors, which have a shape and a device and no values: nothing is computed.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    weights = next(network.parameters(), torch.empty(0))
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        imitation = copy.deepcopy(network)
        image, body = (torch.empty((1, 1, *shape), dtype=weights.dtype, device=weights.device) for _ in range(2))
        with LiveBytes() as live:
            imitation(image, body)
    voxels = shape[0] * shape[1] * shape[2]
    return int(SCRATCH * live.most) + 2 * 4 * voxels + FIXED


def available_bytes(device: torch.device | str) -> int | None:
    """Return the memory that a device can still give, None where the machine does not say."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    answers = [answer for answer in (_of_machine(), _of_group()) if answer is not None]
    return min(answers, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _of_group() -> int | None:
    """What a container may still take, by version 2 of control groups; pages of files that it can give back count."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        given_back = next((int(line.split()[1]) for line in statistics if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError):  # no group, or no limit ("max")
        return None
    return max(0, limit - used + given_back)
