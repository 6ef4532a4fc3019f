"""Small losses that an image suffers in daily life, and strengths at which real images keep their class."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.explanation import Rate
from medgan.explanation.scored_classifier import ScoredClassifier

TransformKind = Literal["8-bit", "blur", "jpeg", "dicom"]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Transform:
    """One loss with its strength.

    Parameters
    ----------
    kind : {"8-bit", "blur", "jpeg", "dicom"}
    strength : float
        Bits, sigma in pixels, quality (1 to 95), or bits stored.
    """

    kind: TransformKind
    strength: float

    def __post_init__(self) -> None:
        if self.kind not in LOSSES:
            raise ExplanationError(f"A transform is one of {', '.join(LOSSES)}: found {self.kind!r}.")

    @property
    def text(self) -> str:
        """Name and strength in words."""
        return {
            "8-bit": f"{self.strength:.0f}-bit quantization",
            "blur": f"blur, sigma {self.strength:g} px",
            "jpeg": f"JPEG, quality {self.strength:.0f}",
            "dicom": f"DICOM round trip, {self.strength:.0f} bits stored",
        }[self.kind]

    def __call__(self, images: Tensor) -> Tensor:
        """Return images (N, 1, ...) in [-1, 1] after the loss, float32 on the CPU."""
        arrays = images.detach().float().cpu().numpy()
        changed = np.stack([LOSSES[self.kind](one[0], self.strength) for one in arrays])[:, None]
        return torch.from_numpy(np.ascontiguousarray(changed, dtype=np.float32))


def _quantized(image: Float32, bits: float) -> Float32:
    steps = 2 ** round(bits) - 1
    stored = np.rint((np.clip(image, -1, 1).astype(np.float64) + 1) / 2 * steps)
    return np.asarray(stored / steps * 2 - 1, dtype=np.float32)


def _blurred(image: Float32, sigma_px: float) -> Float32:
    return np.asarray(gaussian_filter(image, sigma_px, mode="mirror"), dtype=np.float32)


def _jpeg(image: Float32, quality: float) -> Float32:
    """Compress a plane by JPEG, a volume slice by slice along its last axis."""
    if image.ndim == 3:
        planes = [_jpeg(image[..., k], quality) for k in range(image.shape[2])]
        return np.stack(planes, axis=-1)
    stored = np.rint((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, format="JPEG", quality=round(quality))
    buffer.seek(0)
    return np.asarray(np.asarray(Image.open(buffer), dtype=np.float32) / 127.5 - 1, dtype=np.float32)


def _dicom(image: Float32, bits: float) -> Float32:
    """Store a window of [-1, 1] linearly in unsigned integers and read it back through rescale slope and intercept.

    The slope goes through its decimal string of at most 16 characters, as in a file.
    """
    largest = 2 ** round(bits) - 1
    slope = float(f"{2 / largest:.10g}"[:16])
    stored = np.clip(np.rint((np.clip(image, -1, 1).astype(np.float64) + 1) / slope), 0, largest)
    return np.asarray(stored * slope - 1, dtype=np.float32)


LOSSES: Mapping[str, Callable[[Float32, float], Float32]] = {
    "8-bit": _quantized,
    "blur": _blurred,
    "jpeg": _jpeg,
    "dicom": _dicom,
}

LADDERS: Mapping[TransformKind, tuple[float, ...]] = {
    "8-bit": (8,),
    "blur": (2.0, 1.5, 1.0, 0.75, 0.5, 0.35, 0.25),
    "jpeg": (50, 60, 70, 75, 80, 85, 90, 95),
    "dicom": (12, 16),
}
"""Strengths that are tried, strongest first (a free choice)."""


@dataclass(frozen=True)
class CalibratedTransform:
    """A transform at the strongest strength at which real images keep their class.

    Parameters
    ----------
    transform : Transform
    kept : Rate
        Real images that keep their class at this strength.
    usable : bool
        Whether enough do; if not, this is the weakest strength and the transform is left out.
    """

    transform: Transform
    kept: Rate
    usable: bool


def calibrated_transforms(
    classifier: ScoredClassifier,
    real: Tensor,
    *,
    keep: float = 0.95,
    ladders: Mapping[TransformKind, tuple[float, ...]] = LADDERS,
    batch: int = 32,
) -> tuple[CalibratedTransform, ...]:
    """Choose for each kind the strongest strength at which at least ``keep`` of real images keep their class.

    Parameters
    ----------
    real : (N, 1, ...)
        Real images of all classes, not those that are explained if there are others.
    keep : float
        Share that has to keep the class that the classifier gave them.

    Raises
    ------
    ExplanationError
        If there is no image.
    """
    if not len(real):
        raise ExplanationError("Strengths are chosen on real images: found none.")
    before = classifier.probabilities(real, batch=batch).argmax(1)
    chosen = []
    for kind, ladder in ladders.items():
        for strength in ladder:
            transform = Transform(kind, strength)
            after = classifier.probabilities(transform(real), batch=batch).argmax(1)
            kept = Rate(int((after == before).sum()), len(real))
            if kept.count >= keep * kept.total:
                break
        chosen.append(CalibratedTransform(transform, kept, kept.count >= keep * kept.total))
    return tuple(chosen)
