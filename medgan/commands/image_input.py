"""The one image that a verb is given: a file, or one series of a folder, an archive or a DICOMDIR."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medgan.commands.console import Console

if TYPE_CHECKING:
    from medgan.formats import InventoryItem


def found_image(path: Path, *, series: int | None, allow_gap: bool, console: Console) -> InventoryItem:
    """Return the image at a path, judged by its headers where it is DICOM; progress is shown while they are read.

    Raises
    ------
    FormatError
        If there is none, or several and none is chosen; the message lists them with their indices.
    """
    from medgan.formats import find_image, is_supported

    if is_supported(path) and not path.is_dir():
        return find_image(path, series=series)
    with console.progress("reading headers") as advance:
        return find_image(path, series=series, allow_gap=allow_gap, progress=advance)
