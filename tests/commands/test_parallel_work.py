"""The same results from any number of processes, and one sentence when one of them dies."""

from __future__ import annotations

import math
import os
from functools import partial
from operator import mul

import pytest

from medgan.commands.parallel import each_done
from medgan.errors import CohortError
from medgan.volume.side_by_side import usable_cores


@pytest.mark.parametrize("jobs", [1, 2, 50])
def test_every_item_is_done_once(jobs):
    done = dict(each_done(partial(mul, 3), [5, 1, 4], jobs=min(jobs, 2)))
    assert done == {0: 15, 1: 3, 2: 12}
    assert list(each_done(partial(mul, 3), [], jobs=jobs)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_ends_the_work_in_its_own_class(jobs):
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(each_done(math.sqrt, [4.0, -1.0], jobs=jobs))


def test_a_process_that_is_ended_from_outside_is_one_sentence():
    with pytest.raises(CohortError, match=r"One of 2 processes was ended from outside.*use fewer --jobs"):
        list(each_done(os._exit, [1, 1], jobs=2))


def test_there_is_a_core():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
