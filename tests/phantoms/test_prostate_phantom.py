"""The prostate: twins, zones, the lesion's prior, and the physics of diffusion."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.phantoms.prostate import SIGNALS, prostate_phantom, prostate_twins
from medgan.phantoms.prostate_anatomy import LOG_VOLUME_ML, ProstateAnatomy, Region
from medgan.seeding import numpy_generator


def generator(index: int = 0) -> np.random.Generator:
    return numpy_generator(1, "prostate", index)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_twins_differ_exactly_in_the_lesion(index, noise):
    twins = prostate_twins(generator=generator(index), noise=noise)
    sick, healthy = twins.with_lesion, twins.without_lesion
    lesion, lesion_dwi = sick.lesion.mask(), sick.lesion_dwi.mask()
    assert lesion.sum() > 5
    assert not healthy.lesion.mask().any()
    assert not healthy.lesion_dwi.mask().any()
    assert not ((sick.t2w.array != healthy.t2w.array) & ~lesion).any()
    for name in ("adc", "dwi"):
        assert not ((getattr(sick, name).array != getattr(healthy, name).array) & ~lesion_dwi).any()
    assert (sick.t2w.array != healthy.t2w.array)[lesion].mean() > 0.95
    assert np.array_equal(sick.zones.array, healthy.zones.array)
    assert (sick.zones.array[lesion] > 0).all()


def test_a_lesion_is_dark_in_t2w_and_adc_and_bright_at_high_b():
    twins = prostate_twins(generator=generator())
    sick, healthy = twins.with_lesion, twins.without_lesion
    at, at_dwi = sick.lesion.mask(), sick.lesion_dwi.mask()
    assert sick.t2w.array[at].mean() < 0.8 * healthy.t2w.array[at].mean()
    assert sick.adc.array[at_dwi].mean() < 0.7 * healthy.adc.array[at_dwi].mean()
    assert sick.dwi.array[at_dwi].mean() > 1.5 * healthy.dwi.array[at_dwi].mean()
    assert sick.adc.array[at_dwi] == pytest.approx(SIGNALS[Region.LESION][1], rel=1e-4)


def test_images_lie_on_their_own_grids_over_one_extent():
    one = prostate_phantom(generator=generator())
    assert one.t2w.grid.same_as(one.zones.grid)
    assert one.adc.grid.same_as(one.dwi.grid)
    assert one.adc.grid.same_as(one.lesion_dwi.grid)
    assert not one.adc.grid.same_as(one.t2w.grid)
    center = [(np.asarray(g.shape) - 1) / 2 for g in (one.t2w.grid, one.adc.grid)]
    assert np.allclose(one.t2w.grid.world(center[0]), one.adc.grid.world(center[1]))


@pytest.mark.parametrize("index", range(6))
def test_gland_and_zones_have_plausible_volumes(index):
    one = prostate_phantom(generator=generator(index), lesion=False)
    milliliter = one.zones.grid.voxel_volume / 1000
    gland, transition = one.zones.mask().sum() * milliliter, one.zones.mask(2).sum() * milliliter
    assert 20 < gland < 90
    assert 0.1 < transition / gland < 0.75
    assert one.zones.names == {1: "peripheral zone", 2: "transition zone"}
    on_dwi = one.zones_dwi.mask().sum() * one.zones_dwi.grid.voxel_volume / 1000
    assert on_dwi == pytest.approx(gland, rel=0.08)


def test_without_noise_adc_is_the_table_and_dwi_follows_from_it():
    twice = [prostate_phantom(generator=generator(2), b_value=b) for b in (1000.0, 2000.0)]
    first, second = twice
    assert np.array_equal(first.adc.array, second.adc.array)
    known = {adc for _, adc, _ in SIGNALS.values()}
    nearest = np.min([np.abs(first.adc.array - adc) for adc in known], axis=0)
    assert nearest.max() < 1.0
    bright = second.dwi.array > 1
    fitted = np.log(first.dwi.array[bright] / second.dwi.array[bright]) / 1000 * 1e6
    assert np.allclose(fitted, first.adc.array[bright], atol=2)


def test_noise_keeps_adc_within_the_scanner_limits():
    one = prostate_phantom(generator=generator(), noise=0.1)
    assert one.adc.array.min() >= 0
    assert one.adc.array.max() <= 3500


def test_same_generator_same_bits_and_the_generator_of_twins_is_left_as_it_was():
    source = generator(3)
    first, second = prostate_twins(generator=source, noise=0.02), prostate_twins(generator=source, noise=0.02)
    assert first.with_lesion.t2w.array.tobytes() == second.with_lesion.t2w.array.tobytes()
    other = prostate_phantom(generator=generator(4))
    assert (other.zones.array != first.with_lesion.zones.array).any()


def test_lesion_volumes_follow_the_prior():
    radii = np.array([ProstateAnatomy.sampled(generator(n)).lesion.radii_mm for n in range(600)])
    volume_ml = 4 / 3 * np.pi * radii.prod(axis=1) / 1000
    assert np.median(volume_ml) == pytest.approx(np.exp(LOG_VOLUME_ML[0]), rel=0.15)
    ordered = np.sort(radii, axis=1)
    assert np.median(ordered[:, 0] / ordered[:, 2]) == pytest.approx(0.53, abs=0.06)
    assert volume_ml.max() < np.exp(1.8) + 1e-6


def test_most_lesions_lie_in_the_peripheral_zone_they_are_said_to_lie_in():
    zones = []
    for index in range(12):
        anatomy = ProstateAnatomy.sampled(generator(index))
        one = prostate_phantom(generator=generator(index))
        center = np.rint(one.zones.grid.index(anatomy.lesion.center_mm)).astype(int)
        zones.append((anatomy.lesion_zone, one.zones.array[tuple(center)]))
    agree = [(1 if zone is Region.PERIPHERAL_ZONE else 2) == found for zone, found in zones]
    assert np.mean(agree) > 0.7  # the slow warp moves a few across the border
    assert 0.4 < np.mean([zone is Region.PERIPHERAL_ZONE for zone, _ in zones]) < 1


def test_every_region_has_signals():
    assert set(SIGNALS) == set(Region)


def test_the_prior_is_that_of_the_expert_masks(shared_data):
    import nibabel
    from scipy import ndimage

    folder = shared_data / "prostate" / "picai_lesion_masks_only"
    if not folder.is_dir():
        pytest.skip("the expert lesion masks are absent")
    logs = []
    for path in sorted(folder.glob("*.nii.gz")):
        image = nibabel.load(path)
        labels, count = ndimage.label(np.asarray(image.dataobj) > 0, np.ones((3, 3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        voxel_ml = float(np.prod(image.header.get_zooms()[:3])) / 1000
        logs += [np.log(n * voxel_ml) for n in sizes if n >= 10]
    assert len(logs) >= 40
    assert (np.mean(logs), np.std(logs)) == pytest.approx(LOG_VOLUME_ML, abs=0.05)
