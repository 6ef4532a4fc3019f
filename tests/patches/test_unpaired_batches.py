"""Batches of an unpaired method are a pure function of seed, step and attempt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prepared_phantoms import prepared_case

from medgan.patches.sampler import PatchSampler
from medgan.patches.unpaired import unpaired_batches


@pytest.fixture
def samplers(rng):
    return {
        "source": PatchSampler([prepared_case((9, 8, 7), rng, case_id=f"mr{n}") for n in range(3)], (4, 4, 3)),
        "target": PatchSampler([prepared_case((10, 8, 7), rng, case_id=f"ct{n}") for n in range(3)], (5, 4, 3)),
    }


def test_shapes_types_and_names(samplers):
    batch = unpaired_batches(**samplers, seed=1, size=2, focal=False)(0, 0)
    assert batch.source.shape == batch.source_body.shape == (2, 1, 4, 4, 3)
    assert batch.target.shape == batch.target_body.shape == (2, 1, 5, 4, 3)
    assert batch.source.dtype == batch.source_body.dtype == torch.float32
    assert all(name.startswith("mr") for name in batch.source_case_ids)
    assert all(name.startswith("ct") for name in batch.target_case_ids)
    assert len(batch.source_case_ids) == len(batch.target_case_ids) == 2


@pytest.mark.parametrize("focal", [False, True])
def test_a_step_gives_the_same_batch_whatever_came_before(samplers, focal):
    batches = unpaired_batches(**samplers, seed=1, size=2, focal=focal)
    forward = [batches(step, 0) for step in range(4)]
    fresh = unpaired_batches(**samplers, seed=1, size=2, focal=focal)
    backward = [fresh(step, 0) for step in reversed(range(4))][::-1]
    for a, b in zip(forward, backward):
        assert torch.equal(a.source, b.source)
        assert torch.equal(a.target, b.target)
        assert a.source_case_ids == b.source_case_ids


def test_steps_attempts_and_seeds_differ(samplers):
    batches = unpaired_batches(**samplers, seed=1, size=2, focal=False)
    other = unpaired_batches(**samplers, seed=2, size=2, focal=False)
    drawn = [batches(0, 0), batches(1, 0), batches(0, 1), other(0, 0)]
    assert len({batch.source.numpy().tobytes() for batch in drawn}) == 4


def test_focal_sampling_pairs_places_and_not_subjects(rng):
    # The value of a voxel is its place along the first axis, so that patches tell where they come from.
    def placed(case_id):
        case = prepared_case((20, 6, 6), rng, case_id=case_id)
        place = np.broadcast_to(np.linspace(-0.9, 0.9, 20)[:, None, None], (20, 6, 6)).astype(np.float32)
        return case.with_image("mr", case.image.mapped(lambda _: place, step="place"))

    source, target = (PatchSampler([placed(name)], (3, 3, 3), focus=0.03) for name in ("a", "b"))

    def correlation(focal):
        batches = unpaired_batches(source=source, target=target, seed=3, size=40, focal=focal)
        batch = batches(0, 0)
        return np.corrcoef(batch.source.mean(dim=(1, 2, 3, 4)), batch.target.mean(dim=(1, 2, 3, 4)))[0, 1]

    assert correlation(True) > 0.95
    assert abs(correlation(False)) < 0.4
