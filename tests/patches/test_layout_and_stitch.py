"""Patches cover a volume with shares that sum to one, and stitching an identity gives the identity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import PatchError
from medgan.geometry import Box
from medgan.inference.live_memory import LiveBytes
from medgan.patches.layout import Patch, PatchLayout
from medgan.patches.stitch import stitch

lengths = st.tuples(*[st.integers(1, 13)] * 3)
overlaps = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.9]), st.floats(0, 0.99))
on_any_layout = given(shape=lengths, patch=lengths, overlap=overlaps, sigma=st.sampled_from([0.01, 0.125, 1.0]))


def read_padded(volume: np.ndarray, box: Box) -> np.ndarray:
    """Voxels of a box that may reach beyond the end."""
    inside = volume[tuple(slice(a, b) for a, b in zip(box.start_ijk, box.stop_ijk))]
    return np.pad(inside, [(0, n - m) for n, m in zip(box.shape, inside.shape)], constant_values=-1)


def identity(layout: PatchLayout, volume: np.ndarray) -> Iterator[tuple[Patch, torch.Tensor]]:
    for patch in layout:
        yield patch, torch.from_numpy(read_padded(volume, patch.box))


def whole(layout: PatchLayout, results) -> np.ndarray:
    volume = torch.zeros(layout.shape)
    stitch(layout, results, into=volume)
    return volume.numpy()


@on_any_layout
@settings(max_examples=60, deadline=None, derandomize=True)
def test_shares_sum_to_one_in_every_voxel(shape, patch, overlap, sigma):
    layout = PatchLayout(shape, patch, overlap, sigma)
    padded = tuple(max(n, p) for n, p in zip(shape, patch))
    total = np.zeros(padded)
    count = 0
    for piece in layout:
        assert piece.box.shape == piece.weights.shape == patch
        assert Box.of_shape(padded).contains(piece.box)
        assert (piece.weights > 0).all()
        total[piece.box.slices] += piece.weights
        count += 1
    assert count == len(layout)
    assert np.abs(total - 1).max() <= 1e-5


@on_any_layout
@settings(max_examples=60, deadline=None, derandomize=True)
def test_stitching_an_identity_is_the_identity(shape, patch, overlap, sigma):
    layout = PatchLayout(shape, patch, overlap, sigma)
    volume = np.random.default_rng(len(layout)).uniform(-1, 1, shape).astype(np.float32)
    result = whole(layout, identity(layout, volume))
    assert result.shape == shape
    assert np.abs(result - volume).max() <= 1e-5


@given(size=st.integers(1, 40), patch=st.integers(1, 12), overlap=overlaps)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_neighbors_repeat_at_least_the_overlap(size, patch, overlap):
    (starts, _, _) = PatchLayout((size, 1, 1), (patch, 1, 1), overlap).starts
    assert starts[0] == 0
    assert starts[-1] == max(size - patch, 0)
    steps = np.diff(starts)
    assert (steps >= 1).all()
    assert (steps <= max(1, patch * (1 - overlap))).all()
    if len(steps) > 1:
        assert (steps[:-1] == steps[0]).all()


def test_the_center_of_a_patch_says_most():
    (first, second) = PatchLayout((12, 8, 8), (8, 8, 8), overlap=0.5)
    assert first.box.start_ijk == (0, 0, 0)
    assert second.box.start_ijk == (4, 0, 0)
    shares = first.axis_weights[0]
    assert (shares[:4] == 1).all()
    assert (np.diff(shares[4:]) < 0).all()
    assert shares[4:] == pytest.approx(second.axis_weights[0][:4][::-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 1, 1), (1, 1, 1)), "positive lengths: found shape"),
        (((1, 1, 1), (1, -1, 1)), "positive lengths: found shape"),
        (((1, 1), (1, 1, 1)), "positive lengths"),
        (((4, 4, 4), (2, 2, 2), 1.0), "at least 0 and less than 1: found 1.0"),
        (((4, 4, 4), (2, 2, 2), -0.1), "at least 0 and less than 1: found -0.1"),
        (((4, 4, 4), (2, 2, 2), float("nan")), "less than 1: found nan"),
        (((4, 4, 4), (2, 2, 2), 0.5, 0.0), "Gaussian weight must be positive: found 0.0"),
        (((4, 4, 4), (2, 2, 2), 0.5, float("nan")), "must be positive"),
    ],
)
def test_layouts_that_are_refused(arguments, message):
    with pytest.raises(PatchError, match=message):
        PatchLayout(*arguments)


class TestStitch:
    layout = PatchLayout((9, 7, 6), (4, 4, 4), overlap=0.25)
    volume = np.random.default_rng(1).normal(size=(9, 7, 6)).astype(np.float32)

    def results(self) -> list[tuple[Patch, torch.Tensor]]:
        return list(identity(self.layout, self.volume))

    def refusal(self, results) -> str:
        with pytest.raises(PatchError) as caught:
            whole(self.layout, results)
        return str(caught.value)

    @pytest.mark.parametrize("missing", [0, 1, 5])
    def test_a_patch_that_is_missing(self, missing):
        results = self.results()
        absent = results.pop(missing)[0].box
        assert f"expected {absent}" in self.refusal(results)

    def test_the_last_patch_is_missing(self):
        assert "the last ones are missing" in self.refusal(self.results()[:-1])
        assert "the last ones are missing" in self.refusal([])

    def test_a_patch_that_comes_twice(self):
        results = self.results()
        assert "once each in the layout's order" in self.refusal([results[0], *results])
        assert "expected no more" in self.refusal([*results, results[-1]])

    def test_patches_out_of_order(self):
        results = self.results()
        assert "once each in the layout's order" in self.refusal([results[1], results[0], *results[2:]])
        assert "once each in the layout's order" in self.refusal(reversed(results))

    def test_patches_of_another_layout(self):
        other = PatchLayout((9, 7, 6), (3, 4, 4), overlap=0.25)
        assert "found" in self.refusal(identity(other, self.volume))

    @pytest.mark.parametrize("shape", [(4, 4, 3), (1, 4, 4), (4, 4), (1, 1, 4, 4, 4), ()])
    def test_a_result_of_another_shape(self, shape):
        results = [(patch, torch.zeros(shape)) for patch, _ in self.results()]
        assert f"the patch's shape (4, 4, 4): found {shape}" in self.refusal(results)

    def test_a_number_stands_for_a_constant_patch(self):
        results = [(patch, -1.0) for patch in self.layout]
        assert np.abs(whole(self.layout, results) + 1).max() < 1e-6
        mixed = [(patch, 2.0 if n % 2 else values) for n, (patch, values) in enumerate(self.results())]
        spelled = [
            (patch, torch.full(self.layout.patch, 2.0) if n % 2 else v) for n, (patch, v) in enumerate(self.results())
        ]
        assert np.array_equal(whole(self.layout, mixed), whole(self.layout, spelled))

    def test_a_volume_of_another_shape(self):
        with pytest.raises(PatchError, match=r"its layout's shape \(9, 7, 6\): found \(9, 7, 4\)"):
            stitch(self.layout, self.results(), into=torch.zeros(9, 7, 4))

    def test_shares_are_those_of_the_patches(self):
        results = [(patch, float(n)) for n, patch in enumerate(self.layout)]
        expected = np.zeros(self.layout.shape, np.float32)
        for patch, number in results:
            there = expected[patch.box.slices]
            there += (patch.weights * np.float32(number))[tuple(map(slice, there.shape))]
        assert np.array_equal(whole(self.layout, results), expected)

    def test_the_device_is_not_waited_for(self):
        # A tensor without numbers refuses to be looked at.
        volume = torch.zeros(self.layout.shape, device="meta")
        with pytest.raises(RuntimeError, match="meta"):
            volume.sum().item()
        values = torch.zeros(self.layout.patch, device="meta")
        stitch(self.layout, [(p, -1.0 if n % 2 else values) for n, p in enumerate(self.layout)], into=volume)

    def test_memory_is_that_of_a_patch_and_not_of_the_volume(self):
        layout = PatchLayout((1500, 24, 24), (8, 24, 24), overlap=0.25)
        patch_bytes, volume_bytes = 4 * 8 * 24 * 24, 4 * 1500 * 24 * 24
        with LiveBytes() as live:
            ones, volume = torch.ones(layout.patch), torch.zeros(layout.shape)
            stitch(layout, ((patch, ones) for patch in layout), into=volume)
        assert patch_bytes < live.most - volume_bytes < 12 * patch_bytes < volume_bytes / 10
