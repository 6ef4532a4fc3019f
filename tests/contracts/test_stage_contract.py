"""What every stage of a recipe promises, asked of each of them."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any, get_args

import numpy as np
import pytest
from prepared_phantoms import CT, MR, ball_mask, case_of, ct_of, mr_of
from pydantic import ValidationError

from medgan.cohort import Case
from medgan.geometry import Grid
from medgan.phantoms.head import head_phantom
from medgan.preprocessing.recipe import STAGES, Recipe, Stage
from medgan.seeding import numpy_generator
from medgan.volume import LabelMap, Provenance, Quantity, Volume

# Oblique, left-handed, anisotropic and sheared, and not centered.
_TURN = np.array([[0.0, -0.96, 0.28], [-1.0, 0.0, 0.0], [0.0, 0.28, 0.96]])
_AFFINE = np.eye(4)
_AFFINE[:3, :3] = _TURN @ np.array([[3, 0, 0.4], [0, 3.5, 0], [0, 0, 5]])
_AFFINE[:3, 3] = (40, 55, -30)
GRID = Grid((26, 24, 14), _AFFINE)
BODY = ball_mask(GRID, center=GRID.world((12, 11, 7)), radius=26)


def ct_case(*, body: bool) -> Case:
    return case_of(ct_of(BODY, np.random.default_rng(1)), CT, GRID, BODY if body else None).with_notice("Read.")


def mr_case(*, body: bool) -> Case:
    return case_of(mr_of(BODY, np.random.default_rng(2)), MR, GRID, BODY if body else None).with_notice("Read.")


def em_case() -> Case:
    sections = np.random.default_rng(3).normal(120, 12, (20, 18, 6)).clip(0, 255).astype(np.uint8)
    grid = Grid.axis_aligned(sections.shape, spacing=(10, 10, 25), unit="nm", frame="specimen")
    image = Volume(sections, grid, Quantity.EM_SIGNAL, Provenance(("cd" * 32,)))
    return Case("stack_1", "stack_1", {"em": image}, {"cells": LabelMap(sections // 64, grid)}).with_notice("Read.")


def pair_case() -> Case:
    """MR and CT of one head, the CT shifted and with a label map of its own."""
    head = head_phantom(generator=numpy_generator(4, "head", 0), shape=(34, 38, 30), spacing_mm=(6, 6, 8))
    away = np.eye(4)
    away[:3, 3] = (7, -5, 6)
    place = Grid(head.ct.shape, away @ head.ct.grid.affine)
    images = {"mr": head.mr, "ct": replace(head.ct, grid=place)}
    return Case("head_1", "head_1", images, {"bone": LabelMap(head.ct.array > 300, place)}).with_notice("Read.")


EXAMPLES: dict[str, tuple[dict[str, Any], list[Case]]] = {
    "reorient": ({"codes": "LIP"}, [ct_case(body=True), mr_case(body=False)]),
    "respace": ({"spacing_mm": [2.5, 4, 4], "interpolation": "cubic"}, [ct_case(body=True), mr_case(body=False)]),
    "body_mask": ({"closing_mm": 5}, [ct_case(body=False), mr_case(body=True)]),
    "crop": ({"margin_mm": 3.5}, [ct_case(body=True), mr_case(body=True)]),
    "couch": ({"detach_mm": 4}, [ct_case(body=True)]),
    "bias_field": ({"shrink_mm": 9, "levels": 1, "iterations": 4}, [mr_case(body=True), mr_case(body=False)]),
    "crop_box": (
        {"start": [-20, -30, -40], "stop": [25, 20, 90], "beyond": "pad"},
        [ct_case(body=True), mr_case(body=False), pair_case()],
    ),
    "contrast": ({"tile_voxels": 8, "clip_limit": 0.05}, [em_case()]),
    "registration": ({"fixed": "mr", "moving": "ct", "levels_mm": [12, 8]}, [pair_case()]),
    "hu_window": ({"low_hu": -200, "high_hu": 300}, [ct_case(body=True), ct_case(body=False)]),
    "piecewise_hu": ({"knots": [[-1024, -1], [0, 0], [3000, 1]]}, [ct_case(body=True), ct_case(body=False)]),
    "mr_percentiles": (
        {"percentiles": [10, 50, 99], "standard": [-0.8, 0, 0.7]},
        [mr_case(body=True), mr_case(body=False)],
    ),
}
WITH_CASES = [(name, case) for name, (_, cases) in EXAMPLES.items() for case in cases]
on_every_case = pytest.mark.parametrize(("name", "case"), WITH_CASES, ids=lambda v: v if isinstance(v, str) else "")
on_every_stage = pytest.mark.parametrize("name", EXAMPLES)


def made(name: str) -> Any:
    return STAGES[name](**EXAMPLES[name][0])


def everything_in(case: Case) -> dict[str, Any]:
    """Return all that a case holds, as values that can be compared."""
    return {
        "ids": (case.case_id, case.subject_id),
        "notices": case.notices,
        **{
            f"image {name}": (
                volume.array.tobytes(),
                volume.array.dtype.str,
                volume.shape,
                volume.grid.affine.tobytes(),
                volume.grid.unit,
                volume.grid.frame,
                volume.quantity,
                volume.provenance.digest,
            )
            for name, volume in case.images.items()
        },
        **{
            f"label {name}": (
                labels.array.tobytes(),
                labels.array.dtype.str,
                labels.shape,
                labels.grid.affine.tobytes(),
                tuple(labels.names.items()),
            )
            for name, labels in case.labels.items()
        },
    }


def test_the_table_holds_every_stage_under_its_own_name():
    union, *_ = get_args(Stage)
    assert set(get_args(union)) == set(STAGES.values())
    assert len(STAGES) == len(set(STAGES.values())) == len(get_args(union))
    for name, stage in STAGES.items():
        assert stage.__pydantic_fields__["stage"].default == name
        assert get_args(stage.__pydantic_fields__["stage"].annotation) == (name,)


def test_every_stage_is_under_contract():
    assert set(EXAMPLES) == set(STAGES)


@on_every_case
def test_a_stage_is_pure(name, case):
    before = everything_in(case)
    made(name)(case)
    assert everything_in(case) == before


@on_every_case
def test_a_stage_is_deterministic(name, case):
    assert everything_in(made(name)(case)) == everything_in(made(name)(case))


@on_every_case
def test_a_stage_does_something_and_keeps_who_it_is(name, case):
    done = made(name)(case)
    assert isinstance(done, Case)
    assert everything_in(done) != everything_in(case)
    assert (done.case_id, done.subject_id) == (case.case_id, case.subject_id)
    assert done.notices[: len(case.notices)] == case.notices
    assert list(done.images) == list(case.images)
    assert set(done.labels) >= set(case.labels)


@on_every_case
def test_every_change_of_an_image_is_in_its_provenance(name, case):
    done = made(name)(case)
    for image in case.images:
        was, now = case.images[image], done.images[image]
        steps, before = now.provenance.steps, was.provenance.steps
        if np.array_equal(now.array, was.array) and now.grid is was.grid:
            assert steps == before
        else:
            assert steps[: len(before)] == before
            assert len(steps) == len(before) + 1
        assert now.provenance.sources == was.provenance.sources
        assert not now.provenance.is_synthetic


@on_every_case
def test_images_and_labels_that_were_on_one_grid_stay_on_one(name, case):
    done, together = made(name)(case), 0
    for image, volume in case.images.items():
        for label, labels in case.labels.items():
            if labels.grid.same_as(volume.grid):
                done.labels[label].grid.require_same_as(done.images[image].grid, this=label, that=image)
                together += 1
    assert together == len(case.labels)


@on_every_case
def test_a_label_that_a_stage_adds_lies_on_an_image(name, case):
    done = made(name)(case)
    for label in set(done.labels) - set(case.labels):
        assert any(done.labels[label].grid.same_as(image.grid) for image in done.images.values())


@on_every_case
def test_what_a_stage_gives_is_finite_and_read_only(name, case):
    done = made(name)(case)
    for one in (*done.images.values(), *done.labels.values()):
        assert np.isfinite(one.array).all()
        assert not one.array.flags.writeable


@on_every_stage
def test_a_stage_is_frozen(name):
    stage = made(name)
    for field in stage.__pydantic_fields__:
        with pytest.raises(FrozenInstanceError):
            setattr(stage, field, getattr(stage, field))
    assert stage == made(name)
    assert hash(stage) == hash(made(name))


@on_every_stage
def test_a_stage_travels_as_json_and_to_another_process(name):
    recipe = Recipe((made(name),))
    (values,) = json.loads(json.dumps(recipe.as_json()))
    assert values["stage"] == name
    back = Recipe.from_json([values])
    assert back == recipe
    assert type(back.stages[0]) is STAGES[name]
    assert back.digest == recipe.digest
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@on_every_stage
def test_every_setting_is_written_out(name):
    (values,) = Recipe((made(name),)).as_json()
    assert set(values) == set(STAGES[name].__pydantic_fields__)


@on_every_stage
def test_an_unknown_setting_and_another_name_are_refused(name):
    options = EXAMPLES[name][0]
    with pytest.raises(ValidationError, match="no_such_setting"):
        STAGES[name](**options, no_such_setting=1)
    with pytest.raises(ValidationError, match="stage"):
        STAGES[name](**options, stage="other")


@on_every_stage
def test_a_stage_says_what_it_does(name):
    assert STAGES[name].__doc__
    assert STAGES[name].__call__.__doc__
