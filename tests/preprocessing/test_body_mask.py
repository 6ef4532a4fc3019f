"""The body is found where there is background, and the whole image is taken, with a reason, where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from prepared_phantoms import CT, GRID, MR, ball_mask, case_of, ct_of, mr_of, tube_mask
from pydantic import ValidationError
from scipy import ndimage

from medgan.errors import PreprocessingError
from medgan.preprocessing.body_mask import BodyMask, FoundBody
from medgan.volume import Quantity, Volume

IMAGES = {"ct": (CT, ct_of), "mr": (MR, mr_of)}


def found(array: np.ndarray, quantity: Quantity, **options: float) -> FoundBody:
    return BodyMask(**options).found_in(Volume(np.array(array, np.float32), GRID, quantity))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def require_found(result: FoundBody, truth: np.ndarray, *, rim: int = 1) -> None:
    """The mask holds the body and at most ``rim`` layers of voxels around it (smoothing and closing add one)."""
    assert result.fallback is None
    assert (result.mask & truth).sum() >= 0.998 * truth.sum()
    assert not (result.mask & ~ndimage.binary_dilation(truth, np.ones((3, 3, 3)), iterations=rim)).any()
    assert result.mask.mean() < 0.9


@pytest.fixture(params=IMAGES)
def modality(request):
    return IMAGES[request.param]


class TestFound:
    def test_a_ball_in_air(self, modality, rng):
        quantity, image_of = modality
        body = ball_mask()
        require_found(found(image_of(body, rng), quantity), body)

    def test_the_ct_mask_is_sharp(self, rng):
        body = ball_mask()
        assert dice(found(ct_of(body, rng), CT).mask, body) > 0.99

    def test_fat_three_times_as_bright_as_muscle_is_one_body(self, rng):
        body, muscle = ball_mask(radius=36), ball_mask(radius=26)
        mr = np.hypot(np.where(muscle, 300, np.where(body, 900, 0)) + rng.normal(0, 15, GRID.shape), 15)
        require_found(found(mr, MR), body)
        ct = np.where(muscle, 50, np.where(body, -100, -1000)) + rng.normal(0, 12, GRID.shape)
        require_found(found(ct, CT), body)

    def test_two_legs_are_kept_and_a_crumb_is_not(self, modality, rng):
        quantity, image_of = modality
        legs = tube_mask(center=(-33, 0), radius=25) | tube_mask(center=(36, 5), radius=20)
        crumb = np.zeros(GRID.shape, bool)
        crumb[1:4, 1:4, 1:4] = True
        result = found(image_of(legs | crumb, rng), quantity)
        require_found(result, legs)
        assert ndimage.label(result.mask)[1] == 2

    def test_a_small_part_may_be_asked_for(self, rng):
        parts = ball_mask(center=(-30, 0, 0), radius=25) | ball_mask(center=(40, 0, 0), radius=16)
        assert ndimage.label(found(ct_of(parts, rng), CT, part_share=0.05).mask)[1] == 2
        assert ndimage.label(found(ct_of(parts, rng), CT, part_share=0.9).mask)[1] == 1

    @pytest.mark.parametrize("gap", [0, 2], ids=["touching", "below a gap"])
    def test_a_couch_is_removed(self, gap, rng):
        body = tube_mask(center=(0, 6), radius=42)
        lowest = np.flatnonzero(body.any(axis=(0, 2)))[0]
        couch = np.zeros(GRID.shape, bool)
        # Two voxels, 6 mm, thick.
        couch[2:-2, lowest - 2 - gap : lowest - gap] = True
        result = found(np.where(couch & ~body, -150, ct_of(body, rng)), CT)
        assert result.fallback is None
        assert (result.mask & body).sum() >= 0.998 * body.sum()
        far = ndimage.distance_transform_edt(~body, sampling=GRID.spacing) > 15
        assert (couch & far).sum() > 500
        assert not (result.mask & far).any()

    def test_cavities_are_filled_also_where_the_image_cuts_them(self, modality, rng):
        quantity, image_of = modality
        body = tube_mask(radius=45)
        airway, bubble = tube_mask(center=(0, 15), radius=7), ball_mask(center=(15, -15, 0), radius=12)
        require_found(found(image_of(body & ~airway & ~bubble, rng), quantity), body)

    def test_a_body_cut_by_the_field_of_view_is_not_eroded_there(self, modality, rng):
        quantity, image_of = modality
        # Cut at one side, and at both ends.
        body = tube_mask(center=(-60, 0), radius=45)
        result = found(image_of(body, rng), quantity)
        require_found(result, body)
        assert (result.mask[0] >= body[0]).all()
        shares = result.mask.mean(axis=(0, 1))
        assert np.abs(shares - shares[10]).max() < 0.01

    def test_mr_with_a_border_of_zeros(self, rng):
        body = ball_mask()
        signal = mr_of(body, rng, noise=6)
        signal[:8], signal[-8:], signal[:, :6] = 0, 0, 0
        require_found(found(signal, MR), body)

    def test_mr_in_any_unit(self, rng):
        signal = mr_of(ball_mask(), rng)
        masks = [found(signal * scale, MR).mask for scale in (1e-3, 1, 1e4)]
        assert np.array_equal(masks[0], masks[1])
        assert np.array_equal(masks[1], masks[2])

    def test_ct_with_a_fill_below_air(self, rng):
        body = ball_mask()
        hu = ct_of(body, rng)
        hu[~tube_mask(radius=60)] = -3024
        require_found(found(hu, CT), body)


class TestNotFound:
    """Every one of these is the whole box, with the reason."""

    def require_all(self, result: FoundBody, reason: str) -> None:
        assert result.fallback is not None
        assert reason in result.fallback
        assert result.mask.all()

    @pytest.mark.parametrize("value", [0, 40, 1000])
    def test_a_constant_image(self, value):
        for quantity in (CT, MR):
            self.require_all(found(np.full(GRID.shape, value), quantity), "all voxels have one value")

    def test_fat_and_muscle_without_air(self, rng):
        fat = tube_mask(radius=45)
        mr = np.where(fat, 900, 300) + rng.normal(0, 15, GRID.shape)
        self.require_all(found(mr, MR), "% of that inside, so it splits tissue")
        ct = np.where(fat, 50, -100) + rng.normal(0, 12, GRID.shape)
        self.require_all(found(ct, CT), "surrounded by -100 HU, which is no air")

    def test_bone_in_soft_tissue_without_air(self, rng):
        ct = np.where(tube_mask(radius=25), 900, 40) + rng.normal(0, 12, GRID.shape)
        self.require_all(found(ct, CT), "which is no air")

    def test_tissue_that_fills_the_field_of_view(self, modality, rng):
        quantity, image_of = modality
        body = np.ones(GRID.shape, bool)
        body[:1, :10] = False
        self.require_all(found(image_of(body, rng), quantity), "so there is no background")

    def test_tissue_and_noise_alone(self, rng):
        result = found(300 + rng.normal(0, 15, GRID.shape), MR)
        self.require_all(result, "so there is no background")
        self.require_all(found(40 + rng.normal(0, 15, GRID.shape), CT), "")

    def test_air_alone(self, rng):
        self.require_all(found(rng.normal(-1000, 12, GRID.shape), CT), "")

    def test_a_few_voxels_of_tissue(self):
        ct = np.full(GRID.shape, -1000.0)
        ct[4:6, 4:6, 4:6] = 40
        self.require_all(found(ct, CT), "no connected tissue was found")

    def test_the_stage_says_so(self, rng):
        silent = BodyMask()(case_of(ct_of(ball_mask(), rng), CT))
        assert silent.notices == ()
        case = BodyMask()(case_of(np.full(GRID.shape, 40), CT))
        assert case.notices == ("The whole image is taken as the body: all voxels have one value.",)
        assert case.label("body").mask().all()


def test_the_label_lies_on_the_image_and_is_named(rng):
    case = BodyMask()(case_of(ct_of(ball_mask(), rng), CT))
    assert case.label("body").grid is case.image.grid
    assert dict(case.label("body").names) == {1: "body"}


@pytest.mark.parametrize("quantity", [Quantity.NORMALIZED, Quantity.EM_SIGNAL])
def test_other_quantities_are_refused(quantity):
    with pytest.raises(PreprocessingError, match=f"needs CT in HU or MR signal: found {quantity.label}"):
        found(np.zeros(GRID.shape), quantity)


@pytest.mark.parametrize(
    "options", [{"closing_mm": -1}, {"opening_mm": -1}, {"part_share": 0}, {"part_share": 1.1}, {"radius": 1}]
)
def test_settings_that_are_refused(options):
    with pytest.raises(ValidationError):
        BodyMask(**options)


def test_without_opening_and_closing_the_threshold_remains(rng):
    body = ball_mask()
    assert np.array_equal(found(ct_of(body, rng), CT, opening_mm=0, closing_mm=0).mask, body)


def test_thin_images():
    from medgan.geometry import Grid

    for shape in ((40, 40, 1), (1, 40, 40), (40, 1, 1)):
        grid = Grid(shape, np.diag([2, 2, 2, 1]))
        array = np.full(shape, -1000.0, np.float32)
        array[tuple(slice(n // 4, max(3 * n // 4, 1)) for n in shape)] = 40
        mask = BodyMask(opening_mm=2, closing_mm=2).found_in(Volume(array, grid, CT)).mask
        assert np.array_equal(mask, array == 40)
