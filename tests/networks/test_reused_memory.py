"""The same numbers in used memory, unless a gradient is recorded or somebody else needs what was there."""

import pytest
import torch
import torch.nn.functional as F

from medgan.networks.boundary_unet import BoundaryUNet
from medgan.networks.residual_generator import ResidualGenerator
from medgan.networks.reused_memory import added, rectified
from medgan.networks.unet import UNet

DTYPES = (torch.float32, torch.bfloat16, torch.float64)
SPECIAL = [-float("inf"), -3.0, -1e-40, -0.0, 0.0, 1e-40, 2.0, float("inf")]


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rectified_is_relu_in_the_same_memory(dtype, slope):
    numbers = torch.cat((torch.tensor(SPECIAL), torch.randn(1000, generator=torch.Generator().manual_seed(0))))
    image = numbers.to(dtype).view(1, 8, 2, 63).contiguous(memory_format=torch.channels_last)
    wanted = F.leaky_relu(image, slope) if slope else F.relu(image)
    found = rectified(image, slope=slope)
    assert found.dtype == dtype
    assert torch.equal(found, wanted)
    assert found.data_ptr() == image.data_ptr()
    assert found.stride() == wanted.stride()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_bfloat16_or_its_like_is_rectified_alike(dtype):
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = bits[~bits.isnan()].to(dtype)
    assert torch.equal(rectified(numbers.clone()), F.relu(numbers))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_gradient_is_recorded_of_is_left_alone(dtype):
    image = torch.tensor([-1.0, 2.0], dtype=dtype, requires_grad=True)
    hidden = image * 1
    assert rectified(hidden).tolist() == [0, 2]
    assert hidden.tolist() == [-1, 2]
    rectified(hidden).sum().backward()
    assert image.grad.tolist() == [0, 1]
    with torch.no_grad():
        assert rectified(hidden.detach()).tolist() == hidden.tolist() == [0, 2]


def test_added():
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    assert added(one, other).data_ptr() == one.data_ptr()
    assert one.tolist() == [11, 22]
    assert other.tolist() == [10, 20]
    narrow = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    assert added(narrow, other).dtype == torch.float32
    assert narrow.tolist() == [1, 2]
    for recorded in (one, other):
        recorded.requires_grad_()
        assert added(one, other).tolist() == [21, 42]
        assert (one.tolist(), other.tolist()) == ([11, 22], [10, 20])
        recorded.requires_grad_(False)


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (lambda: ResidualGenerator(spatial_dims=3, width=4, blocks=2, normalization="instance", skips=True), 1),
        (lambda: ResidualGenerator(spatial_dims=3, width=4, blocks=2, normalization="none", skips=True), 1),
        (lambda: UNet(spatial_dims=2, in_channels=3, classes=2, width=8, levels=2), 3),
        (lambda: BoundaryUNet(width=4), 1),
    ],
)
def test_a_network_gives_the_same_with_and_without_gradients_and_leaves_its_image_alone(network, channels, form):
    built = network()
    built.set_form(form)
    generator = torch.Generator().manual_seed(5)
    for parameter in built.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    size = (16,) * (2 if isinstance(built, UNet) else 3)
    image = torch.rand(1, channels, *size, generator=generator)
    before = image.clone()
    recorded = built(image).detach()
    with torch.no_grad():
        torch.testing.assert_close(built(image), recorded, atol=2e-5, rtol=2e-5)
        torch.testing.assert_close(built(image), recorded, atol=2e-5, rtol=2e-5)
    assert torch.equal(image, before)
