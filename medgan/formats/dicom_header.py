"""A DICOM data set, read leniently: what is missing or cannot be understood is None, never an exception."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import isfinite

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_MOST_VALUES = 1024


@dataclass(frozen=True, eq=False)
class Header:
    """Typed access to the raw elements of a data set.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Its elements are not converted: pydicom would warn about, or refuse, values that are only untidy.
    """

    dataset: Dataset
    _items: dict[int, tuple[Header, ...]] = field(default_factory=dict, repr=False)

    def text(self, tag: int) -> str:
        """Return the characters of an element, without padding; empty where there are none."""
        data = self.data(tag)
        return data.decode("latin-1").strip(" \0\t\r\n") if data else ""

    def words(self, tag: int) -> tuple[str, ...]:
        """Return the parts of a multi-valued text."""
        text = self.text(tag)
        return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()

    def numbers(self, tag: int, count: int | None = None, *, vr: str | None = None) -> tuple[float, ...] | None:
        """Return the finite numbers of an element, text or binary.

        Parameters
        ----------
        tag : int
        count : int, optional
            How many there must be.
        vr : str, optional
            Value representation of a private element, where the file does not state it.
        """
        element = self._element(tag)
        if element is None or not element.value:
            return None
        try:
            code = _BINARY.get(element.VR if element.VR not in (None, "UN") else (vr or dictionary_VR(tag)))
            if code is None:
                values = _parsed(element.value.decode("latin-1"))
            else:
                order = "<" if element.is_little_endian else ">"
                size = len(element.value) // struct.calcsize(code)
                values = struct.unpack_from(f"{order}{min(size, _MOST_VALUES)}{code}", element.value)
        except (ValueError, KeyError, struct.error):
            return None
        if not values or not all(isfinite(v) for v in values) or count not in (None, len(values)):
            return None
        return tuple(float(v) for v in values)

    def number(self, tag: int, *, vr: str | None = None) -> float | None:
        """Return the first number of an element."""
        values = self.numbers(tag, vr=vr)
        return None if values is None else values[0]

    def whole(self, tag: int) -> int | None:
        """Return one whole number."""
        value = self.number(tag)
        return int(value) if value is not None and value == int(value) else None

    def data(self, tag: int) -> bytes | None:
        """Return the bytes of an element as stored."""
        element = self._element(tag)
        return element.value if element is not None and isinstance(element.value, bytes) else None

    def _element(self, tag: int) -> RawDataElement | None:
        """Return an element as it was read."""
        # An element without value counts as deferred for pydicom, which would convert it.
        element = self.dataset.get_item(tag, keep_deferred=True)
        return element if isinstance(element, RawDataElement) else None

    def without(self, tag: int) -> Header:
        """Return the header less one element."""
        if tag not in self.dataset:
            return self
        others = [other for other in self.dataset.keys() if other != tag]  # noqa: SIM118 - iterating it converts
        return Header(Dataset({other: self.dataset.get_item(other, keep_deferred=True) for other in others}))

    def items(self, tag: int) -> tuple[Header, ...]:
        """Return the items of a sequence; they are converted when they are first asked for."""
        if tag not in self._items:
            self._items[tag] = self._converted(tag)
        return self._items[tag]

    def _converted(self, tag: int) -> tuple[Header, ...]:
        if tag not in self.dataset:
            return ()
        try:
            # A damaged type can make plain numbers of a sequence: what is no data set says nothing.
            return tuple(Header(item) for item in self.dataset[tag].value if isinstance(item, Dataset))
        except Exception:
            # Damaged bytes make pydicom raise almost anything; a sequence that cannot be parsed says nothing.
            return ()


def _parsed(text: str) -> tuple[float, ...]:
    parts = [part.strip(" \0") for part in text.strip(" \0").split("\\", _MOST_VALUES)]
    if any("_" in part for part in parts):
        raise ValueError(text[:20])
    return tuple(float(part) for part in parts)
