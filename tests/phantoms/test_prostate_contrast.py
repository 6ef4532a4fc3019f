"""The prostate phantom's dial of difficulty: contrast, partial volume, bias field."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.phantoms.prostate import prostate_phantom, prostate_twins
from medgan.seeding import numpy_generator

SMALL = {"shape": (60, 60, 10), "spacing_mm": (1.6, 1.6, 6.0), "diffusion_spacing_mm": (3.0, 3.0, 6.0)}


def phantom(index: int = 0, **changes):
    return prostate_phantom(generator=numpy_generator(1, "prostate", index), **{**SMALL, **changes})


def test_contrast_moves_the_lesion_from_its_tissue_and_leaves_the_rest():
    healthy, half, full = phantom(lesion=False), phantom(contrast=0.5), phantom(contrast=1.0)
    at = full.lesion.mask()
    assert at.any()
    assert np.array_equal(half.lesion.array, full.lesion.array)
    steps = [(one.t2w.array - healthy.t2w.array)[at] for one in (half, full)]
    assert steps[0] == pytest.approx(0.5 * steps[1], abs=0.02)
    assert np.array_equal(half.t2w.array[~at], healthy.t2w.array[~at])
    invisible = phantom(contrast=0.0)
    assert np.array_equal(invisible.t2w.array, healthy.t2w.array)
    assert np.array_equal(invisible.lesion.array, full.lesion.array)  # there, and not to be seen


def test_partial_volume_mixes_at_borders_only_and_keeps_the_truth():
    sharp, mixed = phantom(), phantom(partial_volume=True)
    assert np.array_equal(sharp.zones.array, mixed.zones.array)
    assert np.array_equal(sharp.lesion.array, mixed.lesion.array)
    changed = np.abs(sharp.t2w.array - mixed.t2w.array) > 60
    assert 0.02 < changed.mean() < 0.6


def test_the_bias_field_is_smooth_and_leaves_adc():
    plain, biased = phantom(), phantom(bias_strength=0.5)
    bright = plain.t2w.array > 50
    ratio = np.where(bright, biased.t2w.array / np.maximum(plain.t2w.array, 1), 1.0)
    assert np.log(ratio[bright].max() / ratio[bright].min()) == pytest.approx(0.5, abs=0.1)
    assert np.abs(np.diff(np.log(ratio), axis=0))[bright[1:] & bright[:-1]].max() < 0.05
    assert np.allclose(plain.adc.array, biased.adc.array, atol=1.0)
    assert not np.allclose(plain.dwi.array, biased.dwi.array, rtol=0.01)


def test_twins_pass_the_dial_on():
    twins = prostate_twins(generator=numpy_generator(1, "prostate", 0), contrast=0.5, **SMALL)
    assert np.array_equal(twins.with_lesion.t2w.array, phantom(contrast=0.5).t2w.array)


def test_shapes_are_those_of_the_expert_masks(shared_data):
    from medgan.evaluation.lesions import lesion_shapes
    from medgan.formats import read_label_file

    folder = shared_data / "prostate" / "picai_lesion_masks_only"
    if not folder.is_dir():
        pytest.skip("the expert lesion masks are absent")
    experts = [s for p in sorted(folder.glob("*.nii.gz")) for s in lesion_shapes(read_label_file(p).labels)]
    fine = {"shape": (120, 120, 20), "spacing_mm": (0.8, 0.8, 3.0)}
    ours = [s for n in range(25) for s in lesion_shapes(phantom(n, **fine).lesion)]
    assert len(experts) >= 40
    volumes, spheres = (
        [[getattr(s, name) for s in group] for group in (ours, experts)] for name in ("volume_ml", "sphericity")
    )
    low, high = np.percentile(volumes[1], (25, 75))
    assert low < np.median(volumes[0]) < high
    # Known: the phantoms' lesions are rounder than what experts draw slice by slice.
    assert 0.0 < np.median(spheres[0]) - np.median(spheres[1]) < 0.12
