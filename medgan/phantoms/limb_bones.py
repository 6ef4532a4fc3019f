"""Long bones of a limb: shafts of one or two bones, and the widened ends that meet in a joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.phantoms.solids import Points, Tube, Vector, paint
from medgan.phantoms.tissue_table import Tissue

_MUSCLE_AROUND_MM = 1.2
_REACH_MM = 400


@dataclass(frozen=True)
class Bone:
    """A tube of cortical bone along z, filled with marrow in the shaft and with spongy bone where it widens.

    Parameters
    ----------
    path : tuple of (x, y, z) in mm
    outer_mm, inner_mm : tuple of float
        Radii of the bone and of its cavity at each point of the path.
    spongy_mm : float
        The cavity is spongy bone where the inner radius is larger than this.
    """

    path: tuple[Vector, ...]
    outer_mm: tuple[float, ...]
    inner_mm: tuple[float, ...]
    spongy_mm: float = float("inf")

    def painted(self, labels: npt.NDArray[np.uint8], points: Points) -> None:
        """Write the bone's tissues into labels (I, J, K); a bone that cannot lie in fat gets a little muscle around."""
        around = tuple(radius + _MUSCLE_AROUND_MM for radius in self.outer_mm)
        paint(labels, points, Tube(self.path, around), Tissue.MUSCLE, over=(Tissue.FAT,))
        paint(labels, points, Tube(self.path, self.outer_mm), Tissue.CORTICAL_BONE)
        paint(labels, points, Tube(self.path, self.inner_mm), Tissue.MARROW)
        wide = [n for n, radius in enumerate(self.inner_mm) if radius > self.spongy_mm]
        if len(wide) > 1:
            part = slice(wide[0], wide[-1] + 1)
            paint(labels, points, Tube(self.path[part], self.inner_mm[part]), Tissue.SPONGY_BONE)


def thigh_bone(generator: np.random.Generator) -> tuple[Bone, ...]:
    """Draw the shaft of a femur."""
    x, y = generator.uniform(-8, 8), generator.uniform(0, 12)
    bow = generator.uniform(2, 8)  # the femur is bowed forward
    path = tuple((float(x + 0.05 * z), float(y + bow * (1 - (z / 250) ** 2)), float(z)) for z in range(-400, 401, 100))
    outer = float(generator.uniform(12.5, 15.5))
    return (_shaft(path, outer, outer - float(generator.uniform(3.8, 6.2))),)


def leg_bones(generator: np.random.Generator, muscle: float) -> tuple[Bone, ...]:
    """Draw tibia at the front inner side, fibula behind it on the outer side."""
    x, y = 0.28 * muscle, 0.42 * muscle
    tibia = tuple((float(x), float(y), float(z)) for z in (-400, 0, 400))
    fibula = tuple((float(x - 0.85 * muscle), float(y - 0.5 * muscle), float(z)) for z in (-400, 0, 400))
    wall = float(generator.uniform(3.5, 5.5))
    return (_shaft(tibia, 12.5, 12.5 - wall), _shaft(fibula, 6.5, 6.5 - 0.7 * wall))


def joint_bones(generator: np.random.Generator, muscle: float) -> tuple[Bone, ...]:
    """Draw two long bones whose widened ends meet at a random height, seldom in the middle of the limb.

    Notes
    -----
    Radii of shaft and end, the length over which a bone widens and the thickness of the thin cortex there are free
    choices about a knee: shaft 11-15 mm, end 24-36 mm, widening over 35-70 mm, cortex 1.5-2.5 mm.
    """
    meeting = generator.uniform(-90, 90)
    x, y = generator.uniform(-0.25, 0.25, size=2) * muscle
    bones = []
    for sign in (-1, 1):
        shaft, end = generator.uniform(11, 15), min(generator.uniform(24, 36), 0.62 * muscle)
        widening = generator.uniform(35, 70)
        wall, thin = generator.uniform(3.0, 6.0), generator.uniform(1.5, 2.5)
        lean = generator.uniform(-0.15, 0.15, size=2)
        # Distance from the joint's gap; the first points round the end off.
        along = np.array([0.0, 6, 14, 24, 36, 50, 70, 100, 150, _REACH_MM])
        share = np.exp(-np.square(np.maximum(along - 14, 0) / widening))
        outer = shaft + (end - shaft) * share
        outer[:2] *= (0.6, 0.9)
        thickness = wall + (thin - wall) * share
        z = meeting + sign * (generator.uniform(1.5, 3.5) + outer[0] + along)
        path = tuple((float(x + sign * lean[0] * a), float(y + sign * lean[1] * a), float(h)) for a, h in zip(along, z))
        bones.append(
            Bone(path, tuple(map(float, outer)), tuple(map(float, outer - thickness)), spongy_mm=float(1.1 * shaft))
        )
    return tuple(bones)


def _shaft(path: tuple[Vector, ...], outer: float, inner: float) -> Bone:
    return Bone(path, (outer,) * len(path), (inner,) * len(path))
