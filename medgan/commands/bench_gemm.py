"""The yardstick: how fast this machine multiplies matrices, and how many operations a network needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SIDE = 2048
_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 bf16",
    "amx_bf16": "AMX bf16",
    "asimd": "NEON",
    "bf16": "ARM bf16",
    "asimdbf16": "ARM bf16",
}


def multiplication_rate(precision: str, *, side: int = SIDE, repeats: int = 8) -> float:
    """Return operations per second (two a multiply-add) of a matrix product in a precision, the best of all ways.

    Parameters
    ----------
    precision : str
        ``"float32"`` or ``"bfloat16"``.
    side : int
        Rows and columns of both matrices.
    repeats : int
        How often each way is measured.

    Notes
    -----
    torch multiplies float32 matrices by MKL, which leaves AVX-512 unused on CPUs of other makers: there oneDNN, which
    also does the convolutions, is more than twice as fast. The rate is that of the faster one.
    """
    import torch

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    one = torch.ones(side, side).to(dtype)
    best = float("inf")
    with torch.inference_mode():
        for product in matrix_products():
            for _ in range(repeats):
                begun = time.perf_counter()
                product(one, one)
                best = min(best, time.perf_counter() - begun)
    return 2.0 * side**3 / best


def matrix_products() -> list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """Return the ways in which this build of torch multiplies a matrix with the transpose of another."""
    import torch

    ways: list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = [lambda one, other: one @ other.mT]
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ways.append(lambda one, other: torch.ops.mkldnn._linear_pointwise(one, other, None, "none", [], ""))
    return ways


def operations_of(network: torch.nn.Module, *inputs: torch.Tensor) -> int:
    """Return operations (two a multiply-add) of a forward pass; only shapes are computed, no numbers.

    Notes
    -----
    Convolutions of the network in its plain form: what the fast form computes beyond that is no work of the task.
    """
    from copy import deepcopy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        deepcopy(network).to("meta")(*(each.to("meta") for each in inputs))
    return int(counter.get_total_flops())


def has_bfloat16(flags: frozenset[str] | None = None) -> bool:
    """Return whether the CPU lists bfloat16 instructions; its own flags are read where none are given.

    Examples
    --------
    >>> has_bfloat16(frozenset({"avx2"})), has_bfloat16(frozenset({"avx512_bf16"}))
    (False, True)
    """
    from medgan.training.precision import processor_flags

    found = processor_flags() if flags is None else flags
    return bool(found & {"avx512_bf16", "amx_bf16", "bf16", "asimdbf16"})


def machine_facts() -> dict[str, Any]:
    """Return the machine in words and numbers: processor, cores, instruction sets, threads, versions, load."""
    import torch

    from medgan.runs import machine
    from medgan.training.precision import processor_flags
    from medgan.volume.side_by_side import usable_cores

    facts = machine()
    known = processor_flags()
    sets = list(dict.fromkeys(words for flag, words in _INSTRUCTIONS.items() if flag in known))
    cores = usable_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    threads = torch.get_num_threads()
    return {
        "in_words": f"{facts['processor']}, {cores} core(s), {', '.join(sets) or 'no known vector instructions'}; "
        f"{threads} torch thread(s), torch {torch.__version__}, Python {facts['python']}, {facts['system']}",
        "processor": facts["processor"],
        "cores": cores,
        "instruction_sets": sets,
        "threads": threads,
        "load_before": load,
        "versions": facts["versions"],
    }
