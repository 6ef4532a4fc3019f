"""Serial-section TEM with labels of every section, brought to cubes of another stack's voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medgan.errors import SettingsError
from medgan.geometry import Box, Grid
from medgan.volume import LabelMap, Volume
from medgan.volume.resample import resample, resample_labels

LAST_MEMBRANE = 128
"""Labels up to this are membranes and their junctions; see the data set's own table of labels."""


@dataclass(frozen=True, eq=False)
class SectionStack:
    """A stack of few thick sections on a fine grid.

    Parameters
    ----------
    image : Volume
        uint8, interpolated between the sections.
    instances : LabelMap
        Profiles of cells, numbered through all true sections; a profile is not followed from section to section. 0 in
        membranes and in everything that is interpolated.
    sections : tuple of int
        Where the true sections lie.
    """

    image: Volume
    instances: LabelMap
    sections: tuple[int, ...]

    def middle(self, extent_px: int) -> SectionStack:
        """Return the middle ``extent_px`` voxels along x and y."""
        i, j, k = self.image.shape
        x, y = (max(0, (n - extent_px) // 2) for n in (i, j))
        box = Box((x, y, 0), (min(i, x + extent_px), min(j, y + extent_px), k))
        return SectionStack(self.image.cropped(box), self.instances.read(box), self.sections)


def read_section_tem(
    folder: Path, *, pixel_nm: float, section_nm: float, spacing_nm: tuple[float, float, float]
) -> SectionStack:
    """Return the stack in ``raw`` and the profiles that ``labels`` tells apart.

    Parameters
    ----------
    folder : Path
        With the folders ``raw`` and ``labels``, one image a section.
    pixel_nm, section_nm : float
        Of the files.
    spacing_nm : three floats
        Of the result, along x, y, z; the section thickness must be a multiple of the last.

    Raises
    ------
    MedganError
        If sections are missing or differ in size, or lie between the result's sections.

    Notes
    -----
    Pixels are smoothed before they are sampled more coarsely; between sections the image is linear, which makes
    membranes that run obliquely jump. Profiles are the connected parts of what is no membrane, found at the files'
    resolution and then taken by nearest neighbor.
    """
    from medgan.formats.chunked import open_chunked

    size = (section_nm, pixel_nm, pixel_nm)
    raw = open_chunked(folder / "raw", voxel_size_zyx_nm=size)
    classes = open_chunked(folder / "labels", voxel_size_zyx_nm=size)
    classes.grid.require_same_as(raw.grid, this="labels", that="raw", what="A labeled stack")
    every = section_nm / spacing_nm[2]
    if not np.isclose(every, round(every)):
        raise SettingsError(
            f"Sections of {section_nm:g} nm must be a multiple of the labeled stack's {spacing_nm[2]:g} nm apart."
        )
    grid = _fine(raw.grid, spacing_nm, round(every))
    image = resample(raw.read(raw.grid.box), grid, antialias=True)
    profiles = profiles_of(classes.read(classes.grid.box).array)
    fine = resample_labels(LabelMap(profiles, raw.grid), grid).array.copy()
    sections = tuple(range(0, grid.shape[2], round(every)))
    fine[:, :, np.setdiff1d(np.arange(grid.shape[2]), sections)] = 0
    gray = np.rint(np.clip(image.array, 0, 255)).astype(np.uint8)
    return SectionStack(replace(image, array=gray), LabelMap(fine, grid), sections)


def profiles_of(classes: npt.NDArray[np.integer]) -> npt.NDArray[np.uint32]:
    """Return the numbers of the connected parts of every section (last axis) that are no membrane, from 1."""
    profiles = np.zeros(classes.shape, dtype=np.uint32)
    count = 0
    for section in range(classes.shape[2]):
        parts, found = ndimage.label(classes[:, :, section] > LAST_MEMBRANE)
        profiles[:, :, section] = np.where(parts > 0, parts + count, 0)
        count += found
    return profiles


def _fine(grid: Grid, spacing_nm: tuple[float, float, float], every: int) -> Grid:
    across = [int((n - 1) * s / fine) + 1 for n, s, fine in zip(grid.shape[:2], grid.spacing[:2], spacing_nm)]
    shape = (*across, (grid.shape[2] - 1) * every + 1)
    return Grid.axis_aligned(shape, spacing=spacing_nm, unit=grid.unit, frame=grid.frame)
