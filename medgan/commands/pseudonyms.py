"""The key that a verb makes pseudonyms with: one that the user keeps, or one of this run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medgan.commands.console import Console

if TYPE_CHECKING:
    from medgan.formats.pseudonym import PseudonymKey

ORIGINS = {"run": "made for this run only", "new file": "made and kept now", "file": "kept before"}
"""What a result says about the key."""


def opened_key(path: Path | None, *, console: Console) -> PseudonymKey:
    """Return the key of a file, which is made where there is none; without a file, one of this run.

    Raises
    ------
    FormatError, OutputError
        If the file holds no key, or cannot be written.
    """
    from medgan.formats.pseudonym import PseudonymKey, kept_key, may_be_read_by_others

    if path is None:
        return PseudonymKey.of_this_run()
    key = kept_key(path)
    if key.origin == "new file":
        console.notice(
            f"{path.name}: a new key for pseudonyms was made. Keep it, apart from the data: with it anybody "
            "can find the pseudonym of a known patient, and without it no later run gives the same ones."
        )
    elif may_be_read_by_others(path):
        console.notice(f"{path.name}: others may read this key. Run: chmod 600 {path.name}")
    return key
