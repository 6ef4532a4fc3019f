"""A stage that gives something else has another revision, and a recipe with another revision another digest."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from stage_summaries import GOLDEN, summaries
from test_stage_contract import EXAMPLES, made

from medgan.preprocessing.recipe import STAGES, Recipe

on_every_stage = pytest.mark.parametrize("name", EXAMPLES)


@on_every_stage
def test_every_stage_has_a_revision_that_is_no_setting(name):
    revision = STAGES[name].revision
    assert isinstance(revision, int)
    assert revision >= 1
    assert "revision" not in STAGES[name].__pydantic_fields__
    assert "revision" not in Recipe((made(name),)).as_json()[0]


@on_every_stage
def test_another_revision_is_another_digest(name, monkeypatch):
    recipe, digests = Recipe((made(name),)), set()
    for revision in (1, 2, 3):
        monkeypatch.setattr(STAGES[name], "revision", revision)
        digests.add(recipe.digest)
    assert len(digests) == 3
    monkeypatch.setattr(STAGES[name], "revision", 1)
    # The digest from before there were revisions: stores that were prepared then stay valid.
    assert recipe.digest == hashlib.sha256(json.dumps(recipe.as_json(), sort_keys=True).encode()).hexdigest()


@on_every_stage
def test_what_a_stage_gives_belongs_to_its_revision(name):
    """Fails where code changes what a stage gives: raise its revision, write the numbers anew (golden/ORIGIN.md)."""
    kept, now = json.loads(GOLDEN.read_text())[name], summaries(name)
    assert now["revision"] == kept["revision"], "the revision was raised: write the numbers anew (golden/ORIGIN.md)"
    for one, other in zip(now["cases"], kept["cases"], strict=True):
        assert set(one) == set(other)
        for part, numbers in one.items():
            assert numbers["shape"] == other[part]["shape"]
            # Processors differ in the last digits, searches for a minimum in more of them.
            np.testing.assert_allclose(numbers["affine"], other[part]["affine"], rtol=0, atol=0.05)
            deviation = other[part]["values"][0]
            np.testing.assert_allclose(numbers["values"], other[part]["values"], rtol=1e-5, atol=2e-3 * deviation)
