"""An output file: written under a temporary name beside its place, then renamed, or not there at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from medgan.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space, or write to another disk",
    errno.EDQUOT: "the disk quota is used up: free some space, or write to another disk",
    errno.EFBIG: "the file would be larger than this system allows",
    errno.EACCES: "writing there is not permitted: choose a folder of your own",
    errno.EPERM: "writing there is not permitted: choose a folder of your own",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.ENOENT: "its folder does not exist: create it first",
    errno.ENOTDIR: "its folder is not a folder: choose another",
    errno.ENAMETOOLONG: "its name is too long: choose a shorter one",
}
_NAMES_IN_A_MESSAGE = 5


def require_absent(paths: Iterable[str | Path], *, overwrite: bool = False) -> None:
    """Raise unless none of the outputs exists yet, or ``overwrite`` says that files may be replaced.

    Raises
    ------
    OutputError
        With the names of the files in the way. A folder is in the way even with ``overwrite``.
    """
    found = [Path(path) for path in paths if os.path.lexists(path)]
    folders = [path for path in found if path.is_dir()]
    if folders:
        raise OutputError(f"An output file cannot take the place of a folder: {_listed(folders)} is one.")
    if found and not overwrite:
        raise OutputError(
            f"An output is never replaced unasked: {_listed(found)} exists. Choose another name, or pass --overwrite."
        )


@contextmanager
def staged_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; rename it to ``path`` at the end, remove it upon any error.

    Parameters
    ----------
    path : path
        Final place. Its folder must exist.
    overwrite : bool
        Whether a file already there is replaced (at the end, in one step).

    Yields
    ------
    Path
        An empty file in the same folder, whose name ends as ``path`` does.

    Raises
    ------
    OutputError
        If the output exists already or cannot be written: each operating system error becomes one sentence.

    Notes
    -----
    A reader sees the whole file or none. Nothing is flushed to the disk's platters: after a power failure the file may
    have to be written again.
    """
    path = Path(path)
    require_absent([path], overwrite=overwrite)
    # The tail of the name keeps the suffix, by which some writers choose their format.
    temporary = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name[-100:]}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield temporary
            require_absent([path], overwrite=overwrite)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(write_failure(path, error)) from None


def write_with(path: str | Path, writer: Callable[[IO[bytes]], object], *, overwrite: bool = False) -> Path:
    """Let ``writer`` fill a binary file that appears at ``path`` when it is complete.

    Raises
    ------
    OutputError
        As :func:`staged_path`.
    """
    with staged_path(path, overwrite=overwrite) as temporary, temporary.open("r+b") as file:
        writer(file)
    return Path(path)


def write_bytes(path: str | Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Write ``data`` to a file that appears at ``path`` when it is complete.

    Raises
    ------
    OutputError
        As :func:`staged_path`.
    """
    return write_with(path, lambda file: file.write(data), overwrite=overwrite)


def write_failure(path: Path, error: OSError) -> str:
    """Return the sentence for a file that could not be written; it names the file and never its folder."""
    # The text of an OSError holds the whole path, so only its reason is passed on.
    reason = _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)
    return f"{path.name} cannot be written: {reason}."


def made_folder(path: str | Path) -> Path:
    """Create a folder with its parents unless it is there, and return it.

    Raises
    ------
    OutputError
        If it cannot be made, or a file stands in its place.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{path.name} is a file: a folder is needed there. Choose another name.") from None
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)
        raise OutputError(f"Folder {path.name} cannot be made: {reason}.") from None
    return path


def _listed(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMES_IN_A_MESSAGE])
    more = len(paths) - _NAMES_IN_A_MESSAGE
    return f"{names} and {more} more" if more > 0 else names
