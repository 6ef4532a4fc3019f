"""Pseudonyms of patients and studies: keyed hashes that nobody undoes without the key, and that a kept key repeats."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medgan.errors import FormatError, OutputError
from medgan.formats.byte_stream import read_prefix
from medgan.formats.output import require_absent, write_failure
from medgan.formats.stored_image import file_size

KEY_BYTES = 32
"""As many as SHA-256 gives."""
DIGITS = 16
"""Hexadecimal digits of a pseudonym, 64 bits: that two of a million patients share one has a chance of 3e-8."""
_OPENING = "medgan pseudonym key 1 "
_LONGEST_FILE = 4096


@dataclass(frozen=True)
class PatientIdentity:
    """What a header says about whom an image is of; hashed, never shown.

    Parameters
    ----------
    patient_id : str
        PatientID (0010,0020), empty where the header has none.
    study : str
        StudyInstanceUID (0020,000D), empty where the header has none.
    """

    patient_id: str = field(repr=False)
    study: str = field(repr=False)


@dataclass(frozen=True)
class PseudonymKey:
    """The secret that pseudonyms are made with.

    Parameters
    ----------
    secret : bytes
        Never shown, logged or written anywhere but into the key's own file.
    origin : {"run", "new file", "file"}
        Made for this run only, made and kept now, or kept before.

    Notes
    -----
    HMAC (RFC 2104) with SHA-256. A plain hash of an id would be undone by trying all ids, which are short numbers.

    Examples
    --------
    >>> key = PseudonymKey(b"k" * 32, "run")
    >>> key.subject_of(PatientIdentity("4711", "1.2.3"))
    'sub-d64eb2bb0817ae9b'
    >>> key.subject_of(PatientIdentity("", "1.2.3")) is None
    True
    """

    secret: bytes = field(repr=False)
    origin: Literal["run", "new file", "file"] = field(compare=False)

    @classmethod
    def of_this_run(cls) -> PseudonymKey:
        """Return a random key that is kept nowhere."""
        return cls(secrets.token_bytes(KEY_BYTES), "run")

    def subject_of(self, identity: PatientIdentity) -> str | None:
        """Return the pseudonym of a patient, None where the header names none.

        Notes
        -----
        PatientID alone: two sites that give one number to two patients get one pseudonym. That keeps both in one split,
        where the opposite mistake would let a patient into two.
        """
        return self._hashed("sub", identity.patient_id)

    def case_of(self, identity: PatientIdentity) -> str | None:
        """Return the pseudonym of a study, None where the header names none."""
        return self._hashed("case", identity.study)

    def _hashed(self, kind: str, value: str) -> str | None:
        if not value:
            return None
        return f"{kind}-{hmac.digest(self.secret, f'{kind}:{value}'.encode(), hashlib.sha256).hex()[:DIGITS]}"


def kept_key(path: Path) -> PseudonymKey:
    """Return the key of a file; where there is no file, make one that only its owner may read (mode 600).

    Raises
    ------
    FormatError
        If the file holds no key.
    OutputError
        If it cannot be written.
    """
    if os.path.lexists(path):
        text = read_prefix(path, min(_LONGEST_FILE, file_size(path))).decode("latin-1")
        found = re.fullmatch(rf"{_OPENING}([0-9a-f]{{{2 * KEY_BYTES}}})\s*", text)
        if found is None:
            raise FormatError(
                f"{path.name} is no pseudonym key: it needs one line that medgan wrote. Name another file; where there "
                "is none, a new key is made."
            )
        return PseudonymKey(bytes.fromhex(found[1]), "file")
    key = PseudonymKey(secrets.token_bytes(KEY_BYTES), "new file")
    _write_secret(path, f"{_OPENING}{key.secret.hex()}\n".encode())
    return key


def may_be_read_by_others(path: Path) -> bool:
    """Tell whether anybody but the owner of a file may read it."""
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)


def _write_secret(path: Path, data: bytes) -> None:
    """Write a file that nobody but its owner can read at any moment; it is there as a whole or not at all."""
    temporary = path.with_name(f".partial-{secrets.token_hex(4)}")
    try:
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            require_absent([path])
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(write_failure(path, error)) from None
