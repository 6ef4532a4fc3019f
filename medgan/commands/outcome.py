"""How a command ends: exit codes, and one sentence for every failure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from medgan.errors import MedganError

INTERRUPTED = 130
"""Exit code."""


def guarded(work: Callable[[], Any], *, as_json: bool) -> int:
    """Do some work and return an exit code; every failure is one sentence on stderr, and one JSON object if asked.

    Parameters
    ----------
    work : callable
        A whole number that it returns is the exit code; anything else is success.
    as_json : bool
        Print failures as one JSON object on stdout as well.

    Notes
    -----
    0 done; 1 internal failure, or a loss that is not finite; 2 input or usage refused; 3 a cohort done in part; 130
    interrupted. The environment variable ``MEDGAN_TRACEBACK`` shows where an internal failure came from.
    """
    import typer

    try:
        outcome = work()
    except MedganError as error:
        return _failed(str(error), type(error).__name__, error.exit_code, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(as_json)
    except typer.Exit as error:
        return int(error.exit_code)
    except Exception as error:
        if _is_usage_error(error):
            return _usage(error, as_json)
        if os.environ.get("MEDGAN_TRACEBACK"):
            raise
        words = f"Internal failure ({type(error).__name__}). Set MEDGAN_TRACEBACK=1 to see where, and please report it."
        return _failed(words, "InternalFailure", 1, as_json)
    if outcome == INTERRUPTED:
        # Typer turns Ctrl-C into an exit code without a word.
        return _interrupted(as_json)
    return outcome if isinstance(outcome, int) else 0


def _interrupted(as_json: bool) -> int:
    return _failed("Interrupted; the same command continues or starts again.", "Interrupted", INTERRUPTED, as_json)


def _is_usage_error(error: Exception) -> bool:
    # Typer carries its own copy of Click, so the class to catch depends on its version; its shape does not.
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage(error: Any, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(error.format_message() + "\n")
        return 0
    hint = f" Try '{context.command_path} --help'." if context else ""
    return _failed(f"{error.format_message()}{hint}", "UsageError", 2, as_json)


def _failed(message: str, kind: str, code: int, as_json: bool) -> int:
    sys.stderr.write(f"medgan: {message}\n")
    if as_json:
        sys.stdout.write(json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}) + "\n")
    return code
