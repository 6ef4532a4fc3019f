"""Every planted fault has the verdict that was written down before the reader was run, and says the words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from dicom_phantoms import (
    assert_same_voxels,
    coded,
    mr,
    series_of,
)
from dicom_verdict_table import REFUSED, RIGHT, low_ct
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rotation

from medgan.errors import FormatError
from medgan.formats.inventory import Inventory, take_inventory
from medgan.geometry import Grid
from medgan.phantoms import dicom_header_faults as header_faults
from medgan.phantoms.dicom_companions import JunkFiles, Localizer, OtherObject, SecondSeries
from medgan.phantoms.dicom_file import DicomFile, decimal
from medgan.phantoms.dicom_folder import write_archive, write_file_set, write_series
from medgan.phantoms.dicom_geometry_faults import (
    ConflictingSlice,
    DuplicateSlice,
    GantryTilt,
    MissingSlice,
    MixedPixelSpacing,
    Positioned,
    TwoOrientations,
)
from medgan.phantoms.dicom_header_faults import (
    LongDecimals,
    OtherEncoding,
    OtherNames,
    ShuffledOrder,
)
from medgan.phantoms.dicom_mosaic import SiemensMosaic
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import (
    Compressed,
    PerSliceRescale,
    ShiftedBits,
)
from medgan.phantoms.dicom_series import DicomSeries
from medgan.phantoms.dicom_slices import PixelForm
from medgan.phantoms.dicom_stacks import (
    SeveralEchoes,
)
from medgan.volume import Quantity, Volume


def judged(tmp_path, case) -> tuple[DicomSeries, Inventory]:
    series = series_of(*case.faults, volume=case.volume(), **case.options)
    write_series(series, tmp_path / "in")
    return series, take_inventory([tmp_path / "in"])


def assert_words(words: tuple[str, ...], text: str) -> None:
    for each in words:
        assert any(word in text for word in each.split("|")), (each, text)


@pytest.mark.parametrize("name", RIGHT)
def test_read_right(tmp_path, name):
    case = RIGHT[name]
    series, inventory = judged(tmp_path, case)
    assert [item.verdict for item in inventory.items] == [case.verdict] * len(series.truth), inventory.items
    if any(isinstance(fault, Enhanced | SiemensMosaic) for fault in case.faults):
        assert {item.files for item in inventory.items} == {1}
    else:
        assert sum(item.files for item in inventory.items) == len(images_of(series))
    assert_words(case.other, " ".join(other.kind for other in inventory.other))
    assert bool(inventory.other) is bool(case.other)
    files = [item.read() for item in inventory.items]
    said = " ".join(
        [*(r for item in inventory.items for r in item.reasons), *(n for file in files for n in file.notices)]
    )
    assert_words(case.words, said)
    if case.verdict == "accepted" and not case.words:
        # Which stack of its series an image is, is all that there is to say.
        assert all(notice.startswith("Stack ") for file in files for notice in file.notices)
    for item, file in zip(inventory.items, files):
        truth = truth_of(file.volume.array, series)
        assert_same_voxels(file.volume.array, file.volume.grid, truth)
        assert item.shape == file.volume.shape
        assert np.allclose(item.affine, file.volume.grid.affine)
        assert item.modality == series.header.modality
        assert item.name == f"{item.modality.lower()}_series{item.index:02d}"
        assert file.volume.quantity is truth.quantity


def images_of(series: DicomSeries) -> list[DicomFile]:
    second = [f for f in series.beside if isinstance(f, DicomFile) and "SecondSeries" in f.faults]
    return [*series.slices, *second]


def truth_of(array: np.ndarray, series: DicomSeries) -> Volume:
    """The stack that an image is meant to be: same set of values, and the shape where several have it."""
    same = [t for t in series.truth if np.array_equal(np.sort(t.array, axis=None), np.sort(array, axis=None))]
    assert same, "the values belong to no stack"
    shaped = [t for t in same if t.shape == array.shape]
    return (shaped or same)[0]


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    case = REFUSED[name]
    series, inventory = judged(tmp_path, case)
    usable = [item for item in inventory.items if item.verdict != "refused"]
    said = " ".join(reason for item in inventory.items for reason in item.reasons)
    assert inventory.items
    if case.when == "inventory":
        assert not usable, [(item.verdict, item.reasons) for item in usable]
    for item in inventory.items:
        with pytest.raises(FormatError) as caught:
            item.read()
        message = str(caught.value)
        said += " " + message
        assert str(tmp_path) not in message
        assert message.endswith(".")
        assert "\n" not in message
    assert_words(case.words, said)
    if case.named is not None:
        for file in series.touched_by(case.named):
            assert file in said or len(series.touched_by(case.named)) > 4


def test_a_missing_slice_is_interpolated_when_that_is_allowed(tmp_path):
    series, inventory = judged(tmp_path, REFUSED["missing slice"])
    (item,) = inventory.items
    file = item.read(allow_gap=True)
    truth = series.truth[0]
    present = {round(float(f.dataset.SliceLocation), 3) for f in series.slices}
    heights = [round(float((truth.grid.world([0, 0, k]) * [-1, -1, 1])[2]), 3) for k in range(6)]
    (gap,) = [k for k in range(6) if heights[k] not in present]
    filled = truth.array.copy()
    filled[:, :, gap] = (filled[:, :, gap - 1] + filled[:, :, gap + 1]) / 2
    assert_same_voxels(file.volume.array, file.volume.grid, replace(truth, array=filled), tolerance=0.51)
    assert any("interpolated" in notice for notice in file.notices)


def test_two_missing_slices_are_too_many(tmp_path):
    series = series_of(MissingSlice(3), MissingSlice(6), volume=coded(shape=(6, 5, 10)))
    write_series(series, tmp_path)
    (item,) = take_inventory([tmp_path]).items
    assert item.verdict == "refused"
    with pytest.raises(FormatError, match="evenly spaced"):
        item.read(allow_gap=True)


def scaled(file: DicomFile, slope: str, pixels: np.ndarray) -> DicomFile:
    return replace(file.with_elements(RescaleSlope=slope, RescaleIntercept="0"), pixels=pixels)


def test_duplicates_are_compared_by_their_values_not_by_what_is_stored(tmp_path):
    series = series_of(DuplicateSlice(), volume=replace(coded(), array=np.abs(coded().array)))
    *others, twin = series.slices
    at = next(n for n, f in enumerate(others) if f.dataset.SliceLocation == twin.dataset.SliceLocation)
    hu = twin.pixels.astype(int) - 1024
    same = [*others[:at], scaled(others[at], "1", hu.astype(np.uint16)), *others[at + 1 :]]
    write_series(replace(series, slices=(*same, scaled(twin, "0.5", (2 * hu).astype(np.uint16)))), tmp_path / "same")
    (item,) = take_inventory([tmp_path / "same"]).items
    file = item.read()
    assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0])
    write_series(replace(series, slices=(*same, scaled(twin, "2", hu.astype(np.uint16)))), tmp_path / "other")
    (item,) = take_inventory([tmp_path / "other"]).items
    with pytest.raises(FormatError, match="differ"):
        item.read()


@pytest.mark.parametrize(
    "changes",
    [
        {"AcquisitionNumber": lambda k: str(1 + k // 3)},
        {"AcquisitionTime": lambda k: f"10111{k}.5", "ContentTime": lambda k: f"10112{k}"},
        {"InstanceNumber": lambda _: "1"},
        {"WindowCenter": lambda k: str(40 + k), "WindowWidth": lambda k: str(400 + k)},
        {"TriggerTime": lambda k: str(40 * k), "TemporalPositionIdentifier": lambda k: str(k + 1)},
        {"SliceThickness": lambda k: str(3 + k % 2)},
        {"EchoTime": lambda k: str(10 + 0.1 * k)},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_what_may_differ_between_the_slices_of_one_volume_does_not_split_it(tmp_path, changes):
    series = series_of(volume=mr())
    files = [
        file.with_elements(**{name: value(k) for name, value in changes.items()})
        for k, file in enumerate(series.slices)
    ]
    write_series(replace(series, slices=tuple(files)), tmp_path)
    (item,) = take_inventory([tmp_path]).items
    file = item.read()
    assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0])


def test_slices_stored_in_different_ways_are_one_volume(tmp_path):
    one = series_of(volume=low_ct())
    signed = series_of(volume=low_ct(), pixel_form=PixelForm(12, True, 1.0, 1024.0))
    uids = {"SeriesInstanceUID": one.header.series_uid, "StudyInstanceUID": one.header.study_uid}
    uids["FrameOfReferenceUID"] = one.header.frame_uid
    ways = [
        lambda f: f,
        lambda f: replace(f, syntax="1.2.840.10008.1.2"),
        lambda f: replace(f, syntax="1.2.840.10008.1.2.2"),
        lambda f: replace(f, syntax="1.2.840.10008.1.2.5"),
    ]
    mixed = [
        ways[k % 4](a if k % 2 else b.with_elements(**uids)) for k, (a, b) in enumerate(zip(one.slices, signed.slices))
    ]
    write_series(replace(one, slices=tuple(mixed)), tmp_path)
    (item,) = take_inventory([tmp_path]).items
    file = item.read()
    assert_same_voxels(file.volume.array, file.volume.grid, one.truth[0])


def test_a_path_given_twice_counts_once(tmp_path):
    paths = write_series(series_of(), tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    for named in ([tmp_path / "in"] * 2, [tmp_path / "in", *paths], [*paths, tmp_path / "link"]):
        (item,) = take_inventory(named).items
        assert (item.verdict, item.files) == ("accepted", 6)


def test_one_slice_with_slightly_larger_pixels(tmp_path):
    series = series_of(MixedPixelSpacing(1.0009), volume=coded(shape=(512, 3, 4)))
    write_series(series, tmp_path)
    items = take_inventory([tmp_path]).items
    # The far end of its rows is half a pixel away from where the others have theirs.
    assert {item.verdict for item in items} == {"refused"}
    assert_words(("spacing|Spacing",), " ".join(items[0].reasons))
    series = series_of(MixedPixelSpacing(1.00001), volume=coded(shape=(512, 3, 4)))
    write_series(series, tmp_path / "rounded")
    (item,) = take_inventory([tmp_path / "rounded"]).items
    assert item.verdict == "accepted"


def test_a_damaged_archive_does_not_spoil_its_neighbors(tmp_path):
    write_series(series_of(), tmp_path / "good")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    inventory = take_inventory([tmp_path / "good", tmp_path / "bad.zip"])
    assert sorted(item.verdict for item in inventory.items) == ["accepted", "refused"]
    assert "bad.zip" in " ".join(reason for item in inventory.items for reason in item.reasons)


def turned(file: DicomFile, radians: float) -> DicomFile:
    """A slice turned within its plane about its first pixel."""
    along, down = np.array(file.dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    c, s = np.cos(radians), np.sin(radians)
    axes = [decimal(x) for x in (*(c * along + s * down), *(c * down - s * along))]
    return file.with_elements(ImageOrientationPatient=axes)


@pytest.mark.parametrize(("radians", "verdict"), [(1e-6, "accepted"), (5e-4, "refused"), (3e-3, "refused")])
def test_one_slice_that_is_slightly_turned(tmp_path, radians, verdict):
    series = series_of(volume=coded(shape=(512, 3, 4)))
    files = (series.slices[0], turned(series.slices[1], radians), *series.slices[2:])
    write_series(replace(series, slices=files), tmp_path)
    # At the far end of its rows: 0.0005, 0.26 and 1.5 pixels.
    assert {item.verdict for item in take_inventory([tmp_path]).items} == {verdict}


def test_two_patients_with_one_series_uid_in_two_folders_are_not_mixed(tmp_path):
    # Copies of a series, anonymized twice with the same UIDs: same positions, other values.
    one, two = series_of(), series_of(volume=replace(coded(), array=coded().array[::-1].copy()))
    write_series(one, tmp_path / "one")
    write_series(two, tmp_path / "two")
    inventory = take_inventory([tmp_path])
    for item in inventory.items:
        try:
            file = item.read()
        except FormatError:
            continue
        truth = one.truth[0] if np.array_equal(file.volume.array, one.truth[0].array) else two.truth[0]
        assert_same_voxels(file.volume.array, file.volume.grid, truth)


def test_lossy_jpeg_is_near_and_says_so(tmp_path):
    volume = coded(Quantity.MR_SIGNAL, most=200)
    smooth = replace(volume, array=np.sort(volume.array, axis=0))
    series = series_of(Compressed("jpeg"), volume=smooth, pixel_form=PixelForm(8))
    write_series(series, tmp_path)
    (item,) = take_inventory([tmp_path]).items
    file = item.read()
    assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0], tolerance=12)
    assert any("lossy" in text.lower() for text in (*item.reasons, *file.notices))


def test_shifted_bits_are_never_read_wrong(tmp_path):
    series = series_of(ShiftedBits(), volume=low_ct())
    write_series(series, tmp_path)
    (item,) = take_inventory([tmp_path]).items
    if item.verdict == "refused":
        assert "HighBit" in " ".join(item.reasons)
    else:
        file = item.read()
        assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0])


def test_a_directory_an_archive_and_single_files(tmp_path):
    series = series_of(Localizer(), OtherObject(), ShuffledOrder(), OtherNames())
    directory = write_file_set(series, tmp_path / "set")
    archive = write_archive(series, tmp_path / "series.zip")
    folder = write_series(series, tmp_path / "folder")
    for paths in ([directory], [directory.parent], [archive], [archive.parent / "folder"], folder):
        inventory = take_inventory(paths)
        (item,) = inventory.items
        assert item.verdict == "accepted"
        assert "localizer" in {other.kind for other in inventory.other}
        file = item.read()
        assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0])


def test_members_that_would_escape_are_refused_and_nothing_is_written_outside(tmp_path):
    series = series_of()
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside.dcm").write_bytes(series.slices[0].as_bytes)
    archive = write_archive(series, tmp_path / "a" / "b" / "s.zip", escaping=True, links=True)
    before = sorted(tmp_path.rglob("*"))
    inventory = take_inventory([archive])
    good = [item for item in inventory.items if item.verdict != "refused"]
    bad = [item for item in inventory.items if item.verdict == "refused"]
    assert len(good) == 1
    assert_words(("archive", "never|refused"), " ".join(reason for item in bad for reason in item.reasons))
    file = good[0].read()
    assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0])
    assert sorted(tmp_path.rglob("*")) == before


def test_one_bad_series_does_not_spoil_its_neighbor(tmp_path):
    good, bad = series_of(), series_of(header_faults.NO_ROWS, seed=9)
    write_series(good, tmp_path / "one")
    write_series(bad, tmp_path / "two")
    inventory = take_inventory([tmp_path])
    assert sorted(item.verdict for item in inventory.items) == ["accepted", "refused"]
    assert [item.index for item in inventory.items] == [1, 2]


def test_the_inventory_does_not_depend_on_the_order_of_files(tmp_path):
    series = series_of(SeveralEchoes(), TwoOrientations(), SecondSeries(), Localizer(), volume=mr())
    paths = list(write_series(series, tmp_path / "in"))
    first = take_inventory(paths)
    rng = np.random.default_rng(5)
    for _ in range(3):
        rng.shuffle(paths)
        again = take_inventory(paths)
        assert [item.as_dict() for item in again.items] == [item.as_dict() for item in first.items]


def test_a_folder_of_junk_holds_nothing(tmp_path):
    write_series(replace(series_of(JunkFiles()), slices=()), tmp_path)
    inventory = take_inventory([tmp_path])
    assert (inventory.items, inventory.other) == ((), ())


@st.composite
def scans(draw) -> tuple[Volume, tuple]:
    """A coded volume on an oblique, anisotropic grid, and what happens to its files."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(2, 9)))
    number = st.floats(-1, 1, allow_nan=False, width=32)
    turn = rotation(draw(st.tuples(number, number, number, number).filter(lambda q: np.linalg.norm(q) > 0.1)))
    spacing = np.array(draw(st.tuples(*[st.floats(0.25, 8, width=32)] * 3)))
    signs = np.array(draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(signs) * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-900, 900, width=32)] * 3))
    quantity = draw(st.sampled_from([Quantity.HOUNSFIELD, Quantity.MR_SIGNAL]))
    faults = [GantryTilt(draw(st.floats(-35, 35)), draw(st.booleans()))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        faults.append(Positioned(draw(st.sampled_from(["HFP", "HFDR", "FFS", "FFDL"]))))
    faults += draw(st.lists(st.sampled_from([LongDecimals(), PerSliceRescale()]), unique=True))
    faults.append(draw(st.sampled_from([ShuffledOrder(), Enhanced(is_shuffled=True), Enhanced(is_shared=False)])))
    faults += draw(st.sampled_from([[], [OtherEncoding("implicit")], [OtherEncoding("big-endian")]]))
    return coded(quantity, shape=shape, affine=affine), tuple(faults)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(scans(), st.integers(0, 1000))
def test_every_voxel_is_where_it_was_imaged(tmp_path_factory, scan, seed):
    volume, faults = scan
    series = series_of(*faults, volume=volume, seed=seed)
    folder = tmp_path_factory.mktemp("scan")
    write_series(series, folder)
    (item,) = take_inventory([folder]).items
    assert item.verdict in ("accepted", "corrected"), item.reasons
    file = item.read()
    assert_same_voxels(file.volume.array, file.volume.grid, series.truth[0])
    tilts = [fault.degrees for fault in faults if isinstance(fault, GantryTilt)]
    assert file.volume.grid.is_sheared is series.truth[0].grid.is_sheared
    if item.verdict == "corrected":
        assert tilts
    if not tilts:
        assert item.verdict == "accepted"


def test_names_of_files_are_names_without_folders(tmp_path):
    series = series_of(ConflictingSlice())
    write_series(series, tmp_path / "deep" / "folder")
    (item,) = take_inventory([tmp_path]).items
    with pytest.raises(FormatError) as caught:
        item.read()
    assert "folder" not in str(caught.value).replace("--", "")
    for name in series.touched_by(ConflictingSlice):
        assert PurePosixPath(name).name in str(caught.value)


def test_the_tilted_grid_is_the_sheared_one(tmp_path):
    _, inventory = judged(tmp_path, RIGHT["tilt"])
    (item,) = inventory.items
    grid = item.read().volume.grid
    assert isinstance(grid, Grid)
    assert grid.is_sheared
    assert grid.spacing[2] == pytest.approx(3 / np.cos(np.radians(15)))
