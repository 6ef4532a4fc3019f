"""Run a network over a prepared image, patch by patch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.patches.layout import Patch, PatchLayout
from medgan.patches.stitch import stitched
from medgan.training.precision import autocast
from medgan.volume import LabelMap, Quantity, Volume

Progress = Callable[[int, int], None]
"""Called with patches done and patches in all."""


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
    Patches are computed one by one: at batch size 1 and a fixed number of threads the bits do not depend on anything
    but weights and image.
    """
    image, body = checked_pair(prepared)
    layout = PatchLayout(image.shape, patch, overlap)
    device = torch.device(device)
    skipped = 0

    def results() -> Iterator[tuple[Patch, npt.NDArray[np.float32] | float]]:
        nonlocal skipped
        for done, piece in enumerate(layout, start=1):
            inside = body.read(piece.box)
            if inside.array.any():
                yield piece, answer_in(network, image.read(piece.box), inside, device, precision)
            else:
                skipped += 1
                yield piece, Quantity.NORMALIZED.outside
            if progress is not None:
                progress(done, len(layout))

    normalized = np.empty(image.shape, dtype=np.float32)
    for box, values in stitched(layout, results()):
        normalized[box.slices] = values
    # Shares sum to one within rounding only: outside the body the answer is exact.
    normalized[~body.mask()] = Quantity.NORMALIZED.outside
    return PatchwiseResult(normalized, len(layout), skipped)


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
    network: torch.nn.Module, image: Volume, body: LabelMap, device: torch.device | str, precision: str
) -> npt.NDArray[np.float32]:
    """Return what a network makes of one piece of an image, float32 of the piece's shape."""
    device = torch.device(device)
    pixels = torch.from_numpy(np.array(image.array, dtype=np.float32))[None, None].to(device)
    inside = torch.from_numpy(body.array.astype(np.float32))[None, None].to(device)
    with autocast(precision, device):
        result = network(pixels, inside)
    return np.asarray(result.float().cpu().numpy()[0, 0])
