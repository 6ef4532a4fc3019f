"""Volumes larger than memory: what laboratories write is read where it lies, or refused in one sentence."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import zarr
from PIL import Image

from medgan.errors import FormatError
from medgan.formats.chunked import is_chunked, open_chunked, open_chunked_labels
from medgan.formats.chunked_array import located
from medgan.geometry import Box
from medgan.volume import Quantity

SHAPE = (6, 7, 8)


def values(dtype=np.uint8):
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


def ome(version: str, scale=(40.0, 4.0, 5.0), unit="nanometer", axes="zyx", path="0", translation=None) -> dict:
    transformations = [{"type": "scale", "scale": list(scale)}]
    if translation is not None:
        transformations.append({"type": "translation", "translation": list(translation)})
    image = {
        "axes": [
            {"name": a, "type": "space", "unit": unit} if a in "zyx" else {"name": a, "type": "channel"} for a in axes
        ],
        "datasets": [{"path": path, "coordinateTransformations": transformations}],
    }
    if version == "0.4":
        return {"multiscales": [{"version": "0.4", **image}]}
    return {"ome": {"version": version, "multiscales": [image]}}


def ome_store(folder, version="0.5", *, array=None, shards=None, attributes=None, **options):
    array = values() if array is None else array
    group = zarr.create_group(folder, zarr_format=2 if version == "0.4" else 3)
    chunks = (1,) * (array.ndim - 3) + (3, 4, 4)
    group.create_array("0", data=array, chunks=chunks, shards=shards)
    group.attrs.update(attributes if attributes is not None else ome(version, **options))
    return folder


@pytest.fixture
def ome_zarr(tmp_path):
    return ome_store(tmp_path / "volume.zarr")


@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", None), ("0.5", (6, 8, 8))])
def test_ome_zarr_is_read_in_nm_with_sections_along_the_last_axis(tmp_path, version, shards):
    store = ome_store(tmp_path / "v.zarr", version, shards=shards, unit="micrometer", scale=(0.04, 0.004, 0.005))
    source = open_chunked(store)
    assert source.grid.shape == (8, 7, 6)
    assert source.grid.spacing == pytest.approx((5, 4, 40))
    assert (source.grid.unit, source.grid.frame) == ("nm", "specimen")
    whole = source.read(source.grid.box)
    assert whole.array.dtype == np.uint8
    np.testing.assert_array_equal(whole.array, values().transpose(2, 1, 0))


def test_a_box_is_the_part_of_the_whole_and_lies_where_it_did(ome_zarr):
    source = open_chunked(ome_zarr)
    box = Box((1, 2, 3), (5, 6, 5))
    part = source.read(box)
    np.testing.assert_array_equal(part.array, source.read(source.grid.box).array[box.slices])
    np.testing.assert_allclose(part.grid.origin, source.grid.world(box.start_ijk))


def test_beyond_the_image_is_the_outside_value(ome_zarr):
    source = open_chunked(ome_zarr)
    part = source.read(Box((-1, 0, 0), (2, 8, 1))).array
    assert not part[0].any()
    assert not part[:, 7].any()
    np.testing.assert_array_equal(part[1:, :7], values()[:1].transpose(2, 1, 0)[:2])
    assert not source.read(Box((20, 0, 0), (21, 1, 1))).array.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_stored_types_are_kept(tmp_path, dtype):
    source = open_chunked(ome_store(tmp_path / "v.zarr", array=values(dtype)))
    assert source.read(source.grid.box).array.dtype == dtype


def test_a_translation_is_the_origin(tmp_path):
    source = open_chunked(ome_store(tmp_path / "v.zarr", translation=(400.0, 40.0, 50.0)))
    assert source.grid.origin == (50.0, 40.0, 400.0)


def test_single_channels_and_time_points_are_dropped_and_several_refused(tmp_path):
    axes, scale = "tczyx", (1, 1, 40, 4, 5)
    one = ome_store(tmp_path / "one.zarr", array=values()[None, None], axes=axes, scale=scale)
    assert open_chunked(one).grid.spacing == (5, 4, 40)
    two = ome_store(tmp_path / "two.zarr", array=np.stack([values()] * 2)[None], axes=axes, scale=scale)
    with pytest.raises(FormatError, match=r"two.zarr: a volume needs one channel and one time point"):
        open_chunked(two)


def test_axes_in_another_order_are_found_by_their_names(tmp_path):
    store = ome_store(tmp_path / "v.zarr", array=values().transpose(2, 1, 0), axes="xyz", scale=(5, 4, 40))
    source = open_chunked(store)
    assert source.grid.spacing == (5, 4, 40)
    np.testing.assert_array_equal(source.read(source.grid.box).array, values().transpose(2, 1, 0))


def test_a_resolution_of_an_image_has_the_image_s_metadata(ome_zarr):
    for place in (f"{ome_zarr}:/0", ome_zarr / "0"):
        assert open_chunked(place).grid.spacing == (5, 4, 40)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (ome("0.5", unit="furlong"), "unit of the voxel size"),
        (ome("0.5", axes="cyx"), "axes z, y and x"),
        (ome("0.3"), "version 0.4 or 0.5"),
        (ome("0.5", scale=(0.0, 4.0, 4.0)), "three positive lengths"),
        (ome("0.5", scale=(4.0, 4.0)), "a number for each"),
        (ome("0.5", path="7"), "holds no array '7'"),
    ],
)
def test_ome_metadata_that_place_no_volume_are_refused(tmp_path, attributes, message):
    with pytest.raises(FormatError, match=message):
        open_chunked(ome_store(tmp_path / "v.zarr", attributes=attributes))


def test_a_plain_array_says_its_resolution_or_it_is_given(tmp_path):
    array = zarr.create_array(tmp_path / "raw.zarr", data=values(), chunks=(2, 4, 4))
    with pytest.raises(FormatError, match="--voxel-size z,y,x"):
        open_chunked(tmp_path / "raw.zarr")
    assert open_chunked(tmp_path / "raw.zarr", voxel_size_zyx_nm=(40, 4, 5)).grid.spacing == (5, 4, 40)
    array.attrs["resolution"] = [30, 3, 3]
    array.attrs["offset"] = [300, 30, 60]
    assert open_chunked(tmp_path / "raw.zarr").grid.origin == (60, 30, 300)
    assert open_chunked(tmp_path / "raw.zarr", voxel_size_zyx_nm=(30, 3, 3.001)).grid.spacing == (3, 3, 30)
    with pytest.raises(FormatError, match=r"resolution says 30 x 3 x 3 nm .* --voxel-size says 40 x 4 x 4 nm"):
        open_chunked(tmp_path / "raw.zarr", voxel_size_zyx_nm=(40, 4, 4))
    array.attrs["element_size_um"] = [0.05, 0.003, 0.003]
    with pytest.raises(FormatError, match="voxel size must be one"):
        open_chunked(tmp_path / "raw.zarr")


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"voxel_size": [40, 4, 5]}, (5, 4, 40)),
        ({"resolution": [0.04, 0.004, 0.005], "units": ["um", "um", "um"]}, (5, 4, 40)),
        ({"element_size_um": [0.04, 0.004, 0.005]}, (5, 4, 40)),
        ({"transform": {"axes": ["x", "y", "z"], "scale": [5, 4, 40], "units": ["nm"] * 3}}, (5, 4, 40)),
    ],
)
def test_metadata_of_several_laboratories_are_understood(tmp_path, attributes, spacing):
    zarr.create_array(tmp_path / "raw.zarr", data=values()).attrs.update(attributes)
    assert open_chunked(tmp_path / "raw.zarr").grid.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("size", [(1, 2), (0, 4, 4), (-1, 4, 4), (np.nan, 4, 4), ("a", 1, 1)])
def test_a_voxel_size_that_is_none_is_refused(tmp_path, size):
    zarr.create_array(tmp_path / "raw.zarr", data=values())
    with pytest.raises(FormatError, match=r"--voxel-size must be three numbers|three positive lengths"):
        open_chunked(tmp_path / "raw.zarr", voxel_size_zyx_nm=size)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_damaged_chunk_is_named_by_its_key_and_the_rest_is_read(tmp_path, version):
    store = ome_store(tmp_path / "v.zarr", version)
    key = "0/1.0.1" if version == "0.4" else "0/c/1/0/1"
    chunk = store / key
    if not chunk.is_file():  # version 2 stores separate with dots or slashes
        key = "0/1/0/1"
        chunk = store / key
    chunk.write_bytes(b"no chunk")
    source = open_chunked(store)
    with pytest.raises(FormatError, match=f"v.zarr: the chunk {key} is damaged"):
        source.read(source.grid.box)
    np.testing.assert_array_equal(source.read(Box((0, 0, 0), (8, 7, 3))).array, values()[:3].transpose(2, 1, 0))


def test_a_group_of_several_volumes_lists_them(tmp_path):
    group = zarr.create_group(tmp_path / "many.zarr")
    for name in ("raw", "labels/cells"):
        group.create_array(name, data=values()).attrs["resolution"] = [4, 4, 4]
    with pytest.raises(FormatError, match=r"holds 2 volumes.*many.zarr:/labels/cells, many.zarr:/raw"):
        open_chunked(tmp_path / "many.zarr")
    assert open_chunked(f"{tmp_path}/many.zarr:/raw").grid.shape == (8, 7, 6)
    with pytest.raises(FormatError, match=r"holds no array 'rwa'\. It holds labels/cells, raw"):
        open_chunked(f"{tmp_path}/many.zarr:/rwa")


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "text.h5").write_text("no")
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr/zarr.json").write_text("{")
    zarr.create_array(tmp_path / "flat.zarr", data=values()[0])
    for name, message in [
        ("empty.zarr", "no Zarr store"),
        ("text.h5", "no HDF5 file"),
        ("damaged.zarr", "metadata are damaged"),
        ("absent.zarr", "does not exist"),
        ("absent.h5", "does not exist"),
        ("flat.zarr", "three axes"),
    ]:
        with pytest.raises(FormatError, match=message) as caught:
            open_chunked(tmp_path / name, voxel_size_zyx_nm=(1, 1, 1))
        assert str(tmp_path) not in str(caught.value)


@pytest.fixture
def hdf5(tmp_path):
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        raw = file.create_dataset("volumes/raw", data=values(np.uint16), chunks=(3, 4, 4), compression="gzip")
        raw.attrs["resolution"] = (40.0, 4.0, 5.0)
        file.create_dataset("volumes/ids", data=values(np.int64))
        file["list"] = np.arange(4)
    return tmp_path / "cells.h5"


def test_hdf5_is_read_by_the_path_inside(hdf5):
    source = open_chunked(f"{hdf5}:/volumes/raw")
    assert source.grid.spacing == (5, 4, 40)
    assert source.array.chunk_zyx == (3, 4, 4)
    np.testing.assert_array_equal(source.read(source.grid.box).array, values(np.uint16).transpose(2, 1, 0))
    with pytest.raises(FormatError, match=r"2 arrays of three axes.*volumes/ids, cells.h5:/volumes/raw"):
        open_chunked(hdf5)
    with pytest.raises(FormatError, match="holds no array /raw: it holds /volumes/ids, /volumes/raw"):
        open_chunked(f"{hdf5}:/raw")
    with pytest.raises(FormatError, match="needs three axes"):
        open_chunked(f"{hdf5}:/list")


def test_a_damaged_chunk_of_hdf5_is_named_by_its_first_voxel(hdf5):
    with h5py.File(hdf5) as file:
        place = file["volumes/raw"].id.get_chunk_info(5)
    data = bytearray(hdf5.read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    hdf5.write_bytes(data)
    source = open_chunked(f"{hdf5}:/volumes/raw")
    with pytest.raises(FormatError, match=f"begins at voxel \\({', '.join(map(str, place.chunk_offset))}\\)"):
        source.read(source.grid.box)


def test_labels_are_unsigned_up_to_64_bits(tmp_path):
    big = values(np.uint64) + np.uint64(2**63)
    for name, array in (("big", big), ("signed", values(np.int64)), ("negative", -values(np.int64))):
        zarr.create_array(tmp_path / f"{name}.zarr", data=array).attrs["resolution"] = [4, 4, 4]
    labels = open_chunked_labels(tmp_path / "big.zarr")
    np.testing.assert_array_equal(labels.read(labels.grid.box).array, big.transpose(2, 1, 0))
    assert open_chunked_labels(tmp_path / "signed.zarr").read(Box((0, 0, 0), (2, 2, 2))).array.dtype == np.uint64
    assert not labels.read(Box((-3, 0, 0), (-1, 1, 1))).array.any()
    with pytest.raises(FormatError, match="must not be negative"):
        open_chunked_labels(tmp_path / "negative.zarr").read(labels.grid.box)
    zarr.create_array(tmp_path / "real.zarr", data=values(np.float32)).attrs["resolution"] = [4, 4, 4]
    with pytest.raises(FormatError, match="must be whole numbers: found float32"):
        open_chunked_labels(tmp_path / "real.zarr")


def sections(folder, suffix=".png", dtype=np.uint8):
    folder.mkdir()
    for n, section in enumerate(values(dtype)):
        Image.fromarray(section).save(folder / f"s{n + 8}{suffix}")  # s8, s9, s10: the order of numbers
    return folder


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tiff", np.uint16)]
)
def test_sections_are_a_stack_in_the_order_of_their_numbers(tmp_path, suffix, dtype):
    source = open_chunked(sections(tmp_path / "stack", suffix, dtype), voxel_size_zyx_nm=(40, 4, 4))
    whole = source.read(source.grid.box)
    assert whole.array.dtype == dtype
    np.testing.assert_array_equal(whole.array, values(dtype).transpose(2, 1, 0))


def test_sections_say_nothing_of_their_thickness(tmp_path):
    with pytest.raises(FormatError, match="stack: nothing says how large a voxel is"):
        open_chunked(sections(tmp_path / "stack"))


def test_sections_of_two_sizes_and_kinds_are_refused_by_name(tmp_path):
    stack = sections(tmp_path / "stack")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(stack / "s9.png")
    with pytest.raises(FormatError, match=r"s8.png has 7 x 8 pixels of uint8, s9.png has 3 x 3"):
        open_chunked(stack, voxel_size_zyx_nm=(40, 4, 4))
    Image.fromarray(np.zeros((7, 8, 3), np.uint8)).save(stack / "s9.png")
    with pytest.raises(FormatError, match=r"s9.png holds RGB"):
        open_chunked(stack, voxel_size_zyx_nm=(40, 4, 4))
    Image.fromarray(np.zeros((7, 8), np.uint8)).save(stack / "s9.tif")
    with pytest.raises(FormatError, match="PNG files or of TIFF files"):
        open_chunked(stack, voxel_size_zyx_nm=(40, 4, 4))


def test_a_damaged_section_is_named_when_it_is_read(tmp_path):
    stack = sections(tmp_path / "stack")
    data = (stack / "s10.png").read_bytes()
    (stack / "s10.png").write_bytes(data[:-25])
    source = open_chunked(stack, voxel_size_zyx_nm=(40, 4, 4))
    with pytest.raises(FormatError, match=r"the section s10.png is damaged"):
        source.read(source.grid.box)
    assert source.read(Box((0, 0, 0), (8, 7, 2))).array.any()


def test_a_source_travels_to_another_process(ome_zarr, hdf5, tmp_path):
    for place in (ome_zarr, f"{hdf5}:/volumes/raw", sections(tmp_path / "stack")):
        size = (40, 4, 4) if place == tmp_path / "stack" else None
        source = open_chunked(place, voxel_size_zyx_nm=size, quantity=Quantity.EM_SIGNAL)
        again = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(again.read(again.grid.box).array, source.read(source.grid.box).array)
        assert again.provenance.digest == source.provenance.digest


def test_the_digest_is_that_of_the_metadata(ome_zarr, tmp_path):
    first = open_chunked(ome_zarr).provenance.sources
    assert first == open_chunked(ome_zarr).provenance.sources
    assert first != open_chunked(ome_store(tmp_path / "w.zarr", array=values(np.uint16))).provenance.sources


def test_a_place_is_a_path_and_what_is_inside():
    assert (located("a/b.h5:/c/d").path.name, located("a/b.h5:/c/d").inner) == ("b.h5", "c/d")
    assert located("a/b.zarr").inner == ""
    assert is_chunked("x.hdf5")
    assert not is_chunked("x.nii.gz")


def test_the_real_stack_has_its_size(shared_data):
    folder = shared_data / "em/fib25_training_sample2"
    source = open_chunked(folder / "grayscale_maps", voxel_size_zyx_nm=(10, 10, 10))
    labels = open_chunked_labels(f"{folder}/groundtruth.h5:/stack", voxel_size_zyx_nm=(10, 10, 10))
    assert source.grid.same_as(labels.grid)
    assert source.grid.shape == (250, 250, 190)
    assert 100 < source.read(Box((0, 0, 90), (250, 250, 91))).array.mean() < 200
