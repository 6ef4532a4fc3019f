"""The state of a training on disk: written whole or not at all, and refused when damaged."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from medgan.errors import TrainingError

_NAME = re.compile(r"step_(\d{6,})\.pt")
_MAGIC = b"medgan checkpoint 1\n"
_DIGEST = hashlib.sha256().digest_size


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the file of a step, such as ``step_000812.pt``."""
    return folder / f"step_{step:06d}.pt"


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint so that a crash at any moment leaves either all of it or nothing.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    step : int
        Steps taken.
    state : dict
        Tensors, numbers, strings, and lists and dicts of them.

    Returns
    -------
    Path
        The file.

    Notes
    -----
    Temporary name, fsync of the file, rename, fsync of the folder. The file begins with the SHA-256 of what follows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path = checkpoint_path(folder, step)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_MAGIC)
            file.write(hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(folder)
    return path


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    TrainingError
        If the file is not a checkpoint, or is not, byte for byte, what was written.

    Notes
    -----
    ``weights_only=True``: a checkpoint cannot run code.
    """
    content = path.read_bytes()
    start = len(_MAGIC) + _DIGEST
    if not content.startswith(_MAGIC):
        raise TrainingError(f"A checkpoint begins with {_MAGIC!r}: {path.name} does not. It is another kind of file.")
    if hashlib.sha256(memoryview(content)[start:]).digest() != content[len(_MAGIC) : start]:
        raise TrainingError(
            f"A checkpoint needs to be what was written: {path.name} is damaged (its SHA-256 differs). "
            "Delete it to continue from the checkpoint before it."
        )
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content[start:]), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TrainingError(
            f"A checkpoint holds tensors, numbers, strings, lists and dicts only: {path.name} holds something else, "
            "which was not loaded. Do not trust this file."
        ) from error
    return state


def saved_steps(folder: Path) -> tuple[int, ...]:
    """Return the steps that have a checkpoint, in rising order; none if there is no such folder."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))))


def latest(folder: Path) -> Path | None:
    """Return the checkpoint of the highest step, or None."""
    steps = saved_steps(folder)
    return checkpoint_path(folder, steps[-1]) if steps else None


def prune(folder: Path, *, keep_last: int, keep_every: int | None = None) -> None:
    """Delete old checkpoints.

    Parameters
    ----------
    folder : Path
        Where they are.
    keep_last : int
        How many of the newest stay, at least 1.
    keep_every : int or None
        Multiples of this step stay too, so that a checkpoint can be chosen by a task measure later.
    """
    if keep_last < 1:
        raise TrainingError(f"At least 1 checkpoint has to be kept: found keep_last = {keep_last}.")
    for step in saved_steps(folder)[:-keep_last]:
        if keep_every is None or step % keep_every:
            checkpoint_path(folder, step).unlink(missing_ok=True)


def remove_other_than(folder: Path, step: int) -> None:
    """Delete every checkpoint but one: a training that starts anew must not be continued from its failed attempt."""
    for other in saved_steps(folder):
        if other != step:
            checkpoint_path(folder, other).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; where a folder cannot be opened (Windows) there is nothing to do."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
