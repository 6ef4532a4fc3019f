"""Transforms, their strengths, and what kind of flip a counterfactual is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from explained_networks import RegionMean, pictures, present_or_absent
from radiograph_phantoms import write_dicom
from torch import nn

from medgan.errors import ExplanationError
from medgan.explanation.counterfactual import judged_pairs
from medgan.explanation.transforms import Transform, calibrated_transforms
from medgan.explanation.verdict import judged_images, verdicts
from medgan.formats.radiograph import read_radiograph

SIDE = 16


def region(rows, columns):
    mask = torch.zeros(SIDE, SIDE)
    mask[rows, columns] = 1
    return mask


BLOB = region(slice(4, 12), slice(4, 12))
PIXEL = region(slice(1, 2), slice(1, 2))
REAL = torch.full((1, 1, SIDE, SIDE), -0.5)
LESION = REAL + BLOB
SPECK = REAL + 1.2 * PIXEL
BLUR, BITS = Transform("blur", 1.0), Transform("8-bit", 8)


def of(mask, gain=40.0):
    return present_or_absent(RegionMean(mask, gain=gain))


def judge(classifier, fake, second=None, transforms=(BLUR, BITS), real=REAL):
    return judged_images(classifier, real=real, fake=fake, source=0, target=1, transforms=transforms, second=second)[0]


def test_eight_bits_and_dicom_round_to_their_steps():
    images = pictures(2)
    eight = Transform("8-bit", 8)(images)
    assert float((eight - images).abs().max()) <= 1 / 255 + 1e-6
    assert len(torch.unique(eight)) <= 256
    torch.testing.assert_close(Transform("8-bit", 8)(eight), eight)
    coarse, fine = Transform("dicom", 12)(images), Transform("dicom", 16)(images)
    assert 0 < float((coarse - images).abs().max()) <= 1 / 4095 + 1e-6
    assert float((fine - images).abs().max()) < float((coarse - images).abs().max()) / 8
    assert float(eight.min()) == -1
    assert float(coarse.max()) == pytest.approx(1, abs=1e-5)


def test_the_dicom_round_trip_is_what_a_file_does(tmp_path: Path) -> None:
    image = pictures(1)[0, 0]
    slope = f"{2 / 4095:.10g}"
    stored = np.rint((image.double().numpy() + 1) / float(slope)).astype("u2")
    file = write_dicom(tmp_path / "dx.dcm", stored, RescaleSlope=slope, RescaleIntercept="-1")
    back = torch.from_numpy(read_radiograph(file).radiograph.array.copy())
    torch.testing.assert_close(Transform("dicom", 12)(image[None, None])[0, 0], back, rtol=0, atol=1e-6)


def test_blur_and_jpeg_lose_more_when_stronger_and_keep_the_shape():
    images = pictures(2, 24)
    for kind, weak, strong in (("blur", 0.25, 2.0), ("jpeg", 95, 30)):
        losses = [float((Transform(kind, s)(images) - images).abs().mean()) for s in (weak, strong)]
        assert 0 < losses[0] < losses[1]
    volumes = pictures(2, 8, spatial=3)
    for transform in (BLUR, BITS, Transform("jpeg", 90), Transform("dicom", 12)):
        assert transform(volumes).shape == volumes.shape
    with pytest.raises(ExplanationError, match="8-bit, blur, jpeg, dicom: found 'rotate'"):
        Transform("rotate", 3)
    assert Transform("jpeg", 90).text == "JPEG, quality 90"


def test_a_lesion_is_robust_and_a_speck_fragile_with_the_transform_named():
    assert judge(of(BLOB), LESION).kind == "robust"
    found = judge(of(PIXEL), SPECK)
    assert found.kind == "fragile"
    assert found.sentence == "Fragile: undone by blur, sigma 1 px."
    assert [one.survives for one in found.outcomes] == [False, True]


def test_without_a_second_classifier_the_verdict_says_so():
    found = judge(of(BLOB), LESION)
    assert found.second == "not available"
    assert "second classifier not available" in found.sentence


def test_a_second_classifier_makes_it_robust_or_specific_or_is_void():
    agrees = judge(of(BLOB), LESION, of(BLOB, 20))
    assert agrees.kind == "robust"
    assert "a second classifier flips too" in agrees.sentence
    elsewhere = judge(of(BLOB), LESION, of(region(slice(13, 16), slice(0, 16))))
    assert elsewhere.kind == "classifier-specific"
    assert "adversarial code or a genuine shortcut" in elsewhere.sentence
    contrary = judge(of(BLOB), LESION, present_or_absent(RegionMean(BLOB, bias=100)))
    assert (contrary.kind, contrary.second) == ("robust", "void")
    assert "says nothing" in contrary.sentence
    fragile = judge(of(PIXEL), SPECK, of(BLOB))
    assert (fragile.kind, fragile.second) == ("fragile", "keeps its class")


def test_void_transforms_are_left_out_and_counted():
    # The real image holds a bright frame that blur spreads into the pixel: its class changes too.
    real = REAL.clone()
    real[..., :, 2:5] = 1
    real[..., 1, 1] = -0.2
    fake = real.clone()
    fake[..., 1, 1] = 0.3
    found = judge(of(PIXEL), fake, real=real)
    assert [one.void for one in found.outcomes] == [True, False]
    assert found.outcomes[0].survives is None
    assert found.void == 1
    assert found.kind == "robust"
    assert "1 void transform was left out" in found.sentence
    only = judge(of(PIXEL), fake, real=real, transforms=(BLUR,))
    assert only.kind == "undecided"
    assert judge(of(BLOB), LESION, transforms=()).sentence == "Undecided: no transform was usable."


def test_what_does_not_flip_or_is_unsure_is_named():
    assert judge(of(BLOB), REAL.clone()).kind == "not flipped"
    assert judge(of(BLOB), LESION, real=LESION).kind == "dropped"
    weak = judge(of(BLOB, gain=1.0), LESION)
    assert weak.kind == "dropped"
    assert weak.flip == "robust"
    assert weak.reason.startswith("the real image's class")
    assert "Robust" in weak.sentence


def test_verdicts_stand_in_the_order_of_queries():
    found = judged_pairs(
        of(BLOB), real=REAL.expand(3, 1, SIDE, SIDE), fake=torch.cat([REAL, LESION, REAL]), source=0, target=1
    )
    kinds = [one.kind for one in verdicts(of(BLOB), found, transforms=(BITS,))]
    assert kinds == ["not flipped", "robust", "not flipped"]


class Contrast(nn.Module):
    """The logit is the share of fine detail in an image minus a limit, which blur removes."""

    def __init__(self):
        super().__init__()
        self.limit = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return ((x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3)) - self.limit)[:, None] * 100


def test_strengths_are_the_strongest_that_keep_the_class_of_real_images():
    fine = torch.randn((20, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3
    scale = torch.linspace(0.02, 1, 20).reshape(-1, 1, 1, 1)
    classifier = present_or_absent(Contrast())
    found = {one.transform.kind: one for one in calibrated_transforms(classifier, fine * scale)}
    assert found["blur"].transform.strength < 1
    assert all(one.usable for one in found.values())
    assert all(one.kept.count >= 19 for one in found.values())
    stable = {one.transform.kind: one for one in calibrated_transforms(of(BLOB), pictures(20, SIDE) * 0 - 0.5)}
    assert stable["blur"].transform.strength == 2.0
    assert stable["jpeg"].transform.strength == 50
    assert stable["dicom"].transform.strength == 12


def test_a_transform_without_a_harmless_strength_is_not_usable():
    ladders = {"blur": (2.0, 1.5)}
    fine = torch.randn((20, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3
    (one,) = calibrated_transforms(present_or_absent(Contrast()), fine * 0.4, ladders=ladders)
    assert not one.usable
    assert one.transform.strength == 1.5
    with pytest.raises(ExplanationError, match="chosen on real images: found none"):
        calibrated_transforms(of(BLOB), REAL[:0])
