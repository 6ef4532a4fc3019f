"""medgan: image translation, segmentation and explanation for medical and biological volumes.

``import medgan`` loads neither torch nor monai: public names are imported when they are first asked for (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "Box": "medgan.geometry",
    "Grid": "medgan.geometry",
    "LabelMap": "medgan.volume",
    "MedganError": "medgan.errors",
    "ModelBundle": "medgan.inference.bundle",
    "Provenance": "medgan.volume",
    "Quantity": "medgan.volume",
    "Translator": "medgan.inference.translator",
    "Volume": "medgan.volume",
    "read_volume": "medgan.formats",
    "resample": "medgan.volume.resample",
    "write_volume": "medgan.formats",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'medgan' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
