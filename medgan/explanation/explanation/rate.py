"""A share of cases with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from medgan.errors import ExplanationError
from medgan.explanation.explanation.values import json_value


@dataclass(frozen=True)
class Rate:
    """A share of cases with its 95 % interval of Wilson (1927); without cases there is neither.

    Examples
    --------
    >>> rate = Rate(count=9, total=10)
    >>> rate.value, round(rate.low, 3), round(rate.high, 3)
    (0.9, 0.596, 0.982)
    """

    count: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total:
            raise ExplanationError(f"A rate counts at most all cases: found {self.count} of {self.total}.")

    @property
    def value(self) -> float | None:
        """The share."""
        return self.count / self.total if self.total else None

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return self._end(-1)

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return self._end(+1)

    @property
    def text(self) -> str:
        """Such as ``0.90 [0.60, 0.98] (9 of 10)``."""
        if self.value is None:
            return "no cases"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] ({self.count} of {self.total})"

    def as_dict(self) -> dict[str, Any]:
        """Return count, total, share and interval as JSON values."""
        found: dict[str, Any] = json_value(self)
        return found

    def _end(self, sign: int) -> float | None:
        if not self.total:
            return None
        z, n, p = 1.959963984540054, self.total, self.count / self.total
        middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return min(max((middle + sign * spread) / (1 + z * z / n), 0.0), 1.0)
