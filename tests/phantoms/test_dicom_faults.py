"""What is planted in a DICOM series is there, as pydicom reads it, and nothing else has changed."""

from __future__ import annotations

import io
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pydicom
import pytest
from dicom_phantoms import (
    OBLIQUE,
    SHAPE,
    affine_of,
    assert_values,
    coded,
    datasets,
    heights,
    positions,
    read,
    series_of,
    values,
)

from medgan.errors import GeometryError, VolumeError
from medgan.geometry import Grid
from medgan.phantoms import dicom_header_faults as header_faults
from medgan.phantoms.dicom_baggage import IconImage, LongPrivate, LostVr, OpenSequences, TrailingPadding
from medgan.phantoms.dicom_companions import JunkFiles, Localizer
from medgan.phantoms.dicom_folder import write_archive
from medgan.phantoms.dicom_geometry_faults import (
    ConflictingSlice,
    DuplicateSlice,
    GantryTilt,
    MixedPixelSpacing,
)
from medgan.phantoms.dicom_header_faults import (
    AlteredElement,
    EmptyClassInMeta,
    ImagerSpacing,
    LongDecimals,
    OtherEncoding,
    ShuffledOrder,
    UnknownSyntax,
    WithoutPreamble,
)
from medgan.phantoms.dicom_identity import IdentityMarkers
from medgan.phantoms.dicom_pixel_faults import (
    Compressed,
    GarbageHighBits,
    MixedMatrix,
    PaddingOutsideCircle,
    PerSliceRescale,
    RgbPixels,
    ShiftedBits,
    TruncatedPixels,
)
from medgan.phantoms.dicom_series import dicom_series
from medgan.phantoms.dicom_slices import PixelForm
from medgan.phantoms.dicom_stacks import (
    SeveralEchoes,
)
from medgan.volume import Quantity, Volume


@pytest.mark.parametrize("quantity", [Quantity.HOUNSFIELD, Quantity.MR_SIGNAL])
def test_a_clean_series_has_one_file_a_slice_at_its_place(quantity):
    series = series_of(volume=coded(quantity))
    assert [f.name for f in series.files] == [f"IM_{n:04d}.dcm" for n in range(1, 7)]
    assert_values(series)
    assert np.allclose(positions(series) * [-1, -1, 1], [series.truth[0].grid.world([0, 0, k]) for k in range(6)])
    first = read(series.slices[0])
    assert [float(x) for x in first.PixelSpacing] == [2.0, 1.5]
    assert (first.Rows, first.Columns) == (7, 9)
    assert first.Modality == {"hounsfield": "CT", "mr_signal": "MR"}[quantity.label]
    assert ("RescaleSlope" in first) is (first.Modality == "CT")
    assert len({d.SOPInstanceUID for d in datasets(series)}) == 6
    assert len({d.SeriesInstanceUID for d in datasets(series)}) == 1


def test_the_same_generator_gives_the_same_bytes_and_another_gives_others(tmp_path):
    faults = (SeveralEchoes(), ShuffledOrder(), GarbageHighBits(), JunkFiles(), Localizer())
    volume = coded(Quantity.MR_SIGNAL, most=3000)
    one, two, other = (series_of(*faults, volume=volume, seed=seed) for seed in (5, 5, 6))
    assert [(f.name, f.as_bytes) for f in one.files] == [(f.name, f.as_bytes) for f in two.files]
    assert [f.as_bytes for f in one.files] != [f.as_bytes for f in other.files]
    assert write_archive(one, tmp_path / "1.zip").read_bytes() == write_archive(two, tmp_path / "2.zip").read_bytes()


def test_faults_and_plans_are_frozen_and_say_which_files_they_touched():
    series = series_of(ConflictingSlice())
    with pytest.raises(FrozenInstanceError):
        series.slices = ()
    with pytest.raises(FrozenInstanceError):
        ConflictingSlice().x = 1
    assert series.faults == (ConflictingSlice(),)
    assert len(series.touched_by(ConflictingSlice)) == 2
    assert series.touched_by(DuplicateSlice) == ()


def test_planting_leaves_the_clean_plan_alone():
    clean = series_of()
    before = [f.as_bytes for f in clean.files]
    rng = np.random.default_rng(0)
    for fault in (ShuffledOrder(), LongDecimals(), GantryTilt(), RgbPixels(), IdentityMarkers(), OpenSequences()):
        fault(clean, rng)
    assert [f.as_bytes for f in clean.files] == before


@pytest.mark.parametrize(
    ("volume", "error", "words"),
    [
        (lambda: replace(coded(), quantity=Quantity.NORMALIZED), VolumeError, "a CT or an MR"),
        (
            lambda: coded(affine=affine_of() + np.eye(4)[[1, 0, 2, 3]] * [[1], [0], [0], [0]]),
            GeometryError,
            "right angles",
        ),
        (
            lambda: Volume(np.zeros(SHAPE), Grid(SHAPE, np.eye(4), "nm", "specimen"), Quantity.MR_SIGNAL),
            GeometryError,
            "nm",
        ),
        (lambda: Volume(np.full(SHAPE, -1.0), Grid(SHAPE, np.eye(4)), Quantity.MR_SIGNAL), VolumeError, "-1"),
    ],
)
def test_a_volume_that_is_no_series_is_refused(volume, error, words):
    with pytest.raises(error, match=words):
        series_of(volume=volume())


def test_shuffled_order_permutes_numbers_locations_and_names_apart():
    series = series_of(ShuffledOrder())
    d = datasets(series)
    by_height = np.argsort(heights(series)).tolist()
    for order in (
        np.argsort([int(x.InstanceNumber) for x in d]).tolist(),
        np.argsort([float(x.SliceLocation) for x in d]).tolist(),
        np.argsort([f.name for f in series.slices]).tolist(),
    ):
        assert order not in (by_height, by_height[::-1])
    clean = {tuple(x.ImagePositionPatient): x.PixelData for x in datasets(series_of())}
    assert {tuple(x.ImagePositionPatient): x.PixelData for x in d} == clean


@pytest.mark.parametrize(
    ("encoding", "uid"),
    [("implicit", "1.2.840.10008.1.2"), ("big-endian", "1.2.840.10008.1.2.2"), ("deflated", "1.2.840.10008.1.2.1.99")],
)
def test_other_encodings(encoding, uid):
    series = series_of(OtherEncoding(encoding))
    assert {d.file_meta.TransferSyntaxUID for d in datasets(series)} == {uid}
    assert_values(series)


def test_an_unknown_syntax_stands_in_the_meta_information():
    assert read(series_of(UnknownSyntax()).slices[0]).file_meta.TransferSyntaxUID == UnknownSyntax().uid


def test_long_decimals_are_longer_than_allowed_and_have_the_same_value():
    data = series_of(LongDecimals(), volume=coded(affine=affine_of(turn=OBLIQUE))).slices[2].as_bytes
    assert b"+1.50000000000000000000" in data
    clean = read(series_of(volume=coded(affine=affine_of(turn=OBLIQUE))).slices[2])
    with pydicom.config.disable_value_validation():
        long = pydicom.dcmread(io.BytesIO(data))
        for keyword in LongDecimals().keywords:
            assert np.allclose(np.array(long[keyword].value, float), np.array(clean[keyword].value, float), atol=1e-12)


def test_an_empty_class_stands_in_the_meta_information_alone():
    d = read(series_of(EmptyClassInMeta()).slices[0])
    assert d.file_meta.MediaStorageSOPClassUID == ""
    assert d.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_bare_data_sets_begin_with_their_first_element():
    data = series_of(WithoutPreamble()).slices[0].as_bytes
    assert data[:4] == b"\x08\x00\x05\x00"
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    assert not dataset.file_meta
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    assert np.array_equal(values(dataset).T, coded().array[:, :, 0])


@pytest.mark.parametrize("code", ["rle", "jpeg-lossless", "jpeg-lossless-first-order", "jpeg-ls", "jpeg-2000"])
@pytest.mark.parametrize("form", [PixelForm(16, False, 1.0, -1024.0), PixelForm(16, True, 1.0, -24.0)], ids=repr)
def test_lossless_codes_give_the_same_values(code, form):
    series = series_of(Compressed(code), pixel_form=form)
    assert all(d.file_meta.TransferSyntaxUID.is_compressed for d in datasets(series))
    assert_values(series)


def test_lossy_jpeg_is_near_and_twelve_bits_have_no_decoder():
    volume = coded(Quantity.MR_SIGNAL, most=200)
    smooth = replace(volume, array=np.sort(volume.array, axis=0))
    d = read(series_of(Compressed("jpeg"), volume=smooth, pixel_form=PixelForm(8)).slices[0])
    assert np.abs(d.pixel_array.T - smooth.array[:, :, 0]).max() < 12
    large = coded(Quantity.MR_SIGNAL, shape=(32, 32, 2), most=4000)
    d = read(series_of(Compressed("jpeg-12-bit"), volume=large, pixel_form=PixelForm(12)).slices[0])
    with pytest.raises(RuntimeError, match="Unable to dec"):
        _ = d.pixel_array
    with pytest.raises(VolumeError, match="No encoder"):
        _ = series_of(Compressed("jpeg")).slices[0].as_bytes


def test_per_slice_rescale_differs_and_gives_the_same_values():
    series = series_of(PerSliceRescale())
    assert len({(d.RescaleSlope, d.RescaleIntercept) for d in datasets(series)}) > 2
    assert_values(series)


@pytest.mark.parametrize("signed", [False, True])
def test_garbage_lies_only_above_the_stored_bits(signed):
    form = PixelForm(16, signed, 1.0, 1024.0 if signed else -1024.0)
    series = series_of(GarbageHighBits(), volume=coded(most=2000), pixel_form=form)
    for k, d in enumerate(datasets(series)):
        raw = np.frombuffer(d.PixelData, "<u2").reshape(d.Rows, d.Columns)
        assert (d.BitsStored, d.HighBit) == (12, 11)
        assert (raw >> 12).min() > 0
        stored = (raw & 0xFFF).astype(int)
        stored = np.where(stored >= 2048, stored - 4096, stored) if signed else stored
        assert np.array_equal(stored.T + form.intercept, series.truth[0].array[:, :, k])
    with pytest.raises(VolumeError, match="12 bits"):
        series_of(GarbageHighBits(), volume=coded(shape=(40, 40, 4)))


def test_shifted_bits_lie_above_garbage():
    series = series_of(ShiftedBits(), volume=coded(most=2000))
    for k, d in enumerate(datasets(series)):
        raw = np.frombuffer(d.PixelData, "<u2").reshape(d.Rows, d.Columns)
        assert (d.BitsStored, d.HighBit) == (12, 15)
        assert np.array_equal((raw >> 4).T.astype(float) - 1024, series.truth[0].array[:, :, k])


@pytest.mark.parametrize("fault", [PaddingOutsideCircle(), PaddingOutsideCircle(is_tagged=False)], ids=repr)
def test_padding_fills_the_corners(fault):
    series = series_of(fault)
    for k, d in enumerate(datasets(series)):
        assert ("PixelPaddingValue" in d) is fault.is_tagged
        padded = d.pixel_array.T == -2000
        assert padded[0, 0]
        assert not padded[4, 3]
        assert 4 <= padded.sum() < padded.size / 2
        truth = series.truth[0].array[:, :, k]
        assert (truth[padded] == -1024).all()
        assert np.array_equal(truth[~padded], values(d).T[~padded])
    assert read(series_of(PaddingOutsideCircle(range_limit=-1990)).slices[0]).PixelPaddingRangeLimit == -1990


def test_truncated_pixels():
    series = series_of(TruncatedPixels("file"))
    (name,) = series.touched_by(TruncatedPixels)
    sizes = {f.name: len(f.as_bytes) for f in series.slices}
    assert sorted(sizes, key=sizes.get)[0] == name
    clean = {f.name: len(f.as_bytes) for f in series_of().slices}
    assert {n: clean[n] - sizes[n] for n in sizes if clean[n] != sizes[n]} == {name: 62}
    series = series_of(TruncatedPixels("element"))
    assert sorted(len(d.PixelData) for d in datasets(series)) == [64] + [126] * 5
    short = next(f for f in series_of(TruncatedPixels("element"), Compressed("rle")).slices if f.lost_pixel_bytes)
    with pytest.raises((ValueError, RuntimeError)):
        _ = read(short).pixel_array


def test_rgb_mixed_matrix_and_mixed_spacing():
    assert {d.pixel_array.shape for d in datasets(series_of(RgbPixels()))} == {(7, 9, 3)}
    assert sorted(d.Rows for d in datasets(series_of(MixedMatrix()))) == [6, 7, 7, 7, 7, 7]
    spacings = [float(d.PixelSpacing[0]) for d in datasets(series_of(MixedPixelSpacing()))]
    assert sorted(spacings) == [2.0] * 5 + [3.0]


def test_header_elements_go_missing_or_change():
    assert "Rows" not in read(series_of(header_faults.NO_ROWS).slices[0])
    series = series_of(header_faults.WithoutElements(("ImagePositionPatient",), only_one=True))
    assert sum("ImagePositionPatient" not in d for d in datasets(series)) == 1
    assert len(series.touched_by(header_faults.WithoutElements)) == 1
    series = series_of(AlteredElement("RescaleSlope", "0"), AlteredElement("PixelSpacing", ("1", "9"), only_one=True))
    assert {d.RescaleSlope for d in datasets(series)} == {0}
    assert sum(list(d.PixelSpacing) == [1, 9] for d in datasets(series)) == 1
    d = read(series_of(ImagerSpacing(2.0)).slices[0])
    assert [float(x) for x in d.ImagerPixelSpacing] == [4.0, 3.0]
    assert "PixelSpacing" not in read(series_of(ImagerSpacing(only=True)).slices[0])
    with pytest.raises(KeyError):
        series_of(AlteredElement("NoSuchElement", "1"))


def test_baggage_is_carried_and_the_image_stays():
    faults = (IconImage(), LongPrivate(2000), OpenSequences(), TrailingPadding())
    series = series_of(*faults)
    assert_values(series)
    d = read(series.slices[1])
    assert d.IconImageSequence[0].PixelData == bytes([1, 2, 3, 4])
    assert len(d[0x0009, 0x1010].value) == 2000
    assert d["IconImageSequence"].is_undefined_length
    data = series.slices[1].as_bytes
    assert data.index(b"\xfe\xff\xdd\xe0") > data.index(b"\xfe\xff\x0d\xe0")  # both delimiters are there
    assert data.index(b"\xfc\xff\xfc\xffOB") == len(data) - 126 - 12
    assert b"\xfe\xff\xdd\xe0" not in series_of(IconImage()).slices[1].as_bytes
    lost = series_of(LostVr()).slices[1].as_bytes
    at = lost.index(b"\x20\x00\x32\x00") + 4
    assert lost[at : at + 2] == b"UN"
    assert lost[at + 8 : at + 20].decode().startswith("12.5")


def test_generator_alone_decides_uids():
    volume = coded()
    one = dicom_series(volume, generator=np.random.default_rng(1))
    assert one.header == dicom_series(volume, generator=np.random.default_rng(1)).header
    assert one.header != dicom_series(volume, generator=np.random.default_rng(2)).header
