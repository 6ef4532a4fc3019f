"""Which compressions of DICOM can be decoded here, and what a compressed frame says about its own size."""

from __future__ import annotations

import re

from pydicom.uid import UID

from medgan.formats.dicom_parsing import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT

NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
"""Transfer syntaxes whose pixels are not compressed (deflate packs the whole data set)."""
RLE = "1.2.840.10008.1.2.5"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
LOSSY = frozenset({"1.2.840.10008.1.2.4.50", JPEG_EXTENDED, "1.2.840.10008.1.2.4.81"})
"""Transfer syntaxes that cannot keep every value; JPEG 2000 says in the header whether it did."""
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
_UNKNOWN = "an unknown transfer syntax"
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_NEEDS = (
    ("1.2.840.10008.1.2.4.5", "python-gdcm"),
    ("1.2.840.10008.1.2.4.7", "python-gdcm"),
    ("1.2.840.10008.1.2.4.8", "pyjpegls"),
    ("1.2.840.10008.1.2.4.9", "pylibjpeg with pylibjpeg-openjpeg"),
    ("1.2.840.10008.1.2.4.20", "pylibjpeg with pylibjpeg-openjpeg"),
)


def missing_decoder(transfer_syntax: str, bits_stored: int = 8) -> str | None:
    """Return what is missing to decode pixels stored so, None if nothing is.

    Examples
    --------
    >>> missing_decoder("1.2.840.10008.1.2.1") is None
    True
    """
    if transfer_syntax in NATIVE:
        return None
    if transfer_syntax == JPEG_EXTENDED and bits_stored > 8:
        return "pixels of more than 8 bits stored as JPEG Extended can be decoded by no library that medgan knows"
    from pydicom.pixels import get_decoder

    name = name_of(transfer_syntax)
    unknown = f"pixels stored as {name} can be decoded by no library that medgan knows"
    if name == _UNKNOWN:
        return unknown
    try:
        decoder = get_decoder(UID(transfer_syntax))
    except NotImplementedError:
        return unknown
    if decoder.is_available:
        return None
    # Longest beginnings last: JPEG-LS (.80, .81) and JPEG 2000 (.90 ...) before plain JPEG.
    needs = next((package for start, package in _NEEDS if transfer_syntax.startswith(start)), "a decoder")
    return f"pixels stored as {name} need the package {needs}"


def name_of(transfer_syntax: str) -> str:
    """Return the name that DICOM gives a transfer syntax; text that is none is not repeated."""
    if not re.fullmatch(r"[0-9.]{1,64}", transfer_syntax):
        return _UNKNOWN
    uid = UID(transfer_syntax)
    return str(uid.name) if uid.name != str(uid) and uid.type == "Transfer Syntax" else _UNKNOWN


def is_lossy(transfer_syntax: str, stated: str) -> bool:
    """Tell whether pixels were compressed so that values changed, by their transfer syntax or as the header states."""
    return transfer_syntax in LOSSY or stated == "01"


def has_end(data: bytes, transfer_syntax: str) -> bool:
    """Tell whether a compressed frame is whole as far as its end marker says.

    Notes
    -----
    JPEG-LS only: its decoder reads on behind a truncated frame for seconds. In its scans no byte above 7F follows an
    FF (ITU-T T.87, A.1), so that FF D9 behind the start of the last scan is the end of the image.
    """
    if transfer_syntax not in JPEG_LS:
        return True
    return data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) >= 0


def coded_shape(data: bytes, transfer_syntax: str) -> tuple[int, int] | None:
    """Return (rows, columns) that a compressed frame itself declares, None where it does not.

    Notes
    -----
    A decoder allocates what the frame declares: comparing that with the header first bounds memory. JPEG and JPEG-LS:
    start of frame (ITU-T T.81, B.2.2; T.87, C.2.2); JPEG 2000: SIZ (T.800, A.5.1).
    """
    if not transfer_syntax.startswith(_JPEG_FAMILY):
        return None
    siz = data.find(b"\xff\x4f\xff\x51")
    if 0 <= siz < 4096 and len(data) >= siz + 22:
        numbers = [int.from_bytes(data[siz + at : siz + at + 4], "big") for at in (8, 12, 16, 20)]
        return numbers[1] - numbers[3], numbers[0] - numbers[2]
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0xF7, *range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC)):
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
