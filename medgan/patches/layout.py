"""Where the patches of a volume lie, and how much each says about a voxel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError
from medgan.geometry import Box

Index3 = tuple[int, int, int]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Patch:
    """One patch of a layout.

    Attributes
    ----------
    box : Box
        Its voxels in the volume; reaches beyond the end where the volume is smaller than a patch.
    axis_weights : three float32 arrays
        Share of this patch in each voxel along each axis; the share at (i, j, k) is their product.
    """

    box: Box
    axis_weights: tuple[FloatArray, FloatArray, FloatArray]

    @property
    def weights(self) -> FloatArray:
        """Shares of this patch, float32 of the patch's shape."""
        wi, wj, wk = self.axis_weights
        return np.asarray(wi[:, None, None] * wj[None, :, None] * wk[None, None, :])


@dataclass(frozen=True)
class PatchLayout:
    """Overlapping patches on a lattice anchored at the volume's origin, with shares that sum to one in every voxel.

    Parameters
    ----------
    shape : (I, J, K)
        Of the volume.
    patch : (I, J, K)
        Of a patch; an axis shorter than its patch gets one patch that reaches beyond its end.
    overlap : float
        Share of a patch that its neighbor repeats, 0 <= overlap < 1.
    sigma : float
        Standard deviation of the Gaussian weight as a share of the patch.

    Raises
    ------
    PatchError
        If a length is not positive or the overlap is not in [0, 1).

    Notes
    -----
    The layout depends on shape, patch and overlap only, so that any blocking of the work gives the same bits. Patches
    start every ``floor(patch (1 - overlap))`` voxels; the last one of an axis is pulled back to end with the volume.
    A product of one-dimensional Gaussians over a product lattice sums to a product of one-dimensional sums, so the
    shares are normalized here, once and by axis, and no map of weights is ever accumulated.

    Examples
    --------
    >>> layout = PatchLayout((10, 4, 4), (4, 4, 4), overlap=0.25)
    >>> [patch.box.start_ijk[0] for patch in layout]
    [0, 3, 6]
    """

    shape: Index3
    patch: Index3
    overlap: float = 0.25
    sigma: float = 0.125

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or len(self.patch) != 3 or min(*self.shape, *self.patch) < 1:
            raise PatchError(f"A layout needs positive lengths: found shape {self.shape}, patch {self.patch}.")
        if not 0 <= self.overlap < 1:
            raise PatchError(f"An overlap must be at least 0 and less than 1: found {self.overlap}.")
        if not self.sigma > 0:
            raise PatchError(f"The width of a Gaussian weight must be positive: found {self.sigma}.")

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """First voxels of the patches along each axis."""
        return tuple(  # type: ignore[return-value]
            _axis_starts(size, patch, max(1, int(patch * (1 - self.overlap))))
            for size, patch in zip(self.shape, self.patch)
        )

    @cached_property
    def axis_shares(self) -> tuple[list[FloatArray], ...]:
        """Shares of the patches along each axis, one array a start; that of a voxel is the product over the axes."""
        return tuple(
            _axis_shares(size, patch, starts, self.sigma)
            for size, patch, starts in zip(self.shape, self.patch, self.starts)
        )

    def __len__(self) -> int:
        return int(np.prod([len(starts) for starts in self.starts]))

    def __iter__(self) -> Iterator[Patch]:
        """Return the patches, the first axis slowest: those of one start along it form a slab."""
        shares = self.axis_shares
        for a, i in enumerate(self.starts[0]):
            for b, j in enumerate(self.starts[1]):
                for c, k in enumerate(self.starts[2]):
                    box = Box((i, j, k), (i + self.patch[0], j + self.patch[1], k + self.patch[2]))
                    yield Patch(box, (shares[0][a], shares[1][b], shares[2][c]))


def _axis_starts(size: int, patch: int, step: int) -> tuple[int, ...]:
    last = max(size - patch, 0)
    return (*range(0, last, step), last)


def _axis_shares(size: int, patch: int, starts: tuple[int, ...], sigma: float) -> list[FloatArray]:
    position = (np.arange(patch) - (patch - 1) / 2) / (sigma * patch)
    # The floor keeps a voxel that only the rim of one patch reaches from dividing zero by zero.
    gaussian = np.maximum(np.exp(-0.5 * position**2), 1e-6)
    total = np.zeros(max(size, patch))
    for start in starts:
        total[start : start + patch] += gaussian
    return [(gaussian / total[start : start + patch]).astype(np.float32) for start in starts]
