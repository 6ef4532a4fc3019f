import hashlib

import numpy as np
import pytest
import SimpleITK as sitk
from itk_oracle import assert_itk_agrees, itk_image
from stored_phantoms import OBLIQUE, SHORTS, axis_orders, gzipped, nrrd_text, rotated, world_ramp

from medgan.errors import FormatError, OutputError
from medgan.formats import read_image, read_volume, write_volume
from medgan.geometry import Grid
from medgan.volume import Quantity, Volume

MR = Quantity.MR_SIGNAL
RAW = SHORTS.tobytes(order="F")
SHAPE = (4, 3, 2)


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("affine", [*axis_orders(), rotated(), OBLIQUE], ids=lambda a: str(a[:3, :3].tolist()))
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_every_axis_order_as_itk_writes_it(tmp_path, affine, name):
    ramp = world_ramp(affine, SHAPE).astype(np.float32)
    sitk.WriteImage(itk_image(ramp, affine), str(tmp_path / name), useCompression=bool(affine[0, 0] > 0))
    read = read_image(tmp_path / name, quantity=MR)
    np.testing.assert_allclose(read.volume.grid.affine, affine, atol=1e-9)
    np.testing.assert_allclose(read.volume.array, world_ramp(read.volume.grid.affine, SHAPE), atol=1e-3)
    assert_itk_agrees(tmp_path / name, read.volume)
    assert read.notices == (("The axes are not at right angles: the shear is kept.",) if affine is OBLIQUE else ())


@pytest.mark.parametrize(
    ("space", "flips"),
    [
        ("left-posterior-superior", (-1, -1)),
        ("LPS", (-1, -1)),
        ("right-anterior-superior", (1, 1)),
        ("RAS", (1, 1)),
        ("left-anterior-superior", (-1, 1)),
        ("LAS", (-1, 1)),
        ("Right-Anterior-Superior", (1, 1)),
    ],
)
def test_space_of_a_patient_is_turned_to_ras(tmp_path, space, flips):
    data = nrrd_text(space=space, space_directions="(1,0.5,0) (-1,2,0) (0,0,3)") + RAW
    read = read_image(written(tmp_path / "a.nrrd", data), quantity=MR)
    expected = np.array([[1, -1, 0, 10], [0.5, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1.0]])
    np.testing.assert_allclose(read.volume.grid.affine, np.diag([*flips, 1, 1]) @ expected)
    assert read.notices == ()
    assert_itk_agrees(tmp_path / "a.nrrd", read.volume)


@pytest.mark.parametrize(
    "fields",
    [
        {"space": "scanner-xyz"},
        {"space": "3D-right-handed"},
        {"space": "3D-left-handed"},
        {"space": None, "space_dimension": "3"},
        {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 2 3"},
        {"space": "right-anterior-superior-time"},
        {"space_directions": None, "spacings": "1 2 3"},
    ],
)
def test_header_without_a_place_is_refused_unless_axes_are_assumed(tmp_path, fields):
    path = written(tmp_path / "a.nrrd", nrrd_text(**fields) + RAW)
    with pytest.raises(FormatError, match=r"a\.nrrd: an image must say where its voxels lie: .*--assume-axes"):
        read_image(path, quantity=MR)
    read = read_image(path, quantity=MR, assume_axes=True)
    np.testing.assert_array_equal(read.volume.grid.affine, np.diag([1.0, 2.0, 3.0, 1.0]))
    assert len(read.notices) == 1
    assert "Left and right may be swapped" in read.notices[0]


@pytest.mark.parametrize("spacings", [None, "1 2", "1 2 nan", "0 1 1", "-1 1 1"])
def test_axes_are_not_assumed_without_a_voxel_size(tmp_path, spacings):
    data = nrrd_text(space=None, space_directions=None, spacings=spacings) + RAW
    with pytest.raises(FormatError, match=r"a\.nrrd: (axes can only be assumed|spacings need)"):
        read_image(written(tmp_path / "a.nrrd", data), quantity=MR, assume_axes=True)


@pytest.mark.parametrize(
    ("units", "factor", "notices"),
    [
        ('"mm" "mm" "mm"', 1.0, 0),
        ('"" "" ""', 1.0, 0),
        ('"um" "um" "um"', 1e-3, 1),
        ('"microns" "microns" "microns"', 1e-3, 1),
        ('"m" "m" "m"', 1e3, 1),
        ('"cm" "cm" "cm"', 10.0, 1),
    ],
)
def test_units_of_the_space_are_converted(tmp_path, units, factor, notices):
    read = read_image(written(tmp_path / "a.nrrd", nrrd_text(space_units=units) + RAW), quantity=MR)
    np.testing.assert_allclose(read.volume.grid.spacing, np.array([1, 2, 3]) * factor)
    np.testing.assert_allclose(read.volume.grid.origin, np.array([-10, -20, 30]) * factor)
    assert len(read.notices) == notices


@pytest.mark.parametrize(
    ("label", "stored"),
    [
        ("signed char", "i1"),
        ("unsigned char", "u1"),
        ("uint8_t", "u1"),
        ("short", "i2"),
        ("unsigned short", "u2"),
        ("int", "i4"),
        ("uint", "u4"),
        ("long long int", "i8"),
        ("unsigned long long int", "u8"),
        ("float", "f4"),
        ("double", "f8"),
    ],
)
@pytest.mark.parametrize(("order", "endian"), [("<", "little"), (">", "big")])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_every_type_in_both_byte_orders_as_itk_reads_it(tmp_path, label, stored, order, endian, encoding):
    data = SHORTS.astype(order + stored).tobytes("F")
    text = nrrd_text(type=label, endian=endian, encoding=encoding)
    volume = read_volume(
        written(tmp_path / "a.nrrd", text + (gzipped(data) if encoding == "gzip" else data)), quantity=MR
    )
    np.testing.assert_array_equal(volume.array, SHORTS)
    assert_itk_agrees(tmp_path / "a.nrrd", volume)


def test_lines_may_end_as_in_windows_and_fields_may_be_written_together(tmp_path):
    text = nrrd_text("# a comment: with a colon", "datafile: all.raw", "byteskip: 2").replace(b"\n", b"\r\n")
    written(tmp_path / "all.raw", b"--" + RAW)
    np.testing.assert_array_equal(read_volume(written(tmp_path / "a.nhdr", text), quantity=MR).array, SHORTS)


@pytest.mark.parametrize(
    ("lines", "files", "itk_reads"),
    [
        (["data file: all.raw"], {"all.raw": RAW}, True),
        (["data file: ./all.raw"], {"all.raw": RAW}, True),
        (["byte skip: 5", "data file: all.raw"], {"all.raw": b"12345" + RAW}, True),
        (["byte skip: -1", "data file: all.raw"], {"all.raw": b"12345" + RAW}, True),
        (["line skip: 2", "data file: all.raw"], {"all.raw": b"one\ntwo\n" + RAW}, True),
        (["line skip: 1", "byte skip: 2", "data file: all.raw"], {"all.raw": b"one\n12" + RAW}, True),
        (["encoding: gzip", "data file: all.gz"], {"all.gz": gzipped(RAW)}, True),
        (["encoding: gzip", "byte skip: 3", "data file: all.gz"], {"all.gz": gzipped(b"123" + RAW)}, True),
        (["data file: LIST", "x.raw", "y.raw"], {"x.raw": RAW[:24], "y.raw": RAW[24:]}, True),
        (["data file: s%03d.raw 8 10 2"], {"s008.raw": RAW[:24], "s010.raw": RAW[24:]}, True),
        (["data file: s%d.raw 10 8 -2 2"], {"s10.raw": RAW[:24], "s8.raw": RAW[24:]}, True),
        (["encoding: gzip", "data file: LIST", "x", "y"], {"x": gzipped(RAW[:24]), "y": gzipped(RAW[24:])}, True),
    ],
)
def test_voxels_beside_the_header(tmp_path, lines, files, itk_reads):
    for name, data in files.items():
        written(tmp_path / name, data)
    fields = {"encoding": None} if any(line.startswith("encoding") for line in lines) else {}
    header = nrrd_text(*lines, end="", **fields)
    path = written(tmp_path / "a.nhdr", header)
    volume = read_volume(path, quantity=MR)
    np.testing.assert_array_equal(volume.array, SHORTS)
    assert volume.provenance.sources == tuple(hashlib.sha256(data).hexdigest() for data in (header, *files.values()))
    if itk_reads:
        assert_itk_agrees(path, volume)


def test_missing_origin_is_told(tmp_path):
    read = read_image(written(tmp_path / "a.nrrd", nrrd_text(space_origin=None) + RAW), quantity=MR)
    assert read.notices == ("The file does not state its position: its first voxel was put at the origin.",)


@pytest.mark.parametrize(
    ("lines", "hint", "marked"),
    [
        (["modality:=CT"], "CT", False),
        (["DICOM_0008_0060:=MR"], "MR", False),
        (["modality:=someone"], None, False),
        (["content: a synthetic CT"], None, True),
        (["note:=SYNTHETIC, see report"], None, True),
        (["# SYNTHETIC"], None, True),
    ],
)
def test_modality_and_mark_are_read_from_the_metadata(tmp_path, lines, hint, marked):
    read = read_image(written(tmp_path / "a.nrrd", nrrd_text(*lines) + RAW), quantity=MR)
    assert (read.modality_hint, read.is_marked_synthetic) == (hint, marked)
    assert read.volume.provenance.is_synthetic is marked


REFUSED = {
    "slice": ({"dimension": "2", "sizes": "4 6"}, "one scalar volume has three axes: found 2"),
    "vector": ({"dimension": "4", "sizes": "3 4 2 1"}, "one scalar volume has three axes: found 4"),
    "no axis": ({"dimension": "0"}, "an image has 1 to 16 axes: dimension says 0"),
    "sizes": ({"sizes": "4 3"}, "sizes needs 3 finite numbers: found '4 3'"),
    "empty axis": ({"sizes": "4 0 2"}, "sizes needs positive whole numbers"),
    "color": ({"kinds": "RGB-color domain domain"}, "an axis is no direction in space"),
    "list": ({"kinds": "domain domain list"}, "an axis is no direction in space"),
    "no direction": ({"space_directions": "none (0,1,0) (0,0,2)"}, "an axis is no direction in space"),
    "two directions": ({"space_directions": "(0,1,0) (0,0,2)"}, "space directions needs 3 vectors"),
    "short vector": ({"space_directions": "(1,0) (0,1,0) (0,0,2)"}, "space directions needs 3 finite numbers"),
    "nan vector": ({"space_directions": "(nan,0,0) (0,1,0) (0,0,2)"}, "space directions needs 3 finite numbers"),
    "words": ({"space_directions": "a (1,0,0) (0,1,0) (0,0,2)"}, "space directions needs 3 vectors"),
    "singular": ({"space_directions": "(1,0,0) (1,0,0) (0,0,2)"}, "unusable: its axes do not span space"),
    "zero vector": ({"space_directions": "(0,0,0) (0,1,0) (0,0,2)"}, "it gives a voxel of 0 x 1 x 2 mm"),
    "origin": ({"space_origin": "(1,2)"}, "space origin needs 3 finite numbers"),
    "far away": ({"space_origin": "(1,2,1e99)"}, r"it holds a length of 1e\+99 mm"),
    "furlongs": ({"space_units": '"furlong" "furlong" "furlong"'}, "one known unit of length"),
    "mixed units": ({"space_units": '"mm" "mm" "um"'}, "one known unit of length"),
    "block": ({"type": "block"}, "type must be one of signed char"),
    "no type": ({"type": None}, "the header needs 'type'"),
    "no encoding": ({"encoding": None}, "the header needs 'encoding'"),
    "endian": ({"endian": None}, "the header must say endian: little or big"),
    "middle": ({"endian": "middle"}, "the header must say endian"),
    "ascii": ({"encoding": "ascii"}, "encoding must be raw or gzip"),
    "bzip2": ({"encoding": "bz2"}, "encoding must be raw or gzip"),
    "not packed": ({"encoding": "gzip"}, "compressed data is damaged|end early"),
    "absurd": ({"sizes": "4000000 3000000 2"}, "declares 48000000000000 bytes of voxels, the file holds 48"),
    "short": ({"sizes": "4 3 3"}, "declares 72 bytes of voxels, the file holds 48"),
    "long": ({"sizes": "4 3 1"}, "hold 24 bytes more"),
    "lines": ({"line_skip": "3"}, "3 lines are to be skipped before the voxels: the file has fewer"),
    "negative lines": ({"line_skip": "-1"}, "must not be negative"),
    "bytes": ({"byte_skip": "-2"}, "must not be negative"),
    "parent": ({"data_file": "../a.raw"}, r"must lie in the same folder: it names 'a\.raw' elsewhere"),
    "absolute": ({"data_file": "/home/someone/a.raw"}, r"it names 'a\.raw' elsewhere"),
    "missing": ({"data_file": "b.raw"}, r"its data file b\.raw is missing"),
    "slabs": ({"data_file": "a%d.raw 1 1 1 3"}, "each of several data files must hold one slice"),
    "many": ({"data_file": "a%d.raw 1 999999999 1"}, "2 data files are needed: the header numbers 999999999"),
    "string field": ({"data_file": "a%s.raw 1 2 1"}, "needs one field such as %03d"),
}


@pytest.mark.parametrize(("fields", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_header_that_is_no_scalar_volume_with_a_place_is_refused(tmp_path, fields, sentence):
    path = written(tmp_path / "a.nrrd", nrrd_text(**fields) + RAW)
    with pytest.raises(FormatError, match=sentence) as caught:
        read_image(path, quantity=MR)
    assert str(caught.value).startswith("a.nrrd")
    for secret in (str(tmp_path), "/home", "someone"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"NRRD0009\n\n", "is not a NRRD file"),
        (b"\x89PNG", "is not a NRRD file"),
        (nrrd_text(end=""), r"has no end \(an empty line\) and names no data file"),
        (nrrd_text("dimension: 3") + RAW, "each field once"),
        (nrrd_text("nonsense") + RAW, "it needs lines 'field: value'"),
        (nrrd_text("data file: LIST", "x.raw", end=""), r"its data file|2 data files are needed"),
    ],
)
def test_damaged_header_is_refused(tmp_path, data, sentence):
    with pytest.raises(FormatError, match=sentence):
        read_image(written(tmp_path / "a.nrrd", data), quantity=MR)


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_truncated_voxels_are_refused(tmp_path, cut):
    for data in (nrrd_text() + RAW[:-cut], nrrd_text(encoding="gzip") + gzipped(RAW)[:-cut]):
        with pytest.raises(FormatError, match=r"^a\.nrrd: the (header declares 48|compressed data end early)"):
            read_image(written(tmp_path / "a.nrrd", data), quantity=MR)


@pytest.mark.parametrize("affine", [*axis_orders(), rotated()], ids=lambda a: str(a[:3, :3].tolist()))
def test_written_file_is_what_itk_reads(tmp_path, affine):
    volume = Volume(world_ramp(affine, SHAPE).astype(np.float32), Grid(SHAPE, affine), MR)
    path = write_volume(volume, tmp_path / "a.nrrd")
    assert_itk_agrees(path, volume)
    read = read_image(path, quantity=MR)
    np.testing.assert_allclose(read.volume.grid.affine, affine, atol=1e-12)
    np.testing.assert_array_equal(read.volume.array, volume.array)
    assert read.notices == ()


def test_sheared_grid_is_sent_to_nifti(tmp_path):
    volume = Volume(np.zeros(SHAPE, np.float32), Grid(SHAPE, OBLIQUE), MR)
    with pytest.raises(OutputError, match=r"a\.nrrd: .*write \.nii\.gz instead"):
        write_volume(volume, tmp_path / "a.nrrd")
    assert list(tmp_path.iterdir()) == []
