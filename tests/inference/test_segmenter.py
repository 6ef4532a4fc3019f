"""Channels on one grid, slices through a network, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.geometry import Grid, axis_map_to
from medgan.inference.segmentation_facts import ChannelFacts, WorkingGrid
from medgan.inference.segmenter import on_grid, segmented
from medgan.inference.segmenter_channels import coverage, expert_on, prepared_channels, stacked, working_grid
from medgan.volume import LabelMap, Quantity, Volume

WINDOW = {"kind": "window", "low": 0, "high": 100}
T2W = ChannelFacts(name="t2w", kind="t2w", quantity="mr_signal", normalization={"kind": "percentiles"})
ADC = ChannelFacts(name="adc", kind="adc", quantity="mr_signal", normalization=WINDOW)
WORKING = WorkingGrid(spacing_mm=(2.0, 2.0), size=(16, 12))


def ramp(shape=(30, 30, 6), spacing=(1.0, 1.0, 3.0), origin=(0, 0, 0)) -> Volume:
    """Values are the world's x coordinate plus 20."""
    grid = Grid.axis_aligned(shape, spacing=spacing, origin=origin)
    x = grid.world(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))[..., 0]
    return Volume((x + 20).astype(np.float32), grid, Quantity.MR_SIGNAL)


def case(**images: Volume) -> Case:
    return Case("c", "c", images or {"t2w": ramp(), "adc": ramp((16, 16, 9), (2.0, 2.0, 2.0))})


def test_the_working_grid_is_centered_has_the_images_slices_and_does_not_see_axis_order():
    volume = ramp()
    grid = working_grid(volume, WORKING)
    assert grid.shape == (16, 12, 6)
    assert grid.spacing == pytest.approx((2, 2, 3))
    center = volume.grid.world((np.array(volume.shape) - 1) / 2)
    assert grid.world((np.array(grid.shape) - 1) / 2) == pytest.approx(center)
    turned = volume.reordered(axis_map_to(volume.grid, "SPL"))
    assert working_grid(turned, WORKING).same_as(grid)


def test_channels_lie_on_one_grid_with_their_own_normalization():
    prepared = prepared_channels(case(), channels=(T2W, ADC), working=WORKING)
    array = stacked(prepared, (T2W, ADC))
    assert array.shape == (2, 16, 12, 6)
    assert array.min() >= -1
    assert array.max() <= 1
    grid = prepared.images["adc"].grid
    x = grid.world([8, 6, 3])[0]
    assert array[1, 8, 6, 3] == pytest.approx((x + 20) / 50 - 1, abs=0.01)  # a ramp is interpolated exactly
    assert prepared.images["t2w"].quantity is Quantity.NORMALIZED


def test_a_missing_channel_is_refused_by_name_or_filled():
    alone = case(t2w=ramp())
    with pytest.raises(InferenceError, match="adc is missing"):
        prepared_channels(alone, channels=(T2W, ADC), working=WORKING)
    prepared = prepared_channels(alone, channels=(T2W, ADC), working=WORKING, allows_missing=True)
    assert (prepared.images["adc"].array == -1).all()
    assert "adc is missing" in prepared.notices[0]
    with pytest.raises(InferenceError, match="t2w is missing"):  # the first gives the grid
        prepared_channels(case(adc=ramp()), channels=(T2W, ADC), working=WORKING, allows_missing=True)


@pytest.mark.parametrize(
    ("adc", "message"),
    [
        (ramp(origin=(500, 0, 0)), "covers 0 % of what"),
        (replace(ramp(), quantity=Quantity.HOUNSFIELD), "takes mr_signal: case c has hounsfield"),
        (Volume(ramp().array, Grid((30, 30, 6), np.diag([1.0, 1, 3, 1]), "nm", "specimen"), Quantity.MR_SIGNAL),
         "All channels need one frame"),
    ],
)  # fmt: skip
def test_channels_that_do_not_belong_together(adc, message):
    with pytest.raises(InferenceError, match=message):
        prepared_channels(case(t2w=ramp(), adc=adc), channels=(T2W, ADC), working=WORKING)


def test_no_signal_is_refused_and_coverage_is_a_share():
    dark = Volume(np.zeros((30, 30, 6), np.float32), ramp().grid, Quantity.MR_SIGNAL)
    with pytest.raises(InferenceError, match="no signal"):
        prepared_channels(case(t2w=dark), channels=(T2W,), working=WORKING)
    assert coverage(ramp(), ramp().grid, of=ramp()) == 1.0
    assert 0.3 < coverage(ramp(origin=(15, 0, 0)), ramp().grid, of=ramp()) < 0.7
    # A small first channel in a large field is no fault of its own.
    assert coverage(ramp(), ramp((90, 90, 6)).grid, of=ramp()) == 1.0


def test_label_values_outside_the_table_are_refused_and_later_labels_lie_above():
    grid = ramp().grid
    zones, lesion = np.ones(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    zones[:15] = 2
    lesion[10:20, 10:20] = 3
    expert = expert_on(grid, [(LabelMap(zones, grid), {1: 1, 2: 2}), (LabelMap(lesion, grid), {3: 5})], case_id="c")
    assert sorted(np.unique(expert.array)) == [1, 2, 5]
    assert (expert.array[10:20, 10:20] == 5).all()
    with pytest.raises(InferenceError, match="case c has 3"):
        expert_on(grid, [(LabelMap(lesion, grid), {1: 1})], case_id="c")


class Voxelwise(torch.nn.Module):
    """Logits of two classes from the middle channel, not symmetric under flips of its own accord."""

    def __init__(self, channel: int, slope: float = 0.0):
        super().__init__()
        self.channel, self.slope = channel, slope

    def forward(self, given):
        score = given[:, self.channel : self.channel + 1] + self.slope * torch.linspace(0, 1, given.shape[2])[:, None]
        return torch.cat((-score, score), 1)


def channels(slices: int = 11) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, 6, 5, slices)).astype(np.float32)


def test_slices_come_back_in_their_places():
    given = channels()
    found = segmented(Voxelwise(1), given)
    assert found.shape == (2, 6, 5, 11)
    assert found[1] == pytest.approx(1 / (1 + np.exp(-2 * given[1])), abs=1e-5)
    with_neighbors = segmented(Voxelwise(3), given, neighbors=1)  # channel 1 of the slice itself
    assert np.allclose(with_neighbors, found, atol=1e-6)
    warm = segmented(Voxelwise(1), given, temperature=2.0)
    assert warm[1] == pytest.approx(1 / (1 + np.exp(-given[1])), abs=1e-5)


def test_flips_make_the_result_symmetric():
    given = channels()
    mirrored = given[:, ::-1].copy()
    plain = [segmented(Voxelwise(0, 1.0), one) for one in (given, mirrored)]
    flipped = [segmented(Voxelwise(0, 1.0), one, flips=True) for one in (given, mirrored)]
    assert not np.allclose(plain[0][:, ::-1], plain[1], atol=1e-3)
    assert np.allclose(flipped[0][:, ::-1], flipped[1], atol=1e-6)


class SlabNetwork(torch.nn.Module):
    def forward(self, given):
        return torch.cat((-given[:, :1], given[:, :1]), 1)


@pytest.mark.parametrize("slices", [3, 4, 7, 11])
def test_slabs_cover_any_stack(slices):
    given = channels(slices)
    found = segmented(SlabNetwork(), given, depth=4)
    assert found[1] == pytest.approx(1 / (1 + np.exp(-2 * given[0])), abs=1e-5)


def test_the_way_back_is_the_most_probable_class_and_zero_outside(tiny_segmentation_facts):
    facts = tiny_segmentation_facts
    working = Grid.axis_aligned((8, 8, 3), spacing=(2, 2, 3), origin=(4, 4, 0))
    probabilities = np.zeros((3, 8, 8, 3), np.float32)
    probabilities[1, :4] = 0.9
    probabilities[0, :4] = 0.1
    probabilities[2, 4:] = 0.6
    probabilities[0, 4:] = 0.4
    grid = Grid.axis_aligned((26, 26, 3), spacing=(1, 1, 3))
    labels, probability = on_grid(probabilities, working, grid, facts)
    assert labels.grid.same_as(grid)
    assert labels.array[6, 10, 1] == 1
    assert labels.array[16, 10, 1] == 2
    assert labels.array[0, 0, 0] == labels.array[25, 25, 2] == 0
    assert probability.array[16, 10, 1] == pytest.approx(0.6)
    assert probability.quantity is Quantity.PROBABILITY
    assert labels.names == {1: "zone", 2: "lesion"}


@pytest.fixture
def tiny_segmentation_facts():
    from medgan.inference.segmentation_facts import SegmentationFacts

    return SegmentationFacts(
        name="tiny", task="segmentation", trained_anatomy="nothing",
        network={"name": "unet", "settings": {}},
        training={"method": "m", "config_sha256": "0", "manifest_sha256": "0", "steps": 1, "seed": 0, "data": "",
                  "data_license": ""},
        license="Apache-2.0", intended_use="tests", weights_sha256="0" * 64, medgan_version="0",
        classes=("other", "zone", "lesion"), focus="lesion", inside=("zone", "lesion"), channels=(T2W, ADC),
        working=WORKING, on_phantoms=True,
    )  # fmt: skip


def test_facts_say_what_they_are(tiny_segmentation_facts):
    facts = tiny_segmentation_facts
    assert facts.focus_class == 2
    assert facts.headline == "T2W + ADC: lesion"
    assert facts.input_shapes == ((1, 2, 16, 12),)
    assert facts.output_shape == (1, 3, 16, 12)
    assert "phantoms only" in facts.warning
    assert facts.model_copy(update={"on_phantoms": False}).warning is None
    slabs = facts.model_copy(update={"depth": 4})
    assert slabs.input_shapes == ((1, 2, 16, 12, 4),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"focus": "tumor"}, "focus and inside must be classes"),
        ({"classes": ("a", "a")}, "different names"),
        ({"channels": (T2W, T2W)}, "channels must have different names"),
    ],
)
def test_facts_that_contradict_themselves(tiny_segmentation_facts, changes, message):
    from medgan.inference.segmentation_facts import SegmentationFacts

    values = tiny_segmentation_facts.model_dump()
    with pytest.raises(ValueError, match=message):
        SegmentationFacts.model_validate({**values, **changes})
