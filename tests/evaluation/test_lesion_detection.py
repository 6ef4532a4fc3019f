"""Lesions as objects: parts, candidates, shapes, hits, curves."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import EvaluationError, GeometryError
from medgan.evaluation.detection import CaseDetections, auroc, detection_summary, froc_curve, matched
from medgan.evaluation.lesions import Candidate, candidates, components, lesion_rows, lesion_shapes
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((12, 12, 8), spacing=(1, 1, 2))


def block(*corner: int, size: int = 3, shape=(12, 12, 8)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(c, c + size) for c in corner)] = True
    return mask


def case(name: str, lesions: int, *found: tuple[float, bool]) -> CaseDetections:
    return CaseDetections(name, name, lesions, tuple(found))


def test_parts_touch_by_corners_and_come_largest_first():
    mask = block(0, 0, 0, size=2) | block(2, 2, 2, size=2) | block(7, 7, 4)
    parts = components(mask)
    assert [int(part.sum()) for part in parts] == [27, 16]
    assert [int(part.sum()) for part in components(mask, fewest_voxels=20)] == [27]
    assert components(np.zeros((3, 3, 3), bool)) == []


def test_candidates_fall_to_their_peak_over_two_and_a_half():
    probability = np.zeros((12, 12, 8))
    probability[block(0, 0, 0)] = 0.5
    probability[1, 1, 1] = 1.0
    probability[block(7, 7, 4)] = 0.3
    found = candidates(probability)
    assert [c.confidence for c in found] == pytest.approx([1.0, 0.3])
    assert np.array_equal(found[0].mask, block(0, 0, 0))  # 0.5 is above 1 / 2.5
    probability[block(0, 0, 0)] = 0.35
    probability[1, 1, 1] = 1.0
    # A peak of one voxel is too small; what is left of the block follows in its own right.
    assert [round(c.confidence, 2) for c in candidates(probability)] == [0.35, 0.3]
    assert candidates(probability, least_peak=0.4) == []
    assert len(candidates(probability, most=1)) == 1
    assert candidates(np.zeros((4, 4, 4))) == []


def test_a_hit_needs_a_tenth_and_a_lesion_is_hit_once():
    lesion = block(2, 2, 2)
    exact, shifted = Candidate(lesion, 0.6), Candidate(block(3, 3, 3), 0.9)
    far = Candidate(block(8, 8, 4), 0.8)
    one = matched([shifted, far, exact], [lesion], case_id="a", subject_id="a")
    assert one.found == ((0.9, False), (0.8, False), (0.6, True))  # the larger overlap wins
    assert matched([shifted], [lesion], case_id="a", subject_id="a").found == ((0.9, True),)
    assert matched([shifted], [lesion], case_id="a", subject_id="a", least_overlap=0.5).found == ((0.9, False),)
    assert matched([], [lesion], case_id="a", subject_id="a").score == 0.0


def test_summary_in_closed_form():
    cases = [
        case("a", 1, (0.9, True)),
        case("b", 1, (0.8, False), (0.7, True)),
        case("c", 0, (0.4, False)),
        case("d", 1),
    ]
    found = detection_summary(cases)
    assert (found.lesions, found.subjects, found.subjects_with_lesion) == (3, 4, 3)
    # Recall rises by 1/3 at precision 1 and by 1/3 at precision 2/3; the third lesion has no candidate.
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 3)
    assert found.largest_sensitivity == pytest.approx(2 / 3)
    assert [point.sensitivity for point in found.froc] == pytest.approx([2 / 3] * 3)
    assert found.auroc == pytest.approx(2 / 3)  # d scores 0 and lies below c
    tight = detection_summary(cases, false_positives=(0.0, 0.25))
    assert [point.sensitivity for point in tight.froc] == pytest.approx([1 / 3, 2 / 3])
    false, true = froc_curve(cases)
    assert true[0] == false[0] == 0
    assert true[-1] == pytest.approx(2 / 3)
    assert false[-1] == pytest.approx(0.5)


def test_ties_are_accepted_together():
    found = detection_summary([case("a", 1, (0.5, True), (0.5, False))], false_positives=(0.0,))
    assert found.froc[0].sensitivity == 0.0
    assert found.average_precision == pytest.approx(0.5)


def test_what_is_not_defined_is_none():
    found = detection_summary([case("a", 0, (0.3, False))])
    assert (found.average_precision, found.auroc, found.froc, found.largest_sensitivity) == (None, None, (), None)
    assert detection_summary([case("a", 1)]).average_precision == 0.0
    assert auroc([0.1, 0.2], [False, False]) is None
    with pytest.raises(EvaluationError, match="at least one case"):
        detection_summary([])


def test_table_of_lesions():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[:6] = 1
    labels[6:] = 2
    labels[block(1, 1, 1)] = 3
    labels[block(8, 8, 4, size=2)] = 3
    probability = np.where(labels == 3, 0.6, 0.1).astype(np.float32)
    probability[9, 9, 5] = 0.95
    rows, numbered = lesion_rows(
        LabelMap(labels, GRID), Volume(probability, GRID, Quantity.PROBABILITY), focus=3, zones={1: "outer", 2: "inner"}
    )
    assert [row.zone for row in rows] == ["inner", "outer"]
    assert rows[0].peak_probability == pytest.approx(0.95)
    assert rows[1].volume_ml == pytest.approx(27 * 2 / 1000)
    assert rows[1].center_xyz_mm == pytest.approx((2, 2, 4))
    assert sorted(np.unique(numbered.array)) == [0, 1, 2]
    assert numbered.array[1, 1, 1] == 2
    assert rows[0].as_dict()["center_ras_mm"] == [8.5, 8.5, 9.0]
    elsewhere = Grid.axis_aligned((12, 12, 8), spacing=(1, 1, 1))
    with pytest.raises(GeometryError, match="one grid"):
        lesion_rows(LabelMap(labels, GRID), Volume(probability, elsewhere, Quantity.PROBABILITY), focus=3, zones={})


def test_a_ball_is_round_and_a_rod_is_not():
    ijk = np.indices((30, 30, 30)) - 14.5
    ball = LabelMap((ijk**2).sum(0) < 100, Grid.axis_aligned((30, 30, 30), spacing=(1, 1, 1)))
    rod = LabelMap((ijk[:2] ** 2).sum(0) < 9, Grid.axis_aligned((30, 30, 30), spacing=(1, 1, 1)))
    (round_one,), (long_one,) = lesion_shapes(ball), lesion_shapes(rod)
    assert round_one.volume_ml == pytest.approx(4 / 3 * np.pi * 1000 / 1000, rel=0.02)
    assert 0.9 < round_one.sphericity <= 1.0
    tiny = np.zeros((8, 8, 6), dtype=bool)
    tiny[3:5, 3:5, 2:5] = True
    (small,) = lesion_shapes(LabelMap(tiny, Grid.axis_aligned((8, 8, 6), spacing=(0.5, 0.5, 3))))
    assert small.sphericity <= 1.0  # nothing is rounder than a ball
    assert long_one.sphericity < 0.75
    flat = LabelMap(ball.array[:, :, ::3].copy(), Grid.axis_aligned((30, 30, 10), spacing=(1, 1, 3)))
    assert lesion_shapes(flat)[0].sphericity == pytest.approx(round_one.sphericity, abs=0.12)
