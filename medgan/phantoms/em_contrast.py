"""What electron microscopes make of one specimen: gray levels, blur, shot noise and drift from section to section."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from medgan.errors import VolumeError
from medgan.volume import Volume


@dataclass(frozen=True)
class EmContrast:
    """How one microscope maps the specimen's brightness in [0, 1] to gray values.

    Parameters
    ----------
    low, high : float
        Gray values, as shares of 255, of brightness 0 and 1; ``low > high`` inverts.
    gamma : float
        Exponent applied to the brightness first.
    blur_px : float
        Standard deviation of a Gaussian along all axes, in voxels.
    shot_electrons : float
        Mean number of electrons a voxel counts at full gray; 0 for no noise, fewer is noisier.
    drift : float
        Standard deviation of a gray offset of each section (third axis), as a share of 255.

    Raises
    ------
    VolumeError
        If a number is out of range.
    """

    low: float = 0.1
    high: float = 0.9
    gamma: float = 1.0
    blur_px: float = 0.0
    shot_electrons: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.low <= 1 and 0 <= self.high <= 1 and self.low != self.high and self.gamma > 0):
            raise VolumeError(
                f"A contrast needs two different gray values in [0, 1] and a positive gamma: "
                f"found {self.low}, {self.high} and {self.gamma}."
            )
        if min(self.blur_px, self.shot_electrons, self.drift) < 0:
            raise VolumeError("Blur, electrons and drift of a contrast cannot be negative.")

    @property
    def is_pure(self) -> bool:
        """Tell whether gray values are a function of brightness alone."""
        return self.blur_px == self.shot_electrons == self.drift == 0

    def gray_of(self, brightness: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the gray share in [0, 1] of a brightness in [0, 1], any shape, without blur, noise and drift."""
        curve = np.asarray(brightness, dtype=np.float32) ** np.float32(self.gamma)
        return np.asarray(np.float32(self.low) + np.float32(self.high - self.low) * curve)

    def imaged(self, brightness: npt.NDArray[np.floating], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Return the uint8 image of a brightness field (I, J, K), sections along the third axis.

        Notes
        -----
        Blur acts on the brightness, drift and counting statistics on the gray value: ``Poisson(n gray) / n``.
        """
        field = np.asarray(brightness, dtype=np.float32)
        if self.blur_px:
            for axis in range(field.ndim):
                field = gaussian_filter1d(field, self.blur_px, axis=axis, mode="nearest")
        gray = self.gray_of(np.clip(field, 0, 1))
        if self.drift:
            gray = gray + np.float32(self.drift) * generator.standard_normal(field.shape[2], dtype=np.float32)
        if self.shot_electrons:
            counts = generator.poisson(np.maximum(gray, 0) * self.shot_electrons)
            gray = (counts / self.shot_electrons).astype(np.float32)
        return np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)


def re_imaged(volume: Volume, contrast: EmContrast, generator: np.random.Generator) -> Volume:
    """Return a uint8 EM volume as another microscope would have seen it: its gray values are taken as brightness.

    Raises
    ------
    VolumeError
        If the volume is not uint8.
    """
    if volume.array.dtype != np.uint8:
        raise VolumeError(f"Only uint8 volumes can be re-imaged: found {volume.array.dtype}.")
    array = contrast.imaged(volume.array / np.float32(255), generator)
    return replace(volume, array=array, provenance=volume.provenance.then("re-image"))
