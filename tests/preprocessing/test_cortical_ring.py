"""Rings of cortical bone: found where a phantom has them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.geometry import Grid
from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.paired_imaging import REALISTIC
from medgan.phantoms.tissue_table import Tissue
from medgan.preprocessing.body_mask import BodyMask
from medgan.preprocessing.contrast_prior import ContrastPrior
from medgan.preprocessing.cortical_ring import CorticalRing
from medgan.preprocessing.intensity import MrPercentiles
from medgan.seeding import numpy_generator
from medgan.volume import LabelMap, Quantity, Volume

TABLE = ((-1.0, 60.0), (-0.45, 40.0), (0.8, -105.0))


def prepared(site="thigh", index=0, shape=(100, 100, 16), **options):
    phantom = limb_phantom(
        generator=numpy_generator(3, site, index),
        shape=shape,
        spacing_mm=(2, 2, 3),
        site=site,
        acquisition=REALISTIC,
        **options,
    )
    case = MrPercentiles(percentiles=(99,), top=0.8)(BodyMask()(Case("limb", "limb", {"mr": phantom.mr})))
    return phantom, case.image, case.label("body")


def drawn(array):
    """An image and its body: everything that is not -1."""
    grid = Grid.axis_aligned(array.shape, spacing=(2.0, 2.0, 3.0))
    image = Volume(array.astype(np.float32), grid, Quantity.NORMALIZED)
    return image, LabelMap(array > -1, grid, {1: "body"})


def rod(*, core: float, wall: float, gap: bool = False, size=64, slices=8):
    """A cylinder of muscle with a tube in it: ``core`` is its inside, ``wall`` its wall."""
    x, y = np.meshgrid(np.arange(size) - size / 2, np.arange(size) - size / 2, indexing="ij")
    r = np.hypot(x, y)
    plane = np.full((size, size), -1.0)
    plane[r < 28] = 0.7  # fat
    plane[r < 24] = -0.45  # muscle
    plane[r < 7] = wall
    plane[r < 4] = core
    if gap:
        plane[(x > 0) & (np.abs(y) < 5) & (r < 7)] = -0.45
    return drawn(np.repeat(plane[:, :, None], slices, axis=2))


@pytest.mark.parametrize(("site", "index"), [("thigh", 0), ("thigh", 1), ("leg", 0)])
def test_a_shaft_is_found_in_its_place(site, index):
    phantom, image, body = prepared(site, index)
    found = CorticalRing().found_in(image, body)
    assert found.names == {1: "cortical bone", 2: "marrow"}
    assert found.grid.same_as(image.grid)
    cortex, marrow = found.array == 1, found.array == 2
    true_cortex, true_marrow = (phantom.tissue.array == t for t in (Tissue.CORTICAL_BONE, Tissue.MARROW))
    assert (cortex & true_cortex).sum() > 0.75 * cortex.sum()
    assert (marrow & true_marrow).sum() > 0.85 * marrow.sum()
    if site == "thigh":
        assert 2 * (cortex & true_cortex).sum() > 0.7 * (cortex.sum() + true_cortex.sum())


def test_a_dark_ring_around_a_bright_core_is_bone():
    found = CorticalRing().found_in(*rod(core=0.6, wall=-0.95)).array
    assert found[32, 32, 4] == 2
    assert found[32 + 6, 32, 4] == found[32, 32 - 6, 4] == 1
    assert found[32 + 12, 32, 4] == 0


@pytest.mark.parametrize(
    ("why", "tube"),
    [
        ("a tendon has no bright core", {"core": -0.95, "wall": -0.95}),
        ("muscle inside a dark fascia is no marrow", {"core": -0.45, "wall": -0.95}),
        ("fat in muscle has no dark ring", {"core": 0.6, "wall": -0.45}),
        ("an open ring encloses nothing", {"core": 0.6, "wall": -0.95, "gap": True}),
    ],
)
def test_what_looks_a_little_like_bone_is_not(why, tube):
    assert not np.asarray(CorticalRing().found_in(*rod(**tube)).array).any(), why


def test_a_shaft_is_longer_than_a_slice():
    image, body = rod(core=0.6, wall=-0.95, slices=3)
    assert not np.asarray(CorticalRing().found_in(image, body).array).any()
    assert np.asarray(CorticalRing(length_mm=9).found_in(image, body).array).any()


def test_marrow_of_a_size_that_no_bone_has():
    image, body = rod(core=0.6, wall=-0.95)
    assert not np.asarray(CorticalRing(smallest_mm2=400).found_in(image, body).array).any()
    assert not np.asarray(CorticalRing(largest_mm2=100).found_in(image, body).array).any()


def test_a_ring_cut_by_the_edge_of_the_field_of_view_is_found():
    image, _ = rod(core=0.6, wall=-0.95)
    cut = np.asarray(image.array)[31:]
    found = CorticalRing().found_in(*drawn(cut)).array
    assert found[0, 32, 4] == 2
    assert found[6, 32, 4] == 1


def test_skin_and_air_are_no_ring():
    _, image, body = prepared("thigh", 2)
    found = np.asarray(CorticalRing().found_in(image, body).array)
    assert not found[~body.mask()].any()


def test_raw_signal_is_refused():
    phantom, _, body = prepared("thigh", shape=(60, 60, 4))
    with pytest.raises(PreprocessingError, match="normalized MR: found mr_signal"):
        CorticalRing().found_in(phantom.mr, body)


class TestPrior:
    def test_the_table_alone(self):
        image, body = rod(core=0.6, wall=-0.95)
        expected = ContrastPrior(TABLE).expected_hu(image, body)
        assert expected.dtype == np.float32
        assert expected[0, 0, 0] == -1024
        assert expected[32 + 12, 32, 4] == pytest.approx(40)
        assert expected[32 + 6, 32, 4] == pytest.approx(60 - 20 * 0.05 / 0.55, abs=1e-3)

    def test_bone_where_the_ring_is(self):
        image, body = rod(core=0.6, wall=-0.95)
        expected = ContrastPrior(TABLE, CorticalRing()).expected_hu(image, body)
        assert expected[32 + 6, 32, 4] == pytest.approx(1350)
        assert expected[32, 32, 4] == 100
        assert expected[32 + 12, 32, 4] == pytest.approx(40)

    def test_it_is_nearer_the_truth_than_the_table(self):
        phantom, image, body = prepared("thigh")
        truth, inside = np.asarray(phantom.ct.array), body.mask()
        errors = [
            np.abs(ContrastPrior(TABLE, ring).expected_hu(image, body) - truth)[inside].mean()
            for ring in (None, CorticalRing())
        ]
        assert errors[1] < 0.8 * errors[0]
