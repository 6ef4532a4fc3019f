"""Named ways to measure a synthetic CT: the rules in which published numbers differ, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from medgan.errors import EvaluationError
from medgan.volume import Quantity


@dataclass(frozen=True)
class MultiScale:
    """Rules of one MS-SSIM; see :func:`medgan.evaluation.similarity.ms_ssim`.

    Parameters
    ----------
    weights : tuple of float
        One exponent a scale, finest first.
    window : int
        Side of the uniform window in voxels.
    minimum_size : int
        Shorter axes are padded to this by repeating the border, half at each end.
    luminance_at_every_scale : bool
        Otherwise only at the coarsest, as in Wang 2003.
    power_before_mean : bool
        Take the power voxel by voxel, then the mean; otherwise the mean, then the power.
    sample_covariance : bool
        Divide by n - 1 instead of n.
    lagged_halving : bool
        Average voxels 2k - 1 and 2k with the low end of the range before the first, and keep every second voxel of the
        mask; otherwise average blocks 2k and 2k + 1, and let each voxel count by its share in the mask.
    count_padding : bool
        Padded voxels count when the mask touches the border.
    """

    weights: tuple[float, ...]
    window: int
    minimum_size: int
    luminance_at_every_scale: bool
    power_before_mean: bool
    sample_covariance: bool
    lagged_halving: bool
    count_padding: bool

    def describe(self) -> str:
        """Return the rules as a phrase for tables."""
        return (
            f"{len(self.weights)} scales with weights {' '.join(f'{w:g}' for w in self.weights)}, "
            f"{self.window} x {self.window} x {self.window} uniform window, "
            f"luminance at {'every scale' if self.luminance_at_every_scale else 'the coarsest scale only'}, "
            f"power {'before' if self.power_before_mean else 'after'} the mean, "
            f"axes padded to {self.minimum_size} voxels"
        )


@dataclass(frozen=True)
class Preset:
    """One complete set of rules for :func:`medgan.evaluation.comparison.compare`.

    Parameters
    ----------
    name, title : str
    quantity : Quantity
        What both images must hold.
    low, high : float
        Range of values in the quantity's unit; ``peak`` is its width.
    clip_errors : bool
        Clip to the range before MAE, ME, RMSE and tissue errors; PSNR and similarity are always clipped.
    mask : str
        What the mask must be for the numbers to be called by this name: the caller's promise, printed in tables.
    ssim_sample_covariance : bool
    ssim_is_official : bool
        False where the named source reports no single-scale SSIM.
    multi_scale : MultiScale or None
        None where the named source reports no MS-SSIM.
    """

    name: str
    title: str
    quantity: Quantity
    low: float
    high: float
    clip_errors: bool
    mask: str
    ssim_sample_covariance: bool
    ssim_is_official: bool
    multi_scale: MultiScale | None

    @property
    def peak(self) -> float:
        """Width of the range."""
        return self.high - self.low

    @property
    def range_text(self) -> str:
        """The range in words."""
        return f"[{self.low:g}, {self.high:g}] {self.quantity.unit}".strip()


_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # Read in the organizers' code (SynthRAD2023/metrics, functions/image_metrics.py): errors unclipped; PSNR and
        # SSIM clipped to 4024 HU; SSIM on images set to -1024 outside the mask, mean over the mask.
        "synthrad2023": Preset(
            name="synthrad2023",
            title="SynthRAD2023 challenge",
            quantity=Quantity.HOUNSFIELD,
            low=-1024.0,
            high=3000.0,
            clip_errors=False,
            mask="the mask given (in the challenge: the dilated body outline)",
            ssim_sample_covariance=True,
            ssim_is_official=True,
            multi_scale=None,
        ),
        # Read in the organizers' code (SynthRAD2025/evaluation, image_metrics.py). Its intended weights for luminance
        # are overwritten by those of all scales, hence luminance_at_every_scale: kept, since it gave the published
        # numbers. Only MAE, PSNR and MS-SSIM are ranked.
        "synthrad2025": Preset(
            name="synthrad2025",
            title="SynthRAD2025 challenge",
            quantity=Quantity.HOUNSFIELD,
            low=-1024.0,
            high=3071.0,
            clip_errors=False,
            mask="the mask given (in the challenge: the dilated body outline)",
            ssim_sample_covariance=True,
            ssim_is_official=False,
            multi_scale=MultiScale(
                weights=_WEIGHTS,
                window=7,
                minimum_size=97,
                luminance_at_every_scale=True,
                power_before_mean=True,
                sample_covariance=True,
                lagged_halving=True,
                count_padding=True,
            ),
        ),
        # medgan's own: everything clipped to one range, only anatomy that the prediction could know, MS-SSIM as
        # Wang 2003 but for the window (uniform 7^3, so that 97 voxels suffice) and the padding.
        "corrected": Preset(
            name="corrected",
            title="corrected (range clipped throughout, MS-SSIM as Wang 2003)",
            quantity=Quantity.HOUNSFIELD,
            low=-1024.0,
            high=3071.0,
            clip_errors=True,
            mask="the reference's body within the field of view of the prediction",
            ssim_sample_covariance=False,
            ssim_is_official=True,
            multi_scale=MultiScale(
                weights=_WEIGHTS,
                window=7,
                minimum_size=97,
                luminance_at_every_scale=False,
                power_before_mean=False,
                sample_covariance=False,
                lagged_halving=False,
                count_padding=False,
            ),
        ),
    }
)


def preset_named(name: str) -> Preset:
    """Return the preset of this name.

    Raises
    ------
    EvaluationError
        If there is none.
    """
    if name not in PRESETS:
        raise EvaluationError(f"A preset must be one of {', '.join(PRESETS)}: found {name!r}.")
    return PRESETS[name]
