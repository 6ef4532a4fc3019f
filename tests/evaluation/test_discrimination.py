"""Area under the curve: closed forms, ties, and intervals by subject."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from medgan.errors import EvaluationError
from medgan.evaluation.discrimination import auc_with_interval, roc_auc


def literal(scores, labels):
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    return float(np.mean(pairs))


def test_it_is_the_share_of_pairs_in_the_right_order(rng):
    for _ in range(20):
        labels = rng.integers(0, 2, 30)
        labels[:2] = 0, 1
        scores = rng.integers(0, 8, 30).astype(float)
        assert roc_auc(scores, labels) == pytest.approx(literal(scores, labels))


def test_perfect_reversed_and_constant_scores():
    labels = [0, 0, 1, 1]
    assert roc_auc([1, 2, 3, 4], labels) == 1
    assert roc_auc([4, 3, 2, 1], labels) == 0
    assert roc_auc([1, 1, 1, 1], labels) == 0.5


def test_two_normal_distributions_give_the_closed_form(rng):
    labels = np.arange(4000) % 2
    area = auc_with_interval(
        rng.normal(size=4000) + labels, labels, subject_ids=list(map(str, range(4000))), generator=rng, resamples=100
    )
    assert area.low < norm.cdf(1 / np.sqrt(2)) < area.high
    assert area.high - area.low < 0.05
    assert (area.positives, area.negatives, area.subjects) == (2000, 2000, 4000)
    assert area.text.startswith("0.7")


def test_images_of_one_subject_come_together(rng):
    labels = np.arange(400) % 2
    scores = rng.normal(size=400) + labels
    alone = auc_with_interval(scores, labels, subject_ids=list(map(str, range(400))), generator=rng, resamples=300)
    copied = auc_with_interval(
        scores.repeat(9), labels.repeat(9), subject_ids=[str(i) for i in np.arange(400).repeat(9)], generator=rng,
        resamples=300,
    )  # fmt: skip
    assert copied.value == pytest.approx(alone.value)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.25)


def test_the_same_generator_gives_the_same_interval():
    labels = np.arange(40) % 2
    scores = np.linspace(0, 1, 40) + labels * 0.1
    names = [str(i) for i in range(40)]

    def area():
        generator = np.random.default_rng(1)
        return auc_with_interval(scores, labels, subject_ids=names, generator=generator, resamples=100)

    assert area() == area()


@pytest.mark.parametrize(
    ("scores", "labels"), [([1, 2], [1, 1]), ([1, np.nan], [0, 1]), ([1, 2, 3], [0, 1]), ([1, 2], [0, 2])]
)
def test_what_has_no_curve_is_refused(scores, labels):
    with pytest.raises(EvaluationError, match="labels of both classes"):
        roc_auc(scores, labels)


def test_a_subject_for_each_score_is_needed():
    with pytest.raises(EvaluationError, match="Each score needs a subject"):
        auc_with_interval([1, 2], [0, 1], subject_ids=["a"], generator=np.random.default_rng(0))
