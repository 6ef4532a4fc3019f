"""Real scans: the verdict on each file was written down before it was read."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medgan.errors import FormatError, OutputError
from medgan.formats import read_image, read_labels, read_volume, write_volume
from medgan.geometry import axis_codes, axis_map_to
from medgan.volume import Quantity

MR = Quantity.MR_SIGNAL
NO_UNIT = "The file states no known unit of length: millimeters were assumed."
SHEARED = "The axes are not at right angles: the shear is kept."
HEADS = ("AIL", "ARI", "IAL", "IPL", "LAI", "LPI", "PIL", "PRI", "RAI", "RPI", "SAL", "SPL")

# File: shape, orientation, type in memory, beginnings of the notices.
READ = {
    "nifti_nasty/niivue/avg152T1_RL_nifti.nii.gz": ((91, 109, 91), "RAS", "u1", ()),
    "nifti_nasty/niivue/shear.nii.gz": (
        (306, 422, 54),
        "RAS",
        "f4",
        ("The sform and the qform differ by up to", SHEARED),
    ),
    "mrct/abdomen_totalsegmentator/example_ct.nii.gz": ((122, 101, 112), "RAS", "f4", (NO_UNIT,)),
    "mrct/abdomen_totalsegmentator/example_ct_sm.nii.gz": ((122, 101, 30), "RAS", "f4", (NO_UNIT,)),
    "mrct/abdomen_totalsegmentator/example_mr_sm.nii.gz": ((117, 91, 20), "LPS", "f4", (NO_UNIT,)),
    "mrct/head_clinical_toolbox/gg-flair-181-asym-8mmFWHM.nii": (
        (91, 109, 91),
        "LAS",
        "f4",
        ("The sform and the qform differ by up to",),
    ),
    "mrct/head_clinical_toolbox/scct.nii": ((91, 109, 91), "LAS", "f4", ()),
    "mrct/head_clinical_toolbox/scct_stripped.nii": ((91, 109, 91), "LAS", "f4", ()),
    "mrct/head_niivue/FLAIR.nii.gz": ((124, 160, 140), "RAS", "u1", ()),
    "mrct/head_niivue/MNI152_2009_template.nii.gz": ((193, 229, 193), "RAS", "f4", ()),
    "mrct/head_niivue/lesion.nii.gz": ((124, 160, 140), "RAS", "u1", ()),
    "mrct/sts_ibsi/nifti/STS_002/CT_image.nii.gz": ((161, 143, 48), "LPS", "f4", ()),
    "mrct/sts_ibsi/nifti/STS_002/CT_mask.nii.gz": ((161, 143, 48), "LPS", "u1", ()),
    "mrct/sts_ibsi/nifti/STS_002/MR_T1_image.nii.gz": ((115, 90, 35), "LPS", "f4", ()),
    "mrct/sts_ibsi/nifti/STS_002/MR_T1_mask.nii.gz": ((115, 90, 35), "LPS", "u1", ()),
    **{
        f"nifti_nasty/niivue_nifti_space/{codes}.nii.gz": (
            tuple({"R": 64, "L": 64, "A": 79, "P": 79, "S": 67, "I": 67}[code] for code in codes),
            codes,
            "f4",
            (),
        )
        for codes in HEADS
    },
}
REFUSED = {
    "nifti_nasty/niivue/complex_image.nii.gz": "found complex numbers",
    "nifti_nasty/niivue/ct_perfusion.nii.gz": "found RGB colors",
    "nifti_nasty/niivue/minimal.nii.gz": "no usable sform or qform. Both form codes are 0",
    "nifti_nasty/niivue/pcasl.nii.gz": "one volume is needed: found 52 x 68 x 20 x 10",
    "mrct/head_vtk/headsq/quarter.nhdr": "the header has no 'space' of a patient",
}
AT_RIGHT_ANGLES_FOR_ITK = [name for name in READ if "shear" not in name and "gg-flair" not in name]


def scan(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{path.name} is absent")
    return path


@pytest.mark.parametrize("name", READ)
def test_good_file_is_read_as_expected_and_as_nibabel_does(shared_data, name):
    shape, codes, stored, notices = READ[name]
    path = scan(shared_data, name)
    read = read_image(path, quantity=MR)
    assert read.volume.shape == shape
    assert axis_codes(read.volume.grid) == codes
    assert read.volume.array.dtype == np.dtype(stored)
    assert len(read.notices) == len(notices)
    assert all(found.startswith(wanted) for found, wanted in zip(read.notices, notices))
    assert not read.is_marked_synthetic
    oracle = nibabel.load(path)
    np.testing.assert_allclose(read.volume.grid.affine, oracle.affine, atol=1e-5)
    np.testing.assert_array_equal(read.volume.array, np.asarray(oracle.dataobj, np.float64).astype(np.float32))


@pytest.mark.parametrize("name", AT_RIGHT_ANGLES_FOR_ITK)
def test_itk_finds_the_same_voxels_at_the_same_places(shared_data, name):
    path = scan(shared_data, name)
    volume = read_volume(path, quantity=MR)
    itk = sitk.ReadImage(str(path))
    np.testing.assert_allclose(sitk.GetArrayViewFromImage(itk).transpose(2, 1, 0), volume.array, rtol=1e-6, atol=1e-4)
    for ijk in ((0, 0, 0), tuple(n - 1 for n in volume.shape), (3, 1, 2)):
        x, y, z = itk.TransformContinuousIndexToPhysicalPoint([float(n) for n in ijk])
        np.testing.assert_allclose((-x, -y, z), volume.grid.world(ijk), atol=2e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_bad_file_is_refused_with_its_reason(shared_data, name):
    path = scan(shared_data, name)
    with pytest.raises(FormatError, match=REFUSED[name]) as caught:
        read_image(path, quantity=MR)
    assert str(caught.value).startswith(path.name)
    assert str(path.parent) not in str(caught.value)


def test_twelve_heads_in_twelve_axis_orders_are_one_head(shared_data):
    heads = [
        read_volume(scan(shared_data, f"nifti_nasty/niivue_nifti_space/{codes}.nii.gz"), quantity=MR) for codes in HEADS
    ]
    first, *others = [head.reordered(axis_map_to(head.grid, "RAS")) for head in heads]
    assert np.ptp(first.array) > 90
    for other in others:
        # float32 affines differ by 1e-6 of a voxel after the reordering; the voxels not at all.
        assert other.grid.same_as(first.grid, tolerance_voxel=1e-5)
        np.testing.assert_array_equal(other.array, first.array)


def test_sheared_head_survives_nifti_and_is_refused_elsewhere(shared_data, tmp_path):
    volume = read_volume(scan(shared_data, "nifti_nasty/niivue/shear.nii.gz"), quantity=Quantity.HOUNSFIELD)
    assert volume.grid.is_sheared
    back = read_volume(write_volume(volume, tmp_path / "a.nii.gz"), quantity=Quantity.HOUNSFIELD)
    np.testing.assert_allclose(back.grid.affine, volume.grid.affine, atol=1e-6)
    assert np.abs(back.array - volume.array).max() <= 0.5
    with pytest.raises(OutputError, match=r"write \.nii\.gz instead"):
        write_volume(volume, tmp_path / "a.nrrd")


def test_axes_of_the_minimal_file_may_be_assumed(shared_data):
    path = scan(shared_data, "nifti_nasty/niivue/minimal.nii.gz")
    read = read_image(path, quantity=MR, assume_axes=True)
    assert read.volume.shape == (64, 64, 10)
    assert read.volume.grid.spacing == (3.0, 3.0, 3.0)
    assert "Left and right may be swapped" in read.notices[-1]


def test_nrrd_in_93_files_is_read_in_numerical_order_where_axes_may_be_assumed(shared_data):
    path = scan(shared_data, "mrct/head_vtk/headsq/quarter.nhdr")
    read = read_image(path, quantity=MR, assume_axes=True)
    assert read.volume.shape == (64, 64, 93)
    np.testing.assert_allclose(read.volume.grid.spacing, (3.2, 3.2, 1.5))
    for k in (0, 8, 9, 92):
        stored = np.fromfile(path.with_name(f"quarter.{k + 1}"), "<i2").reshape(64, 64)
        np.testing.assert_array_equal(read.volume.array[:, :, k].T, stored)
    assert len(read.volume.provenance.sources) == 94


def test_limb_images_and_their_masks_are_on_one_grid(shared_data):
    folder = "mrct/sts_ibsi/nifti/STS_002"
    for modality in ("CT", "MR_T1"):
        image = read_volume(scan(shared_data, f"{folder}/{modality}_image.nii.gz"), quantity=MR)
        mask = read_labels(scan(shared_data, f"{folder}/{modality}_mask.nii.gz"))
        assert image.grid.same_as(mask.grid, tolerance_voxel=1e-4)
        assert np.unique(mask.array).tolist() == [0, 1]


def test_masks_whose_two_forms_disagree_are_told(shared_data):
    folder = shared_data / "prostate/picai_labels/csPCa_lesion_delineations"
    expert = scan(folder, "human_expert/original/11373_1001396.nii.gz")
    network = scan(folder, "AI/Bosma22a/11373_1001396.nii.gz")
    assert read_image(expert, quantity=Quantity.PROBABILITY).notices == ()
    notices = read_image(network, quantity=Quantity.PROBABILITY).notices
    assert notices == ("The sform and the qform differ by up to 0.11 voxels: the sform is used.",)
    assert read_labels(expert).array.max() == 3
    assert read_labels(network).array.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_real_ct_survives_every_format(shared_data, tmp_path, suffix):
    volume = read_volume(scan(shared_data, "mrct/sts_ibsi/nifti/STS_002/CT_image.nii.gz"), quantity=Quantity.HOUNSFIELD)
    back = read_volume(write_volume(volume, tmp_path / f"ct{suffix}"), quantity=Quantity.HOUNSFIELD)
    np.testing.assert_array_equal(back.array, np.rint(volume.array))
    assert back.grid.same_as(volume.grid, tolerance_voxel=1e-4)
