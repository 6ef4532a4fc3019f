"""Faults of geometry: tilt, gaps, drift, repeated and turned slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medgan.errors import VolumeError
from medgan.geometry import AxisMap, Grid
from medgan.phantoms.dicom_file import DicomFile, decimal
from medgan.phantoms.dicom_series import DicomSeries
from medgan.phantoms.dicom_slices import LPS, new_uid, orientation_of, placed, position_of, slices_of
from medgan.volume import Volume


@dataclass(frozen=True)
class GantryTilt:
    """Slices tilted against the movement of the table: each is shifted down its columns, the grid is sheared.

    Parameters
    ----------
    degrees : float
    is_tagged : bool
        Whether GantryDetectorTilt says so.
    """

    degrees: float = 15.0
    is_tagged: bool = True

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the sheared series; the truth lies on the sheared grid, with the same values."""
        slope = float(np.tan(np.radians(self.degrees)))
        # Shifts along the columns leave the distance of the slice planes as it is.
        start, down = position_of(series.slices[0]), orientation_of(series.slices[0])[1]
        files = []
        for file in series.slices:
            offset = (position_of(file) - start) @ orientation_of(file)[2]
            tilted = placed(file, position_of(file) + down * slope * offset)
            if self.is_tagged:
                tilted = tilted.with_elements(GantryDetectorTilt=decimal(self.degrees))
            files.append(tilted.touched(self))
        truth = tuple(replace(volume, grid=_tilted(volume.grid, slope)) for volume in series.truth)
        return replace(series, slices=tuple(files), truth=truth)


def _tilted(grid: Grid, slope: float) -> Grid:
    normal = np.cross(grid.direction[:, 0] * LPS, grid.direction[:, 1] * LPS) * LPS
    affine = grid.affine.copy()
    affine[:3, 2] += grid.direction[:, 1] * slope * float(affine[:3, 2] @ normal)
    return Grid(grid.shape, affine)


@dataclass(frozen=True)
class DuplicateSlice:
    """A slice that is there twice.

    Parameters
    ----------
    is_same_instance : bool
        A copy of the file under another name; else another instance, with its own UID and number, of the same pixels.
    """

    is_same_instance: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one file more."""
        original = series.slices[int(generator.integers(len(series.slices)))]
        another = _renamed(original, series, generator, is_same_instance=self.is_same_instance).touched(self)
        return replace(series, slices=(*series.slices, another))


@dataclass(frozen=True)
class ConflictingSlice:
    """Two slices at one position with different pixels."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one file more; both files count as touched."""
        at = int(generator.integers(len(series.slices)))
        original = series.slices[at].touched(self)
        pixels = np.array(original.pixels)
        pixels[..., 0] ^= 1
        another = replace(_renamed(original, series, generator), pixels=pixels)
        return replace(series, slices=(*series.slices[:at], original, *series.slices[at + 1 :], another))


def _renamed(
    file: DicomFile, series: DicomSeries, generator: np.random.Generator, *, is_same_instance: bool = False
) -> DicomFile:
    number = len(series.slices) + 1
    renamed = replace(file, name=f"IM_{number:04d}.dcm")
    if is_same_instance:
        return renamed
    return renamed.with_elements(SOPInstanceUID=new_uid(generator), InstanceNumber=str(number))


@dataclass(frozen=True)
class UnevenSpacing:
    """One inner slice that is displaced along the normal by a share of the spacing."""

    share: float = 0.3

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one displaced slice."""
        at = _inner(series, generator)
        step = position_of(series.slices[at + 1]) - position_of(series.slices[at])
        moved = placed(series.slices[at], position_of(series.slices[at]) + self.share * step).touched(self)
        return replace(series, slices=(*series.slices[:at], moved, *series.slices[at + 1 :]))


@dataclass(frozen=True)
class TwoSpacings:
    """The second half of the slices farther apart than the first."""

    factor: float = 2.0

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with two spacings."""
        files = list(series.slices)
        middle = len(files) // 2
        center = position_of(files[middle])
        for n in range(middle + 1, len(files)):
            position = center + self.factor * (position_of(files[n]) - center)
            files[n] = placed(files[n], position).touched(self)
        return replace(series, slices=tuple(files))


@dataclass(frozen=True)
class Drift:
    """Gaps that grow steadily: each differs little from its neighbor, but slices leave the even grid.

    Parameters
    ----------
    slices : float
        Largest distance from the even grid through the first and the last slice, as a share of the spacing. The gaps
        differ from the mean by up to four times this over the number of gaps.
    """

    slices: float = 0.2

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with drifting slices; the truth stays on the even grid."""
        first, last = position_of(series.slices[0]), position_of(series.slices[-1])
        count = len(series.slices)
        step = (last - first) / (count - 1)
        files = []
        for n, file in enumerate(series.slices):
            u = n / (count - 1)
            files.append(placed(file, first + step * (n + 4 * self.slices * (u**2 - u))).touched(self))
        return replace(series, slices=tuple(files))


@dataclass(frozen=True)
class MissingSlice:
    """One inner slice missing; its neighbors count as touched."""

    index: int | None = None

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one file fewer; the truth still holds the slice."""
        at = _inner(series, generator) if self.index is None else self.index
        before, after = (series.slices[n].touched(self) for n in (at - 1, at + 1))
        return replace(series, slices=(*series.slices[: at - 1], before, after, *series.slices[at + 2 :]))


@dataclass(frozen=True)
class OnePosition:
    """Slices at one position only.

    Parameters
    ----------
    count : int
        How many; they differ in their pixels and in nothing else that tells them apart.
    """

    count: int = 1

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the first slices, all at the position of the first one."""
        position = position_of(series.slices[0])
        return replace(
            series, slices=tuple(placed(file, position).touched(self) for file in series.slices[: self.count])
        )


@dataclass(frozen=True)
class TwoOrientations:
    """A second stack in the same series: the same region cut along another axis, as in a survey."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the slices of both stacks; both have the same values in the world."""
        other = series.truth[0].reordered(AxisMap((1, 2, 0), (False, False, False)))
        more = slices_of(other, series.header, generator, first_number=len(series.slices) + 1)
        return replace(
            series,
            slices=(*series.slices, *(file.touched(self) for file in more)),
            truth=(*series.truth, other),
        )


@dataclass(frozen=True)
class MixedPixelSpacing:
    """One slice whose pixels are larger than the others'."""

    factor: float = 1.5

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one other pixel spacing."""
        at = int(generator.integers(len(series.slices)))
        file = series.slices[at]
        spacing = [decimal(float(x) * self.factor) for x in file.dataset.PixelSpacing]
        changed = file.with_elements(PixelSpacing=spacing).touched(self)
        return replace(series, slices=(*series.slices[:at], changed, *series.slices[at + 1 :]))


Position = Literal["HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"]
_TURNS: dict[Position, tuple[bool, bool, bool]] = {
    "HFS": (False, False, False),
    "HFP": (False, True, True),
    "HFDR": (True, False, True),
    "HFDL": (True, True, False),
    "FFS": (False, True, False),
    "FFP": (False, False, True),
    "FFDR": (True, True, True),
    "FFDL": (True, False, False),
}
"""Transpose the image, then reverse its rows' direction, then its columns'."""


@dataclass(frozen=True)
class Positioned:
    """A patient who lies otherwise than head first, supine: images are turned as the scanner sees them.

    Notes
    -----
    ImagePositionPatient and ImageOrientationPatient follow the patient; a reader that turns images once more by
    PatientPosition is wrong. Head first keeps the normal of the slice, feet first reverses it.
    """

    position: Position = "FFS"

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with turned images; the truth lies where it was, in another axis order."""
        transpose, along, down = _TURNS[self.position]
        order = (1, 0, 2) if transpose else (0, 1, 2)
        axis_map = AxisMap(order, (along, down, False))
        truth: list[Volume] = [volume.reordered(axis_map) for volume in series.truth]
        return replace(series.mapped(self._turned), truth=tuple(truth))

    def _turned(self, file: DicomFile) -> DicomFile:
        if file.pixels is None:
            raise VolumeError(f"{file.name}: an image is turned, and this file holds none.")
        transpose, along, down = _TURNS[self.position]
        pixels, axes = file.pixels, orientation_of(file)[:2]
        spacing = [float(x) for x in file.dataset.PixelSpacing]
        if transpose:
            pixels, axes, spacing = pixels.swapaxes(1, 2), axes[::-1], spacing[::-1]
        axes, position = axes.copy(), position_of(file)
        if along:
            position += axes[0] * spacing[1] * (pixels.shape[2] - 1)
            pixels, axes[0] = pixels[:, :, ::-1], -axes[0]
        if down:
            position += axes[1] * spacing[0] * (pixels.shape[1] - 1)
            pixels, axes[1] = pixels[:, ::-1], -axes[1]
        turned = file.with_elements(
            PatientPosition=self.position,
            ImageOrientationPatient=[decimal(x) for x in axes.ravel().tolist()],
            PixelSpacing=[decimal(x) for x in spacing],
            Rows=pixels.shape[1],
            Columns=pixels.shape[2],
        )
        return placed(replace(turned, pixels=np.ascontiguousarray(pixels)), position).touched(self)


def _inner(series: DicomSeries, generator: np.random.Generator) -> int:
    _require_slices(series.slices, at_least=3)
    return int(generator.integers(1, len(series.slices) - 1))


def _require_slices(slices: Sequence[DicomFile], *, at_least: int) -> None:
    if len(slices) < at_least:
        raise VolumeError(f"This fault needs at least {at_least} slices: found {len(slices)}.")
