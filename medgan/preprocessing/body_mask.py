"""Find the body in an MR or CT volume, and notice when that cannot be done."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import ndimage

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.preprocessing.intensity import STRICT
from medgan.preprocessing.morphology import MaskArray, closed, dilated, filled, large_parts, opened, within_steps
from medgan.volume import LabelMap, Quantity, Volume

FULL_SHARE = 0.98
"""A mask that holds more than this share of the voxels has found no background."""
RIM_RATIO = 0.25
"""Outside the mask the signal must be darker than this share of the signal inside (MR)."""
AIR_HU = -300.0
"""Outside the mask the image must be darker than this (CT): lung, foam and fat lie on either side."""
NOISE_THOUSANDTHS = 30.0
"""MR signal below this many thousandths of bright tissue is noise or fill, all the same to the threshold."""
EMPTY_SHARE = 0.01
"""A mask with less than this share of the voxels has found no body."""
REFERENCE_CLOSING_MM = 0.0
"""Closing for the body of a CT that results are measured in: skin is not dark in CT, so nothing needs bridging, and a
closing would count the air between legs, or between skin and couch, as the patient."""


@plain_dataclass(frozen=True)
class FoundBody:
    """A body mask and, where the whole box had to stand in for it, the reason in one sentence."""

    mask: MaskArray
    fallback: str | None


@dataclass(frozen=True, config=STRICT)
class BodyMask:
    """Add the label map ``body``: tissue of the patient with its cavities, without couch and background.

    Parameters
    ----------
    closing_mm : float
        Radius of the closing that bridges dark skin, cortical bone at the surface and coil dropouts.
    opening_mm : float
        Radius of the opening that detaches a couch or an immobilization device (CT only).
    part_share : float
        Components larger than this share of the largest are kept: two legs are two components.

    Notes
    -----
    Threshold by Otsu (1979, doi 10.1109/TSMC.1979.4310076): on HU clipped to [-1000, 200], and on the logarithm of MR
    signal, where air and tissue are two groups although fat is three times as bright as muscle. Then opening (CT),
    large components, closing, and holes filled slice by slice along each axis. A mask that fills the field of view, is
    empty, or splits bright from dark tissue (what lies outside it is no air in CT, or almost as bright as tissue in MR)
    is replaced by the whole box with a notice.
    """

    revision: ClassVar[int] = 1
    stage: Literal["body_mask"] = "body_mask"
    closing_mm: float = Field(default=8.0, ge=0)
    opening_mm: float = Field(default=6.0, ge=0)
    part_share: float = Field(default=0.1, gt=0, le=1)

    def __call__(self, case: Case) -> Case:
        """Return the case with the label map ``body`` and, where the box stands in for it, a notice."""
        found = self.found_in(case.image)
        case = case.with_label("body", LabelMap(found.mask, case.image.grid, {1: "body"}))
        if found.fallback is None:
            return case
        return case.with_notice(f"The whole image is taken as the body: {found.fallback}.")

    def found_in(self, volume: Volume) -> FoundBody:
        """Return the body of one image.

        Raises
        ------
        PreprocessingError
            If the image is neither CT in HU nor MR.
        """
        if volume.quantity is Quantity.HOUNSFIELD:
            values, is_ct = np.clip(volume.array, -1000.0, 200.0), True
        elif volume.quantity is Quantity.MR_SIGNAL:
            values, is_ct = _log_signal(volume.array), False
        else:
            raise PreprocessingError(f"A body mask needs CT in HU or MR signal: found {volume.quantity.label}.")
        everything = np.ones(volume.shape, dtype=bool)
        threshold = _otsu(values)
        if threshold is None:
            return FoundBody(everything, "all voxels have one value")
        raw = np.asarray(values > threshold)
        mask = self._cleaned(raw, volume.grid.spacing, detach=is_ct) if raw.mean() <= FULL_SHARE else raw
        share = float(mask.mean())
        if share > FULL_SHARE:
            return FoundBody(everything, f"{100 * share:.0f} % of the voxels are tissue, so there is no background")
        if share < EMPTY_SHARE:
            return FoundBody(everything, "no connected tissue was found")
        rim = volume.array[_rim(mask)]
        outside = float(np.median(rim)) if rim.size else volume.quantity.outside
        if is_ct and outside > AIR_HU:
            return FoundBody(everything, f"the mask is surrounded by {outside:.0f} HU, which is no air")
        inside = float(np.median(volume.array[raw & mask]))
        if not is_ct and outside > RIM_RATIO * inside:
            return FoundBody(
                everything,
                f"the signal outside the mask is {100 * outside / inside:.0f} % of that inside, so it splits tissue",
            )
        return FoundBody(mask, None)

    def _cleaned(self, raw: MaskArray, spacing: tuple[float, float, float], *, detach: bool) -> MaskArray:
        core = opened(raw, self.opening_mm, spacing) if detach else raw
        parts = large_parts(core, self.part_share)
        if detach:
            # The opening also rounds corners: take back the tissue within its radius of what was kept.
            parts = raw & dilated(parts, self.opening_mm, spacing)
        return filled(closed(parts, self.closing_mm, spacing))


def _log_signal(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return log(1 + signal in thousandths of the bright tissue), smoothed over one voxel against noise."""
    signal = ndimage.gaussian_filter(np.maximum(array, 0).astype(np.float32), 0.7)
    positive = signal[signal > 0]
    bright = float(np.percentile(positive, 99)) if positive.size else 1.0
    # Zero-filled borders are no tissue class of their own: without the floor Otsu would split them from noise.
    return np.log1p(np.maximum(signal * np.float32(1000.0 / bright), np.float32(NOISE_THOUSANDTHS)))


def _otsu(values: npt.NDArray[np.float32]) -> float | None:
    from skimage.filters import threshold_otsu

    low, high = float(values.min()), float(values.max())
    return None if high - low < 1e-6 else float(threshold_otsu(values.ravel(), nbins=256))


def _rim(mask: MaskArray) -> MaskArray:
    """Return the second to fourth layer of voxels outside a mask."""
    return within_steps(mask, 4) & ~within_steps(mask, 1)
