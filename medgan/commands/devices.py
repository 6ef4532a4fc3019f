"""Choose where a network runs."""

from __future__ import annotations

from medgan.errors import SettingsError


def resolve_device(asked: str) -> str:
    """Return ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; ``auto`` takes CUDA where there is one.

    Raises
    ------
    SettingsError
        If the device is unknown or not in this machine.
    """
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda" if available else "cpu"
    kind, _, number = asked.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or (kind == "cpu" and number):
        raise SettingsError(f"A device must be auto, cpu, cuda or cuda:N: found {asked!r}.")
    if kind == "cuda" and int(number or 0) >= available:
        raise SettingsError(f"This machine has {available} CUDA device(s): found {asked!r}. Use --device cpu.")
    return asked
