import hashlib

import numpy as np
import pytest
import SimpleITK as sitk
from itk_oracle import assert_itk_agrees, itk_image
from stored_phantoms import OBLIQUE, SHORTS, axis_orders, gzipped, metaimage_text, rotated, world_ramp, zlibbed

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
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_every_axis_order_as_itk_writes_it(tmp_path, affine, name):
    ramp = world_ramp(affine, SHAPE).astype(np.float32)
    sitk.WriteImage(itk_image(ramp, affine), str(tmp_path / name), useCompression=bool(affine[0, 0] > 0))
    read = read_image(tmp_path / name, quantity=MR)
    np.testing.assert_allclose(read.volume.grid.affine, affine, atol=1e-9)
    np.testing.assert_allclose(read.volume.array, world_ramp(read.volume.grid.affine, SHAPE), atol=1e-3)
    assert_itk_agrees(tmp_path / name, read.volume)
    assert read.notices == (("The axes are not at right angles: the shear is kept.",) if affine is OBLIQUE else ())


@pytest.mark.parametrize(
    ("label", "stored"),
    [
        ("MET_CHAR", "i1"),
        ("MET_UCHAR", "u1"),
        ("MET_SHORT", "i2"),
        ("MET_USHORT", "u2"),
        ("MET_INT", "i4"),
        ("MET_UINT", "u4"),
        ("MET_LONG", "i4"),
        ("MET_ULONG", "u4"),
        ("MET_LONG_LONG", "i8"),
        ("MET_ULONG_LONG", "u8"),
        ("MET_FLOAT", "f4"),
        ("MET_DOUBLE", "f8"),
    ],
)
@pytest.mark.parametrize(("order", "msb"), [("<", "False"), (">", "True")])
def test_every_type_in_both_byte_orders_as_itk_reads_it(tmp_path, label, stored, order, msb):
    data = metaimage_text(ElementType=label, BinaryDataByteOrderMSB=msb) + SHORTS.astype(order + stored).tobytes("F")
    volume = read_volume(written(tmp_path / "a.mha", data), quantity=MR)
    np.testing.assert_array_equal(volume.array, SHORTS)
    assert_itk_agrees(tmp_path / "a.mha", volume)


@pytest.mark.parametrize("pack", [zlibbed, gzipped])
def test_compressed_voxels_inside_and_beside(tmp_path, pack):
    packed = pack(RAW)
    text = {"CompressedData": "True", "CompressedDataSize": str(len(packed))}
    inside = written(tmp_path / "a.mha", metaimage_text(**text) + packed)
    written(tmp_path / "a.zraw", packed)
    beside = written(tmp_path / "a.mhd", metaimage_text(**text, ElementDataFile="a.zraw"))
    for path in (inside, beside):
        volume = read_volume(path, quantity=MR)
        np.testing.assert_array_equal(volume.array, SHORTS)
        assert_itk_agrees(path, volume)


@pytest.mark.parametrize(
    ("fields", "tail", "files"),
    [
        ({"ElementDataFile": "all.raw"}, b"", {"all.raw": RAW}),
        ({"ElementDataFile": "./with a blank.raw"}, b"", {"with a blank.raw": RAW}),
        ({"ElementDataFile": "all.raw", "HeaderSize": "5"}, b"", {"all.raw": b"12345" + RAW}),
        ({"ElementDataFile": "all.raw", "HeaderSize": "-1"}, b"", {"all.raw": b"12345" + RAW}),
        ({"ElementDataFile": "LIST"}, b"x.raw\ny.raw\n", {"x.raw": RAW[:24], "y.raw": RAW[24:]}),
        ({"ElementDataFile": "LIST 2"}, b"x.raw\ny.raw\n", {"x.raw": RAW[:24], "y.raw": RAW[24:]}),
        ({"ElementDataFile": "s%03d.raw 8 10 2"}, b"", {"s008.raw": RAW[:24], "s010.raw": RAW[24:]}),
    ],
)
def test_voxels_beside_the_header(tmp_path, fields, tail, files):
    for name, data in files.items():
        written(tmp_path / name, data)
    header = metaimage_text(**fields) + tail
    path = written(tmp_path / "a.mhd", header)
    volume = read_volume(path, quantity=MR)
    np.testing.assert_array_equal(volume.array, SHORTS)
    assert volume.provenance.sources == tuple(hashlib.sha256(data).hexdigest() for data in (header, *files.values()))
    if "./" not in fields["ElementDataFile"]:
        assert_itk_agrees(path, volume)


@pytest.mark.parametrize("synonym", ["Position", "Origin"])
def test_synonyms_of_the_metaio_documentation(tmp_path, synonym):
    data = metaimage_text(Offset=None, TransformMatrix=None, Orientation="0 1 0 -1 0 0 0 0 1", **{synonym: "1 2 3"})
    volume = read_volume(written(tmp_path / "a.mha", data + RAW), quantity=MR)
    # The first three numbers are the direction of the first axis, in LPS.
    np.testing.assert_array_equal(volume.grid.affine[:3], [[0, 2, 0, -1], [-1, 0, 0, -2], [0, 0, 3, 3]])


@pytest.mark.parametrize("missing", ["ElementSpacing", "TransformMatrix"])
def test_header_without_a_place_is_refused_unless_axes_are_assumed(tmp_path, missing):
    path = written(tmp_path / "a.mha", metaimage_text(**{missing: None}) + RAW)
    with pytest.raises(FormatError, match=rf"a\.mha: .*the header has no {missing}.*--assume-axes"):
        read_image(path, quantity=MR)
    read = read_image(path, quantity=MR, assume_axes=True)
    assert len(read.notices) == 1
    if missing == "ElementSpacing":
        assert read.volume.grid.spacing == (1.0, 1.0, 1.0)
        assert read.volume.grid.origin == (-10.0, -20.0, 30.0)
    else:
        np.testing.assert_array_equal(read.volume.grid.affine, np.diag([1.0, 2.0, 3.0, 1.0]))


def test_element_size_is_the_spacing_where_none_is_stated(tmp_path):
    path = written(tmp_path / "a.mha", metaimage_text(ElementSpacing=None, ElementSize="1 2 3") + RAW)
    volume = read_volume(path, quantity=MR)
    assert volume.grid.spacing == (1.0, 2.0, 3.0)
    assert_itk_agrees(path, volume)


@pytest.mark.parametrize(
    ("fields", "notice"),
    [
        ({"Offset": None}, "The file does not state its position: its first voxel was put at the origin."),
        ({"CenterOfRotation": "5 0 0"}, "CenterOfRotation was ignored, as ITK does."),
        ({"AnatomicalOrientation": "LPS"}, "AnatomicalOrientation says LPS and the matrix RAI: the matrix is used."),
        ({"AnatomicalOrientation": "???"}, None),
        ({"AnatomicalOrientation": None}, None),
        ({"TransformMatrix": "2 0 0 0 1 0 0 0 1"}, "The rows of TransformMatrix are not of length 1"),
    ],
)
def test_what_was_corrected_is_told_and_is_what_itk_does(tmp_path, fields, notice):
    path = written(tmp_path / "a.mha", metaimage_text(**fields) + RAW)
    read = read_image(path, quantity=MR)
    assert len(read.notices) == (notice is not None)
    assert not notice or read.notices[0].startswith(notice)
    assert_itk_agrees(path, read.volume)


def test_modality_and_mark_are_read_from_the_metadata(tmp_path):
    read = read_image(written(tmp_path / "a.mha", metaimage_text(Modality="MET_MOD_CT") + RAW), quantity=MR)
    assert (read.modality_hint, read.is_marked_synthetic) == ("CT", False)
    read = read_image(written(tmp_path / "b.mha", metaimage_text(Comment="SYNTHETIC by x") + RAW), quantity=MR)
    assert (read.modality_hint, read.is_marked_synthetic) == (None, True)
    written(tmp_path / "synthetic.raw", RAW)
    read = read_image(written(tmp_path / "c.mhd", metaimage_text(ElementDataFile="synthetic.raw")), quantity=MR)
    assert not read.is_marked_synthetic


REFUSED = {
    "slice": ({"NDims": "2", "DimSize": "4 6"}, "one scalar volume has three axes: found 2"),
    "series": ({"NDims": "4", "DimSize": "4 3 1 2"}, "one scalar volume has three axes: found 4"),
    "no axis": ({"NDims": "0"}, "an image has 1 to 7 axes: NDims says 0"),
    "half an axis": ({"NDims": "2.5"}, "NDims needs a whole number: found '2.5'"),
    "color": ({"ElementNumberOfChannels": "3"}, "one number a voxel is needed: found 3 channels"),
    "array": ({"ElementType": "MET_SHORT_ARRAY"}, "one number a voxel"),
    "odd type": ({"ElementType": "MET_HALF"}, "ElementType must be one of MET_CHAR"),
    "text": ({"BinaryData": "False"}, "voxels as text are not read"),
    "slope": ({"ElementToIntensityFunctionSlope": "2"}, "scales them by 2 and adds 0, which ITK ignores"),
    "shift": ({"ElementToIntensityFunctionOffset": "-1024"}, "scales them by 1 and adds -1024"),
    "no flag": ({"CompressedData": "Maybe"}, "CompressedData must be True or False"),
    "negative spacing": ({"ElementSpacing": "-1 2 3"}, "ElementSpacing needs positive lengths: found -1 2 3"),
    "zero spacing": ({"ElementSpacing": "1 0 3"}, "ElementSpacing needs positive lengths"),
    "two spacings": ({"ElementSpacing": "1 2"}, "ElementSpacing needs 3 finite numbers: found '1 2'"),
    "nan spacing": ({"ElementSpacing": "1 2 nan"}, "ElementSpacing needs 3 finite numbers"),
    "word": ({"Offset": "a b c"}, "Offset needs 3 finite numbers: found 'a b c'"),
    "underscore": ({"Offset": "1_0 2 3"}, "Offset needs 3 finite numbers"),
    "singular": ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "the geometry of the header is unusable: its axes"),
    "zeros": ({"TransformMatrix": "0 0 0 0 1 0 0 0 1"}, "unusable: it gives a voxel of 0 x 2 x 3 mm"),
    "short matrix": ({"TransformMatrix": "1 0 0 1"}, "TransformMatrix needs 9 finite numbers"),
    "empty axis": ({"DimSize": "4 0 2"}, "DimSize needs positive whole numbers: found '4 0 2'"),
    "fraction": ({"DimSize": "4 3 2.5"}, "DimSize needs positive whole numbers"),
    "absurd": ({"DimSize": "4000000 3000000 2"}, "declares 48000000000000 bytes of voxels, the file holds 48"),
    "short": ({"DimSize": "4 3 3"}, "declares 72 bytes of voxels, the file holds 48"),
    "long": ({"DimSize": "4 3 1"}, "hold 24 bytes more"),
    "no size": ({"DimSize": None}, "the header needs DimSize"),
    "no type": ({"ElementType": None}, "the header needs ElementType"),
    "tube": ({"ObjectType": "Tube"}, "an image is needed"),
    "skip": ({"HeaderSize": "4"}, "HeaderSize must not be 4"),
    "not packed": ({"CompressedData": "True"}, r"a\.mha: the .* damaged"),
    "parent": ({"ElementDataFile": "../a.raw"}, r"must lie in the same folder: it names 'a\.raw' elsewhere"),
    "absolute": ({"ElementDataFile": "/home/someone/a.raw"}, r"it names 'a\.raw' elsewhere"),
    "Windows": ({"ElementDataFile": "C:\\someone\\a.raw"}, r"it names 'a\.raw' elsewhere"),
    "subfolder": ({"ElementDataFile": "below/a.raw"}, "must lie in the same folder"),
    "nothing": ({"ElementDataFile": ""}, "must lie in the same folder"),
    "dots": ({"ElementDataFile": ".."}, "must lie in the same folder"),
    "missing": ({"ElementDataFile": "b.raw"}, r"its data file b\.raw is missing"),
    "slabs": ({"ElementDataFile": "LIST 3"}, "a LIST of data files must have one slice each"),
    "two fields": ({"ElementDataFile": "a%d%d.raw 1 2 1"}, "needs one field such as %03d"),
    "string field": ({"ElementDataFile": "a%s.raw 1 2 1"}, "needs one field such as %03d"),
    "wide field": ({"ElementDataFile": "a%999999999d 1 2 1"}, "needs one field such as %03d"),
    "many": ({"ElementDataFile": "a%d.raw 1 999999999 1"}, "2 data files are needed: the header numbers 999999999"),
    "no step": ({"ElementDataFile": "a%d.raw 1 2 0"}, "the header numbers 0"),
}


@pytest.mark.parametrize(("fields", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_header_that_is_no_scalar_volume_with_a_place_is_refused(tmp_path, fields, sentence):
    path = written(tmp_path / "a.mha", metaimage_text(**fields) + RAW)
    with pytest.raises(FormatError, match=sentence) as caught:
        read_image(path, quantity=MR)
    assert str(caught.value).startswith("a.mha")
    for secret in (str(tmp_path), "/home", "someone"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"NDims 3\n",
        metaimage_text()[:100],
        metaimage_text().replace(b"ElementDataFile = LOCAL\n", b""),
        b"NDims = 3\n" + metaimage_text(),
        b"\0" * 2000,
    ],
    ids=["no equals", "cut", "no end", "twice", "zeros"],
)
def test_damaged_header_is_refused(tmp_path, data):
    with pytest.raises(FormatError, match=r"^a\.mha is not a MetaImage file, or its header is damaged"):
        read_image(written(tmp_path / "a.mha", data), quantity=MR)


def test_list_of_too_few_files_is_refused(tmp_path):
    written(tmp_path / "x.raw", RAW[:24])
    path = written(tmp_path / "a.mhd", metaimage_text(ElementDataFile="LIST") + b"x.raw\n")
    with pytest.raises(FormatError, match=r"^a\.mhd: 2 data files are needed, one a slice: the header lists 1"):
        read_image(path, quantity=MR)


def test_compressed_list_is_refused(tmp_path):
    written(tmp_path / "x.raw", RAW[:24])
    written(tmp_path / "y.raw", RAW[24:])
    text = metaimage_text(ElementDataFile="LIST", CompressedData="True")
    with pytest.raises(FormatError, match="compressed voxels must be in one file: the header lists 2"):
        read_image(written(tmp_path / "a.mhd", text + b"x.raw\ny.raw\n"), quantity=MR)


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_truncated_voxels_are_refused(tmp_path, cut):
    packed = zlibbed(RAW)
    for data in (metaimage_text() + RAW[:-cut], metaimage_text(CompressedData="True") + packed[:-cut]):
        with pytest.raises(FormatError, match=r"^a\.mha: the (header declares 48|compressed data end early)"):
            read_image(written(tmp_path / "a.mha", data), quantity=MR)


@pytest.mark.parametrize("affine", [*axis_orders(), rotated()], ids=lambda a: str(a[:3, :3].tolist()))
def test_written_file_is_what_itk_reads(tmp_path, affine):
    volume = Volume(world_ramp(affine, SHAPE).astype(np.float32), Grid(SHAPE, affine), MR)
    path = write_volume(volume, tmp_path / "a.mha")
    assert_itk_agrees(path, volume)
    read = read_image(path, quantity=MR)
    np.testing.assert_allclose(read.volume.grid.affine, affine, atol=1e-12)
    np.testing.assert_array_equal(read.volume.array, volume.array)
    assert read.notices == ()


def test_hounsfield_units_become_shorts(tmp_path):
    volume = Volume(np.full(SHAPE, -999.6, np.float32), Grid(SHAPE, np.eye(4)), Quantity.HOUNSFIELD)
    image = sitk.ReadImage(str(write_volume(volume, tmp_path / "a.mha")))
    assert image.GetPixelIDTypeAsString() == "16-bit signed integer"
    assert image.GetPixel(0, 0, 0) == -1000


def test_sheared_grid_is_sent_to_nifti(tmp_path):
    volume = Volume(np.zeros(SHAPE, np.float32), Grid(SHAPE, OBLIQUE), MR)
    with pytest.raises(OutputError, match=r"a\.mha: .*write \.nii\.gz instead"):
        write_volume(volume, tmp_path / "a.mha")
    assert list(tmp_path.iterdir()) == []
