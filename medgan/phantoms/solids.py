"""Solids given by their signed distance, and painting them into a label array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid

Float32 = npt.NDArray[np.float32]
Vector = tuple[float, float, float]


def vector(values: npt.ArrayLike) -> Vector:
    """Return three numbers as a tuple of floats."""
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return x, y, z


class Solid(Protocol):
    """A region of space, known by the distance of any point from its surface."""

    @property
    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Lower and upper corner of a box that holds the solid."""

    def distance(self, x: Float32, y: Float32, z: Float32) -> Float32:
        """Return the signed distance in mm (negative inside) to first order near the surface."""


@dataclass(frozen=True)
class Ellipsoid:
    """``sum |p_a / r_a|^exponent <= 1``; exponent 2 is an ellipsoid, larger ones are boxier.

    Parameters
    ----------
    center_mm, radii_mm : three floats each
    exponent : int
    yaw : float
        Rotation about z in radians.
    """

    center_mm: Vector
    radii_mm: Vector
    exponent: int = 2
    yaw: float = 0.0

    @property
    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Lower and upper corner of a box that holds the solid."""
        c, s = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        a, b, h = self.radii_mm
        half = np.array([np.hypot(c * a, s * b), np.hypot(s * a, c * b), h])
        if self.exponent > 2:  # corners reach further than those of the ellipsoid
            half[:2] = c * a + s * b, s * a + c * b
        return vector(np.subtract(self.center_mm, half)), vector(np.add(self.center_mm, half))

    def distance(self, x: Float32, y: Float32, z: Float32) -> Float32:
        """Return the signed distance in mm to first order: the implicit function over the norm of its gradient."""
        x, y, z = (p - np.float32(c) for p, c in zip((x, y, z), self.center_mm))
        if self.yaw:
            c, s = np.float32(np.cos(self.yaw)), np.float32(np.sin(self.yaw))
            x, y = c * x + s * y, c * y - s * x
        total: Any = np.float32(0)
        slope: Any = np.float32(0)
        for p, r in zip((x, y, z), self.radii_mm):
            u = np.abs(p) * np.float32(1 / r)
            power = u if self.exponent == 2 else u ** (self.exponent - 1)
            total = total + power * u
            slope = slope + np.square(power * np.float32(1 / r))
        # With F = total^(1/e): d = (F - 1) / |grad F| and |grad F| = F^(1 - e) sqrt(slope). At the center slope is 0.
        if self.exponent == 3:
            level = np.cbrt(total)
        else:
            level = np.sqrt(total) if self.exponent == 2 else total ** np.float32(1 / self.exponent)
        gradient = np.sqrt(slope) / np.maximum(level, 1e-3) ** (self.exponent - 1)
        return np.asarray((level - 1) / np.maximum(gradient, 1 / max(self.radii_mm)), dtype=np.float32)


@dataclass(frozen=True)
class Tube:
    """Round tube along a polyline with a radius at each point, optionally stretched along the world axes.

    Parameters
    ----------
    points_mm : at least two points
    radii_mm : one float per point
    stretch : three floats
        Cross sections are ellipses with these relative half axes (mandible: taller than thick).
    """

    points_mm: tuple[Vector, ...]
    radii_mm: tuple[float, ...]
    stretch: Vector = (1.0, 1.0, 1.0)

    @property
    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Lower and upper corner of a box that holds the solid."""
        reach = np.outer(self.radii_mm, self.stretch)
        points = np.asarray(self.points_mm)
        return vector((points - reach).min(axis=0)), vector((points + reach).max(axis=0))

    def distance(self, x: Float32, y: Float32, z: Float32) -> Float32:
        """Return the signed distance in mm (in stretched coordinates where ``stretch`` is not one)."""
        x, y, z = (p * np.float32(1 / s) for p, s in zip((x, y, z), self.stretch))
        points = np.asarray(self.points_mm) / np.asarray(self.stretch)
        nearest: Any = None
        for start, stop, r0, r1 in zip(points[:-1], points[1:], self.radii_mm[:-1], self.radii_mm[1:]):
            along = (stop - start).astype(np.float32)
            px, py, pz = (p - np.float32(a) for p, a in zip((x, y, z), start))
            t = (px * along[0] + py * along[1] + pz * along[2]) / max(float(along @ along), 1e-6)
            t = np.clip(t, 0, 1)
            squared = np.square(px - t * along[0]) + np.square(py - t * along[1]) + np.square(pz - t * along[2])
            distance = np.sqrt(squared) - (np.float32(r0) + np.float32(r1 - r0) * t)
            nearest = distance if nearest is None else np.minimum(nearest, distance)
        return np.asarray(nearest, dtype=np.float32)


@dataclass(frozen=True)
class Blob:
    """An ellipsoid whose surface is moved in and out: the shape of a lesion.

    Parameters
    ----------
    center_mm, radii_mm : three floats each
    rotation : (3, 3) nested tuple
        Rows are the ellipsoid's axes.
    bumps : tuple of (amplitude, wave vector, phase)
        The surface lies at ``1 + sum amplitude sin(wave . n + phase)`` radii in direction ``n``.
    """

    center_mm: Vector
    radii_mm: Vector
    rotation: tuple[Vector, Vector, Vector]
    bumps: tuple[tuple[float, Vector, float], ...]

    @classmethod
    def sampled(
        cls, generator: np.random.Generator, *, center_mm: Vector, radii_mm: Vector, roughness: float = 0.09
    ) -> Blob:
        """Draw orientation and bumps; ``roughness`` is the amplitude of each of five bumps."""
        rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        bumps = tuple(
            (
                float(roughness * generator.uniform(0.5, 1)),
                vector(generator.normal(size=3) * 2.6),
                float(generator.uniform(0, 2 * np.pi)),
            )
            for _ in range(5)
        )
        a, b, c = (vector(row) for row in rotation)
        return cls(center_mm, radii_mm, (a, b, c), bumps)

    @property
    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Lower and upper corner of a box that holds the solid."""
        reach = 1 + sum(amplitude for amplitude, _, _ in self.bumps)
        half = reach * np.linalg.norm(np.asarray(self.rotation) * np.asarray(self.radii_mm)[:, None], axis=0)
        return vector(np.subtract(self.center_mm, half)), vector(np.add(self.center_mm, half))

    def distance(self, x: Float32, y: Float32, z: Float32) -> Float32:
        """Return the signed distance in mm to first order, the slope of the bumps left out."""
        x, y, z = (p - np.float32(c) for p, c in zip((x, y, z), self.center_mm))
        axes = np.asarray(self.rotation, dtype=np.float32)
        u = [
            (axes[a, 0] * x + axes[a, 1] * y + axes[a, 2] * z) * np.float32(1 / r) for a, r in enumerate(self.radii_mm)
        ]
        level = np.maximum(np.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2), np.float32(1e-6))
        surface: Any = np.float32(1)
        for amplitude, wave, phase in self.bumps:
            along = (u[0] * np.float32(wave[0]) + u[1] * np.float32(wave[1]) + u[2] * np.float32(wave[2])) / level
            surface = surface + np.float32(amplitude) * np.sin(along + np.float32(phase))
        slope = np.sqrt(sum((ua / np.float32(r)) ** 2 for ua, r in zip(u, self.radii_mm))) / level
        return np.asarray((level - surface) / np.maximum(slope, 1 / max(self.radii_mm)), dtype=np.float32)


@dataclass(frozen=True)
class Mirrored:
    """A solid and its mirror image on the other side of x = 0."""

    right: Ellipsoid | Tube

    @property
    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Lower and upper corner of a box that holds both."""
        (x0, y0, z0), (x1, y1, z1) = self.right.bounds_mm
        reach = max(abs(x0), abs(x1))
        return (-reach, y0, z0), (reach, y1, z1)

    def distance(self, x: Float32, y: Float32, z: Float32) -> Float32:
        """Return the signed distance in mm from the nearer one."""
        return self.right.distance(np.abs(x), y, z)


def smooth_union(first: Float32, second: Float32, rounding_mm: float) -> Float32:
    """Return the distance from the union of two solids whose seam is filled over ``rounding_mm``.

    Notes
    -----
    ``min(a, b) - h^2 k / 4`` with ``h = max(k - |a - b|, 0) / k``: the quadratic smooth minimum.
    """
    overlap = np.maximum(rounding_mm - np.abs(first - second), 0) / np.float32(rounding_mm)
    return np.asarray(np.minimum(first, second) - np.square(overlap) * np.float32(rounding_mm / 4))


def gyroid(x: Float32, y: Float32, z: Float32, *, wavelength_mm: float, phase: Sequence[float]) -> Float32:
    """Return a field of about [-1.5, 1.5] whose zero level is one folded sheet, like sulci or fat between muscles.

    Notes
    -----
    ``sin x cos y + sin y cos z + sin z cos x`` in units of ``wavelength_mm / (2 pi)``
    (A. Schoen, NASA TN D-5541, 1970).
    """
    k = np.float32(2 * np.pi / wavelength_mm)
    x, y, z = (p * k + np.float32(f) for p, f in zip((x, y, z), phase))
    return np.asarray(np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x))


@dataclass(frozen=True)
class Points:
    """Voxel centers of a grid in the coordinates of an anatomy, bent by a slow random warp.

    Parameters
    ----------
    x, y, z : (I, J, K) float32, mm
    index_from_anatomy : (4, 4)
        Maps anatomical coordinates, warp left out, to voxel indices.
    margin_mm : float
        Largest displacement by the warp.
    """

    x: Float32
    y: Float32
    z: Float32
    index_from_anatomy: npt.NDArray[np.float64]
    margin_mm: float

    @classmethod
    def of_grid(
        cls,
        grid: Grid,
        *,
        anatomy_to_world: npt.NDArray[np.float64],
        warp: Sequence[Warp] = (),
        offset_ijk: Sequence[float] = (0, 0, 0),
    ) -> Points:
        """Return the points of ``grid``, each moved by a part of a voxel (for sampling inside voxels)."""
        to_anatomy = np.linalg.solve(anatomy_to_world, grid.affine)
        i, j, k = (
            (np.arange(n, dtype=np.float64) + o).reshape([-1 if a == axis else 1 for a in range(3)])
            for axis, (n, o) in enumerate(zip(grid.shape, offset_ijk))
        )
        # Sum along two axes first: the full array is then written once.
        xyz = [(((row[0] * i + row[3]) + row[1] * j) + row[2] * k).astype(np.float32) for row in to_anatomy[:3]]
        moved = list(xyz)
        for wave in warp:
            moved[wave.axis] = moved[wave.axis] + wave.displacement(*xyz)
        margin = sum(abs(wave.amplitude_mm) for wave in warp)
        return cls(moved[0], moved[1], moved[2], np.linalg.inv(to_anatomy), margin)

    def slices(self, solid: Solid, *, reach_mm: float = 0.0) -> tuple[slice, slice, slice] | None:
        """Return the part of the array that can lie within ``reach_mm`` of the solid, None if there is none."""
        low, high = (np.asarray(b) for b in solid.bounds_mm)
        low, high = low - self.margin_mm - reach_mm, high + self.margin_mm + reach_mm
        corners = np.array(
            [[(low, high)[a][0], (low, high)[b][1], (low, high)[c][2]] for a, b, c in np.ndindex(2, 2, 2)]
        )
        ijk = corners @ self.index_from_anatomy[:3, :3].T + self.index_from_anatomy[:3, 3]
        start = np.maximum(np.floor(ijk.min(axis=0)).astype(int) - 1, 0)
        stop = np.minimum(np.ceil(ijk.max(axis=0)).astype(int) + 2, self.x.shape)
        if (stop <= start).any():
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(start, stop))  # type: ignore[return-value]


@dataclass(frozen=True)
class Warp:
    """One slow sine wave that displaces points along one axis."""

    axis: int
    amplitude_mm: float
    wave_per_mm: Vector
    phase: float

    def displacement(self, x: Float32, y: Float32, z: Float32) -> Float32:
        """Return the displacement in mm at each point."""
        k = np.float32(2 * np.pi) * np.asarray(self.wave_per_mm, dtype=np.float32)
        return np.asarray(
            np.float32(self.amplitude_mm) * np.sin(k[0] * x + k[1] * y + k[2] * z + np.float32(self.phase))
        )


def unite(distance: Float32, points: Points, solid: Solid, *, rounding_mm: float, reach_mm: float) -> None:
    """Unite a field of distances smoothly with a solid, in place.

    Only points within ``reach_mm`` of the solid's bounds are visited: further away the field keeps its sign and, where
    it is below ``reach_mm - rounding_mm``, its value.
    """
    part = points.slices(solid, reach_mm=reach_mm)
    if part is not None:
        added = solid.distance(points.x[part], points.y[part], points.z[part])
        distance[part] = smooth_union(distance[part], added, rounding_mm)


def paint(
    labels: npt.NDArray[np.uint8],
    points: Points,
    solid: Solid,
    label: int,
    *,
    over: Sequence[int] = (),
) -> None:
    """Write ``label`` into ``labels`` inside the solid, only over the labels in ``over`` unless that is empty."""
    part = points.slices(solid)
    if part is None:
        return
    inside = solid.distance(points.x[part], points.y[part], points.z[part]) < 0
    if over:
        allowed = np.zeros(256, dtype=bool)
        allowed[list(over)] = True
        inside &= allowed[labels[part]]
    labels[part][inside] = label
