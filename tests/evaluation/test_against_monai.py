"""The same numbers as MONAI, which imports torch: the only test here that does."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medgan.evaluation.overlap import dice
from medgan.evaluation.presets import PRESETS
from medgan.evaluation.similarity import ms_ssim, ssim
from medgan.evaluation.surface import surface_distances

pytestmark = pytest.mark.filterwarnings("ignore")

SPACING_MM = (0.9, 1.1, 3.0)


def tensor(array):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


@pytest.fixture
def regions(rng):
    smooth = [gaussian_filter(rng.normal(size=(40, 36, 20)), 3) for _ in range(2)]
    return {"result": smooth[0] > 0.01, "reference": smooth[0] + 0.5 * smooth[1] > 0.01}


def test_dice_and_surface_distances(regions):
    from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDistanceMetric

    pair = tensor(regions["result"]), tensor(regions["reference"])
    found = surface_distances(**regions, spacing_mm=SPACING_MM)
    assert dice(**regions) == pytest.approx(float(DiceMetric()(*pair)), abs=1e-6)
    for value, metric in (
        (found.hausdorff_mm, HausdorffDistanceMetric(include_background=True)),
        (found.hd95_mm, HausdorffDistanceMetric(include_background=True, percentile=95)),
        (found.assd_mm, SurfaceDistanceMetric(include_background=True, symmetric=True)),
    ):
        assert value == pytest.approx(float(metric(*pair, spacing=SPACING_MM)), abs=1e-4)


def test_structural_similarity(rng):
    from monai.metrics import MultiScaleSSIMMetric, SSIMMetric

    # Multiples of 16, at least 7 voxels at the coarsest of five scales: no padding on either side.
    shape = (112, 112, 128)
    x = gaussian_filter(rng.normal(0, 1500, shape), 2).astype(np.float32) + 500
    y = x + gaussian_filter(rng.normal(0, 400, shape), 1).astype(np.float32)
    options = {"spatial_dims": 3, "data_range": 4095.0, "kernel_type": "uniform"}
    pair = tensor(x + 1024), tensor(y + 1024)
    kept = {"result": x, "reference": y, "low": -1024.0, "high": 3071.0}
    one = float(SSIMMetric(**options, win_size=7)(*pair))
    assert ssim(**kept, sample_covariance=False) == pytest.approx(one, abs=2e-4)
    several = float(MultiScaleSSIMMetric(**options, kernel_size=7)(*pair))
    assert ms_ssim(**kept, scales=PRESETS["corrected"].multi_scale) == pytest.approx(several, abs=2e-4)
