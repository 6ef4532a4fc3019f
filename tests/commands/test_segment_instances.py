"""Instances of a stack in a store, in blocks: complete or not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaozarrs

from medgan.commands.console import Console
from medgan.commands.segment_instances import segment_instances
from medgan.errors import BundleError, InferenceError, OutputError
from medgan.formats.chunked import open_chunked_labels
from medgan.formats.ome_zarr_write import write_ome_zarr
from medgan.geometry import Grid
from medgan.inference.bundle import ModelBundle
from medgan.networks.boundary_unet import BoundaryUNet
from medgan.volume import Quantity, Volume

GRID = Grid.axis_aligned((70, 20, 20), spacing=(10, 10, 10), unit="nm", frame="specimen")
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a segmenter whose boundary is where the image is dark: hand-set weights."""
    settings = {"width": 1, "section_pools": [1], "section_kernels": [1, 1]}
    network = BoundaryUNet(**settings)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        # ReLU(-x) of the finest level goes straight to the head.
        network.encoder[0].first.weight[0, 0, 1, 1, 0] = -1
        network.encoder[0].second.weight[0, 0, 1, 1, 0] = 1
        network.decoder[0].first.weight[0, 0, 1, 1, 0] = 1
        network.decoder[0].second.weight[0, 0, 1, 1, 0] = 1
        network.head.weight.fill_(12)
        network.head.bias.fill_(-6)
    facts = {
        "name": "dark",
        "task": "boundaries",
        "trained_anatomy": "nothing",
        "network": {"name": "boundary_unet", "settings": settings},
        "training": {
            "method": "boundaries",
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
        "tile": [32, 32, 32],
        "halo": [2, 2, 0],
        "watershed": {"seed_distance_nm": 400, "agglomeration": 0.4},
    }
    folder = tmp_path_factory.mktemp("models") / "dark"
    ModelBundle.write(folder, facts=facts, weights=network.state_dict(), card="# dark\n")
    return folder


@pytest.fixture
def stack(tmp_path):
    array = np.full(GRID.shape, 255, dtype=np.uint8)
    array[:, 9:11] = 0  # one dark sheet along the whole stack
    return write_ome_zarr(Volume(array, GRID, Quantity.EM_SIGNAL), tmp_path / "stack.zarr")


def test_two_neurites_stay_two_across_blocks(model, stack, tmp_path):
    facts = segment_instances(
        stack, model=str(model), out=tmp_path / "cells.zarr", block_zyx=(64, 64, 64), device="cpu", console=QUIET
    )
    assert facts["instances"] == 2
    yaozarrs.validate_zarr_store(str(tmp_path / "cells.zarr"))
    labels = open_chunked_labels(tmp_path / "cells.zarr")
    array = labels.read(labels.grid.box).array
    assert array.dtype == np.uint64
    assert labels.grid.same_as(GRID)
    assert array[0, 0, 0] == array[69, 0, 19] != array[69, 19, 19] == array[0, 19, 0]
    with pytest.raises(OutputError, match="never replaced unasked"):
        segment_instances(stack, model=str(model), out=tmp_path / "cells.zarr", device="cpu", console=QUIET)


def test_what_does_not_fit_leaves_nothing(model, stack, tmp_path):
    coarse = Volume(
        np.ones((8, 8, 8), np.uint8), Grid.axis_aligned((8, 8, 8), spacing=(10, 10, 50), unit="nm", frame="specimen"),
        Quantity.EM_SIGNAL,
    )  # fmt: skip
    write_ome_zarr(coarse, tmp_path / "coarse.zarr")
    with pytest.raises(InferenceError, match="trained on voxels"):
        segment_instances(
            tmp_path / "coarse.zarr", model=str(model), out=tmp_path / "o.zarr", device="cpu", console=QUIET
        )
    with pytest.raises(BundleError, match="A model for boundaries is needed"):
        segment_instances(stack, model="phantom-mr-to-ct", out=tmp_path / "o.zarr", device="cpu", console=QUIET)
    assert not list(tmp_path.glob("o.zarr*"))


class TestVerb:
    def test_the_verb_serves_models_of_boundaries(self, medgan, model, stack, tmp_path):
        out = tmp_path / "cells.zarr"
        outcome = medgan("segment", stack, "--model", model, "--out", out, "--block", "64,64,64", "--device", "cpu")
        assert outcome.code == 0, outcome.err
        assert "2 instances in 20 x 20 x 70 voxels (z, y, x)" in outcome.out
        assert open_chunked_labels(out).read(open_chunked_labels(out).grid.box).array.max() == 2

    def test_the_store_is_named_after_the_stack(self, medgan, model, stack, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert (
            medgan("segment", f"{stack}:/0", "--model", model, "--device", "cpu", "--voxel-size", "10,10,10").code == 0
        )
        assert (tmp_path / "stack_0_instances.zarr").is_dir()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("--align", "--channel", "t2w=1"),
                "dark segments stacks of sections in one channel: leave out --channel, --align",
            ),
            (("--block", "64,64"), "--block needs three positive whole numbers as z,y,x: found '64,64'"),
            (("--voxel-size", "40,4,4"), "voxel"),
        ],
    )
    def test_refusals(self, medgan, model, stack, tmp_path, arguments, message):
        outcome = medgan(
            "segment", stack, "--model", model, "--out", tmp_path / "o.zarr", "--device", "cpu", *arguments
        )
        assert outcome.code == 2
        assert message in outcome.err
        assert not list(tmp_path.glob("o.zarr*"))

    def test_no_stack(self, medgan, model):
        outcome = medgan("segment", "--model", model)
        assert (outcome.code, "A stack is needed" in outcome.err) == (2, True)

    def test_a_stack_of_zeros(self, medgan, model, tmp_path):
        empty = write_ome_zarr(
            Volume(np.zeros(GRID.shape, np.uint8), GRID, Quantity.EM_SIGNAL), tmp_path / "empty.zarr"
        )
        outcome = medgan("segment", empty, "--model", model, "--out", tmp_path / "o.zarr")
        assert (outcome.code, "empty.zarr is all zero" in outcome.err) == (2, True)

    def test_a_stack_of_one_section_has_no_neighbors_to_reflect(self, medgan, model, tmp_path):
        grid = Grid.axis_aligned((20, 20, 1), spacing=(10, 10, 10), unit="nm", frame="specimen")
        flat = write_ome_zarr(Volume(np.full(grid.shape, 9, np.uint8), grid, Quantity.EM_SIGNAL), tmp_path / "f.zarr")
        outcome = medgan("segment", flat, "--model", model, "--out", tmp_path / "o.zarr", "--device", "cpu")
        assert outcome.code == 0, outcome.err

    def test_a_stack_smaller_than_the_network_sees(self, medgan, model, tmp_path):
        """The model looks 2 voxels along x and y: 2 voxels have no 2 neighbors to reflect, 3 have."""
        for size, code in ((2, 2), (3, 0)):
            grid = Grid.axis_aligned((20, size, 1), spacing=(10, 10, 10), unit="nm", frame="specimen")
            image = Volume(np.full(grid.shape, 9, np.uint8), grid, Quantity.EM_SIGNAL)
            source = write_ome_zarr(image, tmp_path / f"s{size}.zarr")
            outcome = medgan("segment", source, "--model", model, "--out", tmp_path / "o.zarr", "--device", "cpu")
            assert outcome.code == code, outcome.err
            refused = "s2.zarr is smaller than what the network sees on one side of a voxel: y has 2, needs 3 voxels"
            assert (refused in outcome.err) == (code == 2)
            assert (tmp_path / "o.zarr").exists() == (code == 0)
