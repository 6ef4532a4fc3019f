"""Compressed frames, decoded in processes of their own.

The decoders are C libraries: damaged bytes can crash them, make them allocate without bound or write to the terminal.
In a process of its own a decoder does none of that to its caller: a frame is decoded, or it is refused.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError

REQUEST = struct.Struct("<II")
"""Lengths of the options (JSON) and of the compressed frame, which follow."""
ANSWER = struct.Struct("<4sQ")
"""Type of the numbers, and the length of their bytes, which follow; the type is empty where there are none."""
READY = b"R"
"""What a process says when it is ready for its first request."""
LONGEST_START_SECONDS = 60.0
LONGEST_FRAME_SECONDS, LONGEST_PIXEL_SECONDS = 5.0, 1e-5
"""A frame may take this long, and this much longer for each of its pixels: a hundred times what a slow one takes."""
MEMORY_BYTES = 4 << 30
"""Address space of a decoder."""


class DecoderPool:
    """A few decoder processes, each started when it is first needed; used as a context, and from any thread.

    Parameters
    ----------
    processes : int
        At most this many.
    """

    def __init__(self, processes: int) -> None:
        # The last one given back is the first one taken, so that no more are started than are busy at once.
        self._idle: LifoQueue[_DecoderProcess | None] = LifoQueue()
        self._all: list[_DecoderProcess] = []
        for _ in range(processes):
            self._idle.put(None)

    def __enter__(self) -> DecoderPool:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._all:
            process.close()

    def decoded(self, packed: bytes, options: dict[str, Any]) -> npt.NDArray[Any] | None:
        """Return the numbers of a compressed frame in a row, None if it is damaged.

        Parameters
        ----------
        packed : bytes
        options : dict
            Transfer syntax and the image pixel attributes, as :mod:`medgan.formats.decoder_worker` takes them.

        Raises
        ------
        FormatError
            If no process can be started.
        """
        with self._borrowed() as process:
            return process.decoded(packed, options)

    @contextmanager
    def _borrowed(self) -> Iterator[_DecoderProcess]:
        process = self._idle.get()
        try:
            if process is None or not process.is_alive:
                process = _DecoderProcess()
                self._all.append(process)
            yield process
        finally:
            self._idle.put(process)


class _DecoderProcess:
    """One process; it ends with its input, with a crash, or with a frame that takes too long."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "medgan.formats.decoder_worker"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise FormatError(
                f"Compressed pixels are decoded in a process of their own, which cannot be started: {error.strerror}."
            ) from None
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def decoded(self, packed: bytes, options: dict[str, Any]) -> npt.NDArray[Any] | None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return None
        text = json.dumps(options).encode()
        pixels = options["rows"] * options["columns"]
        try:
            if not self._is_ready:
                with self._ended_after(LONGEST_START_SECONDS):
                    exactly(stdout, len(READY))
                self._is_ready = True
            with self._ended_after(LONGEST_FRAME_SECONDS + LONGEST_PIXEL_SECONDS * pixels):
                stdin.write(REQUEST.pack(len(text), len(packed)) + text + packed)
                stdin.flush()
                kind, size = ANSWER.unpack(exactly(stdout, ANSWER.size))
                data = exactly(stdout, size)
        except (OSError, EOFError):
            # It crashed over this frame, or took too long; the next one gets a new process.
            self._process.kill()
            self._process.wait()
            return None
        name = kind.rstrip(b"\0").decode()
        return np.frombuffer(data, np.dtype(name)) if name else None

    @contextmanager
    def _ended_after(self, seconds: float) -> Iterator[None]:
        watch = threading.Timer(seconds, self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def exactly(stream: BinaryIO | Any, size: int) -> bytes:
    """Return ``size`` bytes of a pipe.

    Raises
    ------
    EOFError
        If it ends before.
    """
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return bytes(data)
