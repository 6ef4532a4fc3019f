"""Who does which block: a folder beside the output, in which blocks are claimed and finished, each in one step.

Nothing but files on a disk that all workers see is needed: no server, no locks, no clock that two machines share.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from medgan.errors import OutputError
from medgan.formats.output import write_failure
from medgan.inference.block_claim import Claim
from medgan.inference.block_owner import Owner

FORMAT = 1
HEADER, CLAIMS, DONE = "manifest.json", "claims", "done"
TRIES = 3
"""How often a block is begun in one run, whether it was refused or its worker died, before it is named as failed."""
LEASE_S = 120.0
"""A claim of another machine that nobody has renewed for so long is taken over."""

State = Literal["pending", "running", "failed", "done"]


@dataclass(frozen=True)
class Try:
    """One time that somebody began a block.

    Attributes
    ----------
    run : str
    failure : str or None
        Why it failed; None while it is worked on, or where its worker died.
    is_alive : bool
        Whether somebody works on it.
    """

    run: str
    failure: str | None
    is_alive: bool


@dataclass(frozen=True)
class BlockManifest:
    """The entries of one output: blocks of a volume, or cases of a cohort.

    Parameters
    ----------
    folder : Path
    lease_s : float
        Seconds, see :data:`LEASE_S`.

    Notes
    -----
    ``manifest.json`` holds what all workers and every restart must agree on. ``claims/KEY.N`` is made by whoever begins
    the block for the N-th time, with O_EXCL: of two only one can. No claim is removed before its block is done, so a
    block whose worker died is taken over by making N + 1, which again only one can. ``done/KEY`` appears by a rename,
    with its content. Whether a chunk exists in the output says nothing: chunks of zeros are not stored.

    A worker on the same machine is asked whether it lives (number and start of its process); of one elsewhere the claim
    must have been renewed within the lease, by the clock of the disk. One that was only slow finishes a block that
    somebody else has begun again: both write the same bits.
    """

    folder: Path
    lease_s: float = LEASE_S

    @classmethod
    def opened(cls, folder: Path, facts: Mapping[str, Any], *, lease_s: float = LEASE_S) -> BlockManifest:
        """Make a manifest, or return the one that is there if it was made for the same.

        Parameters
        ----------
        folder : Path
        facts : mapping
            JSON values: digests of source and model, settings.
        lease_s : float

        Raises
        ------
        OutputError
            If something else is in its place, the facts differ (each is named), or it cannot be written.
        """
        now = json.loads(json.dumps(dict(facts)))
        manifest = cls(folder, lease_s)
        if not folder.exists():
            _made(folder, now)
        before = manifest.facts
        names = [*now, *(name for name in before if name not in now)]
        differing = [f"{n} was {before.get(n)!r}, now {now.get(n)!r}" for n in names if before.get(n) != now.get(n)]
        if differing:
            raise OutputError(
                f"{folder.name} was begun with other settings: {'; '.join(differing)}. Repeat those, or choose another "
                "--out; to start anew, remove what was begun."
            )
        return manifest

    @property
    def is_there(self) -> bool:
        """Whether the manifest still exists; it is removed when all is complete."""
        return (self.folder / HEADER).is_file()

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest was made for.

        Raises
        ------
        OutputError
            If it is no manifest of medgan's.
        """
        try:
            header = json.loads((self.folder / HEADER).read_text(encoding="utf-8"))
            if header["format"] != FORMAT:
                self._refuse_foreign()
            return dict(header["facts"])
        except OutputError:
            raise
        except (OSError, ValueError, KeyError, TypeError):
            self._refuse_foreign()

    def _refuse_foreign(self) -> NoReturn:
        raise OutputError(
            f"{self.folder.name} is no manifest of blocks that this version of medgan wrote: choose another --out, or "
            "remove it."
        )

    def claim(self, key: str, *, run: str, tries: int = TRIES) -> Claim | None:
        """Take a block; None if it is done, somebody works on it, or this run has tried it often enough.

        Parameters
        ----------
        key : str
            Letters, digits, ``.``, ``_`` and ``-``.
        run : str
            Tells this run's tries from those of earlier ones.
        tries : int

        Raises
        ------
        OutputError
            If the claim cannot be written.
        """
        if self.is_done(key):
            return None
        before = self._tries(key)
        if (before and before[-1].is_alive) or sum(each.run == run for each in before) >= tries:
            return None
        path = self._claim_path(key, len(before) + 1)
        text = json.dumps({"run": run, "owner": Owner.this_process().as_dict()})
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return None
        except OSError as error:
            if not self.is_there:
                return None
            raise OutputError(write_failure(self.folder, error)) from None
        claim = Claim(key, path, self.folder / DONE / key)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            claim.release()
            raise OutputError(write_failure(self.folder, error)) from None
        if self.is_done(key):
            # Somebody finished it, and removed the claims, between the two looks.
            claim.release()
            return None
        return claim

    def is_done(self, key: str) -> bool:
        """Tell whether a block is finished."""
        return (self.folder / DONE / key).is_file()

    def state(self, key: str, *, run: str, tries: int = TRIES) -> State:
        """Return how far a block is: ``failed`` if this run may not begin it again."""
        if self.is_done(key):
            return "done"
        before = self._tries(key)
        if before and before[-1].is_alive:
            return "running"
        return "failed" if sum(each.run == run for each in before) >= tries else "pending"

    def failure(self, key: str) -> str | None:
        """Return why the last try of a block failed; None where none did."""
        before = self._tries(key)
        if not before or before[-1].is_alive:
            return None
        return before[-1].failure or "Its worker was ended from outside, most likely for lack of memory."

    def done_keys(self) -> set[str]:
        """Return the keys of all finished blocks."""
        try:
            return {name for name in os.listdir(self.folder / DONE) if not name.startswith(".")}
        except FileNotFoundError:
            return set()

    def done_facts(self, key: str) -> dict[str, Any]:
        """Return what was recorded of a finished block.

        Raises
        ------
        OutputError
            If it is not finished, or the record is damaged.
        """
        try:
            return dict(json.loads((self.folder / DONE / key).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise OutputError(f"{self.folder.name} holds no sound record that {key} is done: remove it.") from None

    def forget(self, key: str) -> None:
        """Let a finished block be done again."""
        (self.folder / DONE / key).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the manifest; those who look at it meanwhile see all of it or nothing."""
        gone = self.folder.with_name(f".partial-{secrets.token_hex(4)}-{self.folder.name}")
        try:
            os.rename(self.folder, gone)
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(write_failure(self.folder, error)) from None
        shutil.rmtree(gone, ignore_errors=True)

    def _claim_path(self, key: str, number: int) -> Path:
        return self.folder / CLAIMS / f"{key}.{number}"

    def _tries(self, key: str) -> list[Try]:
        found: list[Try] = []
        while (each := self._try(self._claim_path(key, len(found) + 1))) is not None:
            found.append(each)
        return found

    def _try(self, path: Path) -> Try | None:
        try:
            text, renewed = path.read_text(encoding="utf-8"), path.stat().st_mtime
        except OSError:
            return None
        try:
            facts = json.loads(text)
            run, failure, owner = str(facts["run"]), facts.get("failure"), Owner.read(facts["owner"])
        except (ValueError, KeyError, TypeError):
            # Being written, or its writer was killed that moment.
            return Try("", None, self._clock() - renewed < self.lease_s)
        if failure is not None:
            return Try(run, str(failure), False)
        alive = owner.is_alive()
        return Try(run, None, self._clock() - renewed < self.lease_s if alive is None else alive)

    def _clock(self) -> float:
        """Return the time by the disk's clock, which set the times of the claims; machines may disagree by minutes."""
        header = self.folder / HEADER
        try:
            os.utime(header)
            return header.stat().st_mtime
        except OSError:
            return 0.0


def _made(folder: Path, facts: Mapping[str, Any]) -> None:
    """Make the folder whole and rename it; if somebody else is faster, theirs is the one."""
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".partial-{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise OutputError(write_failure(folder, error)) from None
    try:
        temporary.chmod(0o755)
        for name in (CLAIMS, DONE):
            (temporary / name).mkdir()
        text = json.dumps({"format": FORMAT, "facts": dict(facts)}, indent=1)
        (temporary / HEADER).write_text(text + "\n", encoding="utf-8")
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
    except OSError as error:
        raise OutputError(write_failure(folder, error)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
