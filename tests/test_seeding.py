"""Seeds are a pure function of a seed and the names of a place."""

from __future__ import annotations

import numpy as np

from medgan.seeding import derived_seed, numpy_generator, torch_generator


def test_same_place_same_seed_on_every_machine():
    # By coreutils: half of the first 8 bytes of sha256("int:7\x1fstr:patch\x1fint:3"), little endian. If this number
    # changes, interrupted trainings no longer continue alike.
    assert derived_seed(7, "patch", 3) == derived_seed(7, "patch", 3) == 9186126527970158509


def test_every_part_of_a_place_counts():
    seeds = [
        derived_seed(7, "patch", 3),
        derived_seed(8, "patch", 3),
        derived_seed(7, "patch", 4),
        derived_seed(7, "patch", "3"),
        derived_seed(7, "patch"),
        derived_seed(7, 3, "patch"),
        derived_seed(7, "patc", "h3"),
        derived_seed(7, "patch3"),
    ]
    assert len(set(seeds)) == len(seeds)


def test_seeds_fit_torch_and_are_not_negative():
    seeds = [derived_seed(1, n) for n in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # the whole range is used


def test_generators_draw_alike_at_one_place_only():
    first, again, other = (numpy_generator(1, "step", n).normal(size=50) for n in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.5


def test_torch_generator_follows_the_same_rule():
    import torch

    draws = [torch.randn(5, generator=torch_generator(1, "step", n)) for n in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch_generator(1, "step", 0).initial_seed() == derived_seed(1, "step", 0)
