"""Atlas, equivalence, controls, diversity, localization, dose and calibration with answers known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from explained_networks import RegionMean, present_or_absent
from scipy import stats

from medgan.errors import ExplanationError
from medgan.explanation.calibration import calibration
from medgan.explanation.cohort_atlas import body_box, cohort_atlas, region_masks
from medgan.explanation.controls import dose_path, generic_change_controls, localization, same_class_control
from medgan.explanation.counterfactual import judged_pairs
from medgan.explanation.diversity import change_diversity, place_of
from medgan.explanation.explanation import CohortResult, json_value
from medgan.explanation.subject_statistics import equivalence_test, false_discovery, subject_bootstrap
from medgan.explanation.truth_agreement import truth_agreement

SIDE = 12
BLOB, CORNER = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
BLOB[4:8, 4:8], CORNER[0:2, 10:12] = 1, 1


def gen():
    return np.random.default_rng(7)


def classifier(mask=BLOB, gain=20.0):
    return present_or_absent(RegionMean(mask, gain=gain))


def cohort(count=8, mask=BLOB, strength=1.0, of=None):
    real = torch.full((count, 1, SIDE, SIDE), -0.5) + torch.linspace(-0.05, 0.05, count).reshape(-1, 1, 1, 1)
    fake = real + strength * mask
    return judged_pairs(of or classifier(mask), real=real, fake=fake, source=0, target=1)


# -- statistics


def test_q_values_are_scipys(rng):
    p = rng.uniform(size=12) ** 2
    np.testing.assert_allclose(false_discovery(p), stats.false_discovery_control(p))


def test_intervals_respect_subjects_and_need_six(rng):
    values = np.repeat(rng.standard_normal(8), 10)
    by_subject = subject_bootstrap(values, np.repeat(np.arange(8), 10).astype(str), generator=gen()).interval()
    by_image = subject_bootstrap(values, [str(n) for n in range(80)], generator=gen()).interval()
    assert by_subject.mean == by_image.mean == pytest.approx(values.mean())
    assert by_subject.high - by_subject.low > 2 * (by_image.high - by_image.low)
    assert (by_subject.cases, by_subject.subjects) == (80, 8)
    few = subject_bootstrap(values[:50], np.repeat(np.arange(5), 10).astype(str), generator=gen())
    assert few.low is None
    assert few.interval().excludes_zero is None
    with pytest.raises(ExplanationError, match="one subject a case: found 2 cases, 1 subjects"):
        subject_bootstrap([1.0, 2.0], ["a"], generator=gen())
    with pytest.raises(ExplanationError, match="finite values"):
        subject_bootstrap([1.0, np.nan], ["a", "b"], generator=gen())


def test_p_values_are_small_where_the_mean_is_far_and_never_zero(rng):
    table = np.stack([rng.standard_normal(40) + 5, rng.standard_normal(40) * 1.0], axis=1)
    table[:, 1] -= table[:, 1].mean()
    found = subject_bootstrap(table, [str(n) for n in range(40)], generator=gen(), resamples=1000)
    assert 0 < found.p_value[0] < 0.01
    assert found.p_value[1] > 0.5


def test_equivalence_is_two_one_sided_t_tests(rng):
    values, names = rng.normal(0.02, 0.05, 30), [str(n) for n in range(30)]
    found = equivalence_test("sex", values, names, bound=0.1)
    low = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    high = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    assert found.p_value == pytest.approx(max(low, high))
    assert found.equivalent
    t90 = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.difference.low, found.difference.high) == pytest.approx((t90.low, t90.high))
    assert "stays constant" in found.sentence
    wide = equivalence_test("sex", values + 0.09, names, bound=0.1)
    assert not wide.equivalent
    assert "not shown to stay constant" in wide.sentence


def test_equivalence_counts_subjects_and_says_what_is_not_available():
    repeated = np.tile([0.0, 0.01, -0.01, 0.005, 0.0, 0.002], 5)
    names = [str(n) for n in range(6)] * 5
    assert equivalence_test("age", repeated, names, bound=0.1).difference.subjects == 6
    assert equivalence_test("age", repeated[:5], names[:5], bound=0.1).equivalent is None
    none = equivalence_test("age", None, [], bound=0.1)
    assert none.sentence.startswith("age: not available")
    assert none.equivalent is None
    assert equivalence_test("age", np.zeros(6), names[:6], bound=0.1).equivalent
    assert not equivalence_test("age", np.ones(6), names[:6], bound=0.1).equivalent
    with pytest.raises(ExplanationError, match="positive bound"):
        equivalence_test("age", repeated, names, bound=0)


# -- atlas


def test_regions_divide_the_body_box_without_overlap():
    box = (slice(1, 11), slice(2, 9))
    masks = region_masks((SIDE, SIDE), grid=(3, 2), box=box)
    total = sum(m.astype(int) for m in masks.values())
    assert total[box].min() == total[box].max() == 1
    assert total.sum() == 70
    assert list(masks)[-1] == "lower, image right"
    assert list(region_masks((4, 4, 4), grid=(1, 2, 1)))[1] == "row 1/1 column 2/2 slab 1/1"
    with pytest.raises(ExplanationError, match="cannot divide an image of 3"):
        region_masks((4, 4, 4), grid=(3, 2))
    with pytest.raises(ExplanationError, match="of 2 pixels cannot hold 3"):
        region_masks((2, 9), grid=(3, 2))


def test_a_body_box_of_an_empty_image_is_the_image():
    assert body_box(np.zeros((3, 5))) == (slice(0, 3), slice(0, 5))


def test_the_atlas_finds_the_changed_region_with_its_sign_and_no_other(rng):
    count = 20
    real = [rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32) for _ in range(count)]
    mask = region_masks((SIDE, SIDE))["middle, image left"]
    fake = [r - 0.3 * mask + rng.normal(0, 0.05, r.shape) for r in real]
    boxes = [(slice(0, SIDE), slice(0, SIDE))] * count
    found = cohort_atlas(
        real=real,
        fake=fake,
        subjects=[str(n // 2) for n in range(count)],
        direction="a to b",
        generator=gen(),
        boxes=boxes,
    )
    changed = {r.region for r in found.regions if r.discovery and abs(r.difference.mean) > 0.1}
    assert changed == {"middle, image left"}
    one = next(r for r in found.regions if r.region == "middle, image left")
    assert one.difference.mean == pytest.approx(-0.3, abs=0.02)
    assert one.difference.high < 0
    assert one.q_value >= one.p_value
    assert found.picture.shape == (SIDE, SIDE)
    assert found.picture[5, 2] == pytest.approx(-0.3, abs=0.05)
    json.dumps(json_value(found))


def test_bodies_of_different_size_share_one_picture(rng):
    real = [np.pad(rng.uniform(0.5, 1, (s, s)), 3) for s in (6, 8, 12, 9, 7, 10)]
    found = cohort_atlas(
        real=real, fake=[r + 0.1 for r in real], subjects=list("abcdef"), direction="a to b", generator=gen(),
        picture_shape=(16, 10),
    )  # fmt: skip
    assert found.picture.shape == (16, 10)
    np.testing.assert_allclose(found.picture, 0.1, atol=1e-6)
    with pytest.raises(ExplanationError, match="a fake and a subject for each real image: found 6, 5, 6"):
        cohort_atlas(real=real, fake=real[:5], subjects=list("abcdef"), direction="", generator=gen())


# -- controls


def test_a_sham_that_changes_nothing_flips_nothing_and_a_bad_one_is_seen():
    images = torch.full((6, 1, SIDE, SIDE), -0.5)
    still = same_class_control(classifier(), lambda x: x, images, label=0)
    assert (still.flips.count, still.flips.total, still.mean_absolute_change) == (0, 6, 0.0)
    assert same_class_control(classifier(), lambda x: -x, images, label=0).flips.count == 6
    assert same_class_control(classifier(), lambda x: x, images, label=1).flips.total == 0


def test_a_change_that_is_the_same_for_all_is_generic():
    for one in generic_change_controls(classifier(), cohort(), subjects=list("abcdefgh"), generator=gen()):
        assert one.flips.value == 1
        assert one.mean_absolute_change > 0


def test_a_change_that_fits_its_own_image_is_not_generic():
    # Each image has its own threshold: what flips one is too little or nothing for another.
    count = 8
    real = torch.full((count, 1, SIDE, SIDE), -0.5)
    fake = real.clone()
    fake[0, 0] += 1.2 * BLOB
    found = judged_pairs(classifier(), real=real, fake=fake, source=0, target=1)
    mean, other = generic_change_controls(classifier(), found, subjects=[str(n) for n in range(count)], generator=gen())
    assert mean.flips.count == 0
    assert other.flips.count < 4
    assert (mean.name, other.name) == ("class-mean residual", "another subject's residual")


def test_controls_never_use_the_same_subject():
    found = cohort(4)
    for one in generic_change_controls(classifier(), found, subjects=["a"] * 4, generator=gen()):
        assert one.flips.total == 0
        assert "no other subject" in one.sentence
    with pytest.raises(ExplanationError, match="a subject a query: found 1 for 4"):
        generic_change_controls(classifier(), found, subjects=["a"], generator=gen())


def test_restoring_the_shortcut_undoes_the_flips_and_names_it():
    shortcut = classifier(CORNER)
    found = cohort(6, CORNER + 0.3 * BLOB, of=shortcut)
    regions = [{"lesion": BLOB.numpy() > 0, "marker": CORNER.numpy() > 0}] * 6
    where = localization(shortcut, found, regions)
    assert where.regions[0].region == "marker"
    assert where.regions[0].undone.value == 1
    assert where.regions[1].undone.value == 0
    assert where.regions[0].share_of_change == pytest.approx(4 / (4 + 0.3 * 16), abs=1e-3)
    assert where.sentence.startswith("marker undoes 1.00")


def test_localization_without_a_single_region_or_a_flip_says_so():
    found = cohort(3)
    half = [{"left": np.arange(SIDE)[None] < 6 + np.zeros((SIDE, 1)), "none": np.zeros((SIDE, SIDE), bool)}] * 3
    strong = judged_pairs(classifier(), real=found.real, fake=found.real + 2 * BLOB, source=0, target=1)
    assert "No single region" in localization(classifier(), strong, half).sentence
    none = judged_pairs(classifier(), real=found.real, fake=found.real, source=0, target=1)
    assert localization(classifier(), none, half).regions == ()
    with pytest.raises(ExplanationError, match="regions of each query: found 2 for 3"):
        localization(classifier(), found, half[:2])
    with pytest.raises(ExplanationError, match="the same regions for all"):
        localization(classifier(), found, [*half[:2], {"other": half[0]["none"]}])


def test_a_straight_path_of_a_linear_classifier_is_monotone_and_flips_in_the_middle():
    found = dose_path(classifier(), cohort(5))
    assert found.monotone.value == 1
    assert found.scores.shape == (5, 11)
    assert found.median_flip_dose == pytest.approx(0.6, abs=0.1)
    np.testing.assert_allclose(found.scores[:, 0], 1 - cohort(5).real_probabilities[:, 0], atol=1e-6)


class Window(torch.nn.Module):
    """Present only at middle brightness."""

    def forward(self, x):
        return (1 - (x.mean((1, 2, 3)) / 0.3) ** 2)[:, None] * 10


def test_a_score_that_rises_and_falls_is_not_monotone():
    real = torch.full((3, 1, SIDE, SIDE), -0.5)
    found = judged_pairs(present_or_absent(Window()), real=real, fake=real + 0.9, source=0, target=1)
    path = dose_path(present_or_absent(Window()), found)
    assert path.monotone.count == 0
    assert path.median_flip_dose is not None
    wrong = judged_pairs(classifier(), real=-real, fake=real, source=0, target=1)
    with pytest.raises(ExplanationError, match="correctly classified queries: found none"):
        dose_path(classifier(), wrong)


# -- diversity, agreement, calibration


def bump(row, column):
    image = np.zeros((32, 32))
    image[row - 2 : row + 3, column - 2 : column + 3] = 1
    return image


def test_changes_in_one_place_are_named_a_mode_collapse():
    rng = gen()
    places = rng.integers(4, 28, (20, 2))
    real = [bump(*p) for p in places]
    same = [bump(16, 16 + n % 2) for n in range(20)]
    collapsed = change_diversity(same, direction="a to b", findings=real)
    assert collapsed.mode_collapse
    assert collapsed.sentence.startswith("Mode collapse")
    assert collapsed.location_sd < 1 < collapsed.findings_location_sd
    assert collapsed.findings_location_sd == pytest.approx(np.sqrt(places.var(axis=0, ddof=1).sum()), rel=0.05)
    assert not change_diversity(real, direction="a to b", findings=real).mode_collapse
    alone = change_diversity(real, direction="a to b")
    assert alone.mode_collapse is None
    assert "no real findings" in alone.sentence
    assert change_diversity(real[:1], direction="a to b").location_sd is None


def test_similarity_is_the_mean_over_all_two():
    a, b, c = bump(8, 8), bump(9, 9), bump(20, 20)
    found = change_diversity([a, b, c], direction="")
    unit = [x.ravel() / np.linalg.norm(x) for x in (a, b, c)]
    expected = np.mean([unit[i] @ unit[j] for i in range(3) for j in range(3) if i != j])
    assert found.similarity == pytest.approx(expected)
    assert place_of(np.zeros((3, 3))) is None


def test_agreement_ranks_the_part_that_is_asked_for():
    values = np.zeros((8, 8))
    values[2:4, 2:4], values[6, 6] = -1, 0.5
    truth = values < 0
    assert truth_agreement(values, truth).iou == 1
    positive = truth_agreement(values, truth, part="positive")
    assert positive.iou < 0.5
    assert not positive.pointing
    assert truth_agreement(values, truth, smooth_px=1).pointing
    with pytest.raises(ExplanationError, match="the mask is empty"):
        truth_agreement(values, truth & False)
    with pytest.raises(ExplanationError, match="one shape"):
        truth_agreement(values, truth[:4])
    with pytest.raises(ExplanationError, match="found 'both'"):
        truth_agreement(values, truth, part="both")


def test_calibration_of_ten_cases_by_hand():
    p = np.array([0.95] * 4 + [0.65] * 6)
    labels = np.array([1, 1, 1, 0, 1, 1, 1, 0, 0, 0])
    found = calibration(np.stack([1 - p, p], axis=1), labels, images="real", positive=1)
    assert found.expected_error == pytest.approx(0.4 * 0.2 + 0.6 * 0.15)
    assert found.largest_error == pytest.approx(0.2)
    assert found.brier == pytest.approx(np.mean((p - labels) ** 2))
    assert [b.observed.total for b in found.bins] == [0, 0, 0, 0, 0, 0, 6, 0, 0, 4]
    assert found.bins[0].confidence is None
    top = calibration(np.stack([p, 1 - p], axis=1), labels * 0, images="fake")
    assert top.expected_error == pytest.approx(0.4 * 0.05 + 0.6 * 0.35)


def test_every_bin_edge_belongs_to_one_bin_and_bad_labels_are_refused():
    p = np.array([0.0, 0.1, 0.5, 1.0])
    found = calibration(np.stack([1 - p, p], axis=1), [0, 0, 1, 1], images="real", positive=1)
    assert sum(b.observed.total for b in found.bins) == 4
    assert found.bins[0].observed.total == 2
    for labels in ([0, 0, 1], [0, 0, 1, 2]):
        with pytest.raises(ExplanationError, match="a class for each image"):
            calibration(np.stack([1 - p, p], axis=1), labels, images="real")


def test_a_cohort_becomes_json_with_intervals():
    found = CohortResult(
        ("absent", "present"),
        (cohort().success(),),
        {"absent to present": {"robust": 8}},
        dose=(dose_path(classifier(), cohort()),),
    )
    text = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert text["success"][0]["flips"]["low"] > 0.6
    assert text["dose"][0]["monotone"]["value"] == 1
