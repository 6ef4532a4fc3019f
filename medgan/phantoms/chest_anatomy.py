"""A random frontal chest radiograph without lesion, from the thickness of tissue along each ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ChestAnatomy:
    """The random numbers behind one chest; ``u`` grows toward the patient's left, ``v`` downward, mm about the middle.

    Parameters
    ----------
    size : float
        Relative size of the thorax.
    lung_half_width_mm, lung_height_mm, diaphragm_mm : float
        The last is the level of the right dome; the left one is lower.
    heart_mm : (half width, half height)
    rib_slope, rib_gap_mm, rib_width_mm : float
    clavicle_tilt : float
    vessels : tuple of (side, angle, length, width, bend)
    has_bubble : bool
        Gas in the stomach below the left dome.
    tissue_mm : float
        Thickness of the thorax.
    """

    size: float
    lung_half_width_mm: float
    lung_height_mm: float
    diaphragm_mm: float
    heart_mm: tuple[float, float]
    rib_slope: float
    rib_gap_mm: float
    rib_width_mm: float
    clavicle_tilt: float
    vessels: tuple[tuple[float, float, float, float, float], ...]
    has_bubble: bool
    tissue_mm: float

    @classmethod
    def sampled(cls, generator: np.random.Generator) -> ChestAnatomy:
        """Draw the anatomy of one subject."""
        return cls(
            size=float(generator.uniform(0.92, 1.06)),
            lung_half_width_mm=float(generator.uniform(50, 57)),
            lung_height_mm=float(generator.uniform(112, 128)),
            diaphragm_mm=float(generator.uniform(72, 95)),
            heart_mm=(float(generator.uniform(52, 68)), float(generator.uniform(44, 54))),
            rib_slope=float(generator.uniform(0.22, 0.42)),
            rib_gap_mm=float(generator.uniform(21, 25)),
            rib_width_mm=float(generator.uniform(8, 11)),
            clavicle_tilt=float(generator.uniform(-0.05, 0.2)),
            vessels=tuple(
                (
                    float(side),
                    float(generator.uniform(-1.3, 1.35)),
                    float(generator.uniform(35, 95)),
                    float(generator.uniform(1.2, 3.4)),
                    float(generator.normal(0, 0.35)),
                )
                for side in (-1, 1)
                for _ in range(16)
            ),
            has_bubble=bool(generator.uniform() < 0.6),
            tissue_mm=float(generator.uniform(190, 240)),
        )


def plane(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Float32, Float32]:
    """Return ``u`` (1, W) and ``v`` (H, 1) in mm: pixel centers of a (row, column) image about its middle."""
    v = (np.arange(shape[0], dtype=np.float32) - (shape[0] - 1) / 2) * np.float32(spacing_mm[0])
    u = (np.arange(shape[1], dtype=np.float32) - (shape[1] - 1) / 2) * np.float32(spacing_mm[1])
    return u[None, :], v[:, None]


def lung_thickness(anatomy: ChestAnatomy, u: Float32, v: Float32) -> Float32:
    """Return the thickness of lung in mm (H, W) along each ray; 0 outside of the lungs."""
    u, v = u / np.float32(anatomy.size), v / np.float32(anatomy.size)
    half = anatomy.lung_half_width_mm
    total: Any = np.float32(0)
    for side in (-1.0, 1.0):
        # The apex leans inward: the axis of the lung moves out as it goes down.
        axis = side * (half + 17 + 0.11 * (v + 20))
        wide = half * np.clip(1.08 + v / 900, 0.8, 1.3)
        across = np.abs((u - axis) / wide)
        dome = anatomy.diaphragm_mm + (10 if side > 0 else 0) + 26 * np.square((u - axis + side * 10) / 60)
        up = np.clip((v + 12) / -(anatomy.lung_height_mm - 12), 0, None)
        rest = 1 - across**2.6 - up**2.6
        body = 150 * np.sqrt(np.clip(rest, 0, 1))
        total = total + body * _step((dome - v) / 5)
    heart = np.square((u - 24) / anatomy.heart_mm[0]) + np.square((v - 46) / anatomy.heart_mm[1])
    hidden = 0.78 * np.sqrt(np.clip(1 - heart, 0, 1))
    mediastinum = np.clip(1 - np.square(u / (26 + 0.12 * np.clip(-v, 0, 200) * 0.4)), 0, 1)
    knob = np.clip(1 - np.square((u - 26) / 15) - np.square((v + 44) / 16), 0, 1)  # arch of the aorta
    open_share = (1 - hidden) * (1 - mediastinum**0.5) * (1 - 0.8 * np.sqrt(knob))
    return np.asarray(total * open_share, dtype=np.float32)


def bones(anatomy: ChestAnatomy, u: Float32, v: Float32) -> Float32:
    """Return the thickness of bone in mm (H, W): ribs, clavicles, shoulder blades and spine."""
    u, v = u / np.float32(anatomy.size), v / np.float32(anatomy.size)
    side_mm = np.abs(u)
    edge = 2.1 * anatomy.lung_half_width_mm + 24
    total: Any = np.float32(0)
    for n in range(11):
        top = -126 + anatomy.rib_gap_mm * n
        reach = edge * np.clip(0.55 + 0.13 * n, 0, 1.04)
        t = np.clip(side_mm / reach, 0, 1.0)
        behind = top - 10 * np.sin(np.pi * t) + anatomy.rib_slope * reach * t**2 * 0.8
        fade = _step((reach - side_mm) / 3) * _step((side_mm - 14) / 4)
        total = total + 10 * _shell(v - behind, anatomy.rib_width_mm / 2) * fade
        # The front end runs down and inward, and turns into cartilage that X-rays pass.
        front = top + anatomy.rib_slope * reach * 0.8 + 0.95 * (reach - side_mm)
        bony = _step((reach - side_mm) / 3) * _step((side_mm - 0.52 * reach) / 6)
        total = total + 5.5 * _shell((v - front) / 1.38, anatomy.rib_width_mm / 2 + 1) * bony * (n < 8)
    clavicle = -101 - anatomy.clavicle_tilt * side_mm - 9 * np.sin(side_mm / 24)
    total = total + 13 * _shell(v - clavicle, 6.0) * _step((side_mm - 12) / 3) * _step((132 - side_mm) / 4)
    blade = np.abs(side_mm - 128 - 0.16 * (v + 60)) / 26 + np.abs(v + 62) / 62
    total = total + 6 * _step((1 - blade) * 12)
    vertebra = 0.82 + 0.18 * np.cos(2 * np.pi * v / 24)
    total = total + 26 * np.sqrt(np.clip(1 - np.square(u / 19), 0, 1)) * vertebra
    total = total + 2.5 * _shell(side_mm, 19.0) * vertebra
    return np.asarray(total, dtype=np.float32)


def chest_attenuation(anatomy: ChestAnatomy, u: Float32, v: Float32, *, lungs_mm: Float32) -> Float32:
    """Return the line integral of attenuation (H, W), in units of 1 mm of water.

    Parameters
    ----------
    anatomy : ChestAnatomy
    u, v : float32
        Coordinates from :func:`plane`.
    lungs_mm : (H, W) float32
        From :func:`lung_thickness`.
    """
    s = np.float32(anatomy.size)
    wide = s * (158 + 12 * _step((v / s + 40) / 25) + 30 * _step((-80 - v / s) / 25) * _step((v / s + 205) / 20))
    neck = s * 58
    shoulder = _step((v / s + 128 - 0.0022 * np.square(u / s)) / 9)
    torso = anatomy.tissue_mm * np.clip(1 - np.abs(u / wide) ** 2.4, 0, 1) ** 0.5
    column = 115 * np.clip(1 - np.square(u / neck), 0, 1) ** 0.5
    water = column * (1 - shoulder) + np.maximum(torso, column) * shoulder
    airway = np.clip(1 - np.square(u / (9 * s)), 0, 1) ** 0.5 * _step((-48 - v / s) / 5)
    for side in (-1.0, 1.0):
        bronchus = np.abs(u / s * side - 0.8 * (v / s + 48)) / 1.3
        airway = airway + np.clip(1 - np.square(bronchus / 7), 0, 1) ** 0.5 * _step((v / s + 48) / 3) * _step(
            (-18 - v / s) / 5
        )
    total = water - 0.74 * lungs_mm - 17 * airway + 1.5 * bones(anatomy, u, v)
    if anatomy.has_bubble:
        bubble = np.square((u / s - 62) / 27) + np.square((v / s - anatomy.diaphragm_mm - 34) / 15)
        total = total - 45 * np.sqrt(np.clip(1 - bubble, 0, 1))
    return np.asarray(total + _vessels(anatomy, u, v) * _step(lungs_mm / 12), dtype=np.float32)


def _vessels(anatomy: ChestAnatomy, u: Float32, v: Float32) -> Float32:
    """Return the thickness of vessels in mm, which leave each hilum as a fan and taper."""
    s = np.float32(anatomy.size)
    total: Any = np.float32(0)
    for side in (-1.0, 1.0):
        total = total + 16 * np.exp(-np.square((u / s - side * 40) / 13) - np.square((v / s + 10) / 22))
    for side, angle, length, width, bend in anatomy.vessels:
        du, dv = u / s * side - 30, v / s + 10
        along = du * np.cos(angle) + dv * np.sin(angle)
        off = dv * np.cos(angle) - du * np.sin(angle) - bend * np.square(along) / 60
        share = np.clip(along / length, 0, 1)
        radius = width * (1.1 - share)
        total = total + 5 * radius * np.exp(-np.square(off / radius)) * _step(along / 3) * _step((length - along) / 8)
    return np.asarray(total, dtype=np.float32)


def _step(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Smooth step from 0 to 1 over about four units around 0."""
    return np.asarray(0.5 * (1 + np.tanh(x)))


def _shell(offset: npt.NDArray[Any], half: float) -> npt.NDArray[Any]:
    """Projection of a hollow cylinder of relative wall 0.3: bright edges, flatter middle."""
    outer = np.sqrt(np.clip(1 - np.square(offset / half), 0, 1))
    inner = np.sqrt(np.clip(1 - np.square(offset / (0.7 * half)), 0, 1)) * 0.7
    return np.asarray(outer - 0.75 * inner)


def displayed(attenuation: Float32, *, blur_px: float) -> Float32:
    """Return a radiograph (H, W) in about [-1, 0.7] from attenuation: a display curve that flattens at both ends."""
    blurred = gaussian_filter(attenuation, blur_px, mode="nearest") if blur_px else attenuation
    return np.asarray(np.tanh((blurred - 118) / 105) * 0.86 - 0.14, dtype=np.float32)
