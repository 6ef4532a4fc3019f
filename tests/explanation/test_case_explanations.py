"""Whole cases: a planted classifier of chest twins, all methods, refusals, cohort summaries."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from explained_networks import FunctionalRelu, RegionMean, SmallNet, balanced, pictures, present_or_absent

from medgan.errors import ExplanationError
from medgan.explanation.case_explanation import ExplanationSettings, explained_cases
from medgan.explanation.cohort_summary import alternative_counts, flip_counts, method_summaries, verdict_counts
from medgan.explanation.counterfactual import judged_pairs
from medgan.explanation.curve import CurveSettings
from medgan.explanation.explanation import Alternative
from medgan.explanation.transforms import Transform
from medgan.explanation.truth_agreement import truth_agreement
from medgan.explanation.verdict import verdicts
from medgan.phantoms.chest import chest_twins

LEAN = CurveSettings(fine_areas=12, perturbation_steps=5)
METHODS = ("d_ig", "d_ingrad", "saliency")


def twins(count=7):
    return [
        chest_twins(generator=np.random.default_rng(n), shape=(48, 48), kind="consolidation", contrast=0.3)
        for n in range(count)
    ]


def planted(twin):
    """A classifier that sees the lesion of one twin and nothing else."""
    lesion = torch.from_numpy(twin.lesion.copy())
    without = float(torch.from_numpy(twin.without_lesion.array.copy())[lesion].mean())
    with_it = float(torch.from_numpy(twin.with_lesion.array.copy())[lesion].mean())
    gain = 12 / (with_it - without)
    return present_or_absent(RegionMean(lesion, gain=gain, bias=-gain * (with_it + without) / 2))


def explained(count=7, **changes):
    cases = []
    settings = ExplanationSettings(methods=METHODS, curve=LEAN, **changes)
    for n, twin in enumerate(twins(count)):
        classifier = planted(twin)
        real = torch.from_numpy(twin.without_lesion.array.copy())[None, None]
        fake = torch.from_numpy(twin.with_lesion.array.copy())[None, None]
        found = judged_pairs(classifier, real=real, fake=fake, source=0, target=1)
        judged = verdicts(classifier, found, transforms=[Transform("8-bit", 8), Transform("dicom", 12)])
        mutation = Alternative("gradient mutation", fake[0, 0].numpy(), (0.1, 0.9), 1.0, None, judged[0])
        cases += explained_cases(
            classifier,
            found,
            judged,
            case_ids=[f"c{n}"],
            subject_ids=[""],
            settings=settings,
            alternatives=[[mutation]],
        )
    return tuple(cases)


def test_the_counterfactual_of_a_planted_classifier_is_the_blob():
    for case, twin in zip(explained(4), twins(4)):
        assert case.verdict.kind == "robust"
        best = truth_agreement(case.map_of("d_ig").values, twin.lesion)
        chance = truth_agreement(case.map_of("random").values, twin.lesion)
        assert best.iou > 0.95 > chance.iou
        assert best.pointing
        assert case.curve_of("d_ig").smallest_flipping_area < case.curve_of("random").smallest_flipping_area
        assert case.map_of("d_ig").convergence_delta == pytest.approx(0, abs=1e-2)


def test_a_case_is_complete_and_becomes_json():
    (case,) = explained(1)
    assert [m.method for m in case.maps] == [*METHODS, "residual", "random"]
    assert case.map_of("d_ig").randomization.mode == "full"
    assert case.map_of("random").randomization is None
    assert case.settings["closing_px"] == 4
    assert case.settings["blur_px"] == 5
    text = json.loads(json.dumps(case.as_dict(), allow_nan=False))
    assert text["curves"][0]["insertion"] is not None
    assert text["alternatives"][0]["way"] == "gradient mutation"
    assert set(case.images()) >= {
        "real",
        "fake",
        "map_d_ig",
        "mask_d_ig",
        "hybrid_random",
        "alternative_gradient_mutation",
    }


def test_explanations_are_the_same_bits_again_and_do_not_depend_on_company():
    first, again = explained(2), explained(1)
    for name, values in again[0].images().items():
        assert np.array_equal(values, first[0].images()[name]), name
    assert again[0].as_dict() == first[0].as_dict()
    assert not np.array_equal(first[0].map_of("random").values, first[1].map_of("random").values)


def test_a_seed_changes_only_what_is_random():
    (one,), (other,) = explained(1, seed=0), explained(1, seed=1)
    assert np.array_equal(one.map_of("d_ig").values, other.map_of("d_ig").values)
    assert not np.array_equal(one.map_of("random").values, other.map_of("random").values)


def test_dropped_pairs_have_a_verdict_and_nothing_else_and_refused_methods_a_reason():
    images = pictures(6)
    classifier = balanced(FunctionalRelu(), images)
    p = classifier.probabilities(images)
    order = torch.argsort(p[:, 1])
    real, fake = images[order[:2]], torch.stack([images[order[-1]], images[order[0]]])
    found = judged_pairs(classifier, real=real, fake=fake, source=0, target=1, threshold=0.5)
    judged = verdicts(classifier, found, transforms=[Transform("8-bit", 8)])
    settings = ExplanationSettings(
        methods=("d_gc", "d_dl", "d_ggc"), refused={"d_ggc": "the preflight said so."}, curve=LEAN, randomization=None
    )
    done = []
    kept, dropped = explained_cases(
        classifier, found, judged, case_ids=["a", "b"], subject_ids=["s", "s"], settings=settings,
        progress=lambda n, total: done.append((n, total)),
    )  # fmt: skip
    assert done == [(1, 2), (2, 2)]
    assert "functional" in kept.map_of("d_dl").refusal
    assert kept.map_of("d_ggc").refusal == "the preflight said so."
    assert [c.method for c in kept.curves] == ["d_gc", "residual", "random"]
    assert kept.map_of("d_gc").randomization is None
    assert dropped.verdict.kind == "not flipped"
    assert not dropped.maps
    assert not dropped.curves
    assert verdict_counts([kept, dropped]) == {"no to yes": {"not flipped": 1, kept.verdict.kind: 1}}
    with pytest.raises(ExplanationError, match="one of the case ids: found 1 for 2"):
        explained_cases(classifier, found, judged, case_ids=["a"], subject_ids=["s", "s"])


def test_a_cohort_of_cases_is_summarized_by_method_against_the_residual():
    cases = explained(7, randomization=None)
    rows = {row.method: row for row in method_summaries(cases, generator=np.random.default_rng(0))}
    assert set(rows) == {*METHODS, "residual", "random"}
    d_ig = rows["d_ig"]
    assert d_ig.dac.mean == pytest.approx(np.mean([c.curve_of("d_ig").dac for c in cases]))
    assert d_ig.dac.low < d_ig.dac.mean < d_ig.dac.high
    assert d_ig.dac.subjects == 7
    expected = np.mean([c.curve_of("random").dac - c.curve_of("residual").dac for c in cases])
    assert rows["random"].dac_over_residual.mean == pytest.approx(expected)
    assert rows["random"].dac_over_residual.high < 0
    assert rows["residual"].dac_over_residual is None
    assert len(d_ig.mean_curve) == len(d_ig.curve_low) == 101
    assert np.trapezoid(d_ig.mean_curve, dx=0.01) == pytest.approx(d_ig.dac.mean)
    assert d_ig.flipping.value == 1
    assert flip_counts(cases) == {"absent to present": {"robust": 7}}
    assert alternative_counts(cases) == {"gradient mutation": {"robust": 7}}
    few = method_summaries(cases[:3], generator=np.random.default_rng(0))
    assert few[0].curve_low == ()
    assert few[0].dac.low is None


def test_volumes_are_explained_like_radiographs():
    images = pictures(6, 8, spatial=3)
    classifier = balanced(SmallNet(spatial=3), images)
    order = torch.argsort(classifier.probabilities(images)[:, 1])
    found = judged_pairs(classifier, real=images[order[:1]], fake=images[order[-1:]], source=0, target=1, threshold=0.5)
    judged = verdicts(classifier, found, transforms=[Transform("blur", 0.5), Transform("jpeg", 90)])
    (case,) = explained_cases(
        classifier, found, judged, case_ids=["v"], subject_ids=["s"],
        settings=ExplanationSettings(curve=CurveSettings(preset="quac", fine_areas=5, perturbation_steps=4)),
    )  # fmt: skip
    assert [c.method for c in case.curves] == ["d_ig", "d_dl", "d_ingrad", "d_gc", "d_ggc", "residual", "random"]
    assert case.curve_of("d_gc").mask.shape == (8, 8, 8)
