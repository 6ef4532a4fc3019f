"""OME-Zarr as written: valid for others, complete or under another name, and never two writers in one chunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaozarrs
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import OutputError
from medgan.formats.chunked import open_chunked, open_chunked_labels
from medgan.formats.ome_zarr_levels import coarsened, planned_levels
from medgan.formats.ome_zarr_write import create_ome_zarr, partial_path, reopen_ome_zarr, write_ome_zarr
from medgan.geometry import Box, Grid
from medgan.volume import LabelMap, Provenance, Quantity, Volume

GRID = Grid.axis_aligned((140, 130, 12), spacing=(5, 5, 40), origin=(50, 60, 80), unit="nm", frame="specimen")


@pytest.fixture
def volume(rng):
    return Volume(rng.integers(1, 255, GRID.shape).astype(np.uint8), GRID, Quantity.EM_SIGNAL)


def begun(tmp_path, **options):
    return create_ome_zarr(
        tmp_path / "out.zarr", GRID, np.uint8, provenance=Provenance(), quantity=Quantity.EM_SIGNAL, **options
    )


@pytest.mark.parametrize(("version", "shard"), [("0.5", None), ("0.5", (128, 128, 64)), ("0.4", None)])
def test_an_image_is_valid_ome_zarr_and_comes_back(tmp_path, volume, version, shard):
    path = write_ome_zarr(volume, tmp_path / "out.zarr", version=version, shard_ijk=shard)
    yaozarrs.validate_zarr_store(str(path))
    back = open_chunked(path)
    assert back.grid.same_as(GRID)
    np.testing.assert_array_equal(back.read(GRID.box).array, volume.array)
    coarse = open_chunked(f"{path}:/1")
    assert coarse.grid.shape == (70, 65, 12)
    assert coarse.grid.origin == (52.5, 62.5, 80)
    first = volume.array[:2, :2, 0].mean()
    assert abs(coarse.read(Box((0, 0, 0), (1, 1, 1))).array.item() - first) <= 0.5
    assert not partial_path(path).exists()


def test_yaozarrs_would_notice_a_fault(tmp_path, volume):
    path = write_ome_zarr(volume, tmp_path / "out.zarr")
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace('"translation"', '"rotation"'))
    with pytest.raises(Exception, match=r"(?i)valid"):
        yaozarrs.validate_zarr_store(str(path))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_labels_keep_their_64_bits_and_are_picked_for_coarser_levels(tmp_path, rng, version):
    labels = LabelMap(rng.integers(2**62, 2**63, GRID.shape).astype(np.uint64), GRID)
    path = write_ome_zarr(labels, tmp_path / "cells.zarr", version=version)
    yaozarrs.validate_zarr_store(str(path))
    np.testing.assert_array_equal(open_chunked_labels(path).read(GRID.box).array, labels.array)
    coarse = open_chunked_labels(f"{path}:/1")
    assert coarse.grid.origin == GRID.origin
    np.testing.assert_array_equal(coarse.read(coarse.grid.box).array, labels.array[::2, ::2])


def test_a_synthetic_image_is_marked_and_known_again(tmp_path, volume):
    assert not open_chunked(write_ome_zarr(volume, tmp_path / "real.zarr")).provenance.is_synthetic
    made = replace(volume, provenance=Provenance().synthesized("translate"))
    assert open_chunked(write_ome_zarr(made, tmp_path / "made.zarr")).provenance.is_synthetic


def test_boxes_written_by_several_openers_are_the_image(tmp_path, volume):
    begun(tmp_path)
    assert not (tmp_path / "out.zarr").exists()
    for start in (0, 64, 128):
        box = Box((start, 0, 0), (min(start + 64, 140), 130, 12))
        reopen_ome_zarr(tmp_path / "out.zarr", GRID).write(box, volume.array[box.slices])
    output = reopen_ome_zarr(tmp_path / "out.zarr", GRID)
    seen = []
    output.add_pyramid(lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(seen)
    output.completed()
    other = write_ome_zarr(volume, tmp_path / "whole.zarr")
    for level in ("0", "1"):
        one, two = (open_chunked(f"{path}:/{level}") for path in (tmp_path / "out.zarr", other))
        np.testing.assert_array_equal(one.read(one.grid.box).array, two.read(two.grid.box).array)


def test_a_box_that_shares_a_chunk_is_refused(tmp_path, volume):
    output = begun(tmp_path)
    for box in (Box((1, 0, 0), (64, 64, 12)), Box((0, 0, 0), (63, 64, 12)), Box((128, 0, 0), (192, 64, 12))):
        with pytest.raises(OutputError, match="whole chunks of 64 x 64 x 64"):
            output.write(box, np.zeros(box.shape, np.uint8))
    box = Box((0, 0, 0), (64, 64, 12))
    with pytest.raises(OutputError, match="was given float32"):
        output.write(box, np.zeros(box.shape, np.float32))
    with pytest.raises(OutputError, match="was given uint8 of 1 x 1 x 1"):
        output.write(box, np.zeros((1, 1, 1), np.uint8))


def test_with_shards_a_box_is_of_whole_shards(tmp_path):
    output = begun(tmp_path, shard_ijk=(128, 128, 64))
    assert output.unit_ijk == reopen_ome_zarr(tmp_path / "out.zarr", GRID).unit_ijk == (128, 128, 64)
    with pytest.raises(OutputError, match="whole chunks of 128"):
        output.require_whole_chunks(Box((0, 0, 0), (64, 64, 12)))


def test_nothing_is_replaced_unasked_and_only_what_medgan_wrote(tmp_path, volume):
    path = write_ome_zarr(volume, tmp_path / "out.zarr")
    with pytest.raises(OutputError, match="never replaced unasked"):
        write_ome_zarr(volume, path)
    write_ome_zarr(replace(volume, array=np.full(GRID.shape, 7, np.uint8)), path, overwrite=True)
    assert open_chunked(path).read(Box((0, 0, 0), (1, 1, 1))).array.item() == 7
    (tmp_path / "foreign.zarr").mkdir()
    with pytest.raises(OutputError, match="no image that medgan wrote"):
        write_ome_zarr(volume, tmp_path / "foreign.zarr", overwrite=True)


def test_a_run_that_is_not_complete_stands_in_the_way(tmp_path):
    begun(tmp_path)
    with pytest.raises(OutputError, match=r"out.zarr.partial exists: an earlier run is not complete"):
        begun(tmp_path)
    with pytest.raises(OutputError, match="was begun for an image of 140 x 130 x 12"):
        reopen_ome_zarr(tmp_path / "out.zarr", GRID.cropped(Box((0, 0, 0), (9, 9, 9))))
    with pytest.raises(OutputError, match="is not there"):
        reopen_ome_zarr(tmp_path / "other.zarr", GRID)


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("out.tif", {}, r"name that ends in \.zarr"),
        ("out.zarr:/raw", {}, "with nothing inside"),
        ("no/out.zarr", {}, "its folder does not exist"),
        ("out.zarr", {"version": "0.3"}, "version 0.4 or 0.5"),
        ("out.zarr", {"version": "0.4", "shard_ijk": (64, 64, 64)}, "0.5 only"),
        ("out.zarr", {"shard_ijk": (65, 64, 64)}, "multiples of chunks"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_made(tmp_path, volume, place, options, message):
    with pytest.raises(OutputError, match=message):
        write_ome_zarr(volume, f"{tmp_path}/{place}", **options)
    assert not list(tmp_path.iterdir())


def test_a_turned_grid_is_refused(tmp_path, volume):
    affine = GRID.affine.copy()
    affine[0, 0] *= -1
    with pytest.raises(OutputError, match="turned, flipped or sheared"):
        write_ome_zarr(replace(volume, grid=Grid(GRID.shape, affine, "nm", "specimen")), tmp_path / "o.zarr")


def test_a_failed_write_leaves_nothing(tmp_path, volume, monkeypatch):
    def fail(self, progress=None):
        raise OutputError("out.zarr cannot be written: the disk is full.")

    monkeypatch.setattr("medgan.formats.ome_zarr_write.OmeZarrOutput.add_pyramid", fail)
    with pytest.raises(OutputError, match="disk is full"):
        write_ome_zarr(volume, tmp_path / "out.zarr")
    assert not list(tmp_path.iterdir())


def test_levels_halve_planes_until_voxels_are_about_cubic():
    grid = Grid.axis_aligned((1024, 1024, 20), spacing=(5, 5, 40), unit="nm", frame="specimen")
    levels = planned_levels(grid, is_labels=False)
    assert [level.shape for level in levels] == [(1024, 1024, 20), (512, 512, 20), (256, 256, 20), (128, 128, 20)]
    assert [level.spacing[0] for level in levels] == [5, 10, 20, 40]
    cubic = planned_levels(Grid.axis_aligned((300, 2, 1), spacing=(4, 4, 4), unit="nm"), is_labels=False)
    assert cubic[1].factors == (2, 2, 1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.sampled_from((1, 2))] * 3))
def test_a_coarser_level_is_the_mean_of_what_it_spans(shape, factors):
    factors = tuple(f if n > 1 else 1 for n, f in zip(shape, factors))
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    coarse = coarsened(array, factors, is_labels=False)
    last = tuple(n - 1 for n in coarse.shape)
    spanned = array
    for axis, (place, factor, n) in enumerate(zip(last, factors, shape)):
        index = np.minimum(np.arange(place * factor, (place + 1) * factor), n - 1)
        spanned = np.take(spanned, index, axis=axis)
    assert coarse[last] == pytest.approx(spanned.mean())
    assert coarsened(array, factors, is_labels=True)[last] == array[tuple(p * f for p, f in zip(last, factors))]
