"""Configurations of the segmenter: what is derived, what is refused, how subjects are dealt."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgan.commands.segmentation_data import StudyEntry, subject_deal
from medgan.commands.segmentation_study import jobs_of
from medgan.commands.training_settings import read_experiment
from medgan.errors import CohortError, SettingsError

FOLDER = Path(__file__).parents[2] / "configs" / "prostate_lesions"
SMOKE = FOLDER / "smoke.yaml"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_configuration_is_valid_and_its_jobs_are_named_once(file):
    experiment, _ = read_experiment(file)
    jobs = jobs_of(experiment)
    assert len({job.name for job in jobs}) == len(jobs)
    for job in jobs:
        one, _ = read_experiment(file, job.overrides)
        assert one.adversarial_segmentation.arm == job.arm
        assert one.method_settings().steps == experiment.method_settings().steps


def test_numbers_follow_from_the_data():
    settings = read_experiment(SMOKE, ["sampling.neighbors=1"])[0].method_settings()
    assert (settings.in_channels, settings.classes, settings.focus_class) == (9, 4, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("adversarial_segmentation.classes=4", "follows from data"),
        ("adversarial_segmentation.steps=7", "a multiple of rhythm.choose_every"),
        ("adversarial_segmentation.adversarial_start=1.0", "leaves no step after it"),
        ("sampling.depth=4", "give both, or neither"),
        ("data.focus=tumor", "tumor is not in data.classes"),
        ("data.fold=2", "data.fold must be 0 to 1"),
        ("data.phantoms=null", "data.manifest or data.phantoms"),
        ("adversarial_segmentation.arm=gan", "arm"),
        ("data.channels=[]", "data.channels"),
    ],
)
def test_refused(override, message):
    with pytest.raises(SettingsError, match=message):
        read_experiment(SMOKE, [override])


def entries(count: int) -> list[StudyEntry]:
    return [StudyEntry(f"c{n}", f"s{n:02d}", {}) for n in range(count)]


def data(*overrides: str):
    return read_experiment(SMOKE, overrides)[0].data


def test_folds_test_every_subject_once():
    tested = []
    for fold in (0, 1):
        deal = subject_deal(entries(12), data(f"data.fold={fold}"), seed=1)
        assert not set(deal.train) & set(deal.test)
        assert not set(deal.validation) & {*deal.train, *deal.test}
        assert len(deal.train) + len(deal.validation) + len(deal.test) == 12
        tested += deal.test
    assert sorted(tested) == [f"s{n:02d}" for n in range(12)]
    every = subject_deal(entries(12), data("data.fold=all"), seed=1)
    assert (len(every.train), every.test) == (10, ())
    with pytest.raises(CohortError, match="Say which fold"):
        subject_deal(entries(12), data(), seed=1)


def test_the_curve_has_one_test_set_and_nested_training_sets():
    deals = {
        (train, seed): subject_deal(
            entries(20),
            data("data.folds=null", f"data.curve.train={train}", "data.curve.validation=4", "data.curve.test=6"),
            seed=seed,
        )
        for train in (4, 8)
        for seed in (1, 2)
    }
    assert len({deal.test for deal in deals.values()}) == 1
    assert len({deal.validation for deal in deals.values()}) == 1
    assert set(deals[4, 1].train) < set(deals[8, 1].train)
    assert deals[4, 1].train != deals[4, 2].train
    with pytest.raises(CohortError, match="as many subjects as it deals"):
        subject_deal(
            entries(5),
            data("data.folds=null", "data.curve.train=4", "data.curve.validation=1", "data.curve.test=1"),
            seed=1,
        )
