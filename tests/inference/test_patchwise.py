"""A network is run patch by patch; what it sees and what comes back are known here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_phantoms import prepared_case
from torch import nn

from medgan.errors import GeometryError, InferenceError, PatchError, TrainingError
from medgan.geometry import Grid
from medgan.inference.patchwise import run_patchwise
from medgan.networks.residual_generator import ResidualGenerator
from medgan.volume import LabelMap, Quantity, Volume

shapes = st.tuples(*[st.integers(1, 11)] * 3)


class Recorder(nn.Module):
    """Apply a function of image and body, and remember what was given."""

    def __init__(self, function=lambda image, body: image) -> None:
        super().__init__()
        self.function = function
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, image, body):
        assert not torch.is_grad_enabled()
        self.seen.append((image, body))
        return self.function(image, body)


@given(shape=shapes, patch=shapes, overlap=st.sampled_from([0.0, 0.25, 0.6]), share=st.sampled_from([0.05, 0.5, 1.0]))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_the_identity_network_is_the_identity(shape, patch, overlap, share):
    rng = np.random.default_rng(4)
    body = rng.random(shape) < share
    case = prepared_case(shape, rng, body=body)
    network = Recorder()
    result = run_patchwise(network, case, patch=patch, overlap=overlap)
    assert result.normalized.shape == shape
    assert result.normalized.dtype == np.float32
    assert np.abs(result.normalized - case.image.array).max() <= 1e-5
    assert (result.normalized[~body] == -1).all()
    assert len(network.seen) == result.patches - result.skipped


def test_outside_the_body_the_answer_is_exact_whatever_the_network_says(rng):
    body = np.zeros((12, 12, 12), bool)
    body[:5, 3:8, 4:9] = True
    case = prepared_case((12, 12, 12), rng, body=body)
    result = run_patchwise(Recorder(lambda image, body: image * 0 + 0.7), case, patch=(4, 4, 4), overlap=0.25)
    assert (result.normalized[~body] == -1).all()
    assert result.normalized[body] == pytest.approx(0.7, abs=1e-5)


def test_patches_without_body_are_not_computed(rng):
    body = np.zeros((16, 4, 4), bool)
    body[6] = True
    network = Recorder()
    result = run_patchwise(network, prepared_case((16, 4, 4), rng, body=body), patch=(4, 4, 4), overlap=0)
    assert (result.patches, result.skipped, len(network.seen)) == (4, 3, 1)
    nothing = prepared_case((16, 4, 4), rng, body=np.zeros((16, 4, 4), bool))
    result = run_patchwise(network, nothing, patch=(4, 4, 4), overlap=0)
    assert (result.skipped, len(network.seen)) == (4, 1)
    assert (result.normalized == -1).all()


def test_a_network_sees_one_padded_patch_and_its_body(rng):
    network = Recorder()
    case = prepared_case((3, 5, 2), rng)
    run_patchwise(network, case, patch=(4, 8, 4), overlap=0.25)
    ((image, body),) = network.seen
    assert image.shape == body.shape == (1, 1, 4, 8, 4)
    assert image.dtype == body.dtype == torch.float32
    assert np.array_equal(image[0, 0, :3, :5, :2].numpy(), case.image.array)
    assert body[0, 0, :3, :5, :2].min() == 1
    assert body.sum() == 3 * 5 * 2
    assert (image[body == 0] == -1).all()


def test_progress_counts_every_patch(rng):
    body = np.zeros((8, 8, 8), bool)
    body[0, 0, 0] = True
    told = []
    case = prepared_case((8, 8, 8), rng, body=body)
    run_patchwise(Recorder(), case, patch=(4, 4, 4), overlap=0, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 8) for n in range(1, 9)]


def test_the_same_input_gives_the_same_bits(rng):
    torch.manual_seed(0)
    network = ResidualGenerator(spatial_dims=3, width=2, blocks=1, normalization="none", body_mask=True).eval()
    case = prepared_case((12, 10, 9), rng)
    arguments = {"patch": (8, 8, 8), "overlap": 0.25}
    first, again = (run_patchwise(network, case, **arguments).normalized for _ in range(2))
    assert np.array_equal(first, again)
    assert first.std() > 0


class TestRefusals:
    @pytest.mark.parametrize("quantity", [Quantity.MR_SIGNAL, Quantity.HOUNSFIELD])
    def test_an_image_that_is_not_normalized(self, quantity, rng):
        case = prepared_case((4, 4, 4), rng)
        raw = case.with_image("mr", Volume(case.image.array, case.image.grid, quantity))
        with pytest.raises(InferenceError, match=f"takes normalized images: case c has {quantity.label}"):
            run_patchwise(Recorder(), raw, patch=(4, 4, 4), overlap=0)

    def test_a_body_on_another_grid(self, rng):
        body = LabelMap(np.ones((4, 4, 4), bool), Grid.axis_aligned((4, 4, 4), spacing=(9, 9, 9)))
        with pytest.raises(GeometryError, match="A translation needs images on one grid"):
            run_patchwise(
                Recorder(), prepared_case((4, 4, 4), rng).with_label("body", body), patch=(4, 4, 4), overlap=0
            )

    def test_a_network_that_changes_the_shape(self, rng):
        network = Recorder(lambda image, body: image[..., :-1])
        with pytest.raises(PatchError, match=r"the patch's shape \(4, 4, 4\): found \(4, 4, 3\)"):
            run_patchwise(network, prepared_case((4, 4, 4), rng), patch=(4, 4, 4), overlap=0)

    def test_overlap_and_precision(self, rng):
        case = prepared_case((4, 4, 4), rng)
        with pytest.raises(PatchError, match="less than 1: found 1"):
            run_patchwise(Recorder(), case, patch=(4, 4, 4), overlap=1)
        with pytest.raises(TrainingError, match="'float32' or 'bfloat16': found 'float16'"):
            run_patchwise(Recorder(), case, patch=(4, 4, 4), overlap=0, precision="float16")
