"""The training loop: one loop for every method, read from top to bottom.

All randomness of a step is a function of the seed, the attempt and the step, so a checkpoint holds no generator state
and an interrupted training that is started again gives, on a CPU with a fixed number of threads, the bits of an
uninterrupted one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from medgan.errors import DivergenceError, TrainingError
from medgan.seeding import derived_seed, torch_generator
from medgan.training import checkpoint
from medgan.training.distributed import ALONE, Replicas
from medgan.training.draw_ahead import drawn_ahead
from medgan.training.monitors import PolarityGuard, Translation, require_finite

_MOST_RESTARTS = 3


class Losses(Protocol):
    """What a method's step returns."""

    def as_dict(self) -> dict[str, float]:
        """Return the loss terms by name."""
        ...


class State(Protocol):
    """Everything a method changes while it trains: networks, optimizers, pools, averages."""

    step: int

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers, strings, lists and dicts."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace all of it."""
        ...


class Batch(Protocol):
    """What a method's step consumes."""

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Pseudonyms of the cases that the batch was cut from."""
        ...


StateT = TypeVar("StateT", bound=State)
BatchT = TypeVar("BatchT", bound=Batch)
SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True, kw_only=True)
class Method(Generic[StateT, BatchT, SettingsT]):
    """A published method, as the loop sees it.

    Parameters
    ----------
    build : callable
        ``build(settings, seed=, device=, form=) -> state``.
    step : callable
        ``step(state, batch, settings, generator, precision=) -> losses``; counts ``state.step`` up by one.
    translate : callable or None
        ``translate(state, batch, precision=) -> Translation``, for the guard; None where there is none to guard.
    """

    build: Callable[..., StateT]
    step: Callable[..., Losses]
    translate: Callable[..., Translation] | None = None


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Length and rhythm of a training.

    Parameters
    ----------
    steps : int
        Steps to take in all.
    save_every, observe_every : int
        Steps between checkpoints, and between calls of the observers.
    keep_last : int
        Checkpoints kept.
    keep_every : int or None
        Checkpoints at multiples of this are kept too.
    prefetch : bool
        Whether a thread draws the next batch while a step computes. The bits are the same.
    """

    steps: int
    save_every: int = 500
    observe_every: int = 10
    keep_last: int = 2
    keep_every: int | None = None
    prefetch: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "save_every", "observe_every", "keep_last"):
            if getattr(self, name) < 1:
                raise TrainingError(f"A training needs {name} of at least 1: found {getattr(self, name)}.")
        if self.keep_every is not None and self.keep_every < 1:
            raise TrainingError(f"A training needs keep_every of at least 1, or None: found {self.keep_every}.")


@dataclass(frozen=True, kw_only=True)
class Observation(Generic[StateT, BatchT]):
    """What an observer gets to see; it must not change the state."""

    step: int
    attempt: int
    losses: dict[str, float]
    state: StateT
    batch: BatchT


def train(
    method: Method[StateT, BatchT, SettingsT],
    settings: SettingsT,
    *,
    batches: Callable[[int, int], BatchT],
    folder: Path,
    loop: LoopSettings,
    seed: int,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    form: str = "plain",
    guard: PolarityGuard | None = None,
    observers: Sequence[Callable[[Observation[StateT, BatchT]], None]] = (),
    replicas: Replicas = ALONE,
) -> StateT:
    """Train to the last step, from the latest checkpoint if there is one.

    Parameters
    ----------
    method : Method
        What to train.
    settings : object
        The method's own settings.
    batches : callable
        ``batches(step, attempt) -> batch``, a pure function, ``step`` from 1.
    folder : Path
        Receives ``checkpoints/`` and ``metrics.jsonl``.
    loop : LoopSettings
        Length and rhythm.
    seed : int
        All randomness follows from it.
    device, precision, form
        Where, in which number format and in which form of the networks.
    guard : PolarityGuard or None
        A violation starts everything anew with the next attempt's random numbers, three times at most.
    observers : sequence of callable
        Called every ``loop.observe_every`` steps and at the last, in the first process.
    replicas : Replicas
        The processes that train together: each calls this with its own share of every batch.

    Returns
    -------
    State
        After the last step.

    Raises
    ------
    TrainingError
        If a checkpoint is damaged or of another training.
    DivergenceError
        For a loss that is not finite, naming step and cases; if the guard is violated after the last restart.

    Notes
    -----
    With W processes and batches of b samples a step is that of one process with the W b samples, as far as every loss
    is a mean over samples of one size. It is not exact for means over body voxels (warm start, anchor), which weigh
    the bodies of every process alike, and random numbers of a step (noise between the legs, pools) are drawn by each
    process for itself.
    """
    if guard is not None and method.translate is None:
        raise TrainingError("A polarity guard needs a method that translates: this one does not.")
    checkpoints = replicas.checkpoints_in(folder)
    conditions = {"seed": seed, "precision": precision, "form": form, "processes": replicas.size}
    content = _continued(checkpoints, replicas, conditions) or {"attempt": 0}
    attempt: int = content["attempt"]
    state = method.build(settings, seed=derived_seed(seed, "build", attempt), device=device, form=form)
    if "state" in content:
        state.load_state_dict(content["state"])
    replicas.connect(state)
    metrics = _Metrics(folder / "metrics.jsonl", attempt=attempt, step=state.step) if replicas.leads else None

    drawing = drawn_ahead(batches, last_step=loop.steps) if loop.prefetch else nullcontext(batches)
    with drawing as drawn:
        while state.step < loop.steps:
            step = state.step + 1
            batch = drawn(step, attempt)
            generator = torch_generator(seed, "step", attempt, step, *replicas.place)
            losses = replicas.averaged(method.step(state, batch, settings, generator, precision=precision).as_dict())
            if not all(map(math.isfinite, losses.values())):
                require_finite(losses, step=step, case_ids=replicas.gathered(batch.case_ids))
            if metrics is not None:
                metrics.append("losses", attempt, step, losses)

            if guard is not None and method.translate is not None and step in guard.check_steps:
                finding = guard.check(method.translate(state, batch, precision=precision))
                if metrics is not None:
                    metrics.append("guard", attempt, step, finding.as_dict())
                if replicas.first_decides(finding.violated):
                    attempt = _next_attempt(attempt, guard, finding.correlation, step)
                    state = method.build(settings, seed=derived_seed(seed, "build", attempt), device=device, form=form)
                    replicas.connect(state)
                    _save(checkpoints, state, attempt, conditions)
                    replicas.wait()
                    checkpoint.remove_other_than(checkpoints, 0)
                    continue

            if step % loop.save_every == 0 or step == loop.steps:
                _save(checkpoints, state, attempt, conditions)
                replicas.wait()
                checkpoint.prune(checkpoints, keep_last=loop.keep_last, keep_every=loop.keep_every)
            if replicas.leads and (step % loop.observe_every == 0 or step == loop.steps):
                for observe in observers:
                    observe(Observation(step=step, attempt=attempt, losses=losses, state=state, batch=batch))

    return state


def _next_attempt(attempt: int, guard: PolarityGuard, correlation: float, step: int) -> int:
    if attempt == _MOST_RESTARTS:
        raise DivergenceError(
            f"A translation needs {guard.expected_polarity} polarity: found a rank correlation of {correlation:.2f} at "
            f"step {step}, after {_MOST_RESTARTS} restarts. Use a warm start, or declare another expected polarity."
        )
    return attempt + 1


def _continued(checkpoints: Path, replicas: Replicas, conditions: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return this process's checkpoint of the highest step that all processes have, None where one has none.

    One that was killed while it saved is a checkpoint behind; none is deleted before all have the next.
    """
    own = max(checkpoint.saved_steps(checkpoints), default=-1)
    content = checkpoint.load(checkpoint.checkpoint_path(checkpoints, own)) if own >= 0 else None
    if content is not None:
        _require_same(content, conditions)
    common = replicas.lowest(own)
    if common == own:
        return content
    return checkpoint.load(checkpoint.checkpoint_path(checkpoints, common)) if common >= 0 else None


def _save(checkpoints: Path, state: State, attempt: int, conditions: Mapping[str, Any]) -> None:
    checkpoint.save(checkpoints, state.step, {"attempt": attempt, **conditions, "state": state.state_dict()})


def _require_same(content: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a training under conditions that would silently give other bits."""
    for name, value in now.items():
        # Checkpoints that do not say how many processes made them were made by one.
        before = content.get(name, 1)
        if before != value:
            raise TrainingError(
                f"A training continues as it began: {name} was {before!r}, now {value!r}. "
                "Use the recorded value, or start in another folder."
            )


class _Metrics:
    """The lines of ``metrics.jsonl``; what was written after the checkpoint is cut off before a training continues."""

    def __init__(self, path: Path, *, attempt: int, step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                if not line.endswith("\n"):  # cut by a crash
                    break
                record = json.loads(line)
                if (record["attempt"], record["step"]) <= (attempt, step):
                    kept.append(line)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.replace(path)

    def append(self, event: str, attempt: int, step: int, values: dict[str, Any]) -> None:
        line = json.dumps({"event": event, "attempt": attempt, "step": step, **values})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
