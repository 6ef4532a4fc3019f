"""A viewer of volumes inside a report: NiiVue and the images, both part of the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar

from medgan.errors import ReportError

GRAY, SIGNED, HEAT = "gray", "signed", "hot"
COLORMAPS = (GRAY, SIGNED, HEAT)
"""Gray for images, blue–black–orange for signed differences (as in the figures), hot for maps of uncertainty."""


@dataclass(frozen=True)
class ViewerVolume:
    """One image of a viewer.

    Parameters
    ----------
    name : str
        For the button that shows it, such as ``"Synthetic CT"``.
    nifti : bytes
        A gzipped NIfTI file (.nii.gz).
    window : (low, high)
        Values shown at the two ends of the color map.
    unit : str
    colormap : str
        One of :data:`COLORMAPS`.

    Raises
    ------
    ReportError
        If the bytes are no gzip stream, the window does not rise, or the color map is unknown.
    """

    name: str
    nifti: bytes
    window: tuple[float, float]
    unit: str = ""
    colormap: str = GRAY

    def __post_init__(self) -> None:
        if not self.nifti.startswith(b"\x1f\x8b"):
            raise ReportError(f"Image {self.name!r} of a viewer must be a gzipped NIfTI file: found other bytes.")
        if not self.window[0] < self.window[1]:
            raise ReportError(f"The window of image {self.name!r} must rise: found {self.window}.")
        if self.colormap not in COLORMAPS:
            raise ReportError(f"A color map must be one of {', '.join(COLORMAPS)}: found {self.colormap!r}.")

    def for_page(self) -> dict[str, object]:
        """Return what the page's script reads, with the file as base64 text."""
        return {
            "name": self.name,
            "unit": self.unit,
            "low": self.window[0],
            "high": self.window[1],
            "colormap": self.colormap,
            "base64": base64.b64encode(self.nifti).decode("ascii"),
        }


@dataclass(frozen=True)
class ViewerSection:
    """Volumes on one grid, to be leafed through: one is shown at a time, in three planes.

    Raises
    ------
    ReportError
        If there is no volume.
    """

    kind: ClassVar[str] = "viewer"
    title: str
    volumes: Sequence[ViewerVolume]
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.volumes:
            raise ReportError(f"Viewer {self.title!r} needs at least one image: found none.")


def niivue_script() -> str:
    """Return NiiVue, as it comes from its package (see ``vendor/niivue/ORIGIN.md``)."""
    return (files("medgan.reporting") / "vendor" / "niivue" / "niivue.umd.js").read_text(encoding="utf-8")


def viewer_script() -> str:
    """Return the script that opens the viewers of a page."""
    return (files("medgan.reporting") / "templates" / "viewer.js").read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """Return the source expression that allows exactly this inline script in a Content-Security-Policy.

    Examples
    --------
    >>> script_hash("")
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
