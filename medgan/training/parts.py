"""The parts of a training as one saved state, and back: networks, optimizers, averages, image pools, step."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Protocol

from medgan.errors import TrainingError


class Part(Protocol):
    """What keeps a state of its own."""

    def state_dict(self) -> Any:
        """Return the state as tensors, numbers, lists and dicts."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Replace the state."""


def saved_parts(step: int, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Return the step and the state of every part by its name.

    Parameters
    ----------
    step : int
        Steps taken.
    parts : mapping of str to Part

    Returns
    -------
    dict
        ``step`` and one entry a part; a part may not be called ``step``.
    """
    return {"step": step, **{name: part.state_dict() for name, part in parts.items()}}


def load_parts(parts: Mapping[str, Part], state: Mapping[str, Any], *, owner: str) -> int:
    """Give every part its saved state; nothing is loaded if the parts are not the same.

    Parameters
    ----------
    parts : mapping of str to Part
    state : mapping
        From :func:`saved_parts`; not changed and not kept.
    owner : str
        Whose parts they are, for the message.

    Returns
    -------
    int
        Steps taken.

    Raises
    ------
    TrainingError
        If the state was saved with other settings, so that parts are missing or new.
    """
    if set(state) != {"step", *parts}:
        differing = sorted(set(state) ^ {"step", *parts})
        raise TrainingError(f"A saved {owner} needs the parts of this one: they differ in {', '.join(differing)}.")
    for name, part in parts.items():
        # A copy, because optimizers keep the tensors that they are given.
        part.load_state_dict(deepcopy(state[name]))
    return int(state["step"])
