"""Where an image came from: digests of its sources and the steps applied since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from medgan.errors import VolumeError


@dataclass(frozen=True)
class Step:
    """One named operation with its parameters, plain JSON values that are copied in.

    Raises
    ------
    VolumeError
        If a parameter is not a JSON value: convert NumPy numbers and arrays first.
    """

    name: str
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        # A round trip: what is recorded cannot change with the caller's lists, and what has no digest fails here.
        try:
            text = json.dumps(dict(self.parameters), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise VolumeError(f"A recorded step needs plain JSON parameters: {self.name!r} has {error}.") from error
        object.__setattr__(self, "parameters", json.loads(text))

    def as_dict(self) -> dict[str, Any]:
        """Return name and parameters as JSON values."""
        return {"name": self.name, **json.loads(json.dumps(self.parameters))}


@dataclass(frozen=True)
class Provenance:
    """Source digests plus steps; the same sources and steps give the same :attr:`digest`.

    Parameters
    ----------
    sources : tuple of str
        SHA-256 of each source file, in hexadecimal. Never a path.
    steps : tuple of Step
        Operations in the order they were applied.
    is_synthetic : bool
        True once a generator took part; it never turns back, and every writer marks it.

    Examples
    --------
    >>> Provenance(("ab",)).then("flip", axis=0).digest == Provenance(("ab",)).then("flip", axis=0).digest
    True
    """

    sources: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    is_synthetic: bool = False

    def then(self, name: str, /, **parameters: Any) -> Provenance:
        """Return the provenance after one more step."""
        return replace(self, steps=(*self.steps, Step(name, parameters)))

    def synthesized(self, name: str, /, **parameters: Any) -> Provenance:
        """Return the provenance after a step in which a generator took part."""
        return replace(self.then(name, **parameters), is_synthetic=True)

    @property
    def digest(self) -> str:
        """SHA-256 over sources, steps and the synthetic mark, in hexadecimal."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "sources": list(self.sources),
            "steps": [step.as_dict() for step in self.steps],
            "is_synthetic": self.is_synthetic,
        }
