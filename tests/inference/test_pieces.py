"""What a network sees of an image is the same wherever the image lies, and no device is waited for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prepared_phantoms import prepared_case

from medgan.inference import pieces as module
from medgan.inference.patchwise import run_patchwise, stitched_on
from medgan.inference.pieces import DeviceProgress, pieces_for, pieces_on_device
from medgan.networks.residual_generator import ResidualGenerator
from medgan.patches.layout import PatchLayout

CPU, META = torch.device("cpu"), torch.device("meta")
SHAPE, PATCH = (11, 5, 9), (8, 8, 8)


@pytest.fixture
def case(rng):
    body = np.zeros(SHAPE, bool)
    body[:3] = rng.random((3, *SHAPE[1:])) < 0.5
    return prepared_case(SHAPE, rng, body=body)


def network() -> ResidualGenerator:
    torch.manual_seed(0)
    return ResidualGenerator(spatial_dims=3, width=2, blocks=1, normalization="none", body_mask=True).eval()


def test_pieces_of_a_device_are_those_of_the_image(case):
    image, body = case.image, case.label("body")
    here, there = pieces_for(image, body, PATCH, CPU), pieces_on_device(image, body, PATCH, CPU)
    for patch in PatchLayout(SHAPE, PATCH, 0.25):
        for one, other in zip(here(patch.box), there(patch.box), strict=True):
            assert one.shape == (1, 1, *PATCH)
            assert other.dtype == one.dtype == torch.float32
            assert other.is_contiguous()
            assert torch.equal(one, other)


def test_an_image_that_lies_on_the_device_gives_the_same_bits(case, monkeypatch):
    expected = run_patchwise(network(), case, patch=PATCH, overlap=0.25)
    monkeypatch.setattr("medgan.inference.patchwise.pieces_for", pieces_on_device)
    found = run_patchwise(network(), case, patch=PATCH, overlap=0.25)
    assert np.array_equal(found.normalized, expected.normalized)
    assert found.skipped == expected.skipped
    assert found.normalized.std() > 0


def on_device(case, net, told=None):
    layout, body = PatchLayout(SHAPE, PATCH, 0.25), case.label("body")
    told = told or DeviceProgress(None, len(layout), META)
    pieces = pieces_on_device(case.image, body, PATCH, META)
    return stitched_on(META, net, layout, pieces, body, "float32", told)


def test_the_loop_over_patches_does_not_wait_for_the_device(case):
    # A tensor on this device has no numbers: whatever would wait for one is refused.
    volume, skipped = on_device(case, network().to(META))
    assert volume.device == META
    assert volume.shape == SHAPE
    assert skipped == run_patchwise(network(), case, patch=PATCH, overlap=0.25).skipped


def test_a_loop_that_waits_is_noticed(case):
    class Waiting(torch.nn.Module):
        def forward(self, image, body):
            return image * float(body.max())

    with pytest.raises(RuntimeError, match="meta"):
        on_device(case, Waiting())


class TestProgress:
    class Event:
        """Stands for a mark in a device's queue, reached when a test says so."""

        reached = 0
        made = 0

        def __init__(self):
            type(self).made += 1
            self.number = type(self).made

        def record(self):
            return None

        def query(self):
            return self.number <= type(self).reached

    def test_of_a_device_is_what_it_has_finished(self, monkeypatch):
        event = type("Fresh", (self.Event,), {})
        monkeypatch.setattr(module.torch.cuda, "Event", event)
        told = []
        progress = DeviceProgress(lambda done, total: told.append((done, total)), 4, torch.device("cuda"))
        progress.queued()
        progress.queued()
        assert told == []
        event.reached = 2
        progress.queued()
        assert told == [(2, 4)]
        progress.queued()
        progress.finished()
        assert told == [(2, 4), (4, 4)]

    def test_of_the_cpu_is_every_patch_once(self):
        told = []
        progress = DeviceProgress(lambda done, total: told.append(done), 3, CPU)
        for _ in range(3):
            progress.queued()
        progress.finished()
        assert told == [1, 2, 3]

    def test_nobody_wants_to_know(self):
        progress = DeviceProgress(None, 1, torch.device("cuda"))
        progress.queued()
        progress.finished()
