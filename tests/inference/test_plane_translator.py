"""Translators between two classes, and which radiographs a model may be shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from radiograph_models import DOMAIN, classification_bundle, counterfactual_bundle, pair, write_folder

from medgan.errors import BundleError, InferenceError
from medgan.inference.classifier import open_classifier
from medgan.inference.classifier_facts import RadiographDomain
from medgan.inference.classifier_input import prepared_radiograph
from medgan.inference.plane_translator import open_plane_translator
from medgan.volume import Quantity, Radiograph

IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 12, 12)).astype(np.float32)


@pytest.fixture
def translator(tmp_path):
    counterfactual_bundle(tmp_path / "t")
    return open_plane_translator(str(tmp_path / "t"))


def test_both_directions_come_from_one_bundle(translator):
    made = pair().eval()
    with torch.inference_mode():
        tensor = torch.from_numpy(IMAGES)[:, None]
        there, back = made.source_to_target(tensor)[:, 0].numpy(), made.target_to_source(tensor)[:, 0].numpy()
    np.testing.assert_allclose(translator.translated(IMAGES, toward="ill", batch=2), there, atol=1e-6)
    np.testing.assert_allclose(translator.translated(IMAGES, toward="normal"), back, atol=1e-6)
    assert np.abs(there - back).max() > 1e-3
    assert translator.asked is None


def test_gradients_pass_to_the_image_and_not_to_the_weights(translator):
    image = torch.from_numpy(IMAGES[:1])[:, None].requires_grad_()
    translator.translated_tensor(image, toward="ill").sum().backward()
    assert image.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in translator.pair.parameters())


def test_other_classes_and_sizes_are_refused(translator):
    with pytest.raises(InferenceError, match="between normal and ill: found 'flu'"):
        translator.translated(IMAGES, toward="flu")
    with pytest.raises(InferenceError, match=r"takes images \(N, 12, 12\)"):
        translator.translated(IMAGES[:, :8], toward="ill")


def test_classifier_and_translator_must_speak_of_the_same(translator, tmp_path):
    translator.require_fits(open_classifier(write_folder(tmp_path / "c")))
    with pytest.raises(InferenceError, match="the same classes"):
        translator.require_fits(open_classifier(write_folder(tmp_path / "d", labels=["ok", "ill"])))
    with pytest.raises(InferenceError, match="one input size"):
        translator.require_fits(open_classifier(write_folder(tmp_path / "e", input_size=[16, 16])))


def test_a_bundle_for_another_task_is_refused(tmp_path):
    classification_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="A model for counterfactual is needed"):
        open_plane_translator(str(tmp_path / "b"))


def test_facts_of_a_translator(tmp_path):
    asked = {"name": "c", "weights_sha256": "a" * 64, "weight": 1.0}
    facts = counterfactual_bundle(tmp_path / "t", classifier=asked).facts
    assert facts.headline == "normal <-> ill"
    assert facts.classifier.weight == 1.0
    with pytest.raises(BundleError, match="weight"):
        counterfactual_bundle(tmp_path / "u", classifier={**asked, "weight": 0.0})


# Domain ----------------------------------------------------------------------------------------------------------

NATIVE = RadiographDomain(**{**DOMAIN, "population": "children", "native_only": True})
ANY = RadiographDomain(**DOMAIN)


def radiograph(shape) -> Radiograph:
    return Radiograph(np.random.default_rng(1).uniform(-1, 1, shape), None, Quantity.NORMALIZED)


def shown(shape, domain, **options):
    return prepared_radiograph(radiograph(shape), domain, name="a.png", model="tiny", **options)


def test_a_radiograph_of_the_native_size_is_seen_as_it_is():
    prepared = shown((12, 12), NATIVE)
    assert np.array_equal(prepared.image, radiograph((12, 12)).array)
    assert prepared.placement.is_identity
    assert prepared.is_accepted_domain
    assert prepared.notices == ()


def test_any_other_is_outside_the_domain_unless_accepted():
    with pytest.raises(
        InferenceError, match=r"a.png is outside the domain of tiny.*children.*found 36 x 24 px"
    ) as refusal:
        shown((24, 36), NATIVE)
    assert "--accept-domain" in str(refusal.value)
    prepared = shown((24, 36), NATIVE, accept_domain=True)
    assert not prepared.is_accepted_domain
    assert "outside the domain" in prepared.notices[0]
    assert prepared.image.shape == (12, 12)


def test_a_model_for_any_size_reduces_and_says_what_is_cut_off():
    prepared = shown((24, 36), ANY)
    assert prepared.is_accepted_domain
    assert prepared.notices == ("33.3% of the radiograph is cut off to give it the model's proportions.",)
    assert shown((24, 24), ANY).notices == ()
    pasted = prepared.placement.pasted(np.ones((12, 12)))
    assert pasted.shape == (24, 36)
    assert pasted.mean() == pytest.approx(2 / 3)


def test_values_of_another_quantity_are_refused():
    with pytest.raises(InferenceError, match=r"needs values in \[-1, 1\]"):
        prepared_radiograph(Radiograph(np.ones((12, 12)), None, Quantity.MR_SIGNAL), ANY, name="a", model="b")
    with pytest.raises(InferenceError, match="from 2 to 2"):
        prepared_radiograph(Radiograph(np.full((12, 12), 2.0), None, Quantity.NORMALIZED), ANY, name="a", model="b")
