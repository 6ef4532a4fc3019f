"""Who looked at the test split, when, and with which models: a second look cannot be hidden.

The truth of the test split is read by :func:`medgan.commands.study_evaluation.evaluate_step` alone (the report draws
what it measured). Before it reads anything it records a look; looks are never removed. A look is what one set of models
under one configuration gets to see: an evaluation that was interrupted goes on within it, but other models, another
configuration, or a table that was finished and is gone or changed begin another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medgan.errors import CohortError
from medgan.formats import write_bytes

LOCK = "test_lock.json"


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the test split.

    Attributes
    ----------
    time : str
        UTC, when it began.
    reason : str
        Why it is a look of its own.
    models : mapping of str to str
        Training to the SHA-256 of its chosen weights.
    config_sha256, manifest_sha256 : str
    table_sha256 : str or None
        Of the finished table of measures; None until then.
    """

    time: str
    reason: str
    models: Mapping[str, str]
    config_sha256: str
    manifest_sha256: str
    table_sha256: str | None = None

    @property
    def conditions(self) -> tuple[dict[str, str], str, str]:
        """What a look is a look with."""
        return dict(self.models), self.config_sha256, self.manifest_sha256


def read_looks(folder: Path) -> tuple[Look, ...]:
    """Return the recorded looks of a study, oldest first.

    Raises
    ------
    CohortError
        If the record is damaged.
    """
    path = folder / LOCK
    if not path.is_file():
        return ()
    try:
        return tuple(Look(**look) for look in json.loads(path.read_text(encoding="utf-8"))["looks"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CohortError(
            f"The record of looks at the test split, {LOCK}, is damaged: restore it. It must not be removed."
        ) from None


def opened_look(
    folder: Path,
    *,
    models: Mapping[str, str],
    config_sha256: str,
    manifest_sha256: str,
    table: Path,
    now: datetime | None = None,
) -> tuple[Look, bool]:
    """Return the look that an evaluation belongs to, and whether it begins now.

    Parameters
    ----------
    folder : Path
        Of the study; receives ``test_lock.json``.
    models, config_sha256, manifest_sha256
        See :class:`Look`.
    table : Path
        Table of measures that a finished evaluation leaves.
    now : datetime, optional
        For tests.
    """
    looks = read_looks(folder)
    time = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    look = Look(
        time=time,
        reason="first look",
        models=dict(models),
        config_sha256=config_sha256,
        manifest_sha256=manifest_sha256,
    )
    reason = _reason(looks, look, table)
    if reason is None:
        return looks[-1], False
    look = replace(look, reason=reason)
    _write(folder, (*looks, look))
    return look, True


def finished_look(folder: Path, *, table_sha256: str) -> None:
    """Record the table that the newest look ended in."""
    looks = read_looks(folder)
    _write(folder, (*looks[:-1], replace(looks[-1], table_sha256=table_sha256)))


def _reason(looks: Sequence[Look], look: Look, table: Path) -> str | None:
    """Return why a look is a new one, None if it goes on with the last."""
    if not looks:
        return "the table was there without a record" if table.is_file() else "first look"
    last = looks[-1]
    if last.models != look.models:
        return "other models"
    if last.conditions != look.conditions:
        return "another configuration or manifest"
    if last.table_sha256 is None:
        return None
    if not table.is_file():
        return "the finished table was gone"
    return None if _digest(table) == last.table_sha256 else "the finished table had been changed"


def _digest(file: Path) -> str:
    from medgan.cohort.manifest import digest_of

    return digest_of(file)


def _write(folder: Path, looks: Sequence[Look]) -> None:
    facts: dict[str, Any] = {"looks": [asdict(look) for look in looks]}
    write_bytes(folder / LOCK, (json.dumps(facts, indent=1) + "\n").encode(), overwrite=True)
