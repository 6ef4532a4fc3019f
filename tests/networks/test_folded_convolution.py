"""The rewritten convolutions compute what the ordinary ones compute, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from medgan.networks.folded_convolution import (
    convolve_blocks,
    convolve_few_inputs,
    convolve_few_outputs,
    convolve_halves,
    convolve_transposed,
    convolve_transposed_halves,
)
from medgan.networks.reflection import reflect

CONVOLVE = {2: F.conv2d, 3: F.conv3d}


def drawn(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def assert_same(tested, reference, *arguments: torch.Tensor, tolerance: float = 1e-10) -> None:
    """Compare values and all gradients for one upstream gradient."""
    expected, found = reference(*arguments), tested(*arguments)
    assert found.shape == expected.shape
    upstream = drawn(*expected.shape, seed=9, dtype=expected.dtype).detach()
    of_expected = torch.autograd.grad(expected, arguments, upstream)
    of_found = torch.autograd.grad(found, arguments, upstream)
    for one, other in ((found, expected), *zip(of_found, of_expected, strict=True)):
        one, other = one.detach(), other.detach()
        assert float((one - other).abs().max()) <= tolerance * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("extent", [(4, 5, 6), (7, 4)])
def test_reflection_is_that_of_torch(extent):
    amounts = (3,) * (2 * len(extent))
    axes = tuple(range(2, 2 + len(extent)))
    assert_same(
        lambda image: reflect(image, 3, axes=axes),
        lambda image: F.pad(image, amounts, mode="reflect"),
        drawn(2, 3, *extent),
    )


@pytest.mark.parametrize("extent", [(8, 9, 10), (9, 11)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_few_inputs(extent, channels):
    dims = len(extent)
    weight = drawn(5, channels, *(7,) * dims, seed=1)
    assert_same(convolve_few_inputs, CONVOLVE[dims], drawn(2, channels, *extent), weight, drawn(5, seed=2))


@pytest.mark.parametrize("extent", [(4, 5, 6), (9, 4)])
@pytest.mark.parametrize("channels", [1, 2])
def test_few_outputs(extent, channels):
    dims = len(extent)

    def reference(image, weight, bias):
        return CONVOLVE[dims](F.pad(image, (3,) * (2 * dims), mode="reflect"), weight, bias)

    weight = drawn(channels, 5, *(7,) * dims, seed=1)
    assert_same(convolve_few_outputs, reference, drawn(2, 5, *extent), weight, drawn(channels, seed=2))


@pytest.mark.parametrize("extent", [(4, 5, 7), (2, 2, 2), (9, 6)])
def test_blocks(extent):
    dims = len(extent)
    weight = drawn(5, 1, *(4,) * dims, seed=1)
    assert_same(
        convolve_blocks,
        lambda image, weight, bias: CONVOLVE[dims](image, weight, bias, 2, 1),
        drawn(2, 1, *extent),
        weight,
        drawn(5, seed=2),
    )


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (2, 1, 0), (1, 1, 0)])
def test_halves(rows, kernel, stride, padding):
    rows = max(rows, kernel - 2 * padding)
    # float32, because only float32 takes torch's slow path.
    image = drawn(1, 4, rows, 6, 5, dtype=torch.float32)
    weight, bias = drawn(3, 4, *(kernel,) * 3, seed=1, dtype=torch.float32), drawn(3, seed=2, dtype=torch.float32)
    assert_same(
        lambda *arguments: convolve_halves(*arguments, stride=stride, padding=padding),
        lambda *arguments: F.conv3d(*arguments, stride, padding),
        image,
        weight,
        bias,
        tolerance=1e-5,
    )


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_transposed_halves(rows):
    image = drawn(1, 4, rows, 6, 5, dtype=torch.float32)
    weight, bias = drawn(4, 3, 3, 3, 3, seed=1, dtype=torch.float32), drawn(3, seed=2, dtype=torch.float32)
    assert_same(convolve_transposed_halves, convolve_transposed, image, weight, bias, tolerance=1e-5)


def operations(function, *arguments: torch.Tensor) -> set[str]:
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        function(*arguments)
    return {event.key for event in recorded.key_averages()}


def test_halves_keep_off_the_slow_path_that_torch_takes():
    image, weight = drawn(1, 16, 8, 8, 8, dtype=torch.float32), drawn(16, 16, 3, 3, 3, dtype=torch.float32)
    upward = drawn(16, 8, 3, 3, 3, dtype=torch.float32)
    plain = operations(lambda: (F.conv3d(image, weight, padding=1), convolve_transposed(image, upward, None)))
    fast = operations(
        lambda: (convolve_halves(image, weight, None, padding=1), convolve_transposed_halves(image, upward, None))
    )
    # If torch no longer has a slow path here, the halves are no longer needed.
    assert any("slow_conv" in name for name in plain)
    assert not any("slow_conv" in name for name in fast)


def test_a_wrong_rewriting_would_be_noticed():
    def shifted(image, weight, bias):
        return convolve_few_inputs(image.roll(1, dims=-1), weight, bias)

    with pytest.raises(AssertionError):
        assert_same(shifted, F.conv2d, drawn(1, 1, 9, 9), drawn(2, 1, 7, 7, seed=1), drawn(2, seed=2))
