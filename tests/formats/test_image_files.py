import os
import subprocess
import sys

import numpy as np
import pytest
from stored_phantoms import SHORTS, metaimage_text, nifti_bytes, nrrd_text

from medgan.errors import FormatError, OutputError
from medgan.formats import is_supported, is_writable, read_image, read_labels, read_volume, stem_of, write_volume
from medgan.formats.files import _FORMATS
from medgan.geometry import Grid
from medgan.volume import Quantity, Volume

VOLUME = Volume(np.zeros((2, 2, 2), np.uint8), Grid.axis_aligned((2, 2, 2), spacing=(1, 1, 1)), Quantity.MR_SIGNAL)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii", "a"),
        ("a.nii.gz", "a"),
        ("A.NII.GZ", "A"),
        ("a.b.nrrd", "a.b"),
        ("a.nhdr", "a"),
        ("a.hdr", "a"),
        ("folder.nii/a.mha", "a"),
        ("a.mhd", "a"),
        ("a.img", "a"),
    ],
)
def test_known_suffixes(name, stem):
    assert is_supported(name)
    assert stem_of(name) == stem


@pytest.mark.parametrize("name", ["a.dcm", "a.gz", "a.nii.bz2", "nii", ".nii", "a.png", "a", "a.nii.gz.txt"])
def test_unknown_suffixes_are_refused_with_the_known_ones(tmp_path, name):
    assert not is_supported(name)
    with pytest.raises(FormatError, match=r"\.nii\.gz, \.nii, \.hdr, \.img, \.mha, \.mhd, \.nrrd, \.nhdr"):
        read_image(tmp_path / name, quantity=Quantity.MR_SIGNAL)
    with pytest.raises(OutputError, match=r"one of \.nii\.gz, \.nii, \.mha, \.nrrd\."):
        write_volume(VOLUME, tmp_path / name)


@pytest.mark.parametrize("suffix", [".hdr", ".img", ".mhd", ".nhdr"])
def test_formats_of_two_files_are_not_written(tmp_path, suffix):
    assert not is_writable(f"a{suffix}")
    with pytest.raises(OutputError, match=r"one of \.nii\.gz, \.nii, \.mha, \.nrrd\."):
        write_volume(VOLUME, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", _FORMATS)
def test_missing_file_folder_and_pipe_are_refused(tmp_path, suffix):
    def refused(path):
        with pytest.raises(FormatError) as caught:
            read_image(path, quantity=Quantity.MR_SIGNAL)
        assert str(tmp_path) not in str(caught.value)
        return str(caught.value)

    assert refused(tmp_path / f"none{suffix}").startswith(f"none{suffix} does not exist")
    (tmp_path / f"folder{suffix}").mkdir()
    assert refused(tmp_path / f"folder{suffix}").startswith(f"folder{suffix} is a folder")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    assert refused(tmp_path / f"pipe{suffix}").startswith(f"pipe{suffix} is not a regular file")


def test_folder_of_slices_is_told_to_be_a_series(tmp_path):
    (tmp_path / "series").mkdir()
    with pytest.raises(FormatError, match=r"series is a folder.*DICOM slices is a series"):
        read_image(tmp_path / "series", quantity=Quantity.MR_SIGNAL)


def test_unreadable_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(SHORTS))

    def refuses(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuses)
    with pytest.raises(FormatError, match=r"a\.nii may not be read"):
        read_image(tmp_path / "a.nii", quantity=Quantity.MR_SIGNAL)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.nii", nrrd_text() + SHORTS.tobytes(order="F")),
        ("a.mha", nifti_bytes(SHORTS)),
        ("a.mha", nrrd_text() + SHORTS.tobytes(order="F")),
        ("a.nrrd", metaimage_text() + SHORTS.tobytes(order="F")),
        ("a.nrrd", nifti_bytes(SHORTS)),
    ],
)
def test_file_of_another_format_is_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=f"^{name} is not a"):
        read_image(tmp_path / name, quantity=Quantity.MR_SIGNAL)


def test_one_image_in_three_formats_has_one_grid_and_one_array(tmp_path):
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = (-10.0, -20.0, 30.0)
    (tmp_path / "a.nii").write_bytes(nifti_bytes(SHORTS, affine))
    (tmp_path / "a.mha").write_bytes(metaimage_text() + SHORTS.tobytes(order="F"))
    (tmp_path / "a.nrrd").write_bytes(nrrd_text() + SHORTS.tobytes(order="F"))
    for suffix in (".nii", ".mha", ".nrrd"):
        volume = read_volume(tmp_path / f"a{suffix}", quantity=Quantity.MR_SIGNAL)
        np.testing.assert_array_equal(volume.grid.affine, affine)
        np.testing.assert_array_equal(volume.array, SHORTS)
        labels = read_labels(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(labels.array, SHORTS)


def test_package_loads_no_reader_before_it_is_needed():
    code = (
        "import sys, medgan.formats\n"
        "heavy = {'torch', 'SimpleITK', 'nibabel', 'pandas', 'skimage', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
