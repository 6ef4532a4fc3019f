"""SSIM and MS-SSIM against scikit-image and against a slow reading of the SynthRAD2025 rules in float64."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.signal import fftconvolve

from medgan.errors import EvaluationError
from medgan.evaluation.presets import PRESETS
from medgan.evaluation.similarity import ms_ssim, ssim

LOW, HIGH = -1024.0, 3071.0


def phantom(rng, shape, center, radii):
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    mask = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, center, radii)) < 1
    reference = np.where(mask, gaussian_filter(rng.normal(0, 3000, shape), 3) + 50, -1000).astype(np.float32)
    result = reference + gaussian_filter(rng.normal(0, 900, shape), 2).astype(np.float32)
    return {"result": result, "reference": reference, "mask": mask}


def literal_synthrad2025(*, result, reference, mask):
    """Rules one by one, each map in full, luminance, contrast and structure apart."""
    peak = HIGH - LOW
    x, y = (np.where(mask, np.clip(a.astype(float), LOW, HIGH), LOW) - LOW for a in (result, reference))
    pads = [((97 - n) // 2, 97 - n - (97 - n) // 2) if n < 97 else (0, 0) for n in mask.shape]
    x, y, mask = (np.pad(a, pads, mode="edge") for a in (x, y, mask))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    core = (slice(3, -3),) * 3
    score = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        m_x, m_y = uniform_filter(x, 7), uniform_filter(y, 7)
        v_x, v_y, v_xy = (
            (uniform_filter(a * b, 7) - m * n) * 343 / 342
            for a, b, m, n in ((x, x, m_x, m_x), (y, y, m_y, m_y), (x, y, m_x, m_y))
        )
        s_x, s_y = (np.sqrt(np.maximum(v, 0)) for v in (v_x, v_y))
        luminance = (2 * m_x * m_y + c1) / (m_x**2 + m_y**2 + c1)
        contrast = (2 * s_x * s_y + c2) / (v_x + v_y + c2)
        structure = np.maximum((v_xy + c2 / 2) / (s_x * s_y + c2 / 2), 0)
        power = luminance**weight * contrast**weight * structure**weight
        score *= np.clip(power[core][mask[core]].mean(), 0, 1)
        x, y = (fftconvolve(a, np.full((2, 2, 2), 1 / 8), mode="same")[::2, ::2, ::2] for a in (x, y))
        mask = mask[::2, ::2, ::2]
    return score


@pytest.mark.parametrize(
    ("shape", "center", "radii"),
    [
        ((120, 101, 50), (60, 45, 24), (30, 35, 40)),  # short along k: padded; the mask leaves through both ends
        ((180, 120, 98), (130, 70, 40), (25, 30, 45)),  # cut to the mask, even and odd lengths
    ],
)
def test_ms_ssim_follows_synthrad2025(rng, shape, center, radii):
    images = phantom(rng, shape, center, radii)
    found = ms_ssim(**images, low=LOW, high=HIGH, scales=PRESETS["synthrad2025"].multi_scale)
    assert found == pytest.approx(literal_synthrad2025(**images), abs=1e-6)
    assert 0.5 < found < 0.999


def test_ssim_follows_synthrad2023(rng):
    from skimage.metrics import structural_similarity

    images = phantom(rng, (60, 50, 30), (25, 30, 12), (20, 18, 20))
    x, y = (np.where(images["mask"], np.clip(images[n], LOW, 3000), LOW) - LOW for n in ("result", "reference"))
    full = structural_similarity(x.astype(float), y.astype(float), data_range=4024, full=True)[1]
    core = (slice(3, -3),) * 3
    expected = full[core][images["mask"][core]].mean()
    assert ssim(**images, low=LOW, high=3000) == pytest.approx(expected, abs=1e-6)


def test_ssim_without_mask_is_scikit_images(rng):
    from skimage.metrics import structural_similarity

    x, y = (gaussian_filter(rng.normal(0, 500, (20, 21, 22)), 1).astype(np.float32) for _ in range(2))
    for sample in (True, False):
        expected = structural_similarity(
            x - LOW, y - LOW, data_range=HIGH - LOW, win_size=5, use_sample_covariance=sample
        )
        found = ssim(result=x, reference=y, low=LOW, high=HIGH, window=5, sample_covariance=sample)
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["synthrad2025", "corrected"])
def test_an_image_is_like_itself(rng, name):
    images = phantom(rng, (100, 100, 40), (50, 50, 20), (40, 40, 60))
    images["result"] = images["reference"]
    scales = PRESETS[name].multi_scale
    assert ssim(**images, low=LOW, high=HIGH) == pytest.approx(1, abs=1e-6)
    assert ms_ssim(**images, low=LOW, high=HIGH, scales=scales) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["synthrad2025", "corrected"])
def test_what_lies_outside_the_mask_does_not_matter(rng, name):
    images = phantom(rng, (100, 98, 40), (50, 50, 20), (40, 40, 60))
    scales = PRESETS[name].multi_scale
    before = ms_ssim(**images, low=LOW, high=HIGH, scales=scales)
    images["result"] = np.where(images["mask"], images["result"], 2000).astype(np.float32)
    assert ms_ssim(**images, low=LOW, high=HIGH, scales=scales) == before


def test_more_noise_is_less_similar(rng):
    images = phantom(rng, (100, 98, 40), (50, 50, 20), (40, 40, 60))
    noise = rng.normal(0, 100, images["result"].shape).astype(np.float32)
    worse = {**images, "result": images["result"] + noise}
    for preset in (PRESETS["synthrad2025"], PRESETS["corrected"]):
        assert ms_ssim(**worse, low=LOW, high=HIGH, scales=preset.multi_scale) < ms_ssim(
            **images, low=LOW, high=HIGH, scales=preset.multi_scale
        )
    assert ssim(**worse, low=LOW, high=HIGH) < ssim(**images, low=LOW, high=HIGH)


def test_luminance_counts_at_every_scale_or_at_the_coarsest():
    reference = np.zeros((112, 112, 112), dtype=np.float32)
    c1 = (0.01 * (HIGH - LOW)) ** 2
    luminance = (2 * 1024 * 1424 + c1) / (1024**2 + 1424**2 + c1)
    pair = {"result": reference + 400, "reference": reference, "low": LOW, "high": HIGH}
    assert ssim(**pair) == pytest.approx(luminance, abs=1e-6)
    assert ms_ssim(**pair, scales=PRESETS["corrected"].multi_scale) == pytest.approx(luminance**0.1333, abs=1e-6)
    # The five exponents sum to 1.0201; the challenge's halving darkens the first voxels of each axis a little.
    assert ms_ssim(**pair, scales=PRESETS["synthrad2025"].multi_scale) == pytest.approx(luminance**1.0201, abs=0.02)


def test_a_flipped_contrast_counts_as_no_similarity():
    checker = (np.indices((112, 112, 112)).sum(axis=0) % 2 * 4095 + LOW).astype(np.float32)
    found = ms_ssim(
        result=checker, reference=LOW + HIGH - checker, low=LOW, high=HIGH, scales=PRESETS["corrected"].multi_scale
    )
    assert found == 0


def test_no_window_inside_is_none():
    small = np.zeros((6, 20, 20), dtype=np.float32)
    assert ssim(result=small, reference=small, low=0, high=1) is None
    edge = np.zeros((20, 20, 20), dtype=bool)
    edge[:3] = True
    flat = np.zeros((20, 20, 20), dtype=np.float32)
    assert ssim(result=flat, reference=flat, low=0, high=1, mask=edge) is None
    inner = edge.copy()
    inner[3] = True
    assert ssim(result=flat, reference=flat, low=0, high=1, mask=inner) == 1
    corner = np.zeros((130, 130, 130), dtype=bool)
    corner[:20, :20, :20] = True
    big = np.zeros(corner.shape, dtype=np.float32)
    scales = PRESETS["corrected"].multi_scale
    assert ms_ssim(result=big, reference=big, low=0, high=1, mask=corner, scales=scales) is None


def test_an_empty_mask_is_refused():
    flat = np.zeros((9, 9, 9), dtype=np.float32)
    with pytest.raises(EvaluationError, match="SSIM needs at least one voxel in the mask"):
        ssim(result=flat, reference=flat, low=0, high=1, mask=np.zeros(flat.shape, dtype=bool))
