"""The residual generator: any size, body masks, two forms of the same weights, first weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import NetworkError
from medgan.networks.initialization import initialize
from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.residual_generator import ResidualGenerator


def generator_network(spatial_dims: int, **options) -> ResidualGenerator:
    network = ResidualGenerator(spatial_dims=spatial_dims, width=4, blocks=2, **options)
    initialize(network, torch.Generator().manual_seed(1))
    return network


def image_of(*extent: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 1, *extent, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def body_of(*extent: int) -> torch.Tensor:
    return torch.rand(1, 1, *extent, generator=torch.Generator().manual_seed(5)) > 0.3


def run(network, image, *others) -> dict[str, torch.Tensor]:
    """Return the output and the gradients of all weights and of the image for a fixed upstream gradient."""
    network.zero_grad()
    image = image.clone().requires_grad_()
    output = network(image, *others)
    upstream = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
    (output * upstream).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    return {"output": output.detach(), "image": image.grad, **gradients}


def assert_forms_agree(network, image, *others) -> None:
    """Compare output and all gradients, these relative to the largest.

    Gradients are compared in float64: in float32 rounding takes a few ReLUs across their kink, in either form, and the
    gradient jumps there. In float32 their vector is compared as a whole.
    """
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        network.to(dtype).set_form("plain")
        plain = run(network, image.to(dtype), *others)
        network.set_form("fast")
        fast = run(network, image.to(dtype), *others)
        assert float((fast["output"] - plain["output"]).abs().max()) < tolerance
        names = [name for name in plain if name != "output"]
        largest = max(float(plain[name].abs().max()) for name in names)
        if dtype == torch.float64:
            for name in names:
                assert float((fast[name] - plain[name]).abs().max()) < tolerance * largest, name
        whole, difference = (
            sum(float(part.square().sum()) for part in parts)
            for parts in ([plain[name] for name in names], [fast[name] - plain[name] for name in names])
        )
        assert difference**0.5 < 0.05 * whole**0.5


@pytest.mark.parametrize("normalization", ["instance", "none"])
@pytest.mark.parametrize("body_mask", [False, True])
@pytest.mark.parametrize("extent", [(17, 13, 11), (8, 12, 20), (13, 29), (16, 24)])
def test_fast_form_equals_plain_form(normalization, body_mask, extent):
    network = generator_network(len(extent), normalization=normalization, body_mask=body_mask)
    others = (body_of(*extent),) if body_mask else ()
    assert_forms_agree(network, image_of(*extent), *others)


@pytest.mark.parametrize("normalization", ["instance", "none"])
@pytest.mark.parametrize("extent", [(17, 13, 11), (8, 12, 20), (13, 29)])
def test_every_float32_gradient_agrees_where_no_kink_can_magnify_rounding(monkeypatch, normalization, extent):
    """With smooth units in place of ReLUs, each gradient of both networks agrees to 1e-4 of the largest in float32."""
    monkeypatch.setattr(torch.nn.functional, "relu", torch.nn.functional.softplus)
    monkeypatch.setattr(torch.nn.functional, "leaky_relu", lambda x, *_, **__: torch.nn.functional.softplus(x))
    dims = len(extent)
    discriminator = PatchDiscriminator(spatial_dims=dims, width=4, layers=1, normalization=normalization)
    initialize(discriminator, torch.Generator().manual_seed(2))
    for network in (generator_network(dims, normalization=normalization), discriminator):
        results = {}
        for form in ("plain", "fast"):
            network.set_form(form)
            results[form] = run(network, image_of(*extent))
        largest = max(float(g.abs().max()) for name, g in results["plain"].items() if name != "output")
        for name, plain in results["plain"].items():
            limit = 1e-4 if name == "output" else 1e-4 * largest
            assert float((results["fast"][name] - plain).abs().max()) < limit, name


def test_fast_form_equals_plain_form_with_skips_and_they_matter():
    network = generator_network(3, normalization="none", skips=True)
    assert_forms_agree(network, image_of(9, 12, 14))
    network.set_form("plain")
    with_skips = network.float()(image_of(9, 12, 14))
    assert not torch.equal(with_skips, generator_network(3, normalization="none")(image_of(9, 12, 14)))


@pytest.mark.parametrize("normalization", ["instance", "none"])
@pytest.mark.parametrize("extent", [(25, 27, 31), (24, 24, 24), (33, 50)])
def test_fast_discriminator_equals_plain_discriminator(normalization, extent):
    network = PatchDiscriminator(spatial_dims=len(extent), width=4, normalization=normalization)
    initialize(network, torch.Generator().manual_seed(1))
    assert_forms_agree(network, image_of(*extent))


def test_an_inexact_form_would_be_noticed(monkeypatch):
    network = generator_network(2)
    monkeypatch.setattr(network, "_fast", lambda image: network._plain(image) * (1 + 1e-6))
    with pytest.raises(AssertionError):
        assert_forms_agree(network, image_of(16, 16))


@settings(deadline=None, derandomize=True, max_examples=12)
@given(extent=st.lists(st.integers(1, 11), min_size=2, max_size=3), form=st.sampled_from(["plain", "fast"]))
def test_every_size_is_kept(extent, form):
    network = generator_network(len(extent), normalization="none", form=form)
    with torch.no_grad():
        output = network(image_of(*extent))
    assert output.shape == (1, 1, *extent)
    assert output.dtype == torch.float32
    assert float(output.abs().max()) <= 1.0


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_output_outside_the_body_is_exactly_the_fixed_value(form):
    network = generator_network(3, body_mask=True, outside=-0.875, form=form)
    body = body_of(6, 7, 8)
    output = network(image_of(6, 7, 8), body)
    assert torch.all(output[~body] == -0.875)
    assert torch.all(output[body] != -0.875)
    assert torch.equal(output, network(image_of(6, 7, 8), body.float()))


def test_the_body_mask_changes_the_inside_too():
    network = generator_network(2, body_mask=True)
    whole, part = torch.ones(1, 1, 12, 12), body_of(12, 12).float()
    inside = part > 0.5
    assert not torch.equal(network(image_of(12, 12), whole)[inside], network(image_of(12, 12), part)[inside])


def test_weights_have_the_same_names_and_values_in_both_forms():
    plain, fast = generator_network(3), generator_network(3, form="fast")
    assert list(plain.state_dict()) == list(fast.state_dict())
    assert all(torch.equal(plain.state_dict()[name], value) for name, value in fast.state_dict().items())
    assert fast.stem.weight.is_contiguous(memory_format=torch.channels_last_3d)
    fast.set_form("plain")
    assert fast.downs[0].weight.is_contiguous()


def test_bfloat16_passes_stay_close_and_return_float32():
    network = generator_network(3, normalization="none", form="fast")
    image = image_of(12, 12, 12)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(image)
    assert output.dtype == torch.float32
    assert 0 < float((output - network(image).detach()).abs().max()) < 0.05


def test_first_weights_depend_on_the_generator_alone():
    one, same, other = generator_network(3), generator_network(3), ResidualGenerator(spatial_dims=3, width=4, blocks=2)
    initialize(other, torch.Generator().manual_seed(2))
    assert torch.equal(one.stem.weight, same.stem.weight)
    assert not torch.equal(one.stem.weight, other.stem.weight)
    assert float(one.stem.bias.detach().abs().max()) == 0.0


def test_published_first_weights_with_instance_normalization():
    network = ResidualGenerator(spatial_dims=3, width=16, blocks=1)
    initialize(network, torch.Generator().manual_seed(1))
    for convolution, _ in network.convolutions():
        assert float(convolution.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("blocks", [0, 4, 16])
def test_without_normalization_depth_neither_kills_nor_saturates_the_output(blocks):
    network = ResidualGenerator(spatial_dims=3, width=8, blocks=blocks, normalization="none")
    initialize(network, torch.Generator().manual_seed(4))
    with torch.no_grad():
        output = network(image_of(16, 16, 16))
    assert 0.02 < float(output.std()) < 0.6
    assert float((output.abs() > 0.99).float().mean()) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims 2 or 3: found 4"),
        ({"spatial_dims": 3, "width": 0}, "width at least 1: found 0"),
        ({"spatial_dims": 3, "blocks": -1}, "blocks at least 0: found -1"),
        ({"spatial_dims": 3, "normalization": "batch"}, "'instance' or 'none': found 'batch'"),
        ({"spatial_dims": 3, "form": "quick"}, "'plain' or 'fast': found 'quick'"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(NetworkError, match=message):
        ResidualGenerator(**options)


def test_refused_inputs():
    network, masked = generator_network(3), generator_network(3, body_mask=True)
    with pytest.raises(NetworkError, match=r"shape \(N, 1, n, n, n\): found \(1, 1, 8, 8\)"):
        network(image_of(8, 8))
    with pytest.raises(NetworkError, match=r"found \(1, 2, 8, 8, 8\)"):
        network(torch.zeros(1, 2, 8, 8, 8))
    with pytest.raises(NetworkError, match="no body mask: found one"):
        network(image_of(8, 8, 8), body_of(8, 8, 8))
    with pytest.raises(NetworkError, match="a body mask: found none"):
        masked(image_of(8, 8, 8))
    with pytest.raises(NetworkError, match=r"\(1, 1, 8, 8, 8\): found \(1, 1, 8, 8, 9\)"):
        masked(image_of(8, 8, 8), body_of(8, 8, 9))
    with pytest.raises(NetworkError, match="'plain' or 'fast': found 'quick'"):
        network.set_form("quick")
