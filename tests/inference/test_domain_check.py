"""A smoke alarm: images like the training cases are inside, others are outside with the reason."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_phantoms import prepared_case
from pydantic import ValidationError

from medgan.cohort import Case
from medgan.errors import CohortError, InferenceError
from medgan.geometry import Grid
from medgan.inference.domain_check import (
    FEATURES,
    HISTOGRAM_BINS,
    DomainCheck,
    Fingerprint,
    TrainedDomain,
    domain_warning,
    fingerprint_of,
    leave_one_out,
)
from medgan.volume import LabelMap, Quantity, Volume

USUAL = {
    "body_share": 0.6,
    "extent_i_mm": 180.0,
    "extent_j_mm": 160.0,
    "extent_k_mm": 200.0,
    "edge_density": 0.05,
    "finest_spacing_mm": 1.0,
    "coarsest_spacing_mm": 3.0,
}


def histogram(peak: int, share: float = 0.7) -> tuple[float, ...]:
    """Most of the body in one bin, the rest spread over the others."""
    counts = np.full(HISTOGRAM_BINS, (1 - share) / (HISTOGRAM_BINS - 1))
    counts[peak] = share
    return tuple(counts.tolist())


def fingerprint(peak: int = 10, **features: float) -> Fingerprint:
    return Fingerprint(features=USUAL | features, histogram=histogram(peak))


TRAINED = TrainedDomain(
    cases=tuple(
        fingerprint(peak, extent_k_mm=extent, body_share=share)
        for peak, extent, share in ((9, 180.0, 0.5), (10, 200.0, 0.6), (11, 220.0, 0.7), (10, 210.0, 0.55))
    )
)


class TestCheck:
    def test_every_training_case_is_inside(self):
        for case in TRAINED.cases:
            check = TRAINED.check(case)
            assert (check.status, check.reasons) == ("inside", ())
            assert check.features["intensity_distance"] == 0
            assert set(FEATURES) <= set(check.features)

    @pytest.mark.parametrize(
        ("extent_mm", "status"), [(156.0, "inside"), (244.0, "inside"), (155.0, "outside"), (245.0, "outside")]
    )
    def test_a_feature_may_leave_the_range_by_half_of_it(self, extent_mm, status):
        # Trained on 180 to 220: half of 40, and 2 % of 220, on either side.
        check = TRAINED.check(fingerprint(extent_k_mm=extent_mm))
        assert check.status == status
        if status == "outside":
            (reason,) = check.reasons
            assert reason == (
                f"extent of the body along the third axis in mm is {extent_mm:.0f}, trained on 180 to 220"
                " (accepted 156 to 244)"
            )

    @pytest.mark.parametrize("name", FEATURES)
    def test_every_feature_counts_and_is_named_in_words(self, name):
        check = TRAINED.check(fingerprint(**{name: 40 * USUAL[name]}))
        assert check.status == "outside"
        assert [reason for reason in check.reasons if reason.startswith(FEATURES[name].words)]

    def test_one_scanner_has_one_spacing_and_its_neighbors_are_accepted(self):
        # Trained on 3 mm only: half of 3 mm on either side.
        for spacing, status in ((1.6, "inside"), (4.4, "inside"), (1.4, "outside"), (4.6, "outside")):
            assert TRAINED.check(fingerprint(coarsest_spacing_mm=spacing)).status == status

    def test_another_intensity_distribution(self):
        check = TRAINED.check(fingerprint(peak=1))
        assert check.status == "outside"
        (reason,) = check.reasons
        assert reason.startswith("the intensity distribution is 0.")
        assert check.features["intensity_distance"] > check.features["intensity_distance_limit"] > 0

    def test_all_reasons_at_once(self):
        check = TRAINED.check(fingerprint(peak=1, extent_k_mm=900.0, finest_spacing_mm=9.0))
        assert len(check.reasons) == 3

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_without_three_training_cases_nothing_is_known(self, count):
        check = TrainedDomain(cases=TRAINED.cases[:count]).check(fingerprint())
        assert check.status == "unknown"
        assert check.reasons == (f"the model carries {count} training fingerprints and a comparison needs three",)
        assert check.features == USUAL


class TestLeaveOneOut:
    def test_each_case_is_judged_by_the_others(self):
        near = [fingerprint(10, extent_k_mm=extent) for extent in (190.0, 200.0, 205.0, 210.0)]
        checks = leave_one_out([*near, fingerprint(10, extent_k_mm=600.0)])
        assert [check.status for check in checks] == ["inside"] * 4 + ["outside"]
        assert "extent of the body along the third axis" in checks[-1].reasons[0]

    def test_of_three_cases_none_can_be_judged(self):
        assert {check.status for check in leave_one_out(TRAINED.cases[:3])} == {"unknown"}


ABOUT = {"model": "mr-to-ct", "trained_anatomy": "limb, T1"}


class TestWarning:
    def test_inside_there_is_none(self):
        assert domain_warning("x", TRAINED.check(TRAINED.cases[0]), **ABOUT) is None

    def test_outside_it_is_one_sentence_with_all_reasons(self):
        sentence = domain_warning("x.nii", TRAINED.check(fingerprint(1, extent_k_mm=900.0)), **ABOUT)
        assert sentence.startswith("Warning: x.nii is outside the domain that mr-to-ct was trained on (limb, T1), so")
        assert sentence.count("; ") == 1
        assert sentence.count(". ") == 0
        assert sentence.endswith(".")

    def test_unknown_is_said_too(self):
        check = DomainCheck(status="unknown", reasons=("why",), features={})
        assert domain_warning("x", check, **ABOUT) == (
            "Warning: whether x is what mr-to-ct was trained on cannot be told: why."
        )


class TestDistance:
    def test_moving_all_by_one_bin_is_the_width_of_a_bin(self):
        one, next_one = (Fingerprint(features=USUAL, histogram=histogram(n, share=1.0)) for n in (4, 5))
        last = Fingerprint(features=USUAL, histogram=histogram(HISTOGRAM_BINS - 1, share=1.0))
        assert one.distance_from(next_one) == pytest.approx(2 / HISTOGRAM_BINS)
        assert one.distance_from(last) == pytest.approx(15 * 2 / HISTOGRAM_BINS)
        assert one.distance_from(one) == 0

    @given(seed=st.integers(0, 99))
    @settings(max_examples=20, deadline=None, derandomize=True)
    def test_it_is_a_metric(self, seed):
        shares = np.random.default_rng(seed).dirichlet(np.ones(HISTOGRAM_BINS), 3)
        a, b, c = (Fingerprint(features=USUAL, histogram=tuple(row.tolist())) for row in shares)
        assert a.distance_from(b) == pytest.approx(b.distance_from(a))
        assert a.distance_from(b) > 0
        assert a.distance_from(c) <= a.distance_from(b) + b.distance_from(c) + 1e-12

    def test_the_typical_distance_is_that_of_the_loneliest_case(self):
        lonely = fingerprint(peak=15)
        cases = (fingerprint(peak=4), fingerprint(peak=5), lonely)
        expected = lonely.distance_from(cases[1])
        assert TrainedDomain(cases=cases).typical_distance == pytest.approx(expected)


class TestFingerprint:
    def test_numbers_of_a_box_of_one_value(self):
        grid = Grid.axis_aligned((10, 12, 14), spacing=(2, 2, 3))
        mask = np.zeros(grid.shape, bool)
        mask[2:6, 3:9, 4:12] = True
        array = np.where(mask, 0.05, -1).astype(np.float32)
        case = Case("c", "c", {"mr": Volume(array, grid, Quantity.NORMALIZED)}, {"body": LabelMap(mask, grid)})
        found = fingerprint_of(source=(0.5, 4.0, 1.0), prepared=case)
        assert found.features["body_share"] == 1
        assert [found.features[f"extent_{axis}_mm"] for axis in "ijk"] == [8, 12, 24]
        assert (found.features["finest_spacing_mm"], found.features["coarsest_spacing_mm"]) == (0.5, 4)
        assert found.histogram == histogram(10, share=1.0)
        assert found.features["edge_density"] > 0

    def test_the_spacing_is_that_of_the_source(self, rng):
        case = prepared_case((6, 6, 6), rng)
        source = Volume(np.zeros((3, 3, 3)), Grid.axis_aligned((3, 3, 3), spacing=(0.7, 0.8, 6)), Quantity.MR_SIGNAL)
        found = fingerprint_of(source=source, prepared=case)
        assert found.features["finest_spacing_mm"] == pytest.approx(0.7)
        assert found.features["coarsest_spacing_mm"] == pytest.approx(6)

    def test_edges_are_counted_in_mm(self):
        grids = [Grid.axis_aligned((8, 8, 8), spacing=(s, s, s)) for s in (1, 2)]
        ramp = np.broadcast_to(np.linspace(-1, 1, 8)[:, None, None], (8, 8, 8)).astype(np.float32)
        densities = []
        for grid in grids:
            body = LabelMap(np.ones(grid.shape, bool), grid)
            case = Case("c", "c", {"mr": Volume(ramp, grid, Quantity.NORMALIZED)}, {"body": body})
            densities.append(fingerprint_of(source=grid.spacing, prepared=case).features["edge_density"])
        assert densities == pytest.approx([2 / 7, 1 / 7], rel=1e-4)

    @given(shape=st.tuples(*[st.integers(1, 7)] * 3), seed=st.integers(0, 9))
    @settings(max_examples=20, deadline=None, derandomize=True)
    def test_any_prepared_case_has_one_and_it_travels_as_json(self, shape, seed):
        rng = np.random.default_rng(seed)
        found = fingerprint_of(source=(1, 1, 1), prepared=prepared_case(shape, rng))
        assert sum(found.histogram) == pytest.approx(1, abs=1e-4)
        assert Fingerprint(**json.loads(json.dumps(asdict(found)))) == found

    def test_an_empty_body(self, rng):
        case = prepared_case((4, 4, 4), rng, body=np.zeros((4, 4, 4), bool))
        with pytest.raises(InferenceError, match="needs voxels in the body: case c has none"):
            fingerprint_of(source=(1, 1, 1), prepared=case)

    def test_no_body(self, rng):
        case = replace(prepared_case((4, 4, 4), rng), labels={})
        with pytest.raises(CohortError, match="must have the label map 'body'"):
            fingerprint_of(source=(1, 1, 1), prepared=case)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"features": {k: v for k, v in USUAL.items() if k != "body_share"}}, "finite numbers for body_share"),
            ({"features": USUAL | {"other": 1.0}}, "finite numbers for"),
            ({"features": USUAL | {"body_share": float("nan")}}, "finite numbers for"),
            ({"histogram": (0.5, 0.5)}, "20 shares that sum to 1"),
            ({"histogram": (0.2,) * HISTOGRAM_BINS}, "20 shares that sum to 1"),
            ({"histogram": (2.0, -1.0, *(0.0,) * 18)}, "20 shares that sum to 1"),
            ({"colour": 1}, "colour"),
        ],
    )
    def test_what_is_no_fingerprint(self, changes, message):
        with pytest.raises(ValidationError, match=message):
            Fingerprint(**{"features": USUAL, "histogram": histogram(1)} | changes)
