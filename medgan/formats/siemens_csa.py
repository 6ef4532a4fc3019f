"""Siemens' own header (CSA) inside a DICOM file: named lists of texts."""

from __future__ import annotations

import struct
from collections.abc import Collection

_NAME = 64
_MOST_TAGS = 1024
_MOST_ITEMS = 10_000


def csa_texts(data: bytes, wanted: Collection[str]) -> dict[str, tuple[str, ...]] | None:
    """Return the texts of named elements, None if the header is damaged.

    Parameters
    ----------
    data : bytes
        Value of (0029,1010) or (0029,1020).
    wanted : collection of str
        Names of elements.

    Notes
    -----
    Layout as in nibabel, "Siemens format DICOM with CSA header": version 2 begins with ``SV10``; an element has a name
    of 64 bytes, five numbers of 4 bytes, and items of four numbers and a text padded to 4 bytes. The length of a text
    is the second number in version 2, and in version 1 the first less the number of items of the first element.
    """
    is_second = data.startswith(b"SV10")
    at = 8 if is_second else 0
    found: dict[str, tuple[str, ...]] = {}
    first_count = None
    try:
        count, _ = struct.unpack_from("<2I", data, at)
        at += 8
        if not 1 <= count <= _MOST_TAGS:
            return None
        for _ in range(count):
            name, _, _, _, items, _ = struct.unpack_from(f"<{_NAME}si4s3i", data, at)
            at += _NAME + 20
            if not 0 <= items <= _MOST_ITEMS:
                return None
            first_count = items if first_count is None else first_count
            texts = []
            for _ in range(items):
                first, second, _, _ = struct.unpack_from("<4i", data, at)
                at += 16
                size = second if is_second else first - first_count
                if size < 0 or at + size > len(data):
                    return None
                texts.append(data[at : at + size].split(b"\0")[0].decode("latin-1").strip())
                at += (size + 3) // 4 * 4
            key = name.split(b"\0")[0].decode("latin-1")
            if key in wanted:
                found[key] = tuple(text for text in texts if text)
    except struct.error:
        return None
    return found
