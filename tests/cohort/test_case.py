"""A case never changes; what it lacks is named."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.cohort import Case
from medgan.errors import CohortError
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((2, 3, 4), spacing=(1, 1, 1))
IMAGE = Volume(np.ones(GRID.shape, np.float32), GRID, Quantity.MR_SIGNAL)
BODY = LabelMap(np.ones(GRID.shape, bool), GRID)


def test_additions_return_copies():
    empty = Case("c", "s")
    full = empty.with_image("mr", IMAGE).with_label("body", BODY).with_notice("one").with_notice("two")
    assert (dict(empty.images), dict(empty.labels), empty.notices) == ({}, {}, ())
    assert full.image is IMAGE
    assert full.label("body") is BODY
    assert full.notices == ("one", "two")
    assert (full.case_id, full.subject_id) == ("c", "s")


def test_the_mappings_are_frozen_and_copied_in():
    images = {"mr": IMAGE}
    case = Case("c", "s", images)
    images["ct"] = IMAGE
    assert list(case.images) == ["mr"]
    with pytest.raises(TypeError):
        case.images["ct"] = IMAGE  # type: ignore[index]
    with pytest.raises(AttributeError):
        case.case_id = "d"  # type: ignore[misc]


@pytest.mark.parametrize(("images", "found"), [({}, "none"), ({"mr": IMAGE, "ct": IMAGE}, "ct, mr")])
def test_the_only_image(images, found):
    with pytest.raises(CohortError, match=f"Case c must have exactly one image here: found {found}"):
        _ = Case("c", "s", images).image


def test_a_label_that_is_not_there():
    with pytest.raises(CohortError, match=r"Case c must have the label map 'body': found none. Add the stage"):
        Case("c", "s").label("body")
    with pytest.raises(CohortError, match="'tumor': found body"):
        Case("c", "s", {}, {"body": BODY}).label("tumor")
