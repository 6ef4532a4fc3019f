"""SimpleITK as an independent reader and writer."""

import numpy as np
import SimpleITK as sitk


def itk_image(array, affine):
    """A SimpleITK image at the places that a RAS+ affine gives."""
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(spacing.tolist())
    image.SetDirection((flip @ affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((flip @ affine[:3, 3]).tolist())
    return image


def assert_itk_agrees(path, volume):
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), volume.array)
    for ijk in ((0, 0, 0), (3, 2, 1), (1, 0, 1)):
        x, y, z = image.TransformContinuousIndexToPhysicalPoint([float(n) for n in ijk])
        np.testing.assert_allclose((-x, -y, z), volume.grid.world(ijk), atol=1e-9)
