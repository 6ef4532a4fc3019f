"""Does the domain check tell limbs from other scans? Prints the confusion counts (run with -s to see them)."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medgan.cohort import Case
from medgan.errors import MedganError
from medgan.formats import read_volume, take_inventory
from medgan.inference.domain_check import Fingerprint, TrainedDomain, fingerprint_of, leave_one_out
from medgan.preprocessing.recipe import Recipe
from medgan.seeding import numpy_generator
from medgan.volume import Quantity, Volume

RECIPE = Recipe.from_json(
    [
        {"stage": "reorient"},
        {"stage": "respace", "spacing_mm": [2, 2, 3]},
        {"stage": "body_mask"},
        {"stage": "crop"},
        {"stage": "mr_percentiles", "percentiles": [99], "top": 0.8},
    ]
).fitted(())
FOREIGN = {
    "head MR": ("mrct/head_niivue/FLAIR.nii.gz", "mrct/head_niivue/MNI152_2009_template.nii.gz",
                "mrct/head_clinical_toolbox/gg-flair-181-asym-8mmFWHM.nii",
                "nifti_nasty/niivue/avg152T1_RL_nifti.nii.gz", "nifti_nasty/niivue_nifti_space/RAI.nii.gz"),
    "head CT": ("mrct/head_clinical_toolbox/scct.nii", "mrct/head_clinical_toolbox/scct_stripped.nii",
                "nifti_nasty/niivue/shear.nii.gz"),
    "abdomen MR": ("mrct/abdomen_totalsegmentator/example_mr_sm.nii.gz",),
    "abdomen CT": ("mrct/abdomen_totalsegmentator/example_ct.nii.gz",
                   "mrct/abdomen_totalsegmentator/example_ct_sm.nii.gz"),
}  # fmt: skip


def fingerprint(volume: Volume) -> Fingerprint | None:
    """The fingerprint of an image taken as MR; None where the recipe refuses it, which is as good as an alarm."""
    try:
        return fingerprint_of(source=volume, prepared=RECIPE(Case("c", "c", {"mr": volume})))
    except MedganError:
        return None


def as_mr(path: Path) -> Fingerprint | None:
    return fingerprint(read_volume(path, quantity=Quantity.MR_SIGNAL))


def said(line: str) -> None:
    sys.stdout.write(line + "\n")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_limbs_are_inside_and_everything_else_is_outside(shared_data):
    subjects = sorted((shared_data / "mrct/sts_ibsi/nifti").iterdir())
    limbs = [as_mr(subject / "MR_T1_image.nii.gz") for subject in subjects]
    foreign = {kind: [as_mr(shared_data / name) for name in names] for kind, names in FOREIGN.items()}
    foreign["limb CT given as MR"] = [as_mr(subject / "CT_image.nii.gz") for subject in subjects]
    prostate = take_inventory([shared_data / "prostate/ProstateX_dicom"])
    foreign["prostate MR"] = [fingerprint(item.read(quantity=Quantity.MR_SIGNAL).volume) for item in prostate.items]

    alarms = Counter(check.status for check in leave_one_out(limbs))
    trained = TrainedDomain(cases=tuple(limbs))
    rows = {
        kind: Counter("outside" if found is None else trained.check(found).status for found in each)
        for kind, each in foreign.items()
    }
    said(f"\n{'held-out limb MR':<22} {dict(alarms)}")
    for kind, counts in rows.items():
        said(f"{kind:<22} {dict(counts)}")
    assert alarms["outside"] <= 1
    assert sum(counts["inside"] for counts in rows.values()) == 0

    # With half the subjects, as a real training has them: some limbs look foreign, few foreign scans look like limbs.
    random = numpy_generator(1, "halves")
    false, missed = [], []
    everything = [found for each in foreign.values() for found in each if found is not None]
    for _ in range(20):
        order = random.permutation(len(limbs))
        half = TrainedDomain(cases=tuple(limbs[i] for i in order[:10]))
        false += [half.check(limbs[i]).status == "outside" for i in order[10:]]
        missed += [half.check(found).status == "inside" for found in everything]
    said(f"trained on ten: {np.mean(false):.1%} of held-out limbs outside, {np.mean(missed):.1%} of foreign inside")
    assert np.mean(false) < 0.15
    assert np.mean(missed) < 0.05
