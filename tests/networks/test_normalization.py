"""Instance normalization: its values, and the backward that torch gets wrong in one layout."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from medgan.networks.normalization import instance_norm

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def gradient_error(normalize, shape: tuple[int, ...]) -> float:
    """Largest error of the input gradient, relative to its largest value, for a channels-last upstream gradient."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(shape, generator=generator)
    upstream = torch.randn(shape, generator=generator)

    exact = image.double().requires_grad_()
    centered = exact - exact.mean(dim=tuple(range(2, len(shape))), keepdim=True)
    variance = centered.square().mean(dim=tuple(range(2, len(shape))), keepdim=True)
    (reference,) = torch.autograd.grad(centered / (variance + 1e-5).sqrt(), exact, upstream.double())

    layout = CHANNELS_LAST[len(shape)]
    tested = image.contiguous(memory_format=layout).requires_grad_()
    output = normalize(tested)
    (gradient,) = torch.autograd.grad(output, tested, upstream.contiguous(memory_format=layout))
    return float((gradient.double() - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("extent", [(6, 5, 7), (9, 8)])
def test_backward_is_right_for_a_channels_last_gradient(samples, extent):
    assert gradient_error(instance_norm, (samples, 4, *extent)) < 1e-4


def test_with_gradients_or_without_the_values_are_the_same():
    image = torch.randn(3, 4, 6, 5, 7, generator=torch.Generator().manual_seed(4)) * 2 + 1
    image = image.contiguous(memory_format=torch.channels_last_3d)
    plain, trained = instance_norm(image), instance_norm(image.clone().requires_grad_())
    assert trained.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.allclose(plain, trained.detach(), atol=1e-5)
    # Samples do not see each other: a batch normalization of all three would fail here.
    assert torch.allclose(trained[1:2], instance_norm(image[1:2]), atol=1e-5)


def test_the_bfloat16_backward_keeps_statistics_in_float32():
    # The mean is 64 standard deviations away: rounded to bfloat16 it would be off by a quarter of one.
    generator = torch.Generator().manual_seed(5)
    image = (torch.randn(1, 4, 8, 8, 8, generator=generator) + 64).bfloat16()
    upstream = torch.randn(image.shape, generator=generator).bfloat16()
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        tested = image.to(dtype).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        gradients.append(torch.autograd.grad(instance_norm(tested), tested, upstream.to(dtype))[0].float())
    assert float((gradients[1] - gradients[0]).abs().max()) < 0.02 * float(gradients[0].abs().max())


def test_the_layout_test_fails_for_torch_instance_norm():
    # The day this fails torch is repaired, and instance_norm may be written with it again.
    assert gradient_error(F.instance_norm, (1, 4, 6, 5, 7)) > 0.1


def test_mean_is_zero_and_variance_one_for_every_sample_and_channel():
    image = torch.randn(2, 3, 5, 6, 7, generator=torch.Generator().manual_seed(2)) * 3 + 5
    result = instance_norm(image)
    assert torch.allclose(result.mean(dim=(2, 3, 4)), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(result.var(dim=(2, 3, 4), unbiased=False), torch.ones(2, 3), atol=1e-4)


def test_a_single_voxel_becomes_zero():
    assert instance_norm(torch.full((1, 2, 1, 1, 1), 7.0)).tolist() == [[[[[0.0]]], [[[0.0]]]]]


def test_statistics_are_float32_for_a_bfloat16_image():
    # In bfloat16 a running sum of ones stops growing at 256, so statistics of 4096 voxels would be far off.
    image = (1.0 + torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(3))).bfloat16()
    result = instance_norm(image)
    expected = instance_norm(image.float())
    assert result.dtype == torch.bfloat16
    assert float((result.float() - expected).abs().max()) < 0.02
