"""Instance normalization: its values, and the backward that torch gets wrong in one layout."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from medgan.networks.normalization import activated_norm, channel_statistics, instance_norm

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


def forward_error(normalize, dtype: torch.dtype, extent: tuple[int, ...], *, ratio: float) -> float:
    """Largest error, in standard deviations, for channels-last channels with a mean of ``ratio`` deviations."""
    image = torch.randn(2, 4, *extent, generator=torch.Generator().manual_seed(6)) + ratio
    image = image.to(dtype).contiguous(memory_format=CHANNELS_LAST[image.ndim])
    axes = tuple(range(2, image.ndim))
    exact = image.double() - image.double().mean(dim=axes, keepdim=True)
    reference = exact / (exact.square().mean(dim=axes, keepdim=True) + 1e-5).sqrt()
    return float((normalize(image).double() - reference).abs().max())


@pytest.mark.parametrize("extent", [(48, 40, 44), (96, 80), (3, 4, 5)])
@pytest.mark.parametrize("ratio", [0.0, 30.0, 1000.0])
def test_forward_is_right_where_the_mean_is_far_above_the_deviation(extent, ratio):
    # Air in an image: rounding of the image itself is 6e-8 of the mean.
    assert forward_error(instance_norm, torch.float32, extent, ratio=ratio) < 1e-5 + 3e-7 * ratio
    assert forward_error(instance_norm, torch.float64, extent, ratio=ratio) < 1e-9
    if ratio <= 30:
        assert forward_error(instance_norm, torch.bfloat16, extent, ratio=ratio) < 0.1


def test_group_norm_would_be_wrong_there():
    def grouped(image):
        return torch.group_norm(image, image.shape[1], None, None, 1e-5)

    assert forward_error(grouped, torch.float32, (48, 40, 44), ratio=1000.0) > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_of_more_voxels_than_one_part_holds(dtype):
    image = torch.randn(1, 3, 60, 50, 40, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * 3 + 500
    image = image.to(dtype).contiguous(memory_format=torch.channels_last_3d)
    mean, variance = channel_statistics(image)
    assert mean.dtype == variance.dtype == dtype
    expected = torch.var_mean(image.double(), dim=(0, 2, 3, 4), unbiased=False)
    torch.testing.assert_close(mean.double(), expected[1], rtol=1e-7, atol=0)
    torch.testing.assert_close(variance.double(), expected[0], rtol=1e-6, atol=0)


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


def laid_out(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """Return the same values in another layout; a view is one sample that was indexed and got its axis back."""
    if layout == "contiguous":
        return tensor.contiguous()
    last = tensor.contiguous(memory_format=CHANNELS_LAST[tensor.ndim])
    return last[0][None] if layout == "view" and len(last) == 1 else last


def mixed_error(
    normalize, shape: tuple[int, ...], of_image: str, of_gradient: str, *, groups: int | None = None
) -> float:
    generator = torch.Generator().manual_seed(1)
    image, upstream = torch.randn(shape, generator=generator) * 2 + 1, torch.randn(shape, generator=generator)
    exact = image.double().requires_grad_()
    (reference,) = torch.autograd.grad(torch.group_norm(exact, groups or shape[1]), exact, upstream.double())
    tested = laid_out(image, of_image).requires_grad_()
    (gradient,) = torch.autograd.grad(normalize(tested), tested, laid_out(upstream, of_gradient))
    return float((gradient.double() - reference).abs().max() / reference.abs().max())


LAYOUTS = ("contiguous", "channels-last", "view")


@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("of_image", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 16, 6, 5, 7), (2, 16, 6, 5, 7), (1, 16, 9, 8), (2, 16, 9, 8)], ids=str)
def test_backward_is_right_in_every_pair_of_layouts(shape, of_image, of_gradient):
    assert mixed_error(instance_norm, shape, of_image, of_gradient) < 1e-4
    # The U-Net's groups of eight channels.
    assert mixed_error(lambda image: torch.group_norm(image, 2), shape, of_image, of_gradient, groups=2) < 1e-4


@pytest.mark.parametrize(("of_image", "of_gradient"), [("view", "contiguous"), ("contiguous", "view")])
def test_the_test_of_layouts_fails_for_torch_batch_norm(of_image, of_gradient):
    # The day this fails torch is repaired, and the strides need no care.
    def normalize(image):
        return torch.batch_norm(image, None, None, None, None, True, 0.0, 1e-5, False)

    assert mixed_error(normalize, (1, 16, 6, 5, 7), of_image, of_gradient) > 0.1


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


SLOPES = (0.0, 0.2, 1.0)


def activated(image: torch.Tensor, slope: float) -> torch.Tensor:
    return F.leaky_relu(instance_norm(image), slope)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", [(1, 16, 6, 5, 7), (2, 16, 9, 8)], ids=str)
def test_activation_follows_the_normalization(shape, slope):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    result, expected = activated_norm(image, slope=slope), activated(image, slope)
    assert torch.equal(result, expected)
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found, wanted = (torch.autograd.grad(one, image, upstream)[0] for one in (result, expected))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("of_image", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 16, 6, 5, 7), (2, 16, 9, 8)], ids=str)
def test_in_a_bfloat16_training_values_are_those_of_float32_and_gradients_nearly(shape, of_image, of_gradient, slope):
    generator = torch.Generator().manual_seed(1)
    # Means of a few deviations, and deviations that differ, as in front of a normalization.
    image = torch.randn(shape, generator=generator) * torch.linspace(0.1, 3, 16).view(16, *(1,) * (len(shape) - 2)) + 4
    upstream = torch.randn(shape, generator=generator)
    exact = image.double().requires_grad_()
    (reference,) = torch.autograd.grad(activated(exact, slope), exact, upstream.double())
    tested = laid_out(image, of_image).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = activated_norm(tested, slope=slope)
    expected = activated(laid_out(image, of_image).requires_grad_(), slope)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)
    (gradient,) = torch.autograd.grad(result, tested, laid_out(upstream, of_gradient))
    assert gradient.dtype == torch.float32
    error = float((gradient.double() - reference).abs().max() / reference.abs().max())
    assert 0 < error < 0.01


def kept_bytes(precision: str) -> int:
    """Return what a normalization with ReLU keeps for its backward pass."""
    kept = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    image = torch.randn(1, 16, 16, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        result = activated_norm(image * 1.0, slope=0.0)
    assert result.shape == image.shape
    return sum(kept.values())


def test_a_bfloat16_training_keeps_a_quarter_of_the_memory():
    assert kept_bytes("bfloat16") < 0.3 * kept_bytes("float32")


def test_without_gradients_a_float32_image_is_normalized_as_ever():
    image = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(activated_norm(image, slope=0.0), F.relu(instance_norm(image)))
