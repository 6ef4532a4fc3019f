"""Discriminative attribution against its formulas, in both published directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import DeepLift, IntegratedGradients
from explained_networks import Detached, RegionMean, Rounded, SmallNet, pictures, present_or_absent, scored

from medgan.errors import ExplanationError
from medgan.explanation.attribution import AttributionSettings, guided_backprop, quiet_captum
from medgan.explanation.discriminative import (
    BASELINES,
    DISCRIMINATIVE,
    METHODS,
    PairBatch,
    normalized,
    pair_attribution,
    random_maps,
)

IMAGES = pictures(4)
PAIR = PairBatch(real=IMAGES[:2], fake=IMAGES[2:], source=0, target=1)


def as_published(preset):
    """Return (attributed image, the other, its class, the other's class): dapi explains the fake, quac the real."""
    return (PAIR.fake, PAIR.real, 1, 0) if preset == "dapi" else (PAIR.real, PAIR.fake, 0, 1)


def one(method, preset, net=None, **more):
    return pair_attribution(method, scored(net or SmallNet()), PAIR, preset=preset, **more).maps


@pytest.mark.parametrize("preset", ["dapi", "quac"])
def test_d_ig_and_d_dl_are_captums_with_the_other_image_as_baseline(preset):
    net = SmallNet().eval()
    of, against, to, _ = as_published(preset)
    expected = IntegratedGradients(net).attribute(of, against, target=to, n_steps=30)
    found = one("d_ig", preset, net, settings=AttributionSettings(steps=30))
    torch.testing.assert_close(found, expected.detach().float(), atol=1e-5, rtol=1e-4)
    with quiet_captum():
        expected = DeepLift(net).attribute(of.clone(), against.clone(), target=to).detach()
    torch.testing.assert_close(one("d_dl", preset, net), expected)


@pytest.mark.parametrize("preset", ["dapi", "quac"])
def test_d_ingrad_d_gc_and_d_ggc_are_their_formulas(preset):
    net = SmallNet().eval()
    of, against, to, back = as_published(preset)
    leaf = of.clone().requires_grad_()
    hidden = net.features(leaf)
    hidden.retain_grad()
    (net.head(hidden.flatten(2).mean(2)) * 4)[:, to].sum().backward()
    torch.testing.assert_close(one("d_ingrad", preset, net), (leaf.grad * (against - of)).abs())
    # Each channel upsampled before the sum, literally.
    product = hidden.grad * (net.features(against) - hidden).detach()
    total = sum(
        F.interpolate(product[:, k : k + 1], size=(16, 16), mode="bilinear", align_corners=False)
        for k in range(product.shape[1])
    )
    torch.testing.assert_close(one("d_gc", preset, net), total.abs(), atol=1e-6, rtol=1e-4)
    guided = guided_backprop(scored(net), against, back).maps
    torch.testing.assert_close(one("d_ggc", preset, net), guided * total.abs(), atol=1e-6, rtol=1e-4)


def test_the_two_directions_differ_and_exchange_the_images():
    assert not torch.allclose(one("d_gc", "dapi"), one("d_gc", "quac"))
    exchanged = PairBatch(real=PAIR.fake, fake=PAIR.real, source=1, target=0)
    back = pair_attribution("d_gc", scored(SmallNet()), exchanged, preset="quac").maps
    torch.testing.assert_close(one("d_gc", "dapi"), back)


def test_residual_and_random_are_as_published():
    difference = (PAIR.real - PAIR.fake).abs()
    low = difference.flatten(1).amin(1).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(one("residual", "dapi"), difference - low)
    first = random_maps((2, 1, 32, 32), generator=np.random.default_rng(3))
    assert torch.equal(first, random_maps((2, 1, 32, 32), generator=np.random.default_rng(3)))
    assert not torch.equal(first[0], first[1])
    assert float(first.min()) == 0
    assert float(first.max()) == 1
    # Smoothed: neighbors are alike.
    assert float((first[..., 1:] - first[..., :-1]).abs().max()) < 0.2
    with pytest.raises(ExplanationError, match="needs a generator"):
        one("random", "dapi")


def test_maps_are_normalized_signed_by_dapi_and_stretched_by_quac():
    maps = torch.tensor([[-4.0, 2.0], [1.0, 0.5]])[None, None]
    assert normalized(maps, "dapi").flatten().tolist() == [-1.0, 0.5, 0.25, 0.125]
    assert normalized(maps, "quac").flatten().tolist() == pytest.approx([1.0, 1.5 / 3.5, 0.5 / 3.5, 0.0])
    with pytest.raises(ExplanationError, match="dapi or quac: found 'dac'"):
        normalized(maps, "dac")


def test_a_linear_classifiers_d_ig_is_what_its_region_changed():
    region = torch.zeros(16, 16)
    region[4:8, 4:8] = 1
    classifier = present_or_absent(RegionMean(region))
    found = pair_attribution("d_ig", classifier, PAIR, settings=AttributionSettings(steps=4)).maps
    torch.testing.assert_close(found, (PAIR.fake - PAIR.real) * region * 20 / 16, atol=1e-5, rtol=1e-4)


def test_maps_that_say_nothing_are_refused():
    with pytest.raises(ExplanationError, match="map of saliency is zero everywhere"):
        one("saliency", "dapi", Rounded())
    same = PairBatch(real=IMAGES[:1], fake=IMAGES[:1].clone(), source=0, target=1)
    with pytest.raises(ExplanationError, match="map of residual is zero everywhere"):
        pair_attribution("residual", scored(SmallNet()), same)


def test_unknown_names_and_pairs_that_are_none_are_refused():
    with pytest.raises(ExplanationError, match=r"'lime' is not an attribution method\. Known: saliency"):
        one("lime", "dapi")
    with pytest.raises(ExplanationError, match="dapi or quac"):
        one("d_ig", "DAPI")
    with pytest.raises(ExplanationError, match="source and the target class are the same"):
        PairBatch(real=IMAGES, fake=IMAGES, source=1, target=1)
    with pytest.raises(ExplanationError, match="images of one shape"):
        PairBatch(real=IMAGES, fake=IMAGES[:1], source=0, target=1)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_explains_a_pair_of_volumes(method):
    images = pictures(2, 8, spatial=3)
    pair = PairBatch(real=images[:1], fake=images[1:], source=0, target=1)
    found = pair_attribution(
        method,
        scored(SmallNet(spatial=3)),
        pair,
        settings=AttributionSettings(steps=8),
        generator=np.random.default_rng(0),
    )
    assert found.maps.shape == pair.real.shape


def test_every_method_is_in_exactly_one_table():
    from medgan.explanation.attribution import PLAIN

    assert set(METHODS) == set(PLAIN) | set(DISCRIMINATIVE) | set(BASELINES)
    assert not set(PLAIN) & set(DISCRIMINATIVE)


@pytest.mark.parametrize("method", ["saliency", "d_ig", "d_gc", "grad_cam", "d_ingrad"])
def test_a_classifier_without_gradients_is_named(method):
    with pytest.raises(ExplanationError, match=f"{method} needs gradients of the score"):
        one(method, "dapi", Detached())
    assert torch.isfinite(one("occlusion", "dapi", Detached())).all()
