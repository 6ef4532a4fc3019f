"""Whether a classifier may be explained, and by which methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from medgan.explanation.explanation.values import json_value

Status = Literal["passed", "failed", "not checked"]


@dataclass(frozen=True)
class RuleFinding:
    """What one rule of the preflight found.

    Parameters
    ----------
    rule : str
        Short name, such as ``"train mode"``.
    status : str
        ``"passed"``, ``"failed"`` or ``"not checked"``.
    reason : str
        One sentence.
    refuses : tuple of str
        Methods that must not run because of this; empty unless failed.
    fatal : bool
        Whether nothing may be explained at all.
    """

    rule: str
    status: Status
    reason: str
    refuses: tuple[str, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class Preflight:
    """Findings of all rules, in the order in which they were looked at."""

    findings: tuple[RuleFinding, ...]

    @property
    def passed(self) -> bool:
        """Tell whether no rule failed."""
        return not self.failures

    @property
    def fatal(self) -> bool:
        """Tell whether nothing may be explained."""
        return any(one.fatal for one in self.failures)

    @property
    def failures(self) -> tuple[RuleFinding, ...]:
        """Rules that failed."""
        return tuple(one for one in self.findings if one.status == "failed")

    @property
    def refused(self) -> dict[str, str]:
        """Method to the first reason why it must not run."""
        found: dict[str, str] = {}
        for one in self.failures:
            for method in one.refuses:
                found.setdefault(method, one.reason)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "passed": self.passed,
            "fatal": self.fatal,
            "findings": json_value(self.findings),
            "refused": self.refused,
        }
