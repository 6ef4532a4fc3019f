"""Radiographs are images of their own: told, judged, and never taken for a volume."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dicom_phantoms import series_of

from medgan.errors import FormatError
from medgan.formats import find_image, take_inventory
from medgan.phantoms.dicom_file import RawFile
from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.dicom_projection import RadiographBeside
from medgan.volume import Quantity


def beside(*radiographs: RadiographBeside):
    return replace(series_of(*radiographs), slices=())


@pytest.mark.parametrize("modality", ["CR", "DX", "MG"])
@pytest.mark.parametrize("is_class_only", [False, True])
def test_each_is_an_item(tmp_path, modality, is_class_only):
    write_series(beside(RadiographBeside(modality, is_class_only=is_class_only)), tmp_path)
    inventory = take_inventory([tmp_path])
    (item,) = inventory.items
    assert (item.kind, item.name, item.modality) == ("radiograph", f"{modality.lower()}_series01", modality)
    assert (item.verdict, item.reasons, item.files) == ("accepted", (), 1)
    assert (item.shape, item.spacing, item.spacing_unit) == ((20, 30), (0.2, 0.15), "mm")
    assert (item.orientation, item.affine, inventory.other) == (None, None, ())
    assert item.as_dict()["shape"] == [20, 30]


def test_several_of_one_series_are_items_each(tmp_path):
    write_series(beside(RadiographBeside(), RadiographBeside("DX", spacing="none")), tmp_path)
    first, second = take_inventory([tmp_path]).items
    assert {first.name, second.name} in ({"cr_series01", "dx_series02"}, {"dx_series01", "cr_series02"})
    none = next(item for item in (first, second) if item.modality == "DX")
    assert (none.spacing, none.spacing_unit) == (None, None)


def test_the_spacing_at_the_detector_is_told_as_such(tmp_path):
    write_series(beside(RadiographBeside(spacing="detector")), tmp_path)
    (item,) = take_inventory([tmp_path]).items
    assert item.spacing == (0.2, 0.15)
    assert item.verdict == "accepted"
    assert "at the detector" in item.reasons[0]


def test_films_and_damaged_ones_are_refused_by_name(tmp_path):
    write_series(beside(RadiographBeside(frames=3)), tmp_path / "film")
    (item,) = take_inventory([tmp_path / "film"]).items
    assert item.verdict == "refused"
    assert item.reasons == ("A radiograph has one frame: CR_0001.dcm holds 3.",)
    (file,) = beside(RadiographBeside()).beside
    assert not isinstance(file, RawFile)
    for number, changed in enumerate((file.without("Rows"), replace(file, lost_file_bytes=40))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / file.name).write_bytes(changed.as_bytes)
        (item,) = take_inventory([folder]).items
        assert (item.kind, item.verdict, item.shape) == ("radiograph", "refused", None)
        assert "CR_0001.dcm" in item.reasons[0]


def test_a_verb_that_needs_a_volume_takes_the_volume(tmp_path):
    write_series(series_of(RadiographBeside()), tmp_path)
    inventory = take_inventory([tmp_path])
    assert [item.kind for item in inventory.items] == ["dicom_series", "radiograph"]
    assert inventory.one().kind == "dicom_series"
    assert inventory.one().read().notices == ()
    assert inventory.one(wants_radiograph=True).kind == "radiograph"
    assert len(inventory.usable()) == 2


def test_a_radiograph_is_never_read_as_a_volume(tmp_path):
    write_series(beside(RadiographBeside()), tmp_path)
    with pytest.raises(FormatError, match=r"^The folder holds no volume, only radiographs\. See medgan inspect"):
        find_image(tmp_path)
    with pytest.raises(FormatError, match=r"^cr_series01: a volume is needed, and this is a radiograph\.$"):
        find_image(tmp_path, series=1)
    (item,) = take_inventory([tmp_path]).items
    with pytest.raises(FormatError, match=r"^cr_series01: a volume is needed, and this is a radiograph"):
        item.read(quantity=Quantity.MR_SIGNAL)


def test_no_radiograph_where_one_is_wanted(tmp_path):
    write_series(series_of(), tmp_path)
    with pytest.raises(FormatError, match="holds no radiograph, only volumes"):
        take_inventory([tmp_path]).one(wants_radiograph=True)
    with pytest.raises(FormatError, match="a radiograph is needed, and this is a volume"):
        take_inventory([tmp_path]).one(1, wants_radiograph=True)
