"""Size and shape of one random head, and its nested layers: skin, skull, cerebrospinal fluid and brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.phantoms.solids import Ellipsoid, Float32, Mirrored, Points, Tube, Warp, gyroid, unite, vector
from medgan.phantoms.tissue_table import Tissue

LABELS = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class HeadAnatomy:
    """The random numbers behind one head, drawn first and recorded, so that drawing it is a pure function.

    Coordinates are RAS+ mm about the middle of the brain, much like a brain atlas.

    Parameters
    ----------
    anatomy_to_world : (4, 4)
        Size, pose and position.
    warp : tuple of Warp
    skull_mm, scalp_mm, cheek_fat_mm : float
        Thickness of skull, of scalp, and of the additional fat of face and neck.
    ventricle_scale, sinus_scale, jaw_scale, eye_mm : float
    sulcus_mm : float
        Width of the fluid between folds of the brain.
    phases : tuple of float
        Phases of the folds.
    jitter : tuple of float
        Standard normal numbers for the small parts, used in order and then again from the start.
    """

    anatomy_to_world: npt.NDArray[np.float64]
    warp: tuple[Warp, ...]
    skull_mm: float
    scalp_mm: float
    cheek_fat_mm: float
    ventricle_scale: float
    sinus_scale: float
    jaw_scale: float
    eye_mm: float
    sulcus_mm: float
    phases: tuple[float, ...]
    jitter: tuple[float, ...]

    @classmethod
    def sampled(cls, generator: np.random.Generator) -> HeadAnatomy:
        """Draw the anatomy of one subject."""
        scale = generator.uniform(0.94, 1.05) * generator.uniform(0.97, 1.03, size=3)
        tilt = generator.normal(0, 0.035, size=3).clip(-0.09, 0.09)
        pose = np.eye(4)
        pose[:3, :3] = _rotation(tilt) * scale
        pose[:3, 3] = np.array([0, 8, 22]) + generator.uniform(
            -3, 3, size=3
        )  # brings the middle of the head to the origin
        warp = tuple(
            Warp(
                axis,
                float(generator.uniform(0.8, 1.8)),
                vector(generator.uniform(-1, 1, size=3) / 90),
                float(generator.uniform(0, 2 * np.pi)),
            )
            for axis in (0, 1, 2)
        )
        age = generator.uniform()  # older brains have wider ventricles and sulci
        return cls(
            anatomy_to_world=pose,
            warp=warp,
            skull_mm=float(generator.uniform(5.0, 8.0)),
            scalp_mm=float(generator.uniform(5.0, 7.5)),
            cheek_fat_mm=float(generator.uniform(1.5, 7.0)),
            ventricle_scale=float(0.75 + 0.7 * age + generator.uniform(-0.1, 0.1)),
            sinus_scale=float(generator.uniform(0.75, 1.1)),
            jaw_scale=float(generator.uniform(0.94, 1.06)),
            eye_mm=float(generator.uniform(11.3, 12.7)),
            sulcus_mm=float(0.9 + 0.9 * age),
            phases=tuple(generator.uniform(0, 2 * np.pi, size=9)),
            jitter=tuple(generator.standard_normal(size=600).clip(-2, 2)),
        )


def _rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rotation about x, then y, then z."""
    (ca, cb, cg), (sa, sb, sg) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cg, -sg, 0], [sg, cg, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def cavity_distance(points: Points) -> Float32:
    """Return the signed distance in mm from the inner table of the skull; beyond 20 mm outside only the sign counts."""
    distance = Ellipsoid((0, -17, 24), (67, 85, 56)).distance(points.x, points.y, points.z)
    for solid, rounding_mm in (
        (Mirrored(Ellipsoid((43, -13, -18), (23, 34, 23))), 12),  # temporal lobes
        (Ellipsoid((0, -62, -36), (50, 34, 26)), 12),  # posterior fossa
        (BRAINSTEM_CANAL, 8),
    ):
        unite(distance, points, solid, rounding_mm=rounding_mm, reach_mm=20.0 + rounding_mm)
    return distance


BRAINSTEM_CANAL = Tube(((0, -22, -15), (0, -38, -62), (0, -44, -80), (0, -56, -180)), (20, 16, 9, 9))
CEREBELLUM = Ellipsoid((0, -62, -37), (47, 31, 22), exponent=3)
BRAINSTEM = Tube(((0, -22, -8), (0, -28, -32), (0, -38, -62), (0, -44, -80), (0, -56, -180)), (12, 14, 8, 5.5, 5))


def outer_distance(points: Points, cavity: Float32, anatomy: HeadAnatomy) -> Float32:
    """Return the signed distance in mm from the skin, inside of it; outside only the sign counts."""
    j = anatomy.jaw_scale
    distance = cavity - np.float32(anatomy.skull_mm + anatomy.scalp_mm)
    for solid, rounding_mm in (
        (Ellipsoid((0, 26, -56), (68 * j, 56, 60), exponent=3), 16),  # face
        (Ellipsoid((0, 52, -10), (54, 30, 26), exponent=3), 18),  # brow
        (Ellipsoid((0, 46, -98), (46 * j, 42, 32), exponent=3), 20),  # jaw and chin
        (Ellipsoid((0, -30, -150), (56, 54, 100), exponent=3), 22),  # neck
        (Tube(((0, 80, -24), (0, 88, -44), (0, 94, -60)), (8, 10, 12)), 10),  # nose
        (Ellipsoid((0, 85, -90), (22, 8, 9)), 8),  # lips
        (Mirrored(Tube(((66, -22, -43), (76, -25, -43)), (11, 8))), 8),  # outer ear canal
        (Mirrored(Ellipsoid((78, -32, -40), (4.5, 17, 29), yaw=-0.45)), 5),  # ear
    ):
        unite(distance, points, solid, rounding_mm=rounding_mm, reach_mm=rounding_mm)
    return distance


def layered_head(points: Points, anatomy: HeadAnatomy) -> tuple[LABELS, npt.NDArray[np.bool_]]:
    """Return the nested layers as labels, and the body: everything inside the skin."""
    cavity = cavity_distance(points)
    outer = outer_distance(points, cavity, anatomy)
    labels = np.zeros(cavity.shape, dtype=np.uint8)
    body = outer < 0
    labels[body] = Tissue.SKIN

    # The layer of fat grows from the scalp down to cheeks and neck.
    below = np.clip((-10 - points.z) / 60, 0, 1)
    labels[outer < -2.2] = Tissue.FAT
    muscle = outer < -2.2 - 2.0 - anatomy.cheek_fat_mm * below
    labels[muscle] = Tissue.MUSCLE
    bundles = gyroid(points.x, points.y, points.z * 0.35, wavelength_mm=46, phase=anatomy.phases[:3])
    labels[muscle & (np.abs(bundles) < 0.12)] = Tissue.FAT

    # Bone is thicker at the base. Diploe, the fatty spongy layer, lies between two tables of at least 1.6 mm.
    thick = anatomy.skull_mm + 3 * below
    bone = (cavity < thick) & muscle & (points.z > -72)
    labels[bone] = Tissue.CORTICAL_BONE
    labels[bone & (cavity > 0.3 * thick) & (cavity < 0.7 * thick) & (thick > 5.5)] = Tissue.MARROW
    _paint_brain(labels, cavity, points, anatomy)
    return labels, body


def _paint_brain(labels: LABELS, cavity: Float32, points: Points, anatomy: HeadAnatomy) -> None:
    """Fill the cavity with fluid, and fold the cortex around the depth below its surface and below its sulci."""
    part = points.slices(_CAVITY_BOX)
    if part is None:
        return
    x, y, z = points.x[part], points.y[part], points.z[part]
    inside, view = cavity[part] < 0, labels[part]
    view[inside] = Tissue.CSF
    half = np.float32(anatomy.sulcus_mm / 2)

    depth = -cavity[part] - np.float32(1.5 + anatomy.sulcus_mm)
    fold = gyroid(x, y, z, wavelength_mm=27, phase=anatomy.phases[3:6]) + np.float32(0.5) * gyroid(
        y, z, x, wavelength_mm=17, phase=anatomy.phases[6:9]
    )
    # A sulcus is the zero sheet of the fold field, and ends 20 mm below the surface. |grad fold| is about 0.34 per mm.
    sulcus = np.hypot(fold / np.float32(0.34), np.maximum(depth - 20, 0)) - half
    callosum = Ellipsoid((0, -18, 8), (200, 42, 20)).distance(x, y, z)
    fissure = np.hypot(x, np.maximum(-callosum, 0)) - half
    sylvian = Tube(((28, 14, -10), (46, -2, -4), (62, -30, 10)), (2.2, 2.0, 0.5)).distance(np.abs(x), y, z)
    tentorium = CEREBELLUM.distance(x, y, z)
    pia = np.minimum.reduce([depth, sulcus, fissure, sylvian, tentorium - 2])
    cerebrum = inside & (pia > 0) & (z > -46)
    view[cerebrum] = Tissue.GRAY_MATTER
    view[cerebrum & (pia > 3.2)] = Tissue.WHITE_MATTER

    folia = np.abs(np.sin(z * np.float32(0.75) + np.float32(0.12) * y)) * np.float32(4.5)
    cerebellum = inside & (np.minimum(-tentorium, depth + 1) > 0)
    view[cerebellum] = Tissue.GRAY_MATTER
    view[cerebellum & (-tentorium > 5 + folia)] = Tissue.WHITE_MATTER
    view[inside & (BRAINSTEM.distance(x, y, z) < 0)] = Tissue.WHITE_MATTER


_CAVITY_BOX = Ellipsoid((0, -20, -50), (72, 92, 135))
