"""Run a network over a prepared image, patch by patch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.geometry import Box
from medgan.inference.pieces import DeviceProgress, Pieces, Progress, piece_of, pieces_for
from medgan.patches.layout import Patch, PatchLayout
from medgan.patches.stitch import stitch
from medgan.training.precision import autocast
from medgan.volume import LabelMap, Quantity, Volume


@dataclass(frozen=True, eq=False)
class PatchwiseResult:
    """What a network made of an image.

    Attributes
    ----------
    normalized : (I, J, K) float32
        In [-1, 1]; exactly -1 outside the body.
    patches, skipped : int
        In all, and those without a voxel of the body, which were not computed.
    """

    normalized: npt.NDArray[np.float32]
    patches: int
    skipped: int


def run_patchwise(
    network: torch.nn.Module,
    prepared: Case,
    *,
    patch: tuple[int, int, int],
    overlap: float,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    progress: Progress | None = None,
) -> PatchwiseResult:
    """Run a translation network over one prepared case.

    Parameters
    ----------
    network : module
        Called with an image and a body mask, both (1, 1, I, J, K) float32; returns an image of that shape.
    prepared : Case
        One NORMALIZED image and the label map ``body`` on its grid.
    patch, overlap
        Of the layout.
    device, precision
        Where, and in which number format convolutions run.
    progress : callable, optional
        Called after every patch.

    Raises
    ------
    InferenceError
        If the image is not normalized.
    GeometryError
        If the body is not on the image's grid.
    PatchError
        If the network gives another shape than it was given.

    Notes
    -----
    Patches are computed one by one: at batch size 1 and a fixed number of threads the bits on a CPU do not depend on
    anything but weights and image. Beyond the prepared image and the result the memory is that of one patch. On
    another device everything stays there until the end.
    """
    image, body = checked_pair(prepared)
    layout = PatchLayout(image.shape, patch, overlap)
    device = torch.device(device)
    told = DeviceProgress(progress, len(layout), device)
    pieces = pieces_for(image, body, patch, device)
    volume, skipped = stitched_on(device, network, layout, pieces, body, precision, told)
    normalized = volume.cpu().numpy()
    told.finished()
    # Shares sum to one within rounding only: outside the body the answer is exact.
    for rows, inside in zip(normalized, body.array):
        rows[inside == 0] = Quantity.NORMALIZED.outside
    return PatchwiseResult(normalized, len(layout), skipped)


@torch.inference_mode()
def stitched_on(
    device: torch.device,
    network: torch.nn.Module,
    layout: PatchLayout,
    pieces: Pieces,
    body: LabelMap,
    precision: str,
    told: DeviceProgress,
) -> tuple[Tensor, int]:
    """Return the stitched volume on its device, and how many patches were skipped; the device is not waited for."""
    volume = torch.zeros(layout.shape, dtype=torch.float32, device=device)
    skipped = 0

    def results() -> Iterator[tuple[Patch, Tensor | float]]:
        nonlocal skipped
        for patch in layout:
            if body.read(patch.box).array.any():
                yield patch, answer_to(network, *pieces(patch.box), precision)
            else:
                skipped += 1
                yield patch, Quantity.NORMALIZED.outside
            told.queued()

    stitch(layout, results(), into=volume)
    return volume, skipped


def checked_pair(prepared: Case) -> tuple[Volume, LabelMap]:
    """Return image and body of a prepared case.

    Raises
    ------
    InferenceError
        If the image is not normalized.
    GeometryError
        If the body is not on the image's grid.
    """
    image, body = prepared.image, prepared.label("body")
    if image.quantity is not Quantity.NORMALIZED:
        raise InferenceError(
            f"A network takes normalized images: case {prepared.case_id} has {image.quantity.label}. "
            "Add an intensity stage to the recipe."
        )
    body.grid.require_same_as(image.grid, this="body", that="image", what="A translation")
    return image, body


@torch.inference_mode()
def answer_in(
    network: torch.nn.Module, image: Volume, body: LabelMap, box: Box, device: torch.device | str, precision: str
) -> npt.NDArray[np.float32]:
    """Return what a network makes of one piece of an image, float32 of the box's shape."""
    pixels, inside = (each.to(device) for each in piece_of(image, body, box))
    return np.asarray(answer_to(network, pixels, inside, precision).cpu().numpy())


def answer_to(network: torch.nn.Module, pixels: Tensor, inside: Tensor, precision: str) -> Tensor:
    """Return what a network makes of a piece, float32 (I, J, K), where the piece is."""
    with autocast(precision, pixels.device):
        result: Tensor = network(pixels, inside)
    return result.float()[0, 0]
