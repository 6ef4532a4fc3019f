"""Models of electron microscopy: the same bits for any block, and refusals of what they were not trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from medgan.errors import BundleError, InferenceError, PatchError
from medgan.geometry import Box, Grid
from medgan.inference.bundle import ModelBundle
from medgan.inference.contrast_facts import BoundaryFacts, ContrastFacts, fits_segmenter
from medgan.inference.contrast_translation import ContrastTranslator
from medgan.inference.instance_segmentation import InstanceSegmenter
from medgan.networks.boundary_unet import BoundaryUNet
from medgan.networks.initialization import initialize
from medgan.networks.valid_residual_generator import ValidResidualGenerator
from medgan.volume import Quantity, Volume

GRID = Grid.axis_aligned((30, 26, 22), spacing=(10, 10, 10), unit="nm", frame="specimen")
COMMON = {
    "trained_anatomy": "nothing",
    "training": {
        "method": "secgan",
        "config_sha256": "0" * 64,
        "manifest_sha256": "0" * 64,
        "steps": 0,
        "seed": 0,
        "data": "none",
        "data_license": "none",
    },
    "license": "Apache-2.0",
    "intended_use": "tests",
    "voxel_size_zyx_nm": [10, 10, 10],
    "input_range": [0, 255],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def translator(folder, one_thread):
    settings = {"depth": 2, "width": 3, "head": "residual", "noise_channels": 1}
    network = ValidResidualGenerator(**settings)
    initialize(network, torch.Generator().manual_seed(1))
    facts = {
        **COMMON,
        "name": "contrast",
        "task": "em_contrast",
        "network": {"name": "valid_residual_generator", "settings": settings},
        "tile": [8, 8, 8],
        "halo": [4, 4, 4],
        "matching": "sections",
        "reference_counts": [0, *[1] * 255],
    }
    return ContrastTranslator(ModelBundle.write(folder / "c", facts=facts, weights=network.state_dict(), card="# C\n"))


@pytest.fixture(scope="module")
def segmenter(folder, one_thread):
    settings = {"width": 2, "section_pools": [2]}
    network = BoundaryUNet(**settings)
    initialize(network, torch.Generator().manual_seed(1))
    facts = {
        **COMMON,
        "name": "boundaries",
        "task": "boundaries",
        "network": {"name": "boundary_unet", "settings": settings},
        "tile": [8, 8, 8],
        "halo": [4, 4, 4],
        "watershed": {"seed_distance_nm": 40},
    }
    return InstanceSegmenter(ModelBundle.write(folder / "b", facts=facts, weights=network.state_dict(), card="# B\n"))


@pytest.fixture
def stack(rng):
    return Volume(rng.integers(1, 255, GRID.shape).astype(np.uint8), GRID, Quantity.EM_SIGNAL)


def test_any_blocking_gives_the_bits_of_the_whole(translator, stack):
    whole = translator.translate(stack)
    assert whole.array.dtype == np.uint8
    assert whole.provenance.is_synthetic
    tables = translator.tables(stack)
    for block in ((30, 26, 7), (5, 9, 22), (16, 8, 8)):
        pieces = np.zeros(GRID.shape, dtype=np.uint8)
        for start in np.ndindex(*(-(-n // b) for n, b in zip(GRID.shape, block))):
            first = tuple(s * b for s, b in zip(start, block))
            box = Box(first, tuple(min(f + b, n) for f, b, n in zip(first, block, GRID.shape)))
            pieces[box.slices] = translator.block(stack, box, tables=tables)
        np.testing.assert_array_equal(pieces, whole.array)


def test_tiles_are_the_network_on_the_reflected_whole(translator, stack):
    tables = translator.tables(stack)
    from medgan.patches.em_matching import matched

    padded = np.pad(matched(stack.array, tables, 0), 4, mode="reflect")
    with torch.inference_mode():
        image = torch.from_numpy(padded.astype(np.float32))[None, None] / 127.5 - 1
        direct = translator.bundle.network()(image)[0, 0].numpy()
    expected = np.rint((np.clip(direct, -1, 1) + 1) * 127.5)
    assert np.abs(translator.translate(stack).array - expected).max() <= 1


def test_probabilities_do_not_depend_on_the_box(segmenter, stack):
    whole = segmenter.probabilities(stack, GRID.box)
    box = Box((3, 5, 7), (21, 20, 22))
    np.testing.assert_array_equal(segmenter.probabilities(stack, box), whole[(slice(None), *box.slices)])
    assert 0 <= whole.min() < whole.max() <= 1


class Walls(torch.nn.Module):
    """Boundaries are where the image is dark."""

    def forward(self, image):
        return (image < 0).float()


def test_blocks_are_joined_where_neurites_go_on(segmenter, stack, monkeypatch):
    monkeypatch.setattr(segmenter, "module", Walls())
    array = np.full(GRID.shape, 255, dtype=np.uint8)
    array[14:16] = 0  # one wall: two instances, each cut by blocks
    walled = replace(stack, array=array)
    seen = []
    labels = np.zeros(GRID.shape, dtype=np.uint64)

    def write(box, values):
        labels[box.slices] = values

    count = segmenter.segment(
        walled,
        write=write,
        read=lambda box: labels[box.slices],
        block=(30, 9, 8),
        overlap=6,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert count == len(np.unique(labels)) == 2
    assert labels[0, 0, 0] == labels[0, 25, 21] != labels[29, 0, 0]
    assert seen[-1] == (18, 18)
    one = segmenter.instances(walled)
    assert len(np.unique(one.array)) == 2
    with pytest.raises(InferenceError, match="at least one voxel"):
        segmenter.segment(walled, write=write, read=lambda box: labels[box.slices], block=(0, 1, 1))


def test_stacks_that_a_model_was_not_trained_on_are_refused(translator, segmenter, stack):
    coarse = replace(stack, grid=Grid.axis_aligned(GRID.shape, spacing=(10, 10, 50), unit="nm", frame="specimen"))
    for refuse in (translator.require_translatable, segmenter.require_segmentable):
        refuse(stack, "stack")
        with pytest.raises(InferenceError, match=r"trained on voxels of 10 x 10 x 10 nm .* stack has 50 x 10 x 10 nm"):
            refuse(coarse, "stack")
        with pytest.raises(InferenceError, match="takes EM stacks: stack is mr_signal"):
            refuse(replace(stack, quantity=Quantity.MR_SIGNAL), "stack")
    with pytest.raises(PatchError, match="stack is smaller than the network's field of view: z has 8, needs 9"):
        translator.require_translatable(stack.cropped(Box((0, 0, 0), (30, 26, 8))), "stack")
    with pytest.raises(PatchError, match="all zero"):
        translator.translate(replace(stack, array=np.zeros_like(stack.array)))


def test_a_segmenter_of_other_voxels_or_values_does_not_fit(segmenter):
    facts = segmenter.facts
    fits_segmenter(facts, voxel_size_zyx_nm=(10, 10, 10.5), input_range=(0, 255))
    with pytest.raises(InferenceError, match="trained on voxels"):
        fits_segmenter(facts, voxel_size_zyx_nm=(40, 10, 10), input_range=(0, 255))
    with pytest.raises(InferenceError, match="takes values from 0 to 255"):
        fits_segmenter(facts, voxel_size_zyx_nm=(10, 10, 10), input_range=(0, 65535))


def test_facts_are_checked(translator, segmenter, folder):
    values = translator.facts.model_dump()
    with pytest.raises(ValidationError, match="matching needs reference_counts"):
        ContrastFacts.model_validate({**values, "reference_counts": None})
    with pytest.raises(ValidationError, match="input_range must rise"):
        BoundaryFacts.model_validate({**segmenter.facts.model_dump(), "input_range": (5, 5)})
    assert translator.facts.output_shape == (1, 1, 8, 8, 8)
    assert segmenter.facts.output_shape == (1, 1, 16, 16, 16)
    assert (translator.facts.headline, segmenter.facts.headline) == ("EM contrast", "boundaries")
    with pytest.raises(BundleError, match="task"):
        ModelBundle.write(folder / "x", facts={**COMMON, "name": "x", "task": "em"}, weights={}, card="")
