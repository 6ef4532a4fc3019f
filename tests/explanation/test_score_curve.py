"""The fast curve against the published one, written out with OpenCV and SciPy's interpolation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from explained_networks import RegionMean, SmallNet, pictures, present_or_absent, scored
from scipy.interpolate import interp1d

from medgan.errors import ExplanationError
from medgan.explanation.attribution import AttributionSettings
from medgan.explanation.curve import CurveSettings, optimal_index, score_curves
from medgan.explanation.discriminative import PairBatch, pair_attribution, residual
from medgan.explanation.literal_curve import literal_curve, timed_curves

SIDE = 40
IMAGES = pictures(4, SIDE)
PAIR = PairBatch(real=IMAGES[:2], fake=IMAGES[2:], source=0, target=1)
ONE = PairBatch(real=IMAGES[:1], fake=IMAGES[2:3], source=0, target=1)


def maps_of(classifier, preset, pair=PAIR):
    names = ("d_ig", "d_gc", "residual")
    settings = AttributionSettings(steps=12)
    return {n: pair_attribution(n, classifier, pair, preset=preset, settings=settings).maps for n in names}


def published_curve(net, real, fake, attribution, preset, closing_px, blur_px):
    """Return (areas, scores, area under the curve) as dapi's and QuAC's code computes them, threshold by threshold."""

    def classify(image):
        with torch.no_grad():
            return torch.softmax(net(torch.from_numpy(image.astype(np.float32))[None, None]), dim=1)[0].numpy()

    if preset == "dapi":
        attribution = attribution / np.max(np.abs(attribution))
        cuts, start, index = [-1 + k * (2 / 200.0) for k in range(201)], classify(fake), 0
    else:
        attribution = np.abs(attribution)
        attribution = (attribution - attribution.min()) / (attribution.max() - attribution.min())
        cuts, start, index = np.arange(-1, 1, 2 / 200), classify(real), 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (closing_px, closing_px))
    areas, scores = [], []
    for cut in cuts:
        mask = np.array(attribution.astype(np.float64) > cut, dtype=np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        areas.append(mask.sum() / mask.size)
        soft = cv2.GaussianBlur(mask.astype(np.float64), (blur_px, blur_px), 0)
        hybrid = real * soft + fake * (1 - soft) if preset == "dapi" else fake * soft + real * (1 - soft)
        scores.append(float(classify(hybrid)[index] - start[index]))
    line = interp1d(np.concatenate([[1], areas, [0]]), np.concatenate([[scores[0]], scores, [0]]))
    along = np.arange(0.0, 1.0001, 0.01)
    return np.array(areas), np.array(scores), float(np.trapezoid(line(np.minimum(along, 1)), along))


@pytest.mark.parametrize("preset", ["dapi", "quac"])
@pytest.mark.parametrize("method", ["d_ig", "d_gc", "residual"])
def test_curves_equal_the_published_ones(preset, method):
    net = SmallNet().eval()
    classifier = scored(net)
    maps = maps_of(classifier, preset)
    found = score_curves(classifier, PAIR, maps, settings=CurveSettings(preset=preset))
    for n in range(2):
        curve = found[n][method]
        areas, scores, dac = published_curve(
            net, PAIR.real[n, 0].numpy(), PAIR.fake[n, 0].numpy(), maps[method][n, 0].numpy(), preset, 3, 3
        )
        np.testing.assert_array_equal(curve.areas, areas)
        np.testing.assert_allclose(curve.scores, scores, atol=1e-5)
        assert curve.dac == pytest.approx(dac, abs=1e-4)
        literal = literal_curve(
            classifier,
            PairBatch(real=PAIR.real[n : n + 1], fake=PAIR.fake[n : n + 1], source=0, target=1),
            maps[method][n : n + 1],
            preset=preset,
        )
        np.testing.assert_array_equal(literal.areas, areas)
        np.testing.assert_allclose(literal.scores, scores, atol=1e-5)
        assert literal.passes == (404 if preset == "dapi" else 202)


def test_the_published_reference_would_notice_another_blur():
    net = SmallNet().eval()
    maps = maps_of(scored(net), "dapi")["d_ig"]
    args = (net, PAIR.real[0, 0].numpy(), PAIR.fake[0, 0].numpy(), maps[0, 0].numpy(), "dapi", 3)
    assert abs(published_curve(*args, 3)[2] - published_curve(*args, 9)[2]) > 1e-3


@pytest.mark.parametrize("preset", ["dapi", "quac"])
def test_ends_and_direction(preset):
    classifier = scored(SmallNet())
    curve = score_curves(classifier, ONE, maps_of(classifier, preset, ONE), settings=CurveSettings(preset=preset))[0][
        "d_ig"
    ]
    real, fake = classifier.probabilities(ONE.real)[0], classifier.probabilities(ONE.fake)[0]
    expected = real[0] - fake[0] if preset == "dapi" else fake[1] - real[1]
    assert curve.total == pytest.approx(float(expected), abs=1e-6)
    assert curve.direction == ("real into fake" if preset == "dapi" else "fake into real")
    assert curve.scores[curve.areas == 1][0] == pytest.approx(curve.total, abs=1e-6)
    assert (curve.scores[curve.areas == 0] == 0).all()
    assert (np.diff(curve.areas) <= 0).all()
    # The hybrid is the blend under the reported mask.
    inserted, into = (ONE.real, ONE.fake) if preset == "dapi" else (ONE.fake, ONE.real)
    blend = curve.mask * inserted[0, 0].numpy() + (1 - curve.mask) * into[0, 0].numpy()
    np.testing.assert_allclose(curve.hybrid, blend, atol=1e-6)


def test_the_classifier_sees_each_distinct_mask_once_and_never_more_than_a_batch():
    classifier = scored(SmallNet())
    maps = maps_of(classifier, "dapi")
    seen = []
    classifier.module.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0])))
    lean = CurveSettings(batch=7, fine_areas=0, perturbation_steps=0)
    found = score_curves(classifier, PAIR, maps, settings=lean)
    assert max(seen) <= 7
    distinct = sum(curve.distinct_masks for case in found for curve in case.values())
    assert sum(seen) == 4 + distinct
    assert distinct < 0.6 * 2 * 3 * 201
    assert found[0]["d_ig"].insertion is None
    assert found[0]["d_ig"].smallest_flipping_area is None


def test_neither_batch_nor_company_changes_a_curve():
    classifier = scored(SmallNet())
    maps = maps_of(classifier, "dapi")
    both = score_curves(classifier, PAIR, maps, settings=CurveSettings(batch=64))
    first = {name: values[:1] for name, values in maps.items()}
    alone = score_curves(classifier, ONE, first, settings=CurveSettings(batch=3))
    for name in maps:
        np.testing.assert_allclose(both[0][name].scores, alone[0][name].scores, atol=1e-6)
        assert both[0][name].smallest_flipping_area == alone[0][name].smallest_flipping_area
        assert both[0][name].insertion == pytest.approx(alone[0][name].insertion, abs=1e-6)


def planted():
    """Return a classifier of one region, and a pair that differs there by exactly what it takes to flip."""
    region = torch.zeros(SIDE, SIDE)
    region[10:18, 10:18] = 1
    classifier = present_or_absent(RegionMean(region, gain=20, bias=0))
    real = torch.full((1, 1, SIDE, SIDE), -0.5)
    fake = real + region
    return classifier, PairBatch(real=real, fake=fake, source=0, target=1), region


def test_a_planted_change_is_found_by_its_map_and_missed_by_the_opposite():
    classifier, pair, region = planted()
    good = region[None, None] + 0.01 * pictures(1, SIDE)
    maps = {"good": good, "bad": -good + 1.5}
    found = score_curves(classifier, pair, maps, settings=CurveSettings(preset="quac", fine_areas=200))[0]
    assert found["good"].dac > 0.9 > found["bad"].dac
    # Half of the region's sum has to come over; the soft edge takes a little.
    assert region.mean() / 2 <= found["good"].smallest_flipping_area < region.mean()
    assert found["bad"].smallest_flipping_area > 0.5
    assert found["good"].insertion > 0.9 > 0.5 > found["bad"].insertion
    assert found["good"].deletion < 0.1 < 0.5 < found["bad"].deletion
    assert found["good"].optimal_area < 0.1
    assert found["good"].first_tenth > found["bad"].first_tenth


def test_the_optimal_mask_follows_each_preset():
    areas, scores = [1.0, 0.5, 0.1, 0.0], [0.9, 0.88, 0.4, 0.0]
    assert optimal_index(areas, scores, "dapi") == 1
    assert optimal_index([1.0, 0.6, 0.1], [0.9, 0.88, 0.4], "quac") == 2
    assert optimal_index([1.0, 0.6, 0.1], [0.9, 0.88, 0.2], "dapi") != optimal_index(
        [1.0, 0.6, 0.1], [0.9, 0.65, 0.2], "quac"
    )


def test_without_closing_the_areas_are_the_maps_own():
    classifier = scored(SmallNet())
    maps = maps_of(classifier, "dapi", ONE)
    curve = score_curves(classifier, ONE, maps, settings=CurveSettings(closing=False))[0]["d_gc"]
    values = maps["d_gc"][0, 0] / maps["d_gc"].abs().max()
    assert curve.areas[150] == pytest.approx(float((values > 0.5).float().mean()))
    assert not curve.closing


def test_a_symmetric_closing_keeps_a_small_finding_that_the_published_one_loses():
    classifier, pair, region = planted()
    region = region * 0
    region[20:22, 20:22] = 1
    classifier = present_or_absent(RegionMean(region, gain=20, bias=0))
    pair = PairBatch(real=pair.real, fake=pair.real + region, source=0, target=1)
    maps = {"truth": region[None, None] + 0.0}
    odd, even = (
        score_curves(classifier, pair, maps, settings=CurveSettings(symmetric_closing=s))[0]["truth"]
        for s in (True, False)
    )
    assert odd.symmetric_closing
    assert odd.areas[150] == pytest.approx(4 / SIDE**2)
    assert even.areas[150] == pytest.approx(4 / SIDE**2)  # 3 px here: odd already
    wide = PairBatch(
        real=torch.nn.functional.pad(pair.real, (0, 8, 0, 8), value=-0.5),
        fake=torch.nn.functional.pad(pair.fake, (0, 8, 0, 8), value=-0.5), source=0, target=1,
    )  # fmt: skip
    region = torch.nn.functional.pad(region, (0, 8, 0, 8))
    classifier = present_or_absent(RegionMean(region, gain=20, bias=0))
    odd, even = (
        score_curves(classifier, wide, {"truth": region[None, None]}, settings=CurveSettings(symmetric_closing=s))[0][
            "truth"
        ]
        for s in (True, False)
    )
    assert odd.areas[150] == pytest.approx(4 / 48**2)
    assert even.areas[150] < odd.areas[150]
    assert odd.dac > even.dac


def test_volumes_have_curves():
    images = pictures(2, 10, spatial=3)
    pair = PairBatch(real=images[:1], fake=images[1:], source=0, target=1)
    curve = score_curves(scored(SmallNet(spatial=3)), pair, {"residual": residual(pair)})[0]["residual"]
    assert curve.mask.shape == (10, 10, 10)
    assert np.isfinite(curve.dac)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m * 0, "not zero everywhere: map is"),
        (lambda m: m * float("nan"), "finite maps: map is not"),
        (lambda m: m[..., :-1], "the shape of its image: map is"),
    ],
)
def test_maps_that_cannot_be_ranked_are_refused(change, message):
    with pytest.raises(ExplanationError, match=message):
        score_curves(scored(SmallNet()), ONE, {"map": change(residual(ONE))})


def test_timing_says_what_both_ways_cost_and_that_they_agree():
    classifier = scored(SmallNet())
    found = timed_curves(classifier, PAIR, residual(PAIR), literal_pairs=1, batch=16, bfloat16=True)
    assert found.pairs == 2
    assert found.literal_pairs == 1
    assert found.literal_passes == 404
    assert found.passes < 150
    assert found.speedup == pytest.approx(found.literal_seconds / found.seconds)
    assert found.classifier_speedup < found.speedup
    assert found.area_deviation < 1e-4
    assert found.bfloat16_deviation < 0.05
    assert found.bfloat16_seconds > 0
