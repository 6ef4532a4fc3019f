"""From tissues to images: what an MR scanner and a CT scanner make of one anatomy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid
from medgan.phantoms.tissue_table import Tissue, TissueTable
from medgan.volume import LabelMap, Provenance, Quantity, Volume

Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
LabelsAt = Callable[[Grid, Sequence[float]], tuple[Labels, npt.NDArray[np.bool_]]]
"""Tissue numbers and body mask at the voxel centers of a grid, shifted by a part of a voxel."""

_SUBVOXELS = tuple(o for o in itertools.product((-0.25, 0.25), repeat=3) if np.prod(o) > 0)


@dataclass(frozen=True)
class Acquisition:
    """How far two images of one anatomy are from the ideal; the default is ideal.

    Parameters
    ----------
    partial_volume : bool
        Average four samples in each voxel, the corners of a tetrahedron, in MR and in CT. Boundary voxels are then
        mixtures, and no voxelwise translator is exact there; the reference CT is the partial-volume CT.
    mr_noise : float
        Standard deviation of Rician noise as a share of the signal of fat.
    bias_strength : float
        Range of the logarithm of the coil's bias field.
    random_mr_scale : bool
        Draw the subject's MR unit (log-uniform between 0.3 and 3), else 1.
    ct_noise_hu : float
        Standard deviation of Gaussian noise in HU.
    couch : bool
        Put a couch below the body, in the CT only.
    """

    partial_volume: bool = False
    mr_noise: float = 0.0
    bias_strength: float = 0.0
    random_mr_scale: bool = False
    ct_noise_hu: float = 0.0
    couch: bool = False


IDEAL = Acquisition()
CLEAN = Acquisition(mr_noise=0.01, random_mr_scale=True, ct_noise_hu=10.0)
"""Noise and an arbitrary MR unit, but one tissue a voxel: the ideal translator is as good as the noise allows."""
REALISTIC = Acquisition(
    partial_volume=True, mr_noise=0.02, bias_strength=0.35, random_mr_scale=True, ct_noise_hu=12.0, couch=True
)


@dataclass(frozen=True)
class PairedPhantom:
    """One anatomy seen by MR and by CT, with the truth.

    Parameters
    ----------
    mr : Volume
        MR_SIGNAL, arbitrary units: ``mr_scale * bias_field * table signal`` plus Rician noise.
    ct : Volume
        HOUNSFIELD, on its own grid (the MR's unless another one was asked for).
    tissue : LabelMap
        Tissue at each voxel center of the MR's grid, numbers of :class:`~medgan.phantoms.tissue_table.Tissue`.
    body : LabelMap
        1 inside the skin, air in sinuses and airways included; on the MR's grid.
    mr_scale : float
        The subject's arbitrary unit: divide the MR by it to compare with the tissue table.
    bias_field : (I, J, K) float32
        Smooth positive factor of the receive coil, 1 everywhere if none was asked for.
    """

    mr: Volume
    ct: Volume
    tissue: LabelMap
    body: LabelMap
    mr_scale: float
    bias_field: Float32

    def mask_of(self, tissue: Tissue) -> LabelMap:
        """Return where a tissue is, as a label map with the one label 1 on the MR's grid."""
        return LabelMap(self.tissue.mask(tissue), self.tissue.grid, {1: tissue.name.lower()})


def coil_bias(grid: Grid, generator: np.random.Generator, *, strength: float) -> Float32:
    """Return a smooth positive field (I, J, K) of mean 1 whose logarithm ranges over about ``strength``.

    Notes
    -----
    The exponential of a random polynomial of degree 2 in the box's normalized coordinates: smooth like the field of a
    receive coil, and inside the model of N4.
    """
    u = [
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(grid.shape)
    ]
    terms = [u[0], u[1], u[2], u[0] ** 2, u[1] ** 2, u[2] ** 2, u[0] * u[1], u[1] * u[2], u[0] * u[2]]
    weights = generator.normal(size=len(terms)).astype(np.float32)
    if strength == 0:
        return np.ones(grid.shape, dtype=np.float32)
    log = np.zeros(grid.shape, dtype=np.float32)
    for weight, term in zip(weights, terms):
        log += weight * term
    log *= np.float32(strength / max(float(np.ptp(log)), 1e-6))
    field = np.exp(log)
    return np.asarray(field / field.mean(dtype=np.float64), dtype=np.float32)


def rician(signal: Float32, generator: np.random.Generator, *, sigma: float) -> Float32:
    """Return the magnitude of a complex signal with Gaussian noise of standard deviation ``sigma`` in both channels.

    Notes
    -----
    Gudbjartsson & Patz 1995, doi 10.1002/mrm.1910340618, eq. 1.
    """
    if sigma == 0:
        return signal
    real = signal + np.float32(sigma) * generator.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, np.float32(sigma) * generator.standard_normal(signal.shape, dtype=np.float32))


def with_couch(ct_hu: Float32, grid: Grid, *, surface_y_mm: float, center_x_mm: float) -> Float32:
    """Return a CT with a curved couch below ``surface_y_mm``: a carbon shell of 100 HU around foam of -900 HU.

    Parameters
    ----------
    ct_hu : (I, J, K) float32
    grid : Grid
    surface_y_mm : float
        World coordinate of the couch's upper surface where it is lowest; the patient lies above (anterior).
    center_x_mm : float

    Notes
    -----
    Only air is replaced, so a body that touches the couch stays whole.
    """
    ijk = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid.shape), indexing="ij", sparse=True)
    x, y = (sum(grid.affine[a, b] * ijk[b] for b in range(3)) + grid.affine[a, 3] for a in (0, 1))
    across = x - center_x_mm
    depth = surface_y_mm + across**2 / 700 - y  # mm below the curved surface
    inside = (depth > 0) & (depth < 45) & (np.abs(across) < 210)
    shell = inside & ((depth < 4) | (depth > 41) | (np.abs(across) > 206))
    air = ct_hu < -950
    result = np.where(air & inside, np.float32(-900), ct_hu)
    return np.asarray(np.where(air & shell, np.float32(100), result), dtype=np.float32)


def paired_images(
    labels_at: LabelsAt,
    *,
    mr_grid: Grid,
    ct_grid: Grid,
    table: TissueTable,
    acquisition: Acquisition,
    generator: np.random.Generator,
    name: str,
) -> PairedPhantom:
    """Return both images of an anatomy.

    Parameters
    ----------
    labels_at : callable
        The anatomy as a pure function of a grid and a shift in voxels.
    mr_grid, ct_grid : Grid
    table : TissueTable
    acquisition : Acquisition
    generator : numpy.random.Generator
        Source of scale, bias field and noise.
    name : str
        Noted in the provenance.
    """
    log_scale, couch_gap_mm = generator.uniform(np.log(0.3), np.log(3.0)), generator.uniform(1, 6)
    mr_scale = float(np.exp(log_scale)) if acquisition.random_mr_scale else 1.0
    labels, body = labels_at(mr_grid, (0, 0, 0))
    one_grid = ct_grid is mr_grid
    ct_labels, ct_body = (labels, body) if one_grid else labels_at(ct_grid, (0, 0, 0))
    if not acquisition.partial_volume:
        mr, ct = table.mr_of(labels), table.ct_of(ct_labels)
    else:
        mr, ct = np.zeros(mr_grid.shape, np.float32), np.zeros(ct_grid.shape, np.float32)
        for offset in _SUBVOXELS:
            sampled = labels_at(mr_grid, offset)[0]
            mr += table.mr_of(sampled) / np.float32(len(_SUBVOXELS))
            sampled = sampled if one_grid else labels_at(ct_grid, offset)[0]
            ct += table.ct_of(sampled) / np.float32(len(_SUBVOXELS))

    bias = coil_bias(mr_grid, generator, strength=acquisition.bias_strength)
    mr = mr * bias * np.float32(mr_scale)
    mr = rician(mr, generator, sigma=acquisition.mr_noise * table.mr[Tissue.FAT] * mr_scale)
    if acquisition.couch and ct_body.any():
        surface = _lowest_y_mm(ct_body, ct_grid) - couch_gap_mm
        center = float(ct_grid.world((np.asarray(ct_grid.shape) - 1) / 2)[0])
        ct = with_couch(ct, ct_grid, surface_y_mm=surface, center_x_mm=center)
    if acquisition.ct_noise_hu:
        ct = ct + np.float32(acquisition.ct_noise_hu) * generator.standard_normal(ct.shape, dtype=np.float32)

    bias.setflags(write=False)
    provenance = Provenance().then(name)
    names = {int(t): t.name.lower() for t in Tissue if t}
    return PairedPhantom(
        mr=Volume(mr, mr_grid, Quantity.MR_SIGNAL, provenance),
        ct=Volume(ct, ct_grid, Quantity.HOUNSFIELD, provenance),
        tissue=LabelMap(labels, mr_grid, names),
        body=LabelMap(body, mr_grid, {1: "body"}),
        mr_scale=mr_scale,
        bias_field=bias,
    )


def _lowest_y_mm(body: npt.NDArray[np.bool_], grid: Grid) -> float:
    """Return the world y of the body's most posterior voxel."""
    corner = grid.affine[1, 3]
    i, j, k = (
        (np.arange(n) * grid.affine[1, axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(grid.shape)
    )
    return float(np.where(body, i + j + k + corner, np.inf).min())


def centered_grid(shape: Sequence[int], spacing_mm: Sequence[float]) -> Grid:
    """Return the RAS+ grid in mm whose center is the world's origin."""
    origin = [-(n - 1) / 2 * s for n, s in zip(shape, spacing_mm)]
    return Grid.axis_aligned(shape, spacing=spacing_mm, origin=origin)
