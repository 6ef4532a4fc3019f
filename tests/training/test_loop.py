"""The loop, with a method so small that every number can be followed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from medgan.errors import DivergenceError, TrainingError
from medgan.training import checkpoint
from medgan.training.loop import LoopSettings, Method, train
from medgan.training.monitors import PolarityGuard, Translation


@dataclass
class Walk:
    """A random walk: its place is the sum of one random number a step."""

    place: float
    polarity: float = 1.0
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place, "polarity": self.polarity, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place, self.polarity, self.step = state["place"], state["polarity"], state["step"]


@dataclass(frozen=True)
class Stride:
    place: float

    def as_dict(self) -> dict[str, float]:
        return {"place": self.place}


@dataclass(frozen=True)
class Pushed:
    push: float
    case_ids: tuple[str, ...] = ("case_7",)


@dataclass
class Polarities:
    """Polarity of each attempt, and how often a walk was built."""

    by_attempt: tuple[float, ...] = (1.0,)
    built: list[int] = field(default_factory=list)


def walking(polarities: Polarities | None = None) -> Method:
    polarities = polarities or Polarities()

    def build(settings, *, seed, device, form):
        polarities.built.append(seed)
        attempt = (len(polarities.built) - 1) % len(polarities.by_attempt)
        return Walk(place=float(seed % 1000), polarity=polarities.by_attempt[attempt])

    def step(state, batch, settings, generator, *, precision):
        state.place += settings["length"] * float(torch.randn((), generator=generator)) + batch.push
        state.step += 1
        return Stride(state.place)

    def translate(state, batch, *, precision):
        image = torch.linspace(-1, 1, 50).reshape(1, 1, 5, 10)
        return Translation(image=image, translation=state.polarity * image)

    return Method(build=build, step=step, translate=translate)


def calm(step: int, attempt: int) -> Pushed:
    return Pushed(0.01 * step)


def run(
    folder: Path,
    *,
    steps: int = 10,
    method: Method | None = None,
    batches=calm,
    seed: int = 3,
    prefetch: bool = False,
    **options,
):
    loop = LoopSettings(steps=steps, save_every=4, observe_every=3, prefetch=prefetch)
    return train(method or walking(), {"length": 0.5}, batches=batches, folder=folder, loop=loop, seed=seed, **options)


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_runs_of_one_seed_are_equal_and_of_another_are_not(tmp_path):
    first, second, other = run(tmp_path / "a"), run(tmp_path / "b"), run(tmp_path / "c", seed=4)
    assert first == second
    assert (tmp_path / "a/metrics.jsonl").read_bytes() == (tmp_path / "b/metrics.jsonl").read_bytes()
    assert first.place != other.place


def test_checkpoints_metrics_and_observers_come_on_time(tmp_path):
    seen = []
    run(tmp_path, observers=[lambda observation: seen.append((observation.step, observation.losses["place"]))])
    assert [step for step, _ in seen] == [3, 6, 9, 10]
    assert checkpoint.saved_steps(tmp_path / "checkpoints") == (8, 10)
    lines = records(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert {line["event"] for line in lines} == {"losses"}
    assert dict(seen)[9] == lines[8]["place"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("stop", [1, 4, 5, 7, 8, 9])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, stop, prefetch):
    def stopping(step: int, attempt: int) -> Pushed:
        if step == stop:
            raise Stopped
        return calm(step, attempt)

    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", batches=stopping, prefetch=prefetch)
    # What was drawn ahead is not lost: the step before the stop was taken.
    assert [line["step"] for line in records(tmp_path / "parts")] == list(range(1, stop))
    parts = run(tmp_path / "parts", prefetch=prefetch)
    assert parts == whole
    assert (tmp_path / "parts/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_metrics_after_the_checkpoint_and_a_cut_line_are_dropped(tmp_path):
    run(tmp_path, steps=8)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "losses", "attempt": 0, "step": 9, "place": 1}\n{"event": "los')
    run(tmp_path, steps=10)
    assert [line["step"] for line in records(tmp_path)] == list(range(1, 11))
    assert records(tmp_path)[8]["place"] != 1


@pytest.mark.parametrize("prefetch", [False, True])
def test_a_finished_training_is_returned_as_it_ended(tmp_path, prefetch):
    first = run(tmp_path, prefetch=prefetch)
    assert run(tmp_path, batches=None, prefetch=prefetch) == first


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_step_and_case(tmp_path, bad):
    with pytest.raises(DivergenceError, match=r"at step 6 \(cases: case_7\)"):
        run(tmp_path, batches=lambda step, attempt: Pushed(bad if step == 6 else 0.0))
    assert checkpoint.saved_steps(tmp_path / "checkpoints") == (4,)
    assert [line["step"] for line in records(tmp_path)] == [1, 2, 3, 4, 5]


GUARD = PolarityGuard(expected_polarity="same", check_steps=(2, 6))


@pytest.mark.parametrize("prefetch", [False, True])
def test_an_inverted_attempt_starts_everything_anew_with_other_random_numbers(tmp_path, prefetch):
    polarities = Polarities(by_attempt=(-1.0, -1.0, 1.0))
    asked = []

    def batches(step: int, attempt: int) -> Pushed:
        asked.append((attempt, step))
        return calm(step, attempt)

    state = run(tmp_path, method=walking(polarities), guard=GUARD, batches=batches, prefetch=prefetch)
    # Batches drawn ahead for an attempt that failed are drawn for nothing; none is drawn beyond the last step.
    surplus = {(0, 3), (1, 3)} if prefetch else set()
    assert set(asked) - surplus == {
        *((0, s) for s in (1, 2)),
        *((1, s) for s in (1, 2)),
        *((2, s) for s in range(1, 11)),
    }
    assert set(asked) >= {(2, 10)}
    assert state.step == 10
    assert len(set(polarities.built)) == 3
    lines = records(tmp_path)
    assert [(line["attempt"], line["step"]) for line in lines if line["event"] == "losses"] == [
        *((0, step) for step in (1, 2)),
        *((1, step) for step in (1, 2)),
        *((2, step) for step in range(1, 11)),
    ]
    assert [line["violated"] for line in lines if line["event"] == "guard"] == [True, True, False, False]
    places = [line["place"] for line in lines if line["event"] == "losses" and line["step"] == 1]
    assert len(set(places)) == 3


def test_an_interrupted_later_attempt_continues_as_that_attempt(tmp_path):
    def stopping(step: int, attempt: int) -> Pushed:
        if (attempt, step) == (1, 7):
            raise Stopped
        return calm(step, attempt)

    def method() -> Method:
        return walking(Polarities(by_attempt=(-1.0, 1.0)))

    whole = run(tmp_path / "whole", method=method(), guard=GUARD)
    with pytest.raises(Stopped):
        run(tmp_path / "parts", method=method(), guard=GUARD, batches=stopping)
    assert checkpoint.saved_steps(tmp_path / "parts/checkpoints") == (0, 4)
    parts = run(tmp_path / "parts", method=walking(Polarities(by_attempt=(1.0,))), guard=GUARD)
    assert parts == whole
    assert (tmp_path / "parts/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_a_violation_after_a_checkpoint_leaves_none_of_the_failed_attempt(tmp_path):
    late = PolarityGuard(expected_polarity="same", check_steps=(6,))

    def stopping(step: int, attempt: int) -> Pushed:
        if attempt == 1:
            raise Stopped
        return calm(step, attempt)

    with pytest.raises(Stopped):
        run(tmp_path, method=walking(Polarities(by_attempt=(-1.0, 1.0))), guard=late, batches=stopping)
    assert checkpoint.saved_steps(tmp_path / "checkpoints") == (0,)


def test_the_guard_gives_up_after_three_restarts(tmp_path):
    polarities = Polarities(by_attempt=(-1.0,))
    with pytest.raises(
        DivergenceError, match=r"same polarity: found a rank correlation of -1.00 at step 2, after 3 re"
    ):
        run(tmp_path, method=walking(polarities), guard=GUARD)
    assert len(polarities.built) == 4


def test_a_guard_needs_something_to_look_at(tmp_path):
    method = walking()
    with pytest.raises(TrainingError, match="needs a method that translates"):
        run(tmp_path, method=Method(build=method.build, step=method.step), guard=GUARD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed was 3, now 4"),
        ({"precision": "bfloat16"}, "precision was 'float32', now 'bfloat16'"),
        ({"form": "fast"}, "form was 'plain', now 'fast'"),
    ],
)
def test_a_training_continues_as_it_began_or_not_at_all(tmp_path, change, message):
    run(tmp_path, steps=4)
    with pytest.raises(TrainingError, match=message):
        run(tmp_path, **change)


@pytest.mark.parametrize("name", ["steps", "save_every", "observe_every", "keep_last", "keep_every"])
def test_refused_rhythms(name):
    with pytest.raises(TrainingError, match=f"{name} of at least 1.*found 0"):
        LoopSettings(**{"steps": 5, name: 0})
