"""Size and shape of one random prostate with its surroundings, and of one lesion in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from medgan.phantoms.solids import Blob, Ellipsoid, Points, Solid, Tube, Vector, Warp, gyroid, paint, vector

LOG_VOLUME_ML = (0.27, 1.23)
"""Mean and standard deviation of the natural logarithm of a lesion's volume in ml.

Measured on the connected components of the 40 expert masks of PI-CAI's public training set (median 1.1 ml), as are the
ratios of the half axes, 0.53 : 0.72 : 1 in the median.
"""


class Region(IntEnum):
    """Label numbers of what a prostate phantom is made of."""

    FAT = 0
    MUSCLE = 1
    BONE = 2
    BONE_MARROW = 3
    URINE = 4
    GAS = 5
    STOOL = 6
    VESSEL = 7
    VESICLE = 8
    CAPSULE = 9
    PERIPHERAL_ZONE = 10
    TRANSITION_ZONE = 11
    BRIGHT_NODULE = 12
    DARK_NODULE = 13
    STROMA = 14
    URETHRA = 15
    LESION = 16


GLAND = (
    Region.PERIPHERAL_ZONE,
    Region.TRANSITION_ZONE,
    Region.BRIGHT_NODULE,
    Region.DARK_NODULE,
    Region.STROMA,
)


@dataclass(frozen=True)
class ProstateAnatomy:
    """The random numbers behind one pelvis; RAS+ mm about the middle of the gland.

    Parameters
    ----------
    gland, transition : Blob
    nodules : tuple of (sphere, is bright)
    rectum_mm : float
        Radius of the rectum's lumen.
    has_gas : bool
        Gas or stool in the rectum.
    lesion : Blob
        Drawn always, painted if asked for, and only over the gland.
    lesion_zone : Region
        Peripheral or transition zone: where the lesion's center lies.
    phase : tuple of float
        Phase of the texture.
    warp : tuple of Warp
    """

    gland: Blob
    transition: Blob
    nodules: tuple[tuple[Ellipsoid, bool], ...]
    rectum_mm: float
    has_gas: bool
    lesion: Blob
    lesion_zone: Region
    phase: tuple[float, ...]
    warp: tuple[Warp, ...]

    @classmethod
    def sampled(cls, generator: np.random.Generator) -> ProstateAnatomy:
        """Draw the anatomy of one subject and its lesion."""
        size = generator.uniform(0.92, 1.25)
        hyperplasia = generator.uniform(0.5, 0.78)  # share of the gland's radii that the transition zone has
        gland = _upright(generator, (0, 0, 0), vector(size * np.array([25, 17, 21]) * generator.uniform(0.93, 1.07, 3)))
        offset = (0.0, float(0.24 * gland.radii_mm[1]), float(0.12 * gland.radii_mm[2]))
        transition = _upright(generator, offset, vector(hyperplasia * np.multiply(gland.radii_mm, (1.05, 1.08, 1.08))))
        nodules = []
        for _ in range(int(generator.integers(5, 10))):
            place = generator.normal(size=3)
            place *= generator.uniform(0, 0.75) / np.linalg.norm(place)
            center = np.array(offset) + place * transition.radii_mm
            radius = generator.uniform(2.5, 6.5)
            nodules.append((Ellipsoid(vector(center), (radius, radius, radius)), bool(generator.uniform() < 0.6)))
        in_periphery = bool(generator.uniform() < 0.7)
        lesion = _lesion(generator, gland, transition, in_periphery)
        return cls(
            gland=gland,
            transition=transition,
            nodules=tuple(nodules),
            rectum_mm=float(generator.uniform(8, 15)),
            has_gas=bool(generator.uniform() < 0.5),
            lesion=lesion,
            lesion_zone=Region.PERIPHERAL_ZONE if in_periphery else Region.TRANSITION_ZONE,
            phase=tuple(generator.uniform(0, 2 * np.pi, size=3)),
            warp=tuple(
                Warp(
                    axis,
                    float(generator.uniform(0.3, 1.2)),
                    vector(generator.uniform(-1, 1, 3) / 50),
                    float(generator.uniform(0, 6)),
                )
                for axis in (0, 1, 2)
            ),
        )


def _upright(generator: np.random.Generator, center: Vector, radii: Vector) -> Blob:
    blob = Blob.sampled(generator, center_mm=center, radii_mm=radii, roughness=0.025)
    return Blob(center, radii, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), blob.bumps)


def _lesion(generator: np.random.Generator, gland: Blob, transition: Blob, in_periphery: bool) -> Blob:
    """Draw volume (limited to 0.22 to 6 ml) and shape from the prior, and a center in the wanted zone by rejection."""
    volume_ml = float(np.exp(np.clip(generator.normal(*LOG_VOLUME_ML), -1.5, 1.8)))
    ratios = np.array([0.53, 0.72, 1.0]) * generator.uniform(0.85, 1.15, size=3)
    radii = ratios * (3 * volume_ml * 1000 / (4 * np.pi * ratios.prod())) ** (1 / 3)
    candidates = generator.uniform(-0.95, 0.95, size=(400, 3)) * gland.radii_mm
    xyz = candidates.astype(np.float32).T
    in_transition = transition.distance(*xyz) < -1
    depth_mm = -gland.distance(*xyz)
    # In front of the transition zone the peripheral zone is a thin horn: lesions there are left to the other zone.
    fits = (~in_transition & (candidates[:, 1] < 0) if in_periphery else in_transition) & (depth_mm > 2.5)
    # The smallest half axis need not fit: what reaches beyond the gland is cut off when it is painted.
    center = candidates[int(np.argmax(fits))]
    return Blob.sampled(generator, center_mm=vector(center), radii_mm=vector(radii))


def prostate_regions(points: Points, anatomy: ProstateAnatomy) -> npt.NDArray[np.uint8]:
    """Return region numbers (I, J, K) uint8 without the lesion."""
    labels = np.zeros(points.x.shape, dtype=np.uint8)

    def put(solid: Solid, region: Region, *over: Region) -> None:
        paint(labels, points, solid, region, over=over)

    _, half_y, half_z = anatomy.gland.radii_mm
    for side in (1.0, -1.0):
        put(Ellipsoid((54 * side, 0, 5), (13, 40, 60), exponent=3), Region.MUSCLE)  # obturator muscle
        put(Ellipsoid((74 * side, 6, 8), (13, 34, 60), exponent=3), Region.BONE)  # acetabulum
        put(Ellipsoid((75 * side, 6, 8), (11, 32, 58), exponent=3), Region.BONE_MARROW)
        put(Ellipsoid((24 * side, 48, 0), (21, 10, 18), yaw=-0.5 * side), Region.BONE)  # pubic bone
        put(Ellipsoid((24 * side, 48, 0), (19, 8, 16), yaw=-0.5 * side), Region.BONE_MARROW)
        levator: tuple[Vector, ...] = ((34 * side, 10, 26), (31 * side, -10, 0), (19 * side, -30, -34))
        put(Tube(levator, (2.2, 2.6, 3.0), (1, 4, 1)), Region.MUSCLE, Region.FAT)
        vesicle = Tube(((4 * side, -10, half_z + 1), (26 * side, -15, half_z + 9)), (5, 6), (1, 0.9, 1))
        put(vesicle, Region.VESICLE, Region.FAT)
    put(Ellipsoid((0, 47, 0), (3.5, 9, 17)), Region.MUSCLE)  # symphysis
    back = -half_y - anatomy.rectum_mm - 5
    rectum: tuple[Vector, ...] = ((0, back + 8, -70), (0, back, -20), (2, back, 20), (-3, back - 12, 70))
    put(Tube(rectum, (anatomy.rectum_mm + 3.5,) * 4), Region.MUSCLE)
    put(Tube(rectum, (anatomy.rectum_mm,) * 4), Region.GAS if anatomy.has_gas else Region.STOOL)
    put(Ellipsoid((0, 14, half_z + 24), (32, 24, 26)), Region.MUSCLE, Region.FAT, Region.VESICLE)  # bladder
    put(Ellipsoid((0, 14, half_z + 24), (28, 20, 22)), Region.URINE, Region.MUSCLE)
    slanted = points.x + 0.5 * points.z, points.y - 0.4 * points.x, points.z + 0.6 * points.y
    plexus = gyroid(*slanted, wavelength_mm=11, phase=anatomy.phase) > 0.8
    front = (points.y > 0.6 * half_y) & (np.abs(points.x) < 22) & (points.y < half_y + 12) & (np.abs(points.z) < half_z)
    labels[plexus & front & (labels == Region.FAT)] = Region.VESSEL

    put(anatomy.gland, Region.CAPSULE)
    inner = vector(np.subtract(anatomy.gland.radii_mm, 1.1))
    put(Blob(anatomy.gland.center_mm, inner, anatomy.gland.rotation, anatomy.gland.bumps), Region.PERIPHERAL_ZONE)
    put(anatomy.transition, Region.TRANSITION_ZONE, Region.PERIPHERAL_ZONE)
    for sphere, is_bright in anatomy.nodules:
        nodule = Region.BRIGHT_NODULE if is_bright else Region.DARK_NODULE
        put(sphere, nodule, Region.TRANSITION_ZONE, Region.BRIGHT_NODULE, Region.DARK_NODULE)
    put(Ellipsoid((0, half_y - 2, 2), (13, 5, 15)), Region.STROMA, *GLAND)
    put(Tube(((0, 6, half_z), (0, 2, 0), (0, 3, -half_z - 8)), (2.2, 2.6, 2.4)), Region.URETHRA, *GLAND, Region.CAPSULE)
    return labels
