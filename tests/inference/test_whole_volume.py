"""A network is run once over the body's box; what differs from patches, and what is refused, is known here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from commands_support import NETWORK, ball_volume, tiny_facts
from prepared_phantoms import prepared_case
from torch import nn

from medgan.errors import InferenceError
from medgan.geometry import Grid
from medgan.inference import live_memory
from medgan.inference.bundle import ModelBundle
from medgan.inference.live_memory import FIXED, GIB, available_bytes, needed_bytes
from medgan.inference.patchwise import run_patchwise
from medgan.inference.translator import Translator
from medgan.inference.whole_volume import require_memory, run_whole, whole_box
from medgan.networks.initialization import initialize
from medgan.networks.residual_generator import ResidualGenerator
from medgan.seeding import torch_generator
from medgan.volume import LabelMap, Quantity, Volume

PATCH = (16, 16, 16)


class Local(nn.Module):
    """Two convolutions that see two voxels around each."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(4, 1, 3, padding=1)
        self.norm = nn.InstanceNorm3d(4) if norm else nn.Identity()

    def forward(self, image, body):
        hidden = torch.relu(self.norm(self.first(torch.cat((image, body), 1))))
        return torch.tanh(self.second(hidden))


def ball(shape=(40, 36, 33), radius=14) -> np.ndarray:
    place = np.stack(np.meshgrid(*(np.arange(n) - n / 2 for n in shape), indexing="ij"))
    return np.linalg.norm(place, axis=0) < radius


def gap(network: nn.Module, rng) -> float:
    """The largest difference to patches whose blended rims, of two voxels, were given no weight worth mentioning."""
    body = ball()
    case = prepared_case(body.shape, rng, body=body)
    whole = run_whole(network, case, patch=PATCH)
    patches = run_patchwise(network, case, patch=(32, 32, 32), overlap=0.75)
    assert (whole.patches, whole.skipped) == (1, 0)
    assert (whole.normalized[~body] == -1).all()
    assert whole.normalized[body].std() > 0
    return float(np.abs(whole.normalized - patches.normalized)[14:26, 12:24, 12:20].max())


def test_without_norm_it_is_what_patches_give_and_with_norm_it_is_not(rng):
    with_norm, without = gap(Local(norm=True), rng), gap(Local(norm=False), rng)
    assert without <= 1e-3
    assert with_norm > 20 * max(without, 1e-4)


def test_a_generator_without_norm_equals_one_patch_that_holds_all(rng):
    network = ResidualGenerator(**NETWORK).eval()
    initialize(network, torch_generator(1))
    body = ball((32, 32, 32), 40)
    case = prepared_case(body.shape, rng, body=body)
    whole = run_whole(network, case, patch=PATCH).normalized
    assert np.abs(whole - run_patchwise(network, case, patch=(32, 32, 32), overlap=0).normalized).max() <= 1e-6
    assert np.array_equal(whole, run_whole(network, case, patch=PATCH).normalized)


@pytest.mark.parametrize(
    ("first", "last", "patch", "start", "stop"),
    [(30, 40, 16, 16, 48), (2, 9, 16, 0, 32), (30, 40, 48, 16, 48), (90, 99, 16, 80, 112), (30, 40, 5, 22, 48)],
)
def test_the_box_is_the_bodys_with_a_margin_in_lengths_that_suit(first, last, patch, start, stop):
    body = np.zeros((100, 20, 20), bool)
    body[first:last, 8:12, 8:12] = True
    labels = LabelMap(body, Grid.axis_aligned(body.shape, spacing=(1, 1, 1)))
    box = whole_box(labels, (patch, 16, 16))
    assert (box.start_ijk[0], box.stop_ijk[0]) == (start, stop)


def test_where_there_is_no_body_nothing_is_computed(rng):
    told = []
    case = prepared_case((9, 9, 9), rng, body=np.zeros((9, 9, 9), bool))
    result = run_whole(nn.Identity(), case, patch=PATCH, progress=lambda *numbers: told.append(numbers))
    assert (result.normalized == -1).all()
    assert (result.patches, result.skipped, told) == (1, 1, [(1, 1)])


class TestMemory:
    def network(self, width: int, precision=torch.float32) -> ResidualGenerator:
        settings = {**NETWORK, "width": width, "normalization": "instance"}
        network = ResidualGenerator(**settings).to(precision)
        network.set_form("fast")
        return network

    def test_grows_with_volume_and_width_and_shrinks_with_precision(self):
        def needed(width, length, precision=torch.float32):
            return needed_bytes(self.network(width, precision), (length, 256, 176)) - FIXED

        once = needed(32, 128)
        assert needed(32, 256) == pytest.approx(2 * once, rel=0.05)
        assert needed(64, 128) > 1.5 * once
        assert needed(32, 128, torch.bfloat16) < 0.7 * once
        # The image of 32 channels after the first norm, and what it was made from, are there at one moment.
        assert once > 2 * 32 * 4 * 128 * 256 * 176

    def test_what_is_not_there_is_refused_with_both_numbers(self):
        network = self.network(4)
        needed = needed_bytes(network, (64, 64, 64))
        assert require_memory(network, (64, 64, 64), device="cpu", available=needed) == needed
        words = rf"needs {needed / GIB:.2f} GiB of memory for 64 x 64 x 64 voxels \(estimated\): cpu has 0.01 GiB avail"
        with pytest.raises(InferenceError, match=words) as error:
            require_memory(network, (64, 64, 64), device="cpu", available=GIB // 100)
        assert "Leave out --whole" in str(error.value)

    def test_a_machine_that_does_not_say_refuses_nothing(self, monkeypatch):
        monkeypatch.setattr(live_memory, "_of_machine", lambda: None)
        monkeypatch.setattr(live_memory, "_of_group", lambda: None)
        assert available_bytes("cpu") is None
        monkeypatch.setattr(live_memory, "_of_group", lambda: 5)
        assert available_bytes("cpu") == 5

    def test_this_machine_says(self):
        assert available_bytes("cpu") > 10 * 2**20


class TestRefusals:
    def test_an_image_that_is_not_normalized(self, rng):
        case = prepared_case((4, 4, 4), rng)
        raw = case.with_image("mr", Volume(case.image.array, case.image.grid, Quantity.MR_SIGNAL))
        with pytest.raises(InferenceError, match="takes normalized images"):
            run_whole(Local(norm=False), raw, patch=PATCH)

    def test_a_network_that_changes_the_shape(self, rng):
        class Cutting(nn.Module):
            def forward(self, image, body):
                return image[..., :-1]

        with pytest.raises(InferenceError, match=r"keep the shape \(16, 16, 16\): found \(16, 16, 15\)"):
            run_whole(Cutting(), prepared_case((12, 12, 12), rng), patch=PATCH)


def test_a_translator_runs_whole_where_it_is_told_to(tmp_path):
    network = ResidualGenerator(**NETWORK)
    initialize(network, torch_generator(1))
    bundle = ModelBundle.write(tmp_path / "m", facts=tiny_facts(), weights=network.state_dict(), card="x")
    source = ball_volume(Grid.axis_aligned((24, 26, 22), spacing=(3, 3, 3)), radius_mm=28)
    patches, whole = (Translator(bundle, whole=whole).translation_of(source) for whole in (False, True))
    assert patches.patches > whole.patches == 1
    assert whole.volume.grid == source.grid
    assert np.abs(whole.normalized - patches.normalized).max() > 0
