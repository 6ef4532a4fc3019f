"""Parts of a training, saved and loaded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medgan.errors import TrainingError
from medgan.training.parts import load_parts, saved_parts


def _parts(seed: int) -> dict:
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"network": network, "optimizer": optimizer}


def test_parts_come_back() -> None:
    saved, other = _parts(0), _parts(1)
    assert load_parts(other, saved_parts(7, saved), owner="line") == 7
    assert torch.equal(other["network"].weight, saved["network"].weight)


def test_a_loaded_state_is_not_shared() -> None:
    saved, other = _parts(0), _parts(1)
    state = saved_parts(7, saved)
    load_parts(other, state, owner="line")
    before = state["optimizer"]["state"][0]["exp_avg"].clone()
    other["network"](torch.ones(1, 3)).sum().backward()
    other["optimizer"].step()
    assert torch.equal(state["optimizer"]["state"][0]["exp_avg"], before)
    assert not torch.equal(other["optimizer"].state_dict()["state"][0]["exp_avg"], before)


@pytest.mark.parametrize("change", [lambda s: s.pop("optimizer"), lambda s: s.update(optimizer_2={})])
def test_other_parts_are_refused_before_anything_is_loaded(change) -> None:
    parts = _parts(1)
    state = saved_parts(7, _parts(0))
    change(state)
    before = parts["network"].weight.clone()
    with pytest.raises(TrainingError, match="A saved line needs the parts of this one: they differ in optimizer"):
        load_parts(parts, state, owner="line")
    assert torch.equal(parts["network"].weight, before)
