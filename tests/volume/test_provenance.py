"""Provenance: one digest for one history, and a synthetic mark that stays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from medgan.errors import VolumeError
from medgan.volume import Provenance, Step

START = Provenance(("ab", "cd"))


def test_same_history_same_digest():
    again = Provenance(("ab", "cd")).then("crop", start_ijk=[0, 1, 2], margin=0.5)
    assert START.then("crop", margin=0.5, start_ijk=[0, 1, 2]).digest == again.digest
    assert len(again.digest) == 64


def test_tuples_and_lists_are_one_thing():
    assert START.then("crop", start_ijk=(0, 1)).digest == START.then("crop", start_ijk=[0, 1]).digest


def test_every_part_of_the_history_counts():
    histories = [
        START,
        Provenance(("cd", "ab")),
        Provenance(("ab",)),
        START.then("crop", a=1),
        START.then("crop", a=2),
        START.then("flip", a=1),
        START.then("crop", a=1).then("flip"),
        START.then("flip").then("crop", a=1),
        START.synthesized("crop", a=1),
    ]
    assert len({h.digest for h in histories}) == len(histories)


def test_the_synthetic_mark_never_turns_back():
    made = START.synthesized("translate", bundle="12")
    assert made.is_synthetic
    assert made.then("crop").is_synthetic
    assert not START.then("crop").is_synthetic
    assert made.as_dict()["steps"] == [{"name": "translate", "bundle": "12"}]


def test_what_is_recorded_cannot_change_with_the_callers_list():
    start = [0, 1, 2]
    provenance = START.then("crop", start_ijk=start)
    digest = provenance.digest
    start.append(9)
    provenance.as_dict()["steps"][0]["start_ijk"].append(9)
    assert provenance.digest == digest


@pytest.mark.parametrize("value", [np.float32(1), np.zeros(3), {1, 2}, float("nan"), object()])
def test_what_is_no_json_value_is_refused_when_it_is_recorded(value):
    with pytest.raises(VolumeError, match="plain JSON parameters: 'crop' has"):
        START.then("crop", value=value)


def test_provenance_is_a_value():
    assert Provenance(("ab", "cd")) == START
    assert START.then("crop", a=[1]) == START.then("crop", a=[1])
    assert pickle.loads(pickle.dumps(START.then("crop", a=[1]))) == START.then("crop", a=[1])
    assert Step("crop", {"a": 1}).as_dict() == {"name": "crop", "a": 1}
