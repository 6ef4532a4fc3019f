"""On real limbs, MR and CT of one subject must show one body."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.cohort import Case
from medgan.formats import read_volume
from medgan.preprocessing.body_mask import BodyMask
from medgan.preprocessing.respace import Respace
from medgan.volume import Quantity
from medgan.volume.resample import resample_labels


# The best aligned subjects among the small ones whose MR covers the limb.
@pytest.mark.parametrize(("subject", "agreement"), [("STS_035", 0.96), ("STS_002", 0.94)])
def test_mr_and_ct_of_a_limb_agree(shared_data, subject, agreement):
    folder = shared_data / "mrct" / "sts_ibsi" / "nifti" / subject
    cases = {}
    for name, file, quantity in (
        ("mr", "MR_T1_image.nii.gz", Quantity.MR_SIGNAL),
        ("ct", "CT_image.nii.gz", Quantity.HOUNSFIELD),
    ):
        case = Case(subject, subject, {name: read_volume(folder / file, quantity=quantity)})
        cases[name] = BodyMask()(Respace(spacing_mm=(3, 3, 4))(case))
        assert cases[name].notices == ()
    mr = cases["mr"].label("body").mask()
    ct = resample_labels(cases["ct"].label("body"), cases["mr"].image.grid).mask()
    assert 0.4 < mr.mean() < 0.95
    assert 0.3 < cases["ct"].label("body").mask().mean() < 0.85
    assert 2 * (mr & ct).sum() / (mr.sum() + ct.sum()) > agreement
    # Inside is tissue, outside is air.
    hu, body = cases["ct"].image.array, cases["ct"].label("body").mask()
    assert -120 < np.median(hu[body]) < 80
    assert np.median(hu[~body]) < -850
