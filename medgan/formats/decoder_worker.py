"""The program that decodes compressed frames: requests come in on standard input, numbers go out on standard output."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from medgan.formats.decoder_process import ANSWER, MEMORY_BYTES, READY, REQUEST, exactly

# Of the decoders that pydicom finds, those that keep all bits and stand damaged data best.
_PLUGINS = {
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "pillow",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
}


def decoded(packed: bytes, transfer_syntax: str, options: dict[str, Any]) -> np.ndarray | None:
    """Return the numbers of a frame, None if it cannot be decoded."""
    decoder = get_decoder(UID(transfer_syntax))
    plugin = _PLUGINS.get(transfer_syntax, "")
    if plugin not in decoder.available_plugins:
        plugin = ""
    try:
        array, _ = decoder.as_array(encapsulate([packed]), index=0, raw=True, decoding_plugin=plugin, **options)
    except Exception:
        # Each decoder has errors of its own for damaged data.
        return None
    return np.asarray(array)


def serve() -> None:
    """Answer requests until there are no more."""
    _bound_memory()
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(READY)
    answers.flush()
    while True:
        try:
            lengths = REQUEST.unpack(exactly(requests, REQUEST.size))
            options = json.loads(exactly(requests, lengths[0]))
            packed = exactly(requests, lengths[1])
        except EOFError:
            return
        array = decoded(packed, options.pop("transfer_syntax"), options)
        if array is None:
            answers.write(ANSWER.pack(b"", 0))
        else:
            data = np.ascontiguousarray(array).tobytes()
            answers.write(ANSWER.pack(array.dtype.str.encode(), len(data)) + data)
        answers.flush()


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:
        # Not on Windows: there the caller's checks of the declared size are all.
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))


if __name__ == "__main__":
    serve()
