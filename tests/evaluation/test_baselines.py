"""Baselines on a phantom where muscle is dim, fat bright and bone dark in MR, as in T1."""

import numpy as np
import pytest

from medgan.errors import EvaluationError
from medgan.evaluation.baselines import OUTSIDE_HU, BodyMedian, MedianPerBin, QuantileMatch, T1Table

HU = {"bone": 900.0, "muscle": 50.0, "fat": -100.0}
MR = {"bone": 0.05, "muscle": 0.3, "fat": 0.9}


def subject(rng, counts):
    """Return MR and HU of one body: flat arrays of the same voxels."""
    mr = np.concatenate([rng.normal(MR[t], 0.02, n) for t, n in counts.items()])
    hu = np.concatenate([rng.normal(HU[t], 5, n) for t, n in counts.items()])
    return mr.astype(np.float32), hu.astype(np.float32)


@pytest.fixture
def train(rng):
    subjects = [subject(rng, {"bone": 100, "muscle": 1500 + 100 * i, "fat": 1000}) for i in range(3)]
    return [mr for mr, _ in subjects], [hu for _, hu in subjects]


@pytest.fixture
def image():
    mr = np.zeros((4, 5, 6), dtype=np.float32)
    body = np.zeros(mr.shape, dtype=bool)
    body[1:4, 1:4, 1:4] = True
    for i, tissue in enumerate(MR, start=1):
        mr[i][body[i]] = MR[tissue]
    return mr, body


def fitted(train):
    mr, hu = train
    return {
        "median": BodyMedian.fit(hu),
        "increasing": QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=False),
        "decreasing": QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=True),
        "table": T1Table.fit(mr),
        "bins": MedianPerBin.fit(mr_values=mr, hu_values=hu),
    }


def test_all_give_float32_hu_and_air_outside(train, image):
    mr, body = image
    for baseline in fitted(train).values():
        hu = baseline(mr, body)
        assert hu.shape == mr.shape
        assert hu.dtype == np.float32
        assert (hu[~body] == OUTSIDE_HU).all()
        assert (hu[body] > OUTSIDE_HU).all()
        assert baseline.title
        assert hash(baseline) == hash(baseline)


def test_literal_maps(train, image):
    mr, body = image
    found = {name: [float(b(mr, body)[i, 2, 2]) for i in (1, 2, 3)] for name, b in fitted(train).items()}
    assert len(set(found["median"])) == 1
    assert found["median"][0] == pytest.approx(HU["muscle"], abs=10)
    assert found["table"] == [50, 30, -85]
    assert found["bins"] == pytest.approx(list(HU.values()), abs=10)
    assert found["decreasing"][0] > 500
    assert found["decreasing"][1:] == pytest.approx([HU["muscle"], HU["fat"]], abs=25)
    # The wrong sign: bright fat becomes bone's neighbor, dark bone becomes fat.
    assert found["increasing"][0] == pytest.approx(HU["fat"], abs=25)
    assert found["increasing"][2] > HU["muscle"] - 25


def test_quantile_matching_is_monotone_and_constant_beyond_its_ends(train):
    mr, hu = train
    line = np.linspace(-1, 2, 301, dtype=np.float32)[None, None]
    inside = np.ones(line.shape, dtype=bool)
    for decreasing, sign in ((False, 1), (True, -1)):
        mapped = QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=decreasing)(line, inside)
        assert (sign * np.diff(mapped, axis=2) >= 0).all()
        ends = sorted((float(mapped[0, 0, 0]), float(mapped[0, 0, -1])))
        assert ends == pytest.approx([min(map(np.min, hu)), max(map(np.max, hu))])


def test_quantile_matching_gives_the_distribution_of_hu(train):
    mr, hu = train
    match = QuantileMatch.fit(mr_values=mr[:1], hu_values=hu[1:], decreasing=True)
    mapped = match(mr[0][None, None], np.ones((1, 1, mr[0].size), dtype=bool))
    levels = np.linspace(0.05, 0.95, 10)
    assert np.quantile(mapped, levels) == pytest.approx(np.quantile(np.concatenate(hu[1:]), levels), abs=40)


def test_ties_in_mr_share_one_value():
    mr = np.array([0, 0, 0, 0, 1, 2], dtype=np.float32)
    hu = np.array([-100, -50, 0, 50, 100, 150], dtype=np.float32)
    match = QuantileMatch.fit(mr_values=[mr], hu_values=[hu], decreasing=False, quantiles=6)
    assert match.mr_knots == (0, 1, 2)
    assert match.hu_knots == (-25, 100, 150)


def test_medians_of_bins_are_medians():
    mr = np.repeat(np.arange(4), 5).astype(np.float32)
    hu = np.arange(20, dtype=np.float32)
    fit = MedianPerBin.fit(mr_values=[mr[:10], mr[10:]], hu_values=[hu[:10], hu[10:]], bins=4)
    assert fit.hu == (2, 7, 12, 17)
    many = MedianPerBin.fit(mr_values=[mr], hu_values=[hu], bins=50)
    assert many.hu == (2, 7, 12, 17)
    one = MedianPerBin.fit(mr_values=[mr], hu_values=[hu], bins=1)
    assert (one.edges, one.hu) == ((), (9.5,))


def test_table_thresholds_come_from_mr_alone(train):
    table = T1Table.fit(train[0], fat_hu=-90)
    assert 0.1 < table.dark_below < 0.25
    assert 0.35 < table.fat_above < 0.85
    assert table.fat_hu == -90


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda mr, hu: BodyMedian.fit([]), "fitted on HU values of training bodies: found none"),
        (lambda mr, hu: T1Table.fit([np.ones(9)]), "T1 table needs MR values that differ"),
        (lambda mr, hu: T1Table(0.5, 0.5), "dark tissue below fat: found thresholds 0.5 and 0.5"),
        (
            lambda mr, hu: QuantileMatch.fit(mr_values=[np.ones(9)], hu_values=hu, decreasing=True),
            "MR values that differ: found a constant",
        ),
        (
            lambda mr, hu: QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=True, quantiles=1),
            "at least two quantiles: found 1",
        ),
        (lambda mr, hu: MedianPerBin.fit(mr_values=mr, hu_values=hu[:2]), "arrays that do not pair up"),
        (lambda mr, hu: MedianPerBin.fit(mr_values=mr, hu_values=hu[::-1]), "arrays that do not pair up"),
        (lambda mr, hu: MedianPerBin.fit(mr_values=mr, hu_values=hu, bins=0), "at least one bin: found 0"),
        (lambda mr, hu: BodyMedian(3.0)(np.ones((2, 2, 2)), np.ones((2, 2), dtype=bool)), "needs a body mask"),
        (lambda mr, hu: BodyMedian(3.0)(np.ones((2, 2, 2)), np.ones((2, 2, 2))), "found float64"),
    ],
)
def test_baseline_refusals(train, refused, message):
    with pytest.raises(EvaluationError, match=message):
        refused(*train)
