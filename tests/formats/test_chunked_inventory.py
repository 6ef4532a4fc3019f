"""What `medgan inspect` says of volumes larger than memory: read from their metadata alone."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image

from medgan.errors import FormatError
from medgan.formats import open_image, take_inventory
from medgan.formats.ome_zarr_write import write_ome_zarr
from medgan.geometry import Grid
from medgan.volume import Quantity, Volume

GRID = Grid.axis_aligned((9, 8, 7), spacing=(5, 5, 40), unit="nm", frame="specimen")


@pytest.fixture
def volume(rng):
    return Volume(rng.integers(1, 255, GRID.shape).astype(np.uint8), GRID, Quantity.EM_SIGNAL)


@pytest.fixture
def study(tmp_path, volume):
    (tmp_path / "deep").mkdir()
    write_ome_zarr(volume, tmp_path / "deep/out.zarr")
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        file["raw"] = volume.array.transpose(2, 1, 0)
        file["raw"].attrs["resolution"] = (40.0, 5.0, 5.0)
        file["ids"] = volume.array.transpose(2, 1, 0).astype(np.uint64)
    return tmp_path


def test_stores_below_a_folder_are_items_and_their_insides_are_not_searched(study):
    items = {item.name: item for item in take_inventory([study]).items}
    assert set(items) == {"out", "cells_raw", "cells_ids"}
    assert (
        items["out"].as_dict() | {"kind": "ome_zarr", "shape": [9, 8, 7], "spacing": [5.0, 5.0, 40.0]}
        == items["out"].as_dict()
    )
    assert items["out"].spacing_unit == "nm"
    assert items["out"].orientation is None
    assert items["cells_raw"].verdict == "accepted"
    assert items["cells_ids"].verdict == "refused"
    assert "--voxel-size" in items["cells_ids"].reasons[-1]


def test_an_array_inside_a_store_can_be_named(study):
    (item,) = take_inventory([f"{study}/deep/out.zarr:/0"]).items
    assert (item.label, item.shape) == ("out.zarr:/0", (9, 8, 7))
    (item,) = take_inventory([f"{study}/cells.h5:/raw"]).items
    assert item.label == "cells.h5:/raw"
    with pytest.raises(FormatError, match="does not exist"):
        take_inventory([f"{study}/absent.h5:/raw"])


def test_nothing_but_metadata_is_read(study):
    for chunk in (study / "deep/out.zarr/0/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    (item,) = take_inventory([study / "deep"]).items
    assert item.verdict == "accepted"
    with pytest.raises(FormatError, match="the chunk 0/c/0/0/0 is damaged"):
        item.read(quantity=Quantity.EM_SIGNAL)


def test_an_item_is_read_where_it_lies(study, volume):
    file = open_image(study / "deep/out.zarr", quantity=Quantity.EM_SIGNAL)
    np.testing.assert_array_equal(file.volume.array, volume.array)
    assert file.volume.grid.same_as(GRID)


def test_a_folder_of_sections_is_one_item_if_it_is_named_itself(tmp_path):
    (tmp_path / "stack").mkdir()
    for n in range(3):
        Image.fromarray(np.full((4, 5), n, np.uint8)).save(tmp_path / f"stack/{n}.png")
    (item,) = take_inventory([tmp_path / "stack"]).items
    assert (item.kind, item.shape, item.files) == ("sections", (5, 4, 3), 3)
    assert "--voxel-size" in item.refusal
    assert not take_inventory([tmp_path]).items  # pictures beside other things are no stack
    (tmp_path / "stack/scan.nii").write_bytes(b"")
    assert not [i for i in take_inventory([tmp_path / "stack"]).items if i.kind == "sections"]


def test_a_damaged_store_is_a_refused_item(tmp_path):
    (tmp_path / "bad.zarr").mkdir()
    (tmp_path / "bad.zarr/zarr.json").write_text("{")
    (tmp_path / "bad.h5").write_text("no")
    items = take_inventory([tmp_path]).items
    assert [item.verdict for item in items] == ["refused", "refused"]
    assert {item.kind for item in items} == {"zarr", "hdf5"}
