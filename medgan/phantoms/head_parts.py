"""The small parts of a head: bones of the face, sinuses, orbits, jaw and teeth, ventricles, spine, vessels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

from medgan.phantoms.head_anatomy import HeadAnatomy
from medgan.phantoms.solids import Ellipsoid, Tube, Vector, vector
from medgan.phantoms.tissue_table import Tissue

_SOFT = (Tissue.MUSCLE, Tissue.FAT)
_BONES = (Tissue.CORTICAL_BONE, Tissue.MARROW, Tissue.SPONGY_BONE)
_FACE = (*_SOFT, *_BONES, Tissue.TENDON)
_BRAIN = (Tissue.WHITE_MATTER, Tissue.GRAY_MATTER, Tissue.CSF)


@dataclass(frozen=True)
class Part:
    """A solid, the tissue it is made of, and the tissues it may replace (none: all)."""

    solid: Ellipsoid | Tube
    tissue: Tissue
    over: tuple[Tissue, ...] = ()


def head_parts(anatomy: HeadAnatomy) -> list[Part]:
    """Return the parts in the order in which they are painted; each side is jittered on its own."""
    jitter = cycle(anatomy.jitter)
    symmetric = [
        *_temples_and_base(),
        *_face(anatomy),
        *_orbit(anatomy),
        *_jaw(anatomy),
        *_ventricles(anatomy),
        *_vessels(),
    ]
    parts = []
    for part, is_paired in symmetric:
        for side in (1.0, -1.0) if is_paired else (0.0,):
            # A lens must stay in its eye: shifts are small against the parts, which keep their size.
            move = np.array([next(jitter), next(jitter), next(jitter)]) * (0.35 if is_paired else 0.3)
            move[0] *= 1.0 if is_paired else 0.0
            parts.append(replace(part, solid=_placed(part.solid, side, move)))
    return [*parts, *_spine(), *_teeth(anatomy)]


def _placed(solid: Ellipsoid | Tube, side: float, move: np.ndarray) -> Ellipsoid | Tube:
    flip = -1.0 if side < 0 else 1.0
    if isinstance(solid, Ellipsoid):
        x, y, z = solid.center_mm
        return replace(solid, center_mm=vector(np.add((flip * x, y, z), move)), yaw=flip * solid.yaw)
    return replace(solid, points_mm=tuple(vector(np.add((flip * x, y, z), move)) for x, y, z in solid.points_mm))


Paired = tuple[Part, bool]


def _temples_and_base() -> Iterator[Paired]:
    yield Part(Ellipsoid((64, 22, -22), (9, 30, 32)), Tissue.MUSCLE, _SOFT), True  # temporal muscle
    yield Part(Ellipsoid((52, -28, -50), (15, 17, 19)), Tissue.CORTICAL_BONE, (*_SOFT, Tissue.MARROW)), True  # mastoid
    yield (
        Part(Tube(((56, -26, -44), (18, -8, -38)), (10, 7)), Tissue.CORTICAL_BONE, (*_FACE, Tissue.CSF)),
        True,
    )  # petrous
    # Air cells of the mastoid on a staggered lattice.
    for n, (a, b, c) in enumerate(np.ndindex(3, 4, 4)):
        if (a + b + c) % 2 == 0:
            center = (44 + 7 * a, -38 + 6 * b, -63 + 7 * c)
            size = 2.6 + 0.7 * (n % 3)
            yield Part(Ellipsoid(center, (size, size, size)), Tissue.AIR, (Tissue.CORTICAL_BONE,)), True
    yield (
        Part(Tube(((84, -25, -43), (66, -23, -43), (50, -20, -43)), (3.6, 3.2, 3.5)), Tissue.AIR, ()),
        True,
    )  # ear canal
    yield (
        Part(Tube(((44, -18, -43), (38, -20, -41)), (2.0, 2.5)), Tissue.CSF, (Tissue.CORTICAL_BONE,)),
        True,
    )  # inner ear


def _face(anatomy: HeadAnatomy) -> Iterator[Paired]:
    s = anatomy.sinus_scale
    yield Part(Ellipsoid((0, 22, -36), (20, 24, 14)), Tissue.SPONGY_BONE, _FACE), False  # sphenoid
    yield Part(Ellipsoid((30, 45, -54), (19, 23, 22)), Tissue.CORTICAL_BONE, _FACE), True  # maxilla
    yield (
        Part(Ellipsoid((0, 50, -73), (29, 27, 7), exponent=3), Tissue.SPONGY_BONE, _FACE),
        False,
    )  # palate, alveolar bone
    yield Part(Ellipsoid((51, 52, -50), (12, 9, 8)), Tissue.CORTICAL_BONE, _FACE), True  # cheekbone
    yield Part(Ellipsoid((51, 51, -50), (8, 5, 4.5)), Tissue.MARROW, (Tissue.CORTICAL_BONE,)), True
    yield Part(Tube(((56, 48, -50), (67, 26, -48), (66, -4, -46)), (4, 2.8, 3.5)), Tissue.CORTICAL_BONE, _FACE), True
    yield (
        Part(Tube(((4, 76, -18), (5, 84, -36)), (3, 2)), Tissue.CORTICAL_BONE, (*_FACE, Tissue.SKIN)),
        True,
    )  # nasal bone
    yield Part(Ellipsoid((0, 56, -44), (15, 29, 25), exponent=3), Tissue.CORTICAL_BONE, _FACE), False  # nasal walls
    yield Part(Ellipsoid((7, 57, -50), (5.6, 26, 17), exponent=3), Tissue.AIR), True  # nasal cavity
    yield Part(Tube(((7, 72, -60), (6, 84, -65), (6, 92, -74)), (5, 4.5, 3.5)), Tissue.AIR), True  # nostril
    for z, size in ((-44, 2.2), (-52, 2.8), (-60, 3.4)):
        yield Part(Tube(((10, 36, z), (10, 74, z)), (size, size)), Tissue.MUSCLE, (Tissue.AIR,)), True  # turbinates
    yield (
        Part(Ellipsoid((30, 45, -55), (13.5 * s, 17 * s, 16 * s)), Tissue.AIR, (*_FACE, Tissue.AIR)),
        True,
    )  # maxillary sinus
    for n in range(4):
        yield (
            Part(Ellipsoid((7, 64 - 11 * n, -28), (4.8 * s, 5.0, 7.5)), Tissue.AIR, (*_FACE, Tissue.AIR)),
            True,
        )  # ethmoid
    yield Part(Ellipsoid((8, 18, -35), (7.5 * s, 12 * s, 9 * s)), Tissue.AIR, _FACE), True  # sphenoid sinus
    yield Part(Ellipsoid((11, 68, -4), (13, 7, 15)), Tissue.CORTICAL_BONE, _FACE), True
    yield Part(Ellipsoid((11, 68, -4), (9.5 * s, 4.0, 12 * s)), Tissue.AIR, _FACE), True  # frontal sinus
    yield (
        Part(Tube(((0, 26, -56), (0, 8, -74), (0, 2, -108), (0, -2, -180)), (9, 9, 7, 9), (1.3, 0.8, 1)), Tissue.AIR),
        False,
    )
    yield Part(Ellipsoid((44, 44, -74), (11, 18, 16)), Tissue.FAT, (Tissue.MUSCLE,)), True  # cheek pad
    yield Part(Ellipsoid((56, 20, -76), (7, 16, 24)), Tissue.MUSCLE, _SOFT), True  # masseter
    yield Part(Ellipsoid((58, -10, -74), (9, 13, 22)), Tissue.FAT, (Tissue.MUSCLE,)), True  # parotid gland, fatty


def _orbit(anatomy: HeadAnatomy) -> Iterator[Paired]:
    eye, over = anatomy.eye_mm, (*_FACE, Tissue.AIR)
    center = (31.0, 62.0, -32.0)
    yield Part(Tube(((31, 62, -32), (24, 34, -30), (14, 14, -26)), (20.5, 15, 6)), Tissue.CORTICAL_BONE, over), True
    yield (
        Part(Tube(((32, 82, -32), (31, 62, -32), (24, 34, -30), (15, 18, -27)), (17, 18, 12.5, 4)), Tissue.FAT, over),
        True,
    )
    for dx, dz in ((13.0, 0.0), (-13.0, 0.0), (0.0, 13.5), (0.0, -13.5)):
        insertion: Vector = (31 + dx, 60, -32 + dz)
        muscle = Tube((insertion, (25 + dx * 0.6, 38, -30 + dz * 0.6), (16, 18, -27)), (1.5, 2.3, 1.5))
        yield Part(muscle, Tissue.MUSCLE, (Tissue.FAT,)), True
    yield Part(Ellipsoid(center, (eye + 1, eye + 1, eye + 1)), Tissue.TENDON, ()), True  # sclera
    yield Part(Ellipsoid(center, (eye - 0.4, eye - 0.4, eye - 0.4)), Tissue.VITREOUS, ()), True
    yield Part(Ellipsoid((31, 62 + eye - 4.0, -32), (4.6, 2.3, 4.6)), Tissue.LENS, ()), True
    nerve = Tube(((30, 52, -32), (22, 32, -29), (8, 6, -22)), (2.6, 2.3, 2.6))
    yield Part(nerve, Tissue.WHITE_MATTER, (Tissue.FAT, Tissue.CORTICAL_BONE, Tissue.SPONGY_BONE, Tissue.CSF)), True
    yield Part(Ellipsoid((31, 78, -32), (16, 4.5, 9)), Tissue.SKIN, (Tissue.FAT,)), True  # eyelid


def _jaw(anatomy: HeadAnatomy) -> Iterator[Paired]:
    j = anatomy.jaw_scale
    ramus: tuple[Vector, ...] = ((51 * j, -4, -50), (50 * j, 4, -72), (46 * j, 14, -100))
    arch = [
        (0.0, 0.0),
        (0.45, 0.17),
        (0.8, 0.5),
        (0.97, 0.84),
        (1.0, 1.0),
    ]  # share of the way across, share of the way back
    body: tuple[Vector, ...] = tuple((46 * j * a, 78 - 64 * b, -110 + 10 * b) for a, b in reversed(arch))
    tall: Vector = (0.75, 0.75, 1.7)
    yield Part(Tube(ramus, (5, 4.5, 5), (0.8, 1.9, 1)), Tissue.CORTICAL_BONE, _FACE), True
    yield Part(Tube(ramus[1:], (2.2, 2.6), (0.8, 2.2, 1)), Tissue.MARROW, (Tissue.CORTICAL_BONE,)), True
    yield Part(Tube(body, (6.5, 6.8, 7.2, 7.6, 8), tall), Tissue.CORTICAL_BONE, _FACE), True
    yield Part(Tube(body, (3.6, 3.8, 4.0, 4.4, 4.6), tall), Tissue.MARROW, (Tissue.CORTICAL_BONE,)), True
    yield Part(Ellipsoid((0, 36, -88), (23, 32, 17)), Tissue.MUSCLE, (Tissue.FAT,)), False  # tongue
    yield Part(Ellipsoid((0, 42, -80.5), (17, 24, 2.0)), Tissue.AIR, _SOFT), False  # mouth


def _teeth(anatomy: HeadAnatomy) -> Iterator[Part]:
    """Two rows along a parabola-like arch; crowns in TOOTH."""
    for angle in np.linspace(-1.35, 1.35, 14):
        front = np.cos(angle)
        x, y = 25.0 * anatomy.jaw_scale * np.sin(angle), 40.0 + 34.0 * front
        width = 2.6 + 1.4 * (1 - front)
        yield Part(Ellipsoid((x, y, -82), (width, width, 7), yaw=-angle), Tissue.TOOTH, _FACE)
        yield Part(Ellipsoid((x, y - 1, -94), (width, width, 6), yaw=-angle), Tissue.TOOTH, _FACE)


def _ventricles(anatomy: HeadAnatomy) -> Iterator[Paired]:
    v = anatomy.ventricle_scale
    white = (Tissue.WHITE_MATTER,)
    yield (
        Part(Tube(((5, 22, 4), (7, 0, 22), (12, -36, 22)), (3.2, 2.5, 4)), Tissue.WHITE_MATTER, _BRAIN),
        True,
    )  # callosum
    yield Part(Ellipsoid((12, 11, 10), (6, 14, 9)), Tissue.GRAY_MATTER, white), True  # caudate
    yield Part(Ellipsoid((25, 2, 2), (6.5, 17, 9.5)), Tissue.GRAY_MATTER, white), True  # putamen
    yield Part(Ellipsoid((11, -16, 8), (8.5, 14, 9)), Tissue.GRAY_MATTER, (*white, Tissue.CSF)), True  # thalamus
    lateral: tuple[Vector, ...] = ((9, 30, 6), (8, 8, 18), (13, -24, 20), (24, -42, 12), (24, -64, 6))
    yield Part(Tube(lateral, (3.4 * v, 5.6 * v, 6.0 * v, 7.0 * v, 2.5 * v)), Tissue.CSF, _BRAIN), True
    temporal: tuple[Vector, ...] = ((24, -42, 12), (33, -26, -10), (32, -8, -18))
    yield Part(Tube(temporal, (5 * v, 2.2 * v, 1.5 * v)), Tissue.CSF, _BRAIN), True
    yield Part(Ellipsoid((0, -10, 2), (1.8 * v, 13, 9)), Tissue.CSF, _BRAIN), False  # third
    yield Part(Ellipsoid((0, -43, -36), (6 * v, 5 * v, 9)), Tissue.CSF, _BRAIN), False  # fourth
    yield Part(Ellipsoid((0, -36, -6), (9, 4, 6)), Tissue.CSF, _BRAIN), False  # quadrigeminal cistern
    yield Part(Ellipsoid((0, 2, -20), (13, 9, 6)), Tissue.CSF, _BRAIN), False  # suprasellar cistern


def _vessels() -> Iterator[Paired]:
    arch = [(0.0, -17 + 82 * np.cos(a), 24 + 53 * np.sin(a)) for a in np.linspace(0.9, 3.3, 9)]
    yield Part(Tube(tuple(arch), (2.0,) * 4 + (3.2,) * 5), Tissue.BLOOD, _BRAIN), False  # superior sagittal sinus
    yield (
        Part(Tube(((26, -6, -180), (27, -8, -110), (24, -4, -60), (12, 4, -24)), (3.6, 3.2, 2.8, 2.4)), Tissue.BLOOD),
        True,
    )
    yield (
        Part(Tube(((36, -12, -180), (34, -16, -110), (30, -20, -66)), (5.5, 5, 4)), Tissue.BLOOD, _SOFT),
        True,
    )  # jugular
    yield Part(Tube(((0, -13, -22), (0, -16, -44)), (1.8, 1.8)), Tissue.BLOOD, _BRAIN), False  # basilar artery


def _spine() -> Iterator[Part]:
    """Vertebrae every 17 mm: body, arch around the canal, transverse and spinous processes."""
    for n in range(6):
        z, back = -80.0 - 17 * n, 2.2 * n
        body = (0.0, -26.0 - back, z)
        yield Part(Ellipsoid(body, (13, 9.5, 7), exponent=3), Tissue.CORTICAL_BONE, _SOFT)
        yield Part(Ellipsoid(body, (11, 7.8, 5.6), exponent=3), Tissue.SPONGY_BONE, (Tissue.CORTICAL_BONE,))
        yield Part(Ellipsoid((0, -26 - back, z - 8.5), (12, 8.5, 2.6)), Tissue.TENDON, _SOFT)  # disc
        for side in (1.0, -1.0):
            arch = ((13 * side, -32 - back, z), (15 * side, -46 - back, z), (4 * side, -60 - back, z - 2))
            yield Part(Tube(arch, (4, 3.5, 3.2)), Tissue.CORTICAL_BONE, _SOFT)
            yield Part(
                Tube(((13 * side, -34 - back, z), (26 * side, -34 - back, z)), (3.6, 3)), Tissue.SPONGY_BONE, _SOFT
            )
        yield Part(Tube(((0, -58 - back, z - 2), (0, -76 - back, z - 8)), (3.5, 4)), Tissue.CORTICAL_BONE, _SOFT)
