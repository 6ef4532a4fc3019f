"""Draw training patches from prepared cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medgan.cohort import Case
from medgan.errors import PatchError
from medgan.geometry import Box
from medgan.patches.augment import Augmentation, AugmentSettings
from medgan.patches.body_voxels import BodyVoxels
from medgan.volume import Quantity

Index3 = tuple[int, int, int]


@dataclass(frozen=True)
class DrawnPatch:
    """A patch as a network sees it.

    Attributes
    ----------
    image : (I, J, K) float32 in [-1, 1]
    body : (I, J, K) float32, 1 inside the body
    case_id : str
    position : three floats in [0, 1]
        Center of the patch relative to the body's bounding box; what focal sampling repeats in the other domain.
    prior : (I, J, K) float32 or None
        The same patch of the case's prior image.
    """

    image: npt.NDArray[np.float32]
    body: npt.NDArray[np.float32]
    case_id: str
    position: tuple[float, float, float]
    prior: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Attention:
    """Ask for more patches around voxels whose prior is high: what is rare in the body may matter most.

    Parameters
    ----------
    above : float
        Normalized value of the prior.
    share : float
        Share of the patches, in [0, 1], that are centered on such a voxel, where a case has one.
    """

    above: float
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise PatchError(f"Attention needs a share of the patches from 0 to 1: found {self.share}.")


@dataclass(frozen=True)
class PatchSampler:
    """Patches of one domain, each of a random case, centered on a random voxel of its body.

    Parameters
    ----------
    cases : sequence of Case
        Prepared: one NORMALIZED image and the label map ``body`` on one grid.
    patch : (I, J, K)
    augment : AugmentSettings
    focus : float
        Spread of focal sampling as a share of the body's bounding box.
    priors : sequence of (I, J, K) float32 arrays
        For each case, what is known beforehand about its translation, in the target's normalized values; none by
        default. Its intensity is not augmented. (For a phantom it may be the true target image.)
    attention : Attention or None
        Needs priors.

    Raises
    ------
    PatchError
        If there is no case, a prior does not fit its case, there is attention without priors, a case has an
        empty body or an image that is not normalized, or a length is not positive.
    GeometryError
        If a body is not on its image's grid.

    Notes
    -----
    Focal sampling after ganslate (Beyond-deep-learning, 2022): a patch near the same relative place of the body as its
    counterpart in the other domain. Here the place is that of the nearest body voxel to a normally distributed point.
    """

    cases: Sequence[Case]
    patch: Index3
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    focus: float = 0.1
    priors: Sequence[npt.NDArray[np.float32]] = ()
    attention: Attention | None = None

    def __post_init__(self) -> None:
        if not self.cases:
            raise PatchError("A sampler needs at least one case: found none.")
        if len(self.patch) != 3 or min(self.patch) < 1 or not self.focus > 0:
            raise PatchError(
                f"A sampler needs three positive lengths and a positive spread: found {self.patch}, {self.focus}."
            )
        shapes = [case.image.shape for case in self.cases]
        if self.priors and [prior.shape for prior in self.priors] != shapes:
            raise PatchError(
                f"A sampler needs one prior a case, of its image's shape: found {[p.shape for p in self.priors]} for "
                f"images of {shapes}."
            )
        if self.attention is not None and not self.priors:
            raise PatchError("Attention is drawn by priors: found none.")
        for case in self.cases:
            image, body = case.image, case.label("body")
            if image.quantity is not Quantity.NORMALIZED:
                raise PatchError(
                    f"A sampler needs normalized images: case {case.case_id} has {image.quantity.label}. "
                    "Add an intensity stage to the recipe."
                )
            body.grid.require_same_as(image.grid, this="body", that="image", what="A sampler")
            if not body.mask().any():
                raise PatchError(f"A sampler needs voxels in the body: case {case.case_id} has none.")

    @cached_property
    def _bodies(self) -> tuple[BodyVoxels, ...]:
        """Where each case has body: found once, not for every patch."""
        above = None if self.attention is None else self.attention.above
        priors: Sequence[npt.NDArray[np.float32] | None] = self.priors or [None] * len(self.cases)
        return tuple(
            BodyVoxels.of_mask(case.label("body").mask(), prior, above) for case, prior in zip(self.cases, priors)
        )

    def drawn(self, generator: np.random.Generator, *, near: tuple[float, float, float] | None = None) -> DrawnPatch:
        """Draw one patch; ``near`` asks for a relative position in the body (focal sampling)."""
        chosen = int(generator.integers(len(self.cases)))
        case, voxels = self.cases[chosen], self._bodies[chosen]
        image = case.image
        picked = int(generator.integers(voxels.count))
        if self.attention is not None and generator.random() < self.attention.share and voxels.rare.size:
            center = voxels.at(int(voxels.rare[picked % voxels.rare.size]))
        else:
            center = voxels.picked(picked)
        jitter = generator.normal(0.0, self.focus, 3)
        low, extent = voxels.low, voxels.extent
        if near is not None:
            center = voxels.nearest(low + (np.asarray(near) + jitter) * extent)
        box = _placed(center, self.patch, image.shape)
        change = Augmentation.drawn(self.augment, generator)
        body = case.label("body").read(box).array.astype(np.float32)
        position = tuple(float(p) for p in (center - low) / extent)
        return DrawnPatch(
            change.applied_to(np.asarray(image.read(box).array)),
            change.moved(body),
            case.case_id,
            position,  # type: ignore[arg-type]
            change.moved(_read(self.priors[chosen], box)) if self.priors else None,
        )


def _read(array: npt.NDArray[np.float32], box: Box) -> npt.NDArray[np.float32]:
    """Return a box of a normalized array; -1, air, beyond its edges."""
    patch = np.full(box.shape, -1.0, dtype=np.float32)
    inner = [(max(a, 0), min(b, n)) for a, b, n in zip(box.start_ijk, box.stop_ijk, array.shape)]
    patch[tuple(slice(low - a, high - a) for (low, high), a in zip(inner, box.start_ijk))] = array[
        tuple(slice(low, high) for low, high in inner)
    ]
    return patch


def _placed(center: npt.NDArray[np.int64], patch: Index3, shape: Index3) -> Box:
    """Center a patch on a voxel, then push it into the volume as far as that is possible."""
    start = []
    for c, p, n in zip(center, patch, shape):
        # A volume shorter than the patch is centered in it; the rest is air.
        start.append(-((p - n) // 2) if n <= p else int(np.clip(c - p // 2, 0, n - p)))
    return Box(tuple(start), tuple(s + p for s, p in zip(start, patch)))  # type: ignore[arg-type]
