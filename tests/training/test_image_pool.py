"""The pool of earlier translations."""

from __future__ import annotations

import pytest
import torch

from medgan.errors import TrainingError
from medgan.training.image_pool import ImagePool


def numbered(number: int) -> torch.Tensor:
    return torch.full((1, 1, 2, 2), float(number))


def answers(pool: ImagePool, count: int, *, start: int = 0, seed: int = 1) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return [int(pool.query(numbered(number), generator)[0, 0, 0, 0]) for number in range(start, start + count)]


def test_it_fills_first_and_returns_what_came():
    pool = ImagePool(5)
    assert answers(pool, 5) == [0, 1, 2, 3, 4]
    assert len(pool) == 5


def test_then_half_of_the_answers_are_old_and_each_old_one_comes_once():
    pool = ImagePool(5)
    given = answers(pool, 405)[5:]
    new = [number == place for place, number in enumerate(given, start=5)]
    assert 160 < sum(new) < 240
    old = [number for number, is_new in zip(given, new, strict=True) if not is_new]
    assert len(old) == len(set(old))
    assert len(pool) == 5


def test_nothing_returned_carries_a_gradient_and_the_pool_keeps_copies():
    pool, generator = ImagePool(1), torch.Generator().manual_seed(1)
    image = numbered(3).requires_grad_()
    assert not pool.query(image, generator).requires_grad
    with torch.no_grad():
        image.fill_(8)
    assert float(pool.state_dict()["images"][0].max()) == 3.0


def test_capacity_zero_passes_everything_through():
    assert answers(ImagePool(0), 20) == list(range(20))


def test_a_batch_is_exchanged_image_by_image():
    pool = ImagePool(3)
    images = torch.cat([numbered(number) for number in range(4)])
    assert pool.query(images, torch.Generator().manual_seed(1)).shape == images.shape
    assert len(pool) == 3


def test_a_saved_pool_continues_exactly():
    whole, first, second = ImagePool(4), ImagePool(4), ImagePool(4)
    answers(whole, 30)
    expected = answers(whole, 20, start=30, seed=2)
    answers(first, 30)
    second.load_state_dict(first.state_dict())
    assert answers(second, 20, start=30, seed=2) == expected
    fresh = ImagePool(4)
    assert answers(fresh, 20, start=30, seed=2) != expected


def test_refusals():
    with pytest.raises(TrainingError, match="at least 0: found -1"):
        ImagePool(-1)
    pool = ImagePool(2)
    pool.query(numbered(1), torch.Generator())
    with pytest.raises(TrainingError, match=r"one shape: found \(1, 1, 3, 3\) after \(1, 1, 2, 2\)"):
        pool.query(torch.zeros(1, 1, 3, 3), torch.Generator())
    with pytest.raises(TrainingError, match="capacity 3 cannot continue one of 2"):
        ImagePool(3).load_state_dict(pool.state_dict())
