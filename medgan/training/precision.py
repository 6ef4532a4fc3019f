"""Which number format pays on this machine, asked once and written down.

Some CPUs multiply bfloat16 three times faster than float32, others forty times slower; only a probe knows. The answer
is kept per machine, and callers write the returned record into the run folder, so that a resumed run or a worker uses
the recorded precision and never probes again.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F

from medgan.errors import TrainingError

Precision = Literal["float32", "bfloat16"]

_PROBE_SECONDS = 0.5
_GAIN_NEEDED = 1.2  # below that the rounding is not worth it
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "asimdbf16"})


@dataclass(frozen=True, kw_only=True)
class PrecisionRecord:
    """The precision of a run, and why.

    Parameters
    ----------
    precision : str
        ``"float32"`` or ``"bfloat16"``.
    reason : str
        One sentence for the log.
    processor : str
        Model name of the CPU or CUDA device.
    torch_version : str
        Version that the probe ran with.
    speedup : float or None
        Time of a float32 convolution over that of a bfloat16 one; None where nothing was measured.
    """

    precision: Precision
    reason: str
    processor: str
    torch_version: str
    speedup: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return asdict(self)


def resolve_precision(
    asked: str, *, device: torch.device | str = "cpu", cache_folder: Path | None = None
) -> PrecisionRecord:
    """Decide between float32 and bfloat16.

    Parameters
    ----------
    asked : str
        ``"auto"``, ``"float32"`` or ``"bfloat16"``; the latter two are taken at their word.
    device : torch.device or str
        Where the network will run.
    cache_folder : Path or None
        Where the answer is kept; by default ``$XDG_CACHE_HOME/medgan`` or ``~/.cache/medgan``.

    Returns
    -------
    PrecisionRecord
        To be written into the run folder.

    Raises
    ------
    TrainingError
        For another word.

    Notes
    -----
    ``auto`` on a CPU: float32, unless the CPU lists bfloat16 instructions and a probe of half a second (a 3-D
    convolution with 32 channels, forward and backward, in both formats in turn) finds bfloat16 at least 1.2 times
    faster. On CUDA: bfloat16 where the device supports it.
    """
    device = torch.device(device)
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    about: dict[str, Any] = {"processor": processor, "torch_version": torch.__version__}
    if asked == "float32":
        return PrecisionRecord(precision="float32", reason="asked for", **about)
    if asked == "bfloat16":
        return PrecisionRecord(precision="bfloat16", reason="asked for", **about)
    if asked != "auto":
        raise TrainingError(f"A precision is 'auto', 'float32' or 'bfloat16': found {asked!r}.")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return PrecisionRecord(precision="bfloat16", reason="the CUDA device supports it", **about)
        return PrecisionRecord(precision="float32", reason="the CUDA device has no bfloat16", **about)
    if device.type != "cpu" or not processor_flags() & _BFLOAT16_FLAGS:
        return PrecisionRecord(precision="float32", reason="no bfloat16 instructions found", **about)
    return _cached_probe(cache_folder or default_cache_folder(), about)


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs in a precision; a backward pass belongs outside.

    Notes
    -----
    Networks may take bfloat16 for their gradients only, see :mod:`medgan.networks.narrow_gradient`.

    Examples
    --------
    >>> with autocast("bfloat16", "cpu"):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    if precision == "bfloat16":
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
    if precision != "float32":
        raise TrainingError(f"A forward pass runs in 'float32' or 'bfloat16': found {precision!r}.")
    return nullcontext()


def default_cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/medgan``, or ``~/.cache/medgan`` where that is not set."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "medgan"


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's model name, or ``"unknown"``."""
    return _cpuinfo_field(cpuinfo, "model name") or "unknown"


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the CPU's instruction set flags; none where they cannot be read."""
    return frozenset((_cpuinfo_field(cpuinfo, "flags") or _cpuinfo_field(cpuinfo, "Features")).split())


def probe_speedup(seconds: float = _PROBE_SECONDS) -> float:
    """Return how many times faster a 3-D convolution with its backward pass is in bfloat16 than in float32.

    Notes
    -----
    One thread, and its CPU time instead of the clock's, so that other work on the machine hardly matters. The image is
    large enough to keep torch off its slow float32 path, see :mod:`medgan.networks.folded_convolution`.
    """
    times: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        end = time.perf_counter() + seconds
        # One untimed round makes kernels and memory warm; at least one timed round however slow they are.
        for round_number in range(1000):
            for dtype, measured in times.items():
                start = time.process_time()
                _probe_round(dtype)
                if round_number:
                    measured.append(time.process_time() - start)
            if round_number and time.perf_counter() > end:
                break
    finally:
        torch.set_num_threads(threads)
    # The fastest of each: what another process does meanwhile only ever makes a convolution slower.
    return min(times[torch.float32]) / min(times[torch.bfloat16])


def _probe_round(dtype: torch.dtype) -> None:
    image = torch.ones(1, 32, 24, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
    weight = torch.ones(32, 32, 3, 3, 3, dtype=dtype, requires_grad=True)
    F.conv3d(image.requires_grad_(), weight, padding=1).sum().backward()


def _cached_probe(folder: Path, about: dict[str, Any]) -> PrecisionRecord:
    path = folder / "precision.json"
    key = f"{about['processor']} / torch {about['torch_version']}"
    known = _read_answers(path)
    speedup = known.get(key)
    if not isinstance(speedup, float) or not speedup > 0:
        speedup = round(probe_speedup(), 3)
        _write_answers(path, {**known, key: speedup})
    pays = speedup >= _GAIN_NEEDED
    return PrecisionRecord(
        precision="bfloat16" if pays else "float32",
        reason=f"in a probe bfloat16 ran at {speedup:.2f} times the speed of float32 (needed: {_GAIN_NEEDED})",
        speedup=speedup,
        **about,
    )


def _read_answers(path: Path) -> dict[str, Any]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return answers if isinstance(answers, dict) else {}


def _write_answers(path: Path, answers: dict[str, Any]) -> None:
    """Keep the answers; a machine without a writable cache probes each time instead of failing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(answers, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        return


def _cpuinfo_field(cpuinfo: Path, field: str) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
