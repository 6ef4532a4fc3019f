"""Where a name in a configuration becomes a class, every table knows every name."""

from __future__ import annotations

from typing import get_args

from medgan.cohort import Case
from medgan.commands.phantom_cohort import phantom_subject
from medgan.commands.training_settings import EXPERIMENTS, PhantomSettings
from medgan.inference.domain_check import FEATURES, fingerprint_of
from medgan.methods.table import METHODS, SETTINGS
from medgan.preprocessing.recipe import STAGES, Recipe


def test_every_method_has_a_schema_and_settings():
    assert set(EXPERIMENTS) == set(METHODS) == set(SETTINGS)
    for name, schema in EXPERIMENTS.items():
        assert get_args(schema.model_fields["method"].annotation) == (name,)
        assert schema.model_fields[name].annotation is SETTINGS[name]


def test_every_kind_of_phantom_can_be_made_and_fingerprinted():
    kinds = get_args(PhantomSettings.model_fields["kind"].annotation)
    assert kinds
    recipe = Recipe.from_json([{"stage": "body_mask"}, {"stage": "mr_percentiles"}])
    for kind in kinds:
        settings = PhantomSettings(
            kind=kind, source_train=1, target_train=1, shape=(24, 24, 12), spacing_mm=(12, 12, 24)
        )
        phantom = phantom_subject(settings, 0)
        prepared = recipe(Case("c", "c", {"mr": phantom.mr}))
        assert set(fingerprint_of(source=phantom.mr, prepared=prepared).features) == set(FEATURES)


def test_every_stage_lies_in_the_module_that_a_reader_expects():
    for name, stage in STAGES.items():
        module = stage.__module__.removeprefix("medgan.preprocessing.")
        assert module in (name, "intensity"), f"{name} is defined in {stage.__module__}"
