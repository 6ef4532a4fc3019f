import nibabel
import numpy as np
import pytest
from stored_phantoms import gzipped, nifti_bytes

from medgan.errors import FormatError
from medgan.formats import read_image
from medgan.volume import Quantity

SHAPE = (4, 5, 6)
ZEROS = np.zeros(SHAPE, np.uint8)
WHOLE = nifti_bytes(ZEROS)


def refusal(path, data, assume_axes=False):
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_image(path, quantity=Quantity.MR_SIGNAL, assume_axes=assume_axes)
    message = str(caught.value)
    assert path.name in message
    assert str(path.parent) not in message
    return message


FIELDS = {
    "series": ({"dim": [4, 4, 5, 6, 10, 1, 1, 1]}, "one volume is needed: found 4 x 5 x 6 x 10, a series of 10"),
    "vector": ({"dim": [5, 4, 5, 6, 1, 3, 1, 1]}, "one number a voxel is needed: found 4 x 5 x 6 x 1 x 3"),
    "seven axes": ({"dim": [7, 4, 5, 6, 1, 1, 1, 2]}, "one number a voxel"),
    "curve": ({"dim": [3, 120, 1, 1, 1, 1, 1, 1]}, "voxels along two axes at least: found 120 x 1 x 1"),
    "one axis": ({"dim": [1, 120, 1, 1, 1, 1, 1, 1]}, "voxels along two axes at least"),
    "one voxel": ({"dim": [3, 1, 1, 1, 1, 1, 1, 1]}, "voxels along two axes at least"),
    "no axis": ({"dim": [0, 4, 5, 6, 1, 1, 1, 1]}, "1 to 7 axes: the header says 0"),
    "eight axes": ({"dim": [8, 4, 5, 6, 1, 1, 1, 1]}, "1 to 7 axes: the header says 8"),
    "empty axis": ({"dim": [3, 4, 0, 6, 1, 1, 1, 1]}, "a voxel on each axis: found 4 x 0 x 6"),
    "negative axis": ({"dim": [3, 4, -5, 6, 1, 1, 1, 1]}, "a voxel on each axis: found 4 x -5 x 6"),
    "absurd size": ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "declares 35181150961663 bytes of voxels, the file"),
    "bits": ({"datatype": 1}, "found one bit a voxel"),
    "complex64": ({"datatype": 32}, "found complex numbers"),
    "complex128": ({"datatype": 1792}, "found complex numbers"),
    "complex256": ({"datatype": 2048}, "found complex numbers"),
    "rgb": ({"datatype": 128}, "found RGB colors"),
    "rgba": ({"datatype": 2304}, "found RGBA colors"),
    "float128": ({"datatype": 1536}, "found 128-bit floats"),
    "no type": ({"datatype": 0}, r"a type that does not exist \(NIfTI data type 0\)"),
    "odd type": ({"datatype": 77}, "a type that does not exist"),
    "displacement": ({"intent_code": 1006}, "a vector in each voxel"),
    "vector intent": ({"intent_code": 1007}, "a vector in each voxel"),
    "points": ({"intent_code": 1008}, "a surface"),
    "triangles": ({"intent_code": 1009}, "a surface"),
    "series intent": ({"intent_code": 2001}, "a time series or coefficients"),
    "FSL warp": ({"intent_code": 2006}, "a vector in each voxel"),
    "CIFTI dense": ({"intent_code": 3002}, r"CIFTI \(gray ordinates\) \(NIfTI intent 3002\)"),
    "CIFTI scalars": ({"intent_code": 3006}, "CIFTI"),
    "zero voxel": (
        {"sform_code": 0, "qform_code": 1, "pixdim": [1, 0, 1, 1, 1, 1, 1, 1]},
        "its voxel size is 0 x 1 x 1",
    ),
    "negative voxel": (
        {"sform_code": 0, "qform_code": 1, "pixdim": [1, 1, -2, 1, 1, 1, 1, 1]},
        "voxel size is 1 x -2 x 1",
    ),
    "nan voxel": (
        {"sform_code": 0, "qform_code": 1, "pixdim": [1, 1, np.nan, 1, 1, 1, 1, 1]},
        "voxel size is 1 x nan x 1",
    ),
    "no rotation": ({"sform_code": 0, "qform_code": 1, "quatern_b": 1.1}, "its quaternion is no rotation"),
    "nan rotation": ({"sform_code": 0, "qform_code": 1, "quatern_c": np.nan}, "its quaternion is no rotation"),
    "negative codes": ({"sform_code": -1, "qform_code": -3}, "no usable sform or qform. Both form codes are 0"),
    "singular": (
        {"srow_y": [0, 1, 1, 0], "srow_z": [0, 2, 2, 0]},
        "The sform is unusable and was ignored: its axes do not span space",
    ),
    "infinite": ({"srow_y": [0, np.inf, 0, 0]}, "it holds NaN or infinity"),
    "far away": ({"srow_y": [0, 1, 0, 1e9]}, r"it holds a length of 1e\+09 mm"),
    "tiny voxel": ({"srow_y": [0, 1e-9, 0, 0]}, "it gives a voxel of 1 x 1e-09 x 1 mm"),
    "nan intercept": ({"scl_slope": 2.0, "scl_inter": np.nan}, "the intercept of its scaling is nan"),
    "offset in the header": ({"vox_offset": 100}, "begin at a whole byte from 352 on: the header says 100"),
    "fractional offset": ({"vox_offset": 352.5}, "begin at a whole byte from 352 on: the header says 352.5"),
    "nan offset": ({"vox_offset": np.nan}, "begin at a whole byte"),
    "offset beyond the file": ({"vox_offset": 10_000}, "declares 120 bytes of voxels, the file holds 0"),
    "smaller than the data": ({"dim": [3, 4, 5, 5, 1, 1, 1, 1]}, "hold 20 bytes more than the header declares"),
    "narrower than the data": ({"dim": [3, 3, 5, 6, 1, 1, 1, 1]}, "hold 30 bytes more"),
    "wider type": ({"datatype": 4}, "declares 240 bytes of voxels, the file holds 120"),
}


@pytest.mark.parametrize(("fields", "sentence"), FIELDS.values(), ids=FIELDS.keys())
def test_header_that_is_no_scalar_volume_with_a_place_is_refused(tmp_path, fields, sentence):
    data = nifti_bytes(ZEROS, data=bytes(120), **fields)
    path = tmp_path / "a.nii"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=sentence) as caught:
        read_image(path, quantity=Quantity.MR_SIGNAL)
    assert str(caught.value).startswith("a.nii")
    assert str(tmp_path) not in str(caught.value)


def test_the_file_under_test_is_otherwise_read(tmp_path):
    (tmp_path / "a.nii").write_bytes(WHOLE)
    assert read_image(tmp_path / "a.nii", quantity=Quantity.MR_SIGNAL).notices == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"pixdim": [1, 0, 1, 1, 1, 1, 1, 1]},
        {"pixdim": [1, 1, -1, 1, 1, 1, 1, 1]},
        {"pixdim": [1, 1, 1, np.nan, 1, 1, 1, 1]},
        {"pixdim": [1, 1, 1, 1e20, 1, 1, 1, 1]},
    ],
)
def test_axes_are_not_assumed_without_a_voxel_size(tmp_path, fields):
    data = nifti_bytes(ZEROS, sform_code=0, qform_code=0, **fields)
    assert "only be assumed where the voxel size is known" in refusal(tmp_path / "a.nii", data, assume_axes=True)


def test_cifti_as_nibabel_writes_it_is_refused(tmp_path):
    scalars = nibabel.cifti2.ScalarAxis(["a"])
    mask = np.ones((2, 2, 2), bool)
    brain = nibabel.cifti2.BrainModelAxis.from_mask(mask, affine=np.eye(4), name="thalamus_left")
    image = nibabel.Cifti2Image(np.zeros((1, 8)), (scalars, brain))
    image.to_filename(tmp_path / "a.dscalar.nii")
    message = refusal(tmp_path / "a.dscalar.nii", (tmp_path / "a.dscalar.nii").read_bytes())
    assert "one number a voxel is needed" in message


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"])
def test_empty_file_is_refused(tmp_path, suffix):
    assert "is empty" in refusal(tmp_path / f"a{suffix}", b"")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"hello", "is not a NIfTI file: its first number must be 348 or 540"),
        (b"x", "is not a NIfTI file"),
        (b"PK\x03\x04" + bytes(1000), "is not a NIfTI file"),
        (WHOLE[:200], "a header of 348 bytes is needed, the file holds 200"),
        (WHOLE[:348], "declares 120 bytes of voxels, the file holds 0"),
        (WHOLE[:400], "declares 120 bytes of voxels, the file holds 48"),
        (WHOLE[:-1], "declares 120 bytes of voxels, the file holds 119"),
        (WHOLE + b"\0", "the data hold 1 bytes more"),
        (WHOLE[:344] + b"abc\0" + WHOLE[348:], r"its magic must be n\+1, found b'abc'"),
        (WHOLE[:344] + b"ni1\0" + WHOLE[348:], "the voxels are in another file. Rename the file to .hdr"),
        (nifti_bytes(ZEROS, version=2)[:4] + b"abcd" + nifti_bytes(ZEROS, version=2)[8:], r"its magic must be n\+2"),
        (gzipped(WHOLE), "named as an uncompressed file and is compressed with gzip. Rename it to .nii.gz"),
    ],
    ids=[
        "text", "one byte", "zip", "cut header", "no data", "cut data", "one byte less", "one byte more",
        "wrong magic", "magic of a pair", "wrong magic of version 2", "compressed",
    ],
)  # fmt: skip
def test_damaged_plain_file_is_refused(tmp_path, data, sentence):
    path = tmp_path / "a.nii"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=sentence):
        read_image(path, quantity=Quantity.MR_SIGNAL)


def test_plain_file_named_gz_is_refused(tmp_path):
    message = refusal(tmp_path / "a.nii.gz", WHOLE)
    assert "named as a compressed file and is not compressed with gzip. Rename it to .nii" in message


@pytest.mark.parametrize("keep", [1, 2, 5, 10, 30, -9, -8, -1])
def test_truncated_gzip_is_refused(tmp_path, keep):
    refusal(tmp_path / "a.nii.gz", gzipped(WHOLE)[:keep])


def test_gzip_that_decodes_to_less_or_more_is_refused(tmp_path):
    assert "the data end early" in refusal(tmp_path / "a.nii.gz", gzipped(WHOLE[:-1]))
    assert "some bytes more than the header declares" in refusal(tmp_path / "b.nii.gz", gzipped(WHOLE + b"\0"))


def test_absurd_size_in_gzip_is_refused_before_memory_is_taken(tmp_path):
    data = nifti_bytes(ZEROS, data=bytes(120), dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
    assert "more than" in refusal(tmp_path / "a.nii.gz", gzipped(data))
    assert "can ever hold" in refusal(tmp_path / "a.nii.gz", gzipped(data))


def test_absurd_offset_in_gzip_is_refused(tmp_path):
    assert "can ever hold" in refusal(tmp_path / "a.nii.gz", gzipped(nifti_bytes(ZEROS, vox_offset=1e30)))


def test_version_2_with_a_size_beyond_64_bits_is_refused(tmp_path):
    data = nifti_bytes(ZEROS, version=2, data=bytes(120), dim=[3, 2**62, 2**62, 2**62, 1, 1, 1, 1])
    assert f"declares {2**186} bytes" in refusal(tmp_path / "a.nii", data)


def test_image_larger_than_memory_is_refused_in_a_sentence(tmp_path, monkeypatch):
    def no_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("medgan.formats.decoding.np.empty", no_memory)
    assert "GiB of memory, more than there is" in refusal(tmp_path / "a.nii", WHOLE)


def test_half_of_a_pair_is_refused(tmp_path):
    assert "a.hdr is half of a pair: a.img must lie beside it" in refusal(
        tmp_path / "a.hdr", nifti_bytes(ZEROS, pair=True)
    )
    assert "b.img is half of a pair: b.hdr must lie beside it" in refusal(tmp_path / "b.img", bytes(120))


def test_header_of_a_single_file_named_as_a_pair_is_refused(tmp_path):
    (tmp_path / "a.img").write_bytes(bytes(120))
    assert "the voxels are in the same file. Rename the file to .nii" in refusal(tmp_path / "a.hdr", WHOLE)


def test_truncated_data_of_a_pair_are_refused(tmp_path):
    (tmp_path / "a.img").write_bytes(bytes(119))
    (tmp_path / "a.hdr").write_bytes(nifti_bytes(ZEROS, pair=True))
    with pytest.raises(FormatError, match=r"a\.img: the header declares 120 bytes of voxels, the file holds 119"):
        read_image(tmp_path / "a.hdr", quantity=Quantity.MR_SIGNAL)
