"""Size and shape of one random thigh, lower leg or joint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medgan.phantoms.limb_bones import Bone, joint_bones, leg_bones, thigh_bone
from medgan.phantoms.solids import Blob, Float32, Points, Tube, Vector, Warp, gyroid, paint, vector
from medgan.phantoms.tissue_table import Tissue

Site = Literal["thigh", "leg", "joint"]
SEPTUM_MM = 0.9
"""Half the width of the fat between two muscles, before it varies from place to place: a free choice."""


@dataclass(frozen=True)
class LimbAnatomy:
    """The random numbers behind one limb; the limb runs along z, coordinates are mm about its middle.

    Parameters
    ----------
    radius_mm : float
        Mean radius of the skin at the middle.
    taper : float
        Relative change of the radius over 100 mm toward +z.
    outline, fat : tuple of (order, amplitude, phase)
        Cosine waves around the limb: relative outline, and relative thickness of fat.
    fat_mm, skin_mm : float
    seeds : tuple of (x, y, drift x, drift y)
        One point per muscle: position as a share of the muscle's radius, drift in mm over 100 mm.
    phases : tuple of float
    bones : tuple of Bone
    vessels : tuple of (radius, path)
    tumor : Blob
        A soft-tissue mass; drawn always, painted if asked for.
    warp : tuple of Warp
    """

    radius_mm: float
    taper: float
    outline: tuple[tuple[int, float, float], ...]
    fat: tuple[tuple[int, float, float], ...]
    fat_mm: float
    skin_mm: float
    seeds: tuple[tuple[float, float, float, float], ...]
    phases: tuple[float, ...]
    bones: tuple[Bone, ...]
    vessels: tuple[tuple[float, tuple[Vector, ...]], ...]
    tumor: Blob
    warp: tuple[Warp, ...]

    @classmethod
    def sampled(cls, generator: np.random.Generator, *, site: Site = "thigh") -> LimbAnatomy:
        """Draw the anatomy of one subject."""
        thigh = site != "leg"
        radius = float(generator.uniform(72, 92) if thigh else generator.uniform(52, 64))
        fat_mm = float(generator.uniform(6, 20) if thigh else generator.uniform(3, 9))
        muscle = radius - fat_mm - 2
        return cls(
            radius_mm=radius,
            taper=float(generator.uniform(0.04, 0.14)),
            outline=tuple((m, float(generator.uniform(0, 0.05 / m)), _angle(generator)) for m in (1, 2, 3)),
            fat=tuple((m, float(generator.uniform(0.1, 0.45 / m)), _angle(generator)) for m in (1, 2, 3)),
            fat_mm=fat_mm,
            skin_mm=float(generator.uniform(1.8, 2.6)),
            seeds=_muscle_seeds(generator, outer=8 if thigh else 6, inner=4 if thigh else 2),
            phases=tuple(generator.uniform(0, 2 * np.pi, size=6)),
            bones=_bones(generator, site, muscle),
            vessels=_vessels(generator, muscle, thigh),
            tumor=_tumor(generator, muscle),
            warp=tuple(
                Warp(
                    axis, float(generator.uniform(0.5, 2)), vector(generator.uniform(-1, 1, 3) / 80), _angle(generator)
                )
                for axis in (0, 1)
            ),
        )


def _angle(generator: np.random.Generator) -> float:
    return float(generator.uniform(0, 2 * np.pi))


def _muscle_seeds(
    generator: np.random.Generator, *, outer: int, inner: int
) -> tuple[tuple[float, float, float, float], ...]:
    """Draw two rings of muscles around the bone, each a little off its place and at a slant."""
    seeds = []
    for count, ring in ((outer, 0.74), (inner, 0.32)):
        start = _angle(generator)
        for n in range(count):
            angle = start + 2 * np.pi * (n + generator.uniform(-0.25, 0.25)) / count
            share = ring + generator.uniform(-0.1, 0.1)
            drift = generator.normal(0, 5, size=2)
            seeds.append((share * np.cos(angle), share * np.sin(angle), float(drift[0]), float(drift[1])))
    return tuple(seeds)


def _bones(generator: np.random.Generator, site: Site, muscle: float) -> tuple[Bone, ...]:
    if site == "thigh":
        return thigh_bone(generator)
    return leg_bones(generator, muscle) if site == "leg" else joint_bones(generator, muscle)


def _vessels(
    generator: np.random.Generator, muscle: float, thigh: bool
) -> tuple[tuple[float, tuple[Vector, ...]], ...]:
    x, y = 0.36 * muscle, (0.30 if thigh else -0.35) * muscle
    slant = generator.uniform(-0.1, 0.1)
    zs = (-400, -100, 0, 100, 400)
    artery = tuple((float(x + slant * z / 3), float(y + slant * z / 2), float(z)) for z in zs)
    vein = tuple((a + 6.5, b - 3.0, c) for a, b, c in artery)
    angle = generator.uniform(-0.4, 0.4)
    surface = (muscle + 4.0) * np.array([np.cos(angle), np.sin(angle)])
    saphenous = tuple((float(surface[0] * (1 + 0.0009 * z)), float(surface[1]), float(z)) for z in zs)
    return ((3.2, artery), (4.4, vein), (1.9, saphenous))


def _tumor(generator: np.random.Generator, muscle: float) -> Blob:
    angle, share = _angle(generator), generator.uniform(0.5, 0.75)
    center = (share * muscle * np.cos(angle), share * muscle * np.sin(angle), generator.uniform(-25, 25))
    radii = generator.uniform(12, 26) * generator.uniform(0.8, 1.25, size=3) * np.array([1, 1, 1.3])
    return Blob.sampled(generator, center_mm=vector(center), radii_mm=vector(radii))


def limb_labels(
    points: Points, anatomy: LimbAnatomy, *, with_tumor: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return tissue numbers (I, J, K) uint8 and the body mask at the points."""
    x, y, z = points.x, points.y, points.z
    angle, r = np.arctan2(y, x), np.hypot(x, y)
    skin_radius = anatomy.radius_mm * (1 + anatomy.taper * z / 100) * (1 + _waves(angle, z, anatomy.outline))
    skin_radius = np.maximum(skin_radius, 25)
    fat = np.maximum(anatomy.fat_mm * (1 + _waves(angle, z, anatomy.fat)), 2.5)
    depth = skin_radius - r
    muscle_radius = skin_radius - anatomy.skin_mm - fat

    labels = np.zeros(r.shape, dtype=np.uint8)
    body = np.asarray(depth > 0)
    labels[body] = Tissue.SKIN
    labels[depth > anatomy.skin_mm] = Tissue.FAT
    muscle = r < muscle_radius
    septum, streaks = _between_muscles(points, anatomy)
    labels[muscle & (septum > 0) & ~streaks] = Tissue.MUSCLE

    for bone in anatomy.bones:
        bone.painted(labels, points)
    soft = (Tissue.MUSCLE, Tissue.FAT)
    for outer, path in anatomy.vessels:
        paint(labels, points, Tube(path, (outer + 2.0,) * len(path)), Tissue.FAT, over=(Tissue.MUSCLE,))
        paint(labels, points, Tube(path, (outer,) * len(path)), Tissue.BLOOD, over=soft)
    if with_tumor:
        paint(labels, points, anatomy.tumor, Tissue.TUMOR, over=soft)
    labels[~body] = Tissue.AIR
    return labels, body


def _waves(angle: Float32, z: Float32, waves: tuple[tuple[int, float, float], ...]) -> Float32:
    """Return the sum of cosines around the limb; the pattern turns by 0.2 rad over 100 mm."""
    turned = angle + np.float32(0.002) * z
    total: Any = np.float32(0)
    for order, amplitude, phase in waves:
        total = total + np.float32(amplitude) * np.cos(np.float32(order) * turned + np.float32(phase))
    return np.asarray(total)


def _between_muscles(points: Points, anatomy: LimbAnatomy) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Return the distance in mm from the fat between muscles (negative inside), and thin streaks of fat within them.

    Muscles are the cells of a Voronoi diagram: the distance of a point in cell i from the plane between seeds i and j
    is ``(|p - s_j|^2 - |p - s_i|^2) / (2 |s_i - s_j|)``.
    """
    muscle = np.float32(anatomy.radius_mm - anatomy.fat_mm - anatomy.skin_mm)
    share = points.z * np.float32(0.01)
    seeds = [
        (np.float32(a) * muscle, np.float32(b) * muscle, np.float32(c), np.float32(d)) for a, b, c, d in anatomy.seeds
    ]
    squared = [np.square(points.x - a - c * share) + np.square(points.y - b - d * share) for a, b, c, d in seeds]
    nearest = np.argmin(squared, axis=0)
    smallest = np.minimum.reduce(squared)
    at = np.asarray([(a, b) for a, b, _, _ in seeds])
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1).astype(np.float32)
    wall = np.full(points.x.shape, np.inf, dtype=np.float32)
    for j, distance in enumerate(squared):
        width = 2 * np.maximum(apart[:, j], 1)[nearest]
        np.minimum(wall, np.where(nearest == j, np.inf, (distance - smallest) / width), out=wall)
    slow = gyroid(points.x, points.y, points.z * 0.4, wavelength_mm=70, phase=anatomy.phases[:3])
    grain = gyroid(points.x, points.y, points.z * 0.12, wavelength_mm=17, phase=anatomy.phases[3:])
    streaks = (np.abs(grain) < 0.05) & (slow > 0.35)
    return wall - np.float32(SEPTUM_MM) * (1 + np.float32(0.6) * slow), streaks
