"""Small movements of a patient between two series: the other channels of a study, moved rigidly onto the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.volume import LabelMap, Volume

if TYPE_CHECKING:
    from medgan.inference.segmentation_facts import SegmentationFacts
    from medgan.preprocessing.rigid_search import RigidFit

ALIGN_LEVELS_MM = (4.0, 2.0)
MOST_SHIFT_MM, MOST_DEGREES = 12.0, 6.0
"""What patients move between two series; free choices."""


def aligned(case: Case, facts: SegmentationFacts) -> Case:
    """Return the case with every channel moved rigidly onto the first; those on one grid move together.

    Raises
    ------
    InferenceError
        If images hardly overlap, or are moved further than patients move between two series of one study.

    Notes
    -----
    Mutual information within the model's field, started where the headers put the images: a correction, no search.
    Shifts first, rotations from there: searched at once they ended at 19 degrees on a real study. Of channels on one
    grid, that which says most about the first channel leads: an image at b 1000 shows too little to be searched by.
    """
    from medgan.inference.segmenter_channels import coverage_mask, working_grid
    from medgan.preprocessing.rigid_search import moved_grid

    first = facts.channels[0].name
    if first not in case.images:
        return case
    fixed = case.images[first]
    working = working_grid(fixed, facts.working)
    region = LabelMap(coverage_mask(working, fixed.grid), fixed.grid)
    center = working.world((np.asarray(working.shape) - 1) / 2)
    for names in _by_grid(case, [c.name for c in facts.channels[1:] if c.name in case.images]):
        leader, fit = _best_fit(case, names, fixed=fixed, region=region, center=center)
        if fit is None or not _is_plausible(fit, center):
            found = "hardly any overlap"
            if fit is not None:
                shift, angle = _moved(fit, center)
                found = f"{shift:.0f} mm and {angle:.0f} degrees"
            raise InferenceError(
                f"--align corrects at most {MOST_SHIFT_MM:g} mm and {MOST_DEGREES:g} degrees: found {found} for "
                f"{', '.join(names)}. The search went astray or the images are of different places; leave --align out."
            )
        for name in names:
            volume: Volume = case.images[name]
            grid = moved_grid(volume.grid, fit.to_fixed)
            provenance = volume.provenance.then("align", to_fixed=fit.to_fixed.round(9).tolist())
            case = case.with_image(name, replace(volume, grid=grid, provenance=provenance))
        shift, angle = _moved(fit, center)
        case = case.with_notice(
            f"{', '.join(names)} moved onto {first} by {leader}: {shift:.1f} mm and {angle:.1f} degrees."
        )
    return case


def _best_fit(
    case: Case, names: Sequence[str], *, fixed: Volume, region: LabelMap, center: npt.NDArray[np.float64]
) -> tuple[str, RigidFit | None]:
    """Return which of some channels on one grid leads, and its movement; None where there is too little overlap."""
    from medgan.preprocessing.rigid_search import rigid_fit

    shifts: dict[str, RigidFit] = {}
    for name in names:
        moving = case.images[name]
        fit = rigid_fit(
            fixed=fixed, moving=moving, region=region, start=np.eye(4), levels_mm=ALIGN_LEVELS_MM, turns=False
        )
        if fit is not None:
            shifts[name] = fit
    if not shifts:
        return names[0], None
    leader = max(shifts, key=lambda name: shifts[name].mutual_information)
    best = shifts[leader]
    if not _is_plausible(best, center):
        return leader, best
    turned = rigid_fit(
        fixed=fixed, moving=case.images[leader], region=region, start=best.to_fixed, levels_mm=ALIGN_LEVELS_MM[-1:]
    )
    # A search of rotations that goes astray leaves the shift.
    return leader, turned if turned is not None and _is_plausible(turned, center) else best


def _moved(fit: RigidFit, center: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return how far a movement takes a point, in mm, and by how many degrees it turns."""
    from medgan.preprocessing.rigid_search import rotation_degrees

    there = fit.to_fixed[:3, :3] @ center + fit.to_fixed[:3, 3]
    return float(np.linalg.norm(there - center)), rotation_degrees(fit.to_fixed)


def _is_plausible(fit: RigidFit, center: npt.NDArray[np.float64]) -> bool:
    shift, angle = _moved(fit, center)
    return shift <= MOST_SHIFT_MM and angle <= MOST_DEGREES


def _by_grid(case: Case, names: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = []
    for name in names:
        grid = case.images[name].grid
        group = next((g for g in groups if case.images[g[0]].grid.same_as(grid)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return groups
