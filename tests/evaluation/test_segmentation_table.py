"""Image by image measures, and claims with Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import EvaluationError
from medgan.evaluation.cohort_table import CaseRow, CohortTable
from medgan.evaluation.segmentation_table import image_measures, image_tables
from medgan.evaluation.segmentation_table_claims import claims, holm, sign_flip_p, subject_differences


def test_images_with_and_without_the_class():
    reference, result = np.zeros((10, 10, 3), bool), np.zeros((10, 10, 3), bool)
    reference[2:6, 2:6, 0] = True
    result[2:6, 2:4, 0] = True
    result[0, 0, 1] = True
    reference[0, 0, 2] = True
    found, empty, missed = image_measures(result=result, reference=reference, spacing_mm=(1, 2, 5))
    assert found.dice == pytest.approx(2 * 8 / 24)
    assert found.sensitivity == 0.5
    assert found.specificity == 1.0
    assert found.hd95_mm == pytest.approx(4.0)  # two columns of 2 mm
    assert (empty.has_focus, empty.dice, empty.sensitivity, empty.hd95_mm) == (False, None, None, None)
    assert empty.false_ml == pytest.approx(0.01)
    assert empty.specificity == pytest.approx(0.99)
    assert (missed.dice, missed.sensitivity, missed.hd95_mm) == (0.0, 0.0, None)


def test_specificity_counts_the_field_only():
    result, reference = np.zeros((4, 4, 1), bool), np.zeros((4, 4, 1), bool)
    result[0, 0] = result[3, 3] = True
    field = np.zeros((4, 4, 1), bool)
    field[:2, :2] = True
    (one,) = image_measures(result=result, reference=reference, spacing_mm=(1, 1, 1), counted=field)
    assert one.specificity == 0.75


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hd95_is_that_of_monai():
    from monai.metrics import compute_hausdorff_distance

    rng = np.random.default_rng(1)
    from scipy.ndimage import gaussian_filter

    masks = [gaussian_filter(rng.random((24, 20)), 2.5) > 0.5 for _ in range(2)]
    (one,) = image_measures(result=masks[0][..., None], reference=masks[1][..., None], spacing_mm=(1.5, 1.5, 3))
    import torch

    tensors = [torch.from_numpy(mask)[None, None].float() for mask in masks]
    oracle = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=[1.5, 1.5])
    assert one.hd95_mm == pytest.approx(float(oracle), rel=1e-6)


def test_tables_keep_the_two_kinds_apart():
    reference, result = np.zeros((4, 4, 2), bool), np.zeros((4, 4, 2), bool)
    reference[0, 0, 0] = result[0, 0, :] = True
    images = [("a", "s", one) for one in image_measures(result=result, reference=reference, spacing_mm=(1, 1, 1))]
    with_focus, without = image_tables(images)
    assert [row.case_id for row in with_focus.rows] == ["a_slice000"]
    assert with_focus.rows[0].values["dice"] == 1.0
    assert without.rows[0].values["false_rate"] == 1.0
    assert image_tables(images[:1])[1] is None
    with pytest.raises(EvaluationError, match="one shape"):
        image_measures(result=result, reference=reference[:2], spacing_mm=(1, 1, 1))


def table(values: dict[str, float]) -> CohortTable:
    return CohortTable(tuple(CaseRow(f"{s}_{n}", s, {"dice": v}) for s, v in values.items() for n in range(2)))


def test_a_shift_of_every_subject_is_claimed_and_none_is_not():
    rng = np.random.default_rng(1)
    base = {f"s{n}": float(v) for n, v in enumerate(rng.uniform(0.3, 0.7, 12))}
    noise = {s: v + float(rng.normal(0, 0.05)) for s, v in base.items()}
    arms = {
        "ce": table(base),
        "better": table({s: v + 0.1 + 0.01 * n for n, (s, v) in enumerate(base.items())}),
        "same": table(noise),
    }
    better, same = claims(arms, [("better", "ce"), ("same", "ce")], measure="dice", generator=np.random.default_rng(2))
    assert better.difference.summary.mean == pytest.approx(0.155)
    assert better.p_holm < 0.01
    assert "also after Holm" in better.verdict
    assert same.p_holm > 0.05
    assert "no difference shown" in same.verdict
    assert subject_differences(this=arms["better"], that=arms["ce"], measure="dice")["s0"] == pytest.approx(0.1)
    with pytest.raises(EvaluationError, match="other was not"):
        claims(arms, [("other", "ce")], measure="dice", generator=np.random.default_rng(2))


def test_five_subjects_give_values_and_no_interval():
    few = {f"s{n}": 0.5 for n in range(5)}
    arms = {"a": table(few), "b": table({s: v - 0.2 for s, v in few.items()})}
    (claim,) = claims(arms, [("a", "b")], measure="dice", generator=np.random.default_rng(2))
    assert (claim.p, claim.p_holm, claim.difference.summary.low) == (None, None, None)
    assert "too few subjects" in claim.verdict
    assert claim.by_subject == pytest.approx(dict.fromkeys(few, 0.2))


def test_sign_flips_and_holm():
    assert sign_flip_p([1.0] * 10, generator=np.random.default_rng(1)) == pytest.approx(2 / 1024, rel=0.6)
    assert sign_flip_p([1.0, -1.0], generator=np.random.default_rng(1)) == 1.0
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
