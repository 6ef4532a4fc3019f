"""Attribution of one image against Captum, hand-computed networks and literal definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from captum.attr import InputXGradient, LayerGradCam, Saliency
from explained_networks import FunctionalRelu, PooledNet, RegionMean, SmallNet, pictures, present_or_absent, scored
from torch import nn

from medgan.errors import ExplanationError
from medgan.explanation.attribution import (
    PLAIN,
    AttributionSettings,
    deconvolution,
    deeplift,
    guided_backprop,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    saliency,
)
from medgan.explanation.class_activation import class_activation, grad_cam, layer_gradients

SETTINGS = AttributionSettings(steps=24)


class Literal(nn.Module):
    """Two channels that are the image and its negative, rectified; the score weighs their means."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
            self.head.weight.copy_(torch.tensor([[2.0, 3.0], [-1.0, 4.0]]))

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).mean(dim=(2, 3)))


IMAGE = torch.tensor([[1.0, -2.0], [0.5, 3.0]])[None, None]


def test_grad_cam_and_cam_are_the_numbers_computed_by_hand():
    classifier = scored(Literal(), layer="relu")
    # Channels: [1 0; .5 3] and [0 2; 0 0]; class 1 weighs them -1/4 and 4/4 (mean of gradients = weight / pixels).
    expected = torch.tensor([[-0.25, 2.0], [-0.125, -0.75]])[None, None]
    torch.testing.assert_close(grad_cam(classifier, IMAGE, 1, signed=True), expected)
    torch.testing.assert_close(grad_cam(classifier, IMAGE, 1), expected.clamp_min(0))
    torch.testing.assert_close(class_activation(classifier, IMAGE, 1), expected * 4)


def test_guided_backprop_and_deconvolution_are_the_numbers_computed_by_hand():
    classifier = scored(Literal(), layer="relu")
    # Gradient of the score at the two rectified channels: -1/4 and 1. Only the second is positive.
    guided = torch.tensor([[0.0, -1.0], [0.0, 0.0]])[None, None]  # where the channel is active, times its weight -1
    torch.testing.assert_close(guided_backprop(classifier, IMAGE, 1).maps, guided)
    torch.testing.assert_close(deconvolution(classifier, IMAGE, 1).maps, torch.full((1, 1, 2, 2), -1.0))


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gated):
        ctx.save_for_backward(x)
        ctx.gated = gated
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        rectified = gradient.clamp_min(0)
        return (rectified * (x > 0) if ctx.gated else rectified), None


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("inplace", [True, False])
def test_guided_backprop_and_deconvolution_follow_their_definition_through_two_layers(gated, inplace):
    net, images = SmallNet(inplace=inplace), pictures(3)
    leaf = images.clone().requires_grad_()
    hidden = _Guided.apply(net.second(_Guided.apply(net.first(leaf), gated)), gated)
    (net.head(hidden.flatten(2).mean(2)) * 4)[:, 1].sum().backward()
    method = guided_backprop if gated else deconvolution
    torch.testing.assert_close(method(scored(net), images, 1, batch=2).maps, leaf.grad)
    assert net.first_relu.inplace == inplace


def test_saliency_input_x_gradient_and_grad_cam_agree_with_captum():
    net, images = SmallNet(), pictures(3)
    classifier = scored(net)
    leaf = images.clone().requires_grad_()
    torch.testing.assert_close(saliency(classifier, images, 1).maps, Saliency(net).attribute(leaf, target=1))
    expected = InputXGradient(net).attribute(leaf, target=1).detach()
    torch.testing.assert_close(input_x_gradient(classifier, images, 1).maps, expected)
    coarse = LayerGradCam(net, net.second_relu).attribute(leaf, target=1, relu_attributions=True).detach()
    fine = F.interpolate(coarse, size=(16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(grad_cam(classifier, images, 1), fine)


def test_integrated_gradients_and_deeplift_are_complete():
    classifier, images = scored(SmallNet()), pictures(3)
    for found in (
        integrated_gradients(classifier, images, 1, baselines=0.0, steps=200),
        deeplift(classifier, images, 1, baselines=images.flip(0) * 0.5),
    ):
        assert float(found.delta.abs().max()) < 2e-3
    assert float(integrated_gradients(classifier, images, 1, baselines=0.0, steps=2).delta.abs().max()) > 1e-3


def test_a_linear_classifier_is_explained_exactly_by_every_complete_method():
    region = torch.zeros(8, 8)
    region[2:5, 3:6] = 1
    classifier, images = present_or_absent(RegionMean(region)), pictures(2, 8)
    expected = images * region * 20 / 9
    torch.testing.assert_close(integrated_gradients(classifier, images, 1, baselines=0.0).maps, expected)
    torch.testing.assert_close(input_x_gradient(classifier, images, 0).maps, -expected)
    one = occlusion(classifier, images, 1, window=0.125)  # a window of one pixel
    torch.testing.assert_close(one.maps, expected, atol=1e-4, rtol=1e-4)


def test_deeplift_is_refused_where_it_is_incomplete():
    images = pictures(4)
    with pytest.raises(ExplanationError, match=r"found a delta of .* on a difference of .*Max pooling"):
        deeplift(scored(PooledNet()), images, 1, baselines=images.flip(0))


@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution", "deeplift", "guided_grad_cam"])
def test_methods_that_rewrite_gradients_refuse_functional_relu(method):
    with pytest.raises(ExplanationError, match=r"silently be wrong.*1 of 2 calls of ReLU are functional"):
        PLAIN[method](scored(FunctionalRelu()), pictures(2), 1, SETTINGS, 4)


@pytest.mark.parametrize("method", sorted(PLAIN))
def test_every_method_serves_volumes_and_does_not_depend_on_the_batch(method):
    classifier, images = scored(SmallNet(spatial=3)), pictures(3, 8, spatial=3)
    whole = PLAIN[method](classifier, images, 1, SETTINGS, 16).maps
    assert whole.shape == images.shape
    assert whole.dtype == torch.float32
    assert torch.isfinite(whole).all()
    torch.testing.assert_close(PLAIN[method](classifier, images, 1, SETTINGS, 1).maps, whole, atol=1e-5, rtol=1e-4)


def test_cam_is_refused_where_the_head_is_not_a_mean_and_a_linear_layer():
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    with pytest.raises(ExplanationError, match="right before the pooling"):
        class_activation(scored(net, layer="1"), pictures(2), 1)
    assert class_activation(scored(net, layer="2"), pictures(2), 1).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("layer", ["head", "pool"])
def test_a_layer_without_spatial_extent_is_refused(layer):
    class Net(SmallNet):
        def __init__(self):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x):
            return self.head(self.pool(self.features(x)).flatten(1))

    with pytest.raises(ExplanationError, match=f"'{layer}' has no spatial extent"):
        layer_gradients(scored(Net(), layer=layer), pictures(1), 1)


def test_a_layer_that_runs_twice_is_refused():
    class Twice(SmallNet):
        def features(self, x):
            return self.second_relu(self.second_relu(self.second(self.first_relu(self.first(x)))))

    with pytest.raises(ExplanationError, match="it ran 2 times"):
        layer_gradients(scored(Twice()), pictures(1), 1)


def test_images_from_inference_mode_are_welcome_and_no_hook_stays():
    classifier = scored(SmallNet())
    with torch.inference_mode():
        images = pictures(2) * 1
    for method in PLAIN:
        PLAIN[method](classifier, images, 1, SETTINGS, 4)
    for module in classifier.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
