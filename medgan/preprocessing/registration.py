"""Bring MR and CT of one case into one place, without touching a voxel."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import CohortError, PreprocessingError
from medgan.preprocessing.body_mask import BodyMask
from medgan.preprocessing.intensity import STRICT
from medgan.preprocessing.morphology import dilated
from medgan.preprocessing.rigid_search import (
    Matrix,
    RigidFit,
    moved_grid,
    rigid_fit,
    rotation_degrees,
)
from medgan.volume import LabelMap, Volume
from medgan.volume.resample import resample_labels

RIM_MM = 12.0
"""Air this far from the body is compared, too: the skin is the strongest edge that MR and CT share."""
PERTURBATION = (5.0, 5.0)
"""Degrees and millimeters by which the other starts are off, times a number of :data:`STARTS`."""
_HALF_TURNS = (np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, -1.0]))
STARTS = (0.0, 1.0, -1.0)
"""Two usually agree; a search that went astray costs a third. More would let wrong places agree, too."""


@dataclass(frozen=True, config=STRICT)
class Registration:
    """Move one image rigidly onto another: its grid changes, its voxels do not.

    Parameters
    ----------
    fixed, moving : str
        Names of two images of the case, such as ``mr`` and ``ct``.
    moving_labels : tuple of str, optional
        Label maps that move with the moving image. If not given: those on its grid, which is refused where the fixed
        image is on that grid as well.
    start : {"world", "centers"}
        Begin where the headers put the images, or with the centers of both bodies on each other.
    levels_mm : tuple of float
        Voxel sizes of the multi-resolution search, from coarse to fine.
    largest_rotation : float
        In degrees; a larger one is taken for a failure.
    least_overlap : float
        Share of the smaller body that must lie in the other one at the end.
    agreement_voxel : float
        The best of the searches must be found from two starts, to this distance in the body in voxels of the level
        before the finest one, before it is refined.

    Notes
    -----
    Mutual information does not say whether it found the right place. Four checks refuse what is surely wrong: lost
    overlap, an implausible rotation, a best place that is reached from one start only, and a better one after half a
    turn about an axis of the patient (searched on the coarsest level): a limb looks much alike from its other side.
    What bends between the acquisitions stays displaced.
    """

    fixed: str
    moving: str
    # 2: a better place after half a turn refuses the case.
    revision: ClassVar[int] = 2
    stage: Literal["registration"] = "registration"
    moving_labels: tuple[str, ...] | None = None
    start: Literal["world", "centers"] = "world"
    levels_mm: tuple[float, ...] = (8.0, 4.0, 2.5)
    largest_rotation: float = Field(default=30.0, gt=0, le=180)
    least_overlap: float = Field(default=0.5, ge=0, le=1)
    agreement_voxel: float = Field(default=0.25, gt=0)

    @field_validator("levels_mm")
    @classmethod
    def _positive(cls, levels_mm: tuple[float, ...]) -> tuple[float, ...]:
        if not levels_mm or not np.isfinite(levels_mm).all() or min(levels_mm) <= 0:
            raise ValueError(f"levels must be one or more positive lengths in mm: found {list(levels_mm)}")
        return levels_mm

    @model_validator(mode="after")
    def _two(self) -> Registration:
        if self.fixed == self.moving:
            raise ValueError(f"fixed and moving must be two images: found {self.fixed!r} twice")
        return self

    def __call__(self, case: Case) -> Case:
        """Return the case with the moving image, and its labels, on the grid that it was found to lie on.

        Raises
        ------
        CohortError
            If the case lacks one of the images or labels, or it is unclear which labels move.
        PreprocessingError
            If an image is neither MR nor CT in mm, or the search did not end in a place that can be right.
        """
        fixed, moving = (self._image(case, name) for name in (self.fixed, self.moving))
        labels = self._labels_that_move(case)
        bodies = {
            name: LabelMap(BodyMask().found_in(volume).mask, volume.grid)
            for name, volume in ((self.fixed, fixed), (self.moving, moving))
        }
        region = self._region(bodies[self.fixed])
        fit = self._fit(fixed, moving, bodies, region, case.case_id)
        self._require_no_half_turn(fit, fixed, moving, bodies, region, case.case_id)
        grid = moved_grid(moving.grid, fit.to_fixed)
        angle = rotation_degrees(fit.to_fixed)
        overlap = self._overlap_after(fit, bodies)
        if angle > self.largest_rotation:
            raise self._failure(
                case.case_id,
                f"a rotation of at most {self.largest_rotation:g} degrees: found {angle:.0f}",
            )
        if overlap < self.least_overlap:
            raise self._failure(case.case_id, self._overlap_words(overlap))
        shift = fit.to_fixed[:3, :3] @ _center(bodies[self.moving]) + fit.to_fixed[:3, 3] - _center(bodies[self.moving])
        provenance = moving.provenance.then(
            self.stage,
            fixed=self.fixed,
            fixed_sources=list(fixed.provenance.sources),
            to_fixed=fit.to_fixed.round(9).tolist(),
            rotation_degrees=round(angle, 3),
            shift_mm=[round(float(x), 3) for x in shift],
            body_overlap=round(overlap, 4),
            mutual_information=round(fit.mutual_information, 5),
        )
        case = case.with_image(self.moving, replace(moving, grid=grid, provenance=provenance))
        for name in labels:
            case = case.with_label(name, replace(case.label(name), grid=grid))
        return case.with_notice(
            f"{self.moving!r} was moved onto {self.fixed!r}: {np.linalg.norm(shift):.1f} mm and {angle:.1f} degrees."
        )

    def _image(self, case: Case, name: str) -> Volume:
        if name not in case.images:
            have = ", ".join(sorted(case.images)) or "none"
            raise CohortError(
                f"Stage registration needs the images {self.fixed!r} and {self.moving!r}: "
                f"case {case.case_id} has {have}."
            )
        volume = case.images[name]
        if (volume.grid.unit, volume.grid.frame) != ("mm", "patient"):
            raise PreprocessingError(
                f"Stage registration needs images of a patient in mm: {name!r} of case {case.case_id} is of a "
                f"{volume.grid.frame} in {volume.grid.unit}."
            )
        return volume

    def _labels_that_move(self, case: Case) -> tuple[str, ...]:
        if self.moving_labels is not None:
            return tuple(name for name in self.moving_labels if case.label(name))
        fixed, moving = case.images[self.fixed].grid, case.images[self.moving].grid
        found = tuple(name for name, labels in case.labels.items() if labels.grid.same_as(moving))
        if found and fixed.same_as(moving):
            raise CohortError(
                f"Stage registration must know which label maps move with {self.moving!r}: in case {case.case_id} "
                f"{', '.join(found)} lie on the grid of both images. Name them in moving_labels."
            )
        return found

    def _region(self, body: LabelMap) -> LabelMap:
        return replace(body, array=dilated(body.mask(), RIM_MM, body.grid.spacing))

    def _require_no_half_turn(
        self,
        fit: RigidFit,
        fixed: Volume,
        moving: Volume,
        bodies: dict[str, LabelMap],
        region: LabelMap,
        case_id: str,
    ) -> None:
        """Refuse a place that another one, turned by 180 degrees, fits better than."""
        center = _center(bodies[self.moving])

        def found_from(start: Matrix) -> RigidFit | None:
            return rigid_fit(fixed=fixed, moving=moving, region=region, start=start, levels_mm=self.levels_mm[:1])

        upright = found_from(fit.to_fixed)
        for turn in _HALF_TURNS:
            turned = found_from(fit.to_fixed @ about(turn, center))
            if turned is None or self._overlap_after(turned, bodies) < self.least_overlap:
                continue
            if upright is None or turned.mutual_information > upright.mutual_information:
                raise self._failure(
                    case_id,
                    f"a rotation of at most {self.largest_rotation:g} degrees: turned by "
                    f"{rotation_degrees(turned.to_fixed):.0f} degrees the images fit better than where they lie",
                )

    def _fit(
        self, fixed: Volume, moving: Volume, bodies: dict[str, LabelMap], region: LabelMap, case_id: str
    ) -> RigidFit:
        start = np.eye(4)
        if self.start == "centers":
            start[:3, 3] = _center(bodies[self.fixed]) - _center(bodies[self.moving])
        begun = replace(bodies[self.moving], grid=moved_grid(moving.grid, start))
        if _overlap(bodies[self.fixed], begun) == 0:
            raise self._failure(case_id, self._overlap_words(0.0))
        coarse, finest = self.levels_mm[:-1] or self.levels_mm, self.levels_mm[-1:]
        points, agreement_mm = _points(bodies[self.moving]), self.agreement_voxel * coarse[-1]
        fits: list[RigidFit] = []
        overlaps, apart = [0.0], [np.inf]
        for turn in STARTS:
            begin = _perturbed(start, _center(bodies[self.moving]), turn)
            fit = rigid_fit(fixed=fixed, moving=moving, region=region, start=begin, levels_mm=coarse)
            if fit is None:
                continue
            overlaps.append(self._overlap_after(fit, bodies))
            # Where little overlaps, little is compared, and the mutual information of that may be high.
            if overlaps[-1] < self.least_overlap:
                continue
            fits.append(fit)
            best = max(fits, key=lambda fit: fit.mutual_information)
            apart = [_apart_mm(best, other, points) for other in fits if other is not best] or apart
            if min(apart) <= agreement_mm:
                refined = rigid_fit(fixed=fixed, moving=moving, region=region, start=best.to_fixed, levels_mm=finest)
                return refined or best
        if not fits:
            raise self._failure(case_id, self._overlap_words(max(overlaps)))
        found = f"the nearest are {min(apart):.1f} mm apart" if len(fits) > 1 else "only one keeps the overlap"
        raise self._failure(case_id, f"two starts that end in one place (within {agreement_mm:g} mm): {found}")

    def _overlap_after(self, fit: RigidFit, bodies: dict[str, LabelMap]) -> float:
        moving = bodies[self.moving]
        return _overlap(bodies[self.fixed], replace(moving, grid=moved_grid(moving.grid, fit.to_fixed)))

    def _overlap_words(self, found: float) -> str:
        return f"the bodies to overlap by {100 * self.least_overlap:.0f} %: found {100 * found:.0f} %"

    def _failure(self, case_id: str, words: str) -> PreprocessingError:
        other = "centers" if self.start == "world" else "world"
        return PreprocessingError(
            f"Stage registration of {self.moving!r} onto {self.fixed!r} needs {words} in case {case_id}. "
            f"Look at the two images; start: {other} may help where they were acquired apart."
        )


def _perturbed(start: Matrix, center: npt.NDArray[np.float64], turn: float) -> Matrix:
    """Return a start that is turned about the body's center and shifted, along all axes at once."""
    from scipy.spatial.transform import Rotation

    degrees, millimeters = (turn * size for size in PERTURBATION)
    axis = np.ones(3) / np.sqrt(3)
    rigid = about(Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix(), center)
    rigid[:3, 3] += millimeters * axis
    return np.asarray(start @ rigid)


def about(rotation: npt.NDArray[np.float64], center: npt.NDArray[np.float64]) -> Matrix:
    """Return the rigid (4, 4) map that turns by a rotation (3, 3) and leaves a point where it is."""
    rigid = np.eye(4)
    rigid[:3, :3] = rotation
    rigid[:3, 3] = center - rotation @ center
    return rigid


def _apart_mm(one: RigidFit, other: RigidFit, points: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(_mapped(one.to_fixed, points) - _mapped(other.to_fixed, points), axis=1).max())


def _overlap(one: LabelMap, other: LabelMap) -> float:
    """Return the share of the smaller body that lies in the other one."""
    common = np.count_nonzero(one.mask() & resample_labels(other, one.grid).mask()) * one.grid.voxel_volume
    volumes = [np.count_nonzero(body.mask()) * body.grid.voxel_volume for body in (one, other)]
    return float(common / min(volumes))


def _center(body: LabelMap) -> npt.NDArray[np.float64]:
    return np.asarray(body.grid.world(np.argwhere(body.mask()).mean(axis=0)))


def _points(body: LabelMap) -> npt.NDArray[np.float64]:
    """Return the corners of the body's box in the world."""
    inside = np.argwhere(body.mask())
    ends = np.stack([inside.min(axis=0), inside.max(axis=0)])
    return body.grid.world([(ends[a, 0], ends[b, 1], ends[c, 2]) for a in (0, 1) for b in (0, 1) for c in (0, 1)])


def _mapped(rigid: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(points @ rigid[:3, :3].T + rigid[:3, 3])
