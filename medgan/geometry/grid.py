"""The grid: where each voxel center of an image lies in the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import GeometryError
from medgan.geometry.box import Box, Index3, is_whole

Unit = Literal["mm", "nm"]
Frame = Literal["patient", "specimen"]
FloatArray = npt.NDArray[np.float64]

AGREEMENT_VOXEL = 0.05
"""Two grids agree when no corner is displaced by more than this share of a voxel."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of voxel centers in the world.

    Parameters
    ----------
    shape : (I, J, K)
        Number of voxels along each axis.
    affine : (4, 4) float64
        Maps the homogeneous index of a voxel *center* to world coordinates in ``unit``. Shear is allowed and never
        hidden (a tilted CT gantry makes one).
    unit : {"mm", "nm"}
    frame : {"patient", "specimen"}
        ``patient``: world axes are RAS+ (right, anterior, superior grow). ``specimen``: the stack's own x, y, z.

    Raises
    ------
    GeometryError
        If the affine is not finite, not invertible or not homogeneous, or an axis is empty.

    Notes
    -----
    A grid has no ``==`` and no hash: agreement is a length, see :meth:`same_as`, and closeness is not transitive.

    Examples
    --------
    >>> grid = Grid((4, 4, 4), np.diag([2.0, 2.0, 3.0, 1.0]))
    >>> grid.world([1, 0, 0]).tolist()
    [2.0, 0.0, 0.0]
    """

    shape: Index3
    affine: FloatArray
    unit: Unit = "mm"
    frame: Frame = "patient"

    def __post_init__(self) -> None:
        shape = tuple(self.shape)
        if len(shape) != 3 or not all(is_whole(n) and n >= 1 for n in shape):
            raise GeometryError(f"A grid needs at least one whole voxel on each of three axes: found shape {shape}.")
        shape = tuple(int(n) for n in shape)
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise GeometryError(f"A grid needs a 4 x 4 affine: found shape {affine.shape}.")
        if not np.isfinite(affine).all():
            raise GeometryError("A grid needs a finite affine: found NaN or infinity in it.")
        if not np.array_equal(affine[3], [0.0, 0.0, 0.0, 1.0]):
            raise GeometryError(f"The last row of an affine must be 0 0 0 1: found {affine[3].tolist()}.")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if min(spacing) <= 0 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-4:
            raise GeometryError(
                f"A grid needs an invertible affine: the columns have lengths {spacing.tolist()} and do not span space."
            )
        if self.unit not in ("mm", "nm") or self.frame not in ("patient", "specimen"):
            raise GeometryError(
                f"A grid is in mm or nm, of a patient or a specimen: found {self.unit!r}, {self.frame!r}."
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __setstate__(self, state: dict[str, object]) -> None:
        # NumPy drops the read-only flag when an array is pickled.
        self.__dict__.update(state)
        self.affine.setflags(write=False)
        if "direction" in state:
            self.direction.setflags(write=False)

    @classmethod
    def axis_aligned(
        cls,
        shape: Sequence[int],
        *,
        spacing: Sequence[float],
        origin: Sequence[float] = (0, 0, 0),
        unit: Unit = "mm",
        frame: Frame = "patient",
    ) -> Grid:
        """Return a grid whose axes are the world's axes."""
        affine = np.diag([*map(float, spacing), 1.0])
        affine[:3, 3] = origin
        return cls(tuple(shape), affine, unit, frame)  # type: ignore[arg-type]

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighboring voxel centers along each axis, in ``unit``."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return tuple(float(s) for s in lengths)  # type: ignore[return-value]

    @property
    def origin(self) -> tuple[float, float, float]:
        """World position of the center of voxel (0, 0, 0)."""
        return tuple(float(x) for x in self.affine[:3, 3])  # type: ignore[return-value]

    @cached_property
    def direction(self) -> FloatArray:
        """(3, 3) unit vectors of the axes, one a column."""
        direction = np.asarray(self.affine[:3, :3] / np.asarray(self.spacing))
        direction.setflags(write=False)
        return direction

    @property
    def is_sheared(self) -> bool:
        """Tell whether two axes deviate from a right angle by more than 0.05 voxel over the grid's extent."""
        # The projection of axis a on axis b displaces the far end of a by (n - 1) * spacing * cos voxels of b's kind.
        cosines = np.abs(self.direction.T @ self.direction - np.eye(3))
        extent = (np.asarray(self.shape) - 1) * np.asarray(self.spacing)
        return bool((cosines * extent[:, None]).max() > AGREEMENT_VOXEL * min(self.spacing))

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in ``unit`` cubed."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def box(self) -> Box:
        """All voxels of the grid."""
        return Box.of_shape(self.shape)

    def world(self, ijk: npt.ArrayLike) -> FloatArray:
        """Return world points of voxel indices, shape (..., 3) to (..., 3); fractions are allowed."""
        return np.asarray(ijk, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def index(self, xyz: npt.ArrayLike) -> FloatArray:
        """Return (fractional) voxel indices of world points, shape (..., 3) to (..., 3)."""
        return (np.asarray(xyz, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def index_affine_from(self, other: Grid) -> FloatArray:
        """Return the (4, 4) map from voxel indices of ``other`` to voxel indices of this grid.

        Raises
        ------
        GeometryError
            If the two are in different units or frames.
        """
        if (self.unit, self.frame) != (other.unit, other.frame):
            raise GeometryError(
                f"Two grids need one unit and one frame: found {self.unit}, {self.frame} "
                f"and {other.unit}, {other.frame}."
            )
        return np.asarray(np.linalg.solve(self.affine, other.affine), dtype=np.float64)

    def corners_xyz(self) -> FloatArray:
        """Return the (8, 3) world positions of the outermost voxel centers."""
        ends = [(0, n - 1) for n in self.shape]
        return self.world([(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]])

    def box_around(self, other: Grid) -> Box:
        """Return a box of this grid's voxels that holds all of ``other``; it may reach beyond the grid.

        Examples
        --------
        >>> Grid.axis_aligned((8, 8, 8), spacing=(1, 1, 1)).box_around(Grid.axis_aligned((2, 2, 2), spacing=(3, 3, 3)))
        Box(start_ijk=(-2, -2, -2), stop_ijk=(6, 6, 6))
        """
        ends = [(-0.5, n - 0.5) for n in other.shape]
        edges = self.index(other.world([(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]]))
        start, stop = np.floor(edges.min(axis=0)).astype(int), np.ceil(edges.max(axis=0)).astype(int) + 1
        return Box(tuple(start.tolist()), tuple(stop.tolist()))

    def displacement_from(self, other: Grid) -> float:
        """Return the largest displacement of a corner between two grids of one shape, in voxels of the smaller spacing.

        Raises
        ------
        GeometryError
            If shape, unit or frame differ.
        """
        if (self.shape, self.unit, self.frame) != (other.shape, other.unit, other.frame):
            raise GeometryError(
                "Displacement is defined between grids of one shape, unit and frame: "
                f"found {self.describe()} and {other.describe()}."
            )
        distance = np.linalg.norm(self.corners_xyz() - other.corners_xyz(), axis=1).max()
        return float(distance / min(*self.spacing, *other.spacing))

    def same_as(self, other: Grid, *, tolerance_voxel: float = AGREEMENT_VOXEL) -> bool:
        """Tell whether two grids agree: one shape, and no corner displaced by more than ``tolerance_voxel``."""
        if (self.shape, self.unit, self.frame) != (other.shape, other.unit, other.frame):
            return False
        return self.displacement_from(other) <= tolerance_voxel

    def require_same_as(self, other: Grid, *, this: str, that: str, what: str = "A paired comparison") -> None:
        """Raise a :class:`GeometryError` that says by how much, unless two grids agree."""
        if self.same_as(other):
            return
        if (self.shape, self.unit, self.frame) != (other.shape, other.unit, other.frame):
            found = f"{this!r} has {self.describe()}, {that!r} has {other.describe()}"
        else:
            shift = np.subtract(self.world((np.array(self.shape) - 1) / 2), other.world((np.array(self.shape) - 1) / 2))
            moved = ", ".join(f"{s:.1f}" for s in shift)
            found = (
                f"{this!r} is displaced from {that!r} by up to {self.displacement_from(other):.2f} voxels "
                f"(limit {AGREEMENT_VOXEL}); at the center the difference is ({moved}) {self.unit}"
            )
        raise GeometryError(
            f"{what} needs images on one grid: {found}. Resample one of them; do not copy one affine onto the other."
        )

    def cropped(self, box: Box) -> Grid:
        """Return the grid of the voxels in ``box``, which may reach beyond this grid (that pads)."""
        affine = self.affine.copy()
        affine[:3, 3] = self.world(box.start_ijk)
        return Grid(box.shape, affine, self.unit, self.frame)

    def respaced(self, spacing: Sequence[float]) -> Grid:
        """Return a grid of another spacing that covers the same extent, centered on the same point.

        The extent counts whole voxels (n x spacing); the new one is rounded up to whole voxels.
        """
        new = np.asarray(spacing, dtype=np.float64)
        if new.shape != (3,) or not np.isfinite(new).all() or min(new) <= 0:
            raise GeometryError(f"A spacing needs three positive lengths: found {spacing!r}.")
        count = np.maximum(np.ceil(np.asarray(self.shape) * self.spacing / new - 1e-6), 1).astype(int)
        center = self.world((np.asarray(self.shape) - 1) / 2)
        affine = np.eye(4)
        affine[:3, :3] = self.direction * new
        affine[:3, 3] = center - affine[:3, :3] @ ((count - 1) / 2)
        return Grid(tuple(count), affine, self.unit, self.frame)

    def describe(self) -> str:
        """Return shape, spacing and origin in words, for messages."""
        shape = " x ".join(map(str, self.shape))
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing)
        origin = ", ".join(f"{x:.1f}" for x in self.origin)
        return f"{shape} voxels of {spacing} {self.unit} from ({origin})"
