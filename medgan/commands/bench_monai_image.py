"""What MONAI has for preparing one image: load, reorient, resample, save.

What MONAI has no equal of (the body, its box, the map of intensities) the peers take from medgan's own stages, so that
both sides do the same and neither gains by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medgan.geometry import Grid
    from medgan.volume import Quantity, Volume


def loaded(path: Path) -> Any:
    """Return a file as MONAI's channel-first tensor, with its axes to the right, anterior and superior."""
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd

    chain = Compose(
        [
            LoadImaged("image", reader="NibabelReader"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        ]
    )
    return chain({"image": str(path)})["image"]


def on_grid(image: Any, grid: Grid, *, outside: float) -> Any:
    """Return a MONAI image on a grid by linear interpolation; beyond half a voxel from it everything is ``outside``."""
    import torch
    from monai.transforms import SpatialResample

    affine = torch.from_numpy(grid.affine.copy())
    move = SpatialResample(mode="bilinear", padding_mode="border", align_corners=True, dtype=np.float32)
    moved: Any = move(image, dst_affine=affine, spatial_size=grid.shape)
    ones = image.clone()
    ones[...] = 1.0
    near = SpatialResample(mode="nearest", padding_mode="zeros", align_corners=False, dtype=np.float32)
    covered = near(ones, dst_affine=affine, spatial_size=grid.shape) > 0.5
    moved[~covered] = outside
    return moved


def as_volume(image: Any, quantity: Quantity) -> Volume:
    """Return a MONAI image as medgan's volume; voxels are not copied."""
    from medgan.geometry import Grid
    from medgan.volume import Volume

    array = np.asarray(image.numpy()[0], dtype=np.float32)
    return Volume(array, Grid(array.shape, np.asarray(image.affine, dtype=np.float64)), quantity)


def as_image(values: npt.NDArray[Any], grid: Grid) -> Any:
    """Return values on a grid as MONAI's channel-first tensor."""
    import torch
    from monai.data import MetaTensor

    return MetaTensor(torch.from_numpy(np.array(values, dtype=np.float32))[None], affine=torch.tensor(grid.affine))


def saved(image: Any, path: Path, *, dtype: Any) -> None:
    """Write a MONAI image as .nii.gz by MONAI's writer."""
    from monai.data import NibabelWriter

    writer = NibabelWriter(output_dtype=dtype)
    writer.set_data_array(image, channel_dim=0)
    writer.set_metadata({"affine": image.affine, "original_affine": image.affine}, resample=False)
    writer.write(str(path))
