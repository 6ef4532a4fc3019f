"""Find the shafts of long bones in T1-weighted MR: a dark ring of cortical bone around bright marrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medgan.errors import PreprocessingError
from medgan.volume import LabelMap, Quantity, Volume

NAMES = {1: "cortical bone", 2: "marrow"}
_CROSS = ndimage.generate_binary_structure(2, 1)
_SQUARE = ndimage.generate_binary_structure(2, 2)
_AIR = -1.0
_LEVELS = (0.45, 0.55, 0.65, 0.75, 0.85)
_MUSCLE_RANGE = (-0.85, 0.1)
_MIRRORED_MM = 24.0
_PLAIN_BRIGHTNESS, _LEAST_BRIGHTNESS = 0.35, 0.12
_DARK_RING = 0.6
_TISSUE_EDGE = 0.9

Slice = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CorticalRing:
    """Mark cortical bone and marrow where anatomy leaves no doubt; what is not found says nothing.

    Parameters
    ----------
    smallest_mm2, largest_mm2 : float
        Area of the marrow in a slice.
    thickness_mm : float
        How far from the marrow cortical bone may reach.
    depth_mm : float
        Least depth of cortical bone below the skin.
    length_mm : float
        Least extent along the third axis.
    roundness : float
        Largest perimeter^2 / area of the marrow (a disk of many voxels has 4 pi).

    Notes
    -----
    Own heuristic, knowledge of anatomy and of T1 contrast, without any pair of images. Cortical bone gives no signal
    and nor do tendons, vessels, fasciae and air; only bone encloses a round bright core. Slice by slice across the
    third axis (the limb's, once reoriented), dark voxels at several levels between air and muscle are closed; a hole
    that they enclose is marrow if it is brighter than muscle, round, and of plausible size. A ring that the edge of the
    field of view cuts is completed by mirroring. All the constants are free choices, made on images of limbs.
    """

    smallest_mm2: float = 30.0
    largest_mm2: float = 2500.0
    thickness_mm: float = 10.0
    depth_mm: float = 6.0
    length_mm: float = 12.0
    roundness: float = 40.0

    def found_in(self, image: Volume, body: LabelMap) -> LabelMap:
        """Return a label map with 1 = cortical bone and 2 = marrow.

        Parameters
        ----------
        image : Volume
            (I, J, K) NORMALIZED T1-weighted MR with air at -1; K runs along the limb.
        body : LabelMap
            On its grid.

        Raises
        ------
        PreprocessingError
            If the image is not normalized.
        """
        if image.quantity is not Quantity.NORMALIZED:
            raise PreprocessingError(
                f"Cortical rings are sought in normalized MR: found {image.quantity.label}. "
                "Put an intensity stage into the recipe."
            )
        array, inside = np.asarray(image.array), body.mask()
        spacing = image.grid.spacing
        muscle, fat = _muscle_level(array[inside]), float(np.quantile(array[inside], 0.9))
        depth = _depth_mm(inside, spacing)
        cortex, marrow = np.zeros_like(inside), np.zeros_like(inside)
        pixel = float(np.sqrt(spacing[0] * spacing[1]))
        for k in range(array.shape[2]):
            if inside[:, :, k].any():
                ring, core = self._in_slice(array[:, :, k], depth[:, :, k], pixel, muscle, fat)
                cortex[:, :, k], marrow[:, :, k] = ring & inside[:, :, k], core & inside[:, :, k]
        parts, count = ndimage.label(cortex | marrow, np.ones((3, 3, 3)))
        for number, where in enumerate(ndimage.find_objects(parts, count), start=1):
            if (where[2].stop - where[2].start) * spacing[2] < self.length_mm:
                cortex[parts == number] = marrow[parts == number] = False
        labels = np.zeros(array.shape, dtype=np.uint8)
        labels[cortex], labels[marrow] = 1, 2
        return LabelMap(labels, image.grid, NAMES)

    def _in_slice(self, image: Slice, depth: Slice, pixel: float, muscle: float, fat: float) -> tuple[Mask, Mask]:
        margin = min(round(_MIRRORED_MM / pixel), min(image.shape))
        image, depth = (np.pad(a, margin, mode="symmetric") for a in (image, depth))
        ring, core = np.zeros(image.shape, dtype=bool), np.zeros(image.shape, dtype=bool)
        edge = image < _AIR + _TISSUE_EDGE * (muscle - _AIR)
        reach = max(1, round(self.thickness_mm / pixel))
        for dark, hole in self._holes(image, depth, pixel, muscle):
            if (hole & core).sum() <= 0.5 * hole.sum() and self._is_marrow(hole, image, pixel, muscle, fat):
                core |= hole
                near = ndimage.binary_dilation(hole, _SQUARE, iterations=reach)
                ring |= (dark | ndimage.binary_opening(edge & near, _CROSS)) & edge & near & ~hole
        ring &= ~core
        cut = (slice(margin, image.shape[0] - margin), slice(margin, image.shape[1] - margin))
        return ring[cut], core[cut]

    def _holes(self, image: Slice, depth: Slice, pixel: float, muscle: float) -> Iterator[tuple[Mask, Mask]]:
        """Yield what dark voxels enclose: (closed dark voxels, one hole)."""
        for level in _LEVELS:
            dark = (image < _AIR + level * (muscle - _AIR)) & (depth > self.depth_mm)
            for structure, closing_mm in ((_CROSS, 2.0), (_SQUARE, 4.0)):
                times = max(1, round(closing_mm / pixel))
                closed = ndimage.binary_closing(np.pad(dark, times), structure, iterations=times)
                closed = closed[times:-times, times:-times]
                holes = ndimage.binary_opening(ndimage.binary_fill_holes(closed) & ~closed, _CROSS)
                numbered, count = ndimage.label(holes)
                areas = np.bincount(numbered.ravel(), minlength=count + 1) * pixel**2
                for number in range(1, count + 1):
                    if self.smallest_mm2 <= areas[number] <= self.largest_mm2:
                        yield closed, numbered == number

    def _is_marrow(self, hole: Mask, image: Slice, pixel: float, muscle: float, fat: float) -> bool:
        around = ndimage.binary_dilation(hole, _CROSS) & ~hole
        if around.sum() ** 2 > self.roundness * hole.sum():
            return False
        brightness = (float(np.median(image[hole])) - muscle) / max(fat - muscle, 1e-6)
        if brightness >= _PLAIN_BRIGHTNESS:
            return True
        shell = ndimage.binary_dilation(hole, _SQUARE, iterations=max(1, round(6 / pixel))) & ~hole
        is_black = float(np.quantile(image[shell], 0.35)) <= _AIR + _DARK_RING * (muscle - _AIR)
        return brightness >= _LEAST_BRIGHTNESS and is_black


def _muscle_level(values: npt.NDArray[np.float32]) -> float:
    """Return the commonest value between air and fat."""
    counts, edges = np.histogram(values, bins=90, range=(-1.0, 0.8))
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 2)
    centers = (edges[1:] + edges[:-1]) / 2
    middle = (centers > _MUSCLE_RANGE[0]) & (centers < _MUSCLE_RANGE[1])
    return float(centers[middle][np.argmax(smooth[middle])])


def _depth_mm(inside: Mask, spacing: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """Return the distance from air; a body that goes on beyond the first and last slice has no skin there."""
    extended = np.pad(inside, ((0, 0), (0, 0), (1, 1)), mode="edge")
    return np.asarray(ndimage.distance_transform_edt(extended, sampling=spacing)[:, :, 1:-1], dtype=np.float32)
