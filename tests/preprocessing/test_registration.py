"""A known movement is found on phantoms, and what cannot be right is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from medgan.cohort import Case
from medgan.errors import CohortError, PreprocessingError
from medgan.formats import read_volume
from medgan.geometry import Grid
from medgan.phantoms.head import head_phantom
from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.paired_imaging import REALISTIC, PairedPhantom
from medgan.preprocessing import registration
from medgan.preprocessing.recipe import Recipe
from medgan.preprocessing.registration import Registration
from medgan.preprocessing.rigid_search import RigidFit, moved_grid, rotation_degrees
from medgan.seeding import numpy_generator
from medgan.volume import LabelMap, Quantity

QUICK = (10.0, 5.0)


def phantom(kind: str, index: int) -> PairedPhantom:
    make, shape, spacing = {
        "head": (head_phantom, (50, 54, 44), (4, 4, 6)),
        "limb": (limb_phantom, (76, 76, 32), (3, 3, 5)),
    }[kind]
    generator = numpy_generator(9, kind, index)
    return make(generator=generator, shape=shape, spacing_mm=spacing, acquisition=REALISTIC)


def movement(shift_mm, degrees=(0, 0, 0)) -> np.ndarray:
    rigid = np.eye(4)
    rigid[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    rigid[:3, 3] = shift_mm
    return rigid


def misplaced(subject: PairedPhantom, rigid: np.ndarray, *, moving: str = "ct") -> Case:
    """The two images of a phantom, one of them with its grid moved."""
    images = {"mr": subject.mr, "ct": subject.ct}
    images[moving] = replace(images[moving], grid=moved_grid(images[moving].grid, rigid))
    return Case("c", "s", images)


def error_voxels(subject: PairedPhantom, found: Grid) -> float:
    """Return the largest displacement in the body along any axis, in voxels."""
    inside = np.argwhere(subject.body.mask())[::97]
    true = subject.mr.grid.world(inside)
    return float(np.abs(found.index(true) - inside).max())


@pytest.mark.parametrize(
    ("kind", "shift_mm", "degrees", "moving"),
    [
        ("head", (0, 0, 0), (0, 0, 0), "ct"),
        ("head", (10, -10, 8), (3, -10, 18), "mr"),
        ("limb", (12, -7, 9), (0, 0, 4), "ct"),
    ],
)
def test_a_known_movement_is_found_to_half_a_voxel(kind, shift_mm, degrees, moving):
    subject = phantom(kind, 3)
    case = misplaced(subject, movement(shift_mm, degrees), moving=moving)
    fixed = "ct" if moving == "mr" else "mr"
    done = Registration(fixed=fixed, moving=moving, levels_mm=QUICK)(case)
    assert error_voxels(subject, done.images[moving].grid) < 0.5
    assert done.images[fixed] is case.images[fixed]
    # Not a voxel is touched: only the place changes.
    assert np.shares_memory(done.images[moving].array, case.images[moving].array)


def test_what_was_found_is_recorded_and_gives_the_grid():
    rigid = movement((10, 0, -6), (0, 0, 8))
    case = misplaced(phantom("head", 1), rigid)
    done = Registration(fixed="mr", moving="ct", levels_mm=QUICK)(case)
    facts = done.images["ct"].provenance.steps[-1].parameters
    found = np.array(facts["to_fixed"])
    assert moved_grid(case.images["ct"].grid, found).same_as(done.images["ct"].grid)
    assert np.allclose(found @ rigid, np.eye(4), atol=1.5)
    assert facts["rotation_degrees"] == pytest.approx(8, abs=0.6)
    assert facts["body_overlap"] > 0.95
    assert facts["mutual_information"] > 0.5
    assert facts["fixed"] == "mr"
    assert done.notices[0].startswith("'ct' was moved onto 'mr': 1")


def test_the_bits_are_the_same_every_time():
    case = misplaced(phantom("head", 2), movement((6, 4, -3)))
    stage = Registration(fixed="mr", moving="ct", levels_mm=(10.0,))
    affines = [stage(case).images["ct"].grid.affine.tobytes() for _ in range(2)]
    assert affines[0] == affines[1]


def test_an_oblique_sheared_image_is_registered_where_it_lies():
    subject = phantom("head", 4)
    affine = subject.ct.grid.affine.copy()
    affine[1, 2] = 0.8  # a gantry tilted by 8 degrees
    tilted = head_phantom(
        generator=numpy_generator(9, "head", 4),
        shape=(50, 54, 44),
        spacing_mm=(4, 4, 6),
        acquisition=REALISTIC,
        ct_grid=Grid(subject.ct.shape, movement((0, 0, 0), (0, 0, 35)) @ affine),
    )
    assert tilted.ct.grid.is_sheared
    case = misplaced(tilted, movement((9, -6, 5)))
    done = Registration(fixed="mr", moving="ct", levels_mm=QUICK)(case)
    assert done.images["ct"].grid.same_as(tilted.ct.grid, tolerance_voxel=0.5)


class TestLabels:
    def stage(self, **options):
        return Registration(fixed="mr", moving="ct", levels_mm=(10.0,), **options)

    def test_labels_on_the_moving_grid_move_and_others_stay(self):
        subject = phantom("head", 1)
        case = misplaced(subject, movement((8, 0, 0)))
        case = case.with_label("bone", LabelMap(subject.ct.array > 300, case.images["ct"].grid))
        case = case.with_label("body", subject.body)
        done = self.stage()(case)
        assert done.label("bone").grid is done.images["ct"].grid
        assert done.label("body") is subject.body

    def test_on_a_common_grid_somebody_must_say_which_labels_move(self):
        subject = phantom("head", 1)
        case = Case("c", "s", {"mr": subject.mr, "ct": subject.ct}, {"bone": subject.body, "brain": subject.body})
        with pytest.raises(
            CohortError, match=r"which label maps move with 'ct': in case c bone, brain lie on the grid"
        ):
            self.stage()(case)
        done = self.stage(moving_labels=("bone",))(case)
        assert done.label("bone").grid is done.images["ct"].grid
        assert done.label("brain") is subject.body
        with pytest.raises(CohortError, match="must have the label map 'liver'"):
            self.stage(moving_labels=("liver",))(case)


class TestRefused:
    def refused(self, case, words, **options):
        with pytest.raises(PreprocessingError, match=words):
            Registration(fixed="mr", moving="ct", levels_mm=QUICK, **options)(case)

    def test_a_rotation_of_more_than_thirty_degrees(self):
        case = misplaced(phantom("head", 5), movement((0, 0, 0), (0, 0, 40)))
        self.refused(case, r"needs a rotation of at most 30 degrees: found (39|40|41) in case c")

    def test_images_that_do_not_meet(self):
        case = misplaced(phantom("head", 6), movement((500, 0, 0), (0, 0, 5)))
        self.refused(case, r"the bodies to overlap by 50 %: found 0 % in case c.*start: centers may help")
        done = Registration(fixed="mr", moving="ct", levels_mm=QUICK, start="centers")(case)
        assert error_voxels(phantom("head", 6), done.images["ct"].grid) < 0.5

    @pytest.mark.parametrize(
        ("ends", "words"),
        [
            # (shift in mm, mutual information) of each search; None lost the overlap on its way.
            (
                [(0, 0.8), (9, 0.9), (20, 0.7)],
                r"two starts that end in one place \(within 2.5 mm\): the nearest are 9.0 mm",
            ),
            ([(0, 0.8), (2, 0.9), None], None),
            ([(0, 0.8), (9, 0.7), (2, 0.6)], None),
            ([(0, 0.8), (9, 0.9), (2, 0.6)], "the nearest are 7.0 mm apart"),
            ([(0, 0.8), None, None], "only one keeps the overlap"),
            # Two that agree off the body do not count, however high their mutual information.
            ([(0, 0.8), (160, 2.0), (160, 2.0)], "only one keeps the overlap"),
            ([(120, 0.8), None, (160, 0.9)], r"the bodies to overlap by 50 %: found (\d|\d\d) %"),
            ([None, None, None], "the bodies to overlap by 50 %: found 0 %"),
        ],
    )
    def test_the_best_place_must_be_found_from_two_starts(self, monkeypatch, ends, words):
        subject = phantom("head", 6)
        case = Case("c", "s", {"mr": subject.mr, "ct": subject.ct})
        searches, refined = iter(ends), []

        def found(**options):
            if options["levels_mm"] == QUICK[-1:] or refined:
                # Half turns are looked for after that: none is better.
                refined.append(options)
                return RigidFit(options["start"], 1.0)
            end = next(searches)
            return None if end is None else RigidFit(movement((end[0], 0, 0)), end[1])

        monkeypatch.setattr(registration, "rigid_fit", found)
        stage = Registration(fixed="mr", moving="ct", levels_mm=QUICK)
        if words is None:
            assert stage(case).images["ct"].provenance.steps[-1].parameters["rotation_degrees"] == 0
        else:
            with pytest.raises(PreprocessingError, match=words):
                stage(case)

    @pytest.mark.parametrize(
        ("axis", "gain", "is_refused"), [("xyz"[n], 0.1, True) for n in range(3)] + [("z", -0.1, False)]
    )
    def test_a_place_that_fits_better_after_half_a_turn(self, monkeypatch, axis, gain, is_refused):
        """The search is real where it lies; that from the other side reports the gain."""
        subject = phantom("limb", 3)
        case = Case("c", "s", {"mr": subject.mr, "ct": subject.ct})
        half = Rotation.from_euler(axis, 180, degrees=True).as_matrix()
        search, turned = registration.rigid_fit, []

        def found(**options):
            start = options["start"]
            if rotation_degrees(start) < 90:
                return search(**options)
            if not np.allclose(start[:3, :3], half, atol=0.1):
                return None
            turned.append(start)
            here = search(**{**options, "start": np.eye(4)})
            return RigidFit(start, here.mutual_information + gain)

        monkeypatch.setattr(registration, "rigid_fit", found)
        # A limb turned end over end keeps half of its body's box at least.
        stage = Registration(fixed="mr", moving="ct", levels_mm=QUICK, least_overlap=0.2)
        if is_refused:
            with pytest.raises(
                PreprocessingError, match=r"at most 30 degrees: turned by (1[78]\d) degrees the images fit"
            ):
                stage(case)
        else:
            assert stage(case).images["ct"].provenance.steps[-1].parameters["rotation_degrees"] < 2
        assert len(turned) == 1

    def test_a_missing_image_and_a_specimen(self):
        subject = phantom("head", 1)
        with pytest.raises(CohortError, match="needs the images 'mr' and 'ct': case c has mr"):
            Registration(fixed="mr", moving="ct")(Case("c", "s", {"mr": subject.mr}))
        grid = Grid.axis_aligned(subject.ct.shape, spacing=(4, 4, 6), unit="nm", frame="specimen")
        case = Case("c", "s", {"mr": subject.mr, "ct": replace(subject.ct, grid=grid)})
        with pytest.raises(PreprocessingError, match="of a patient in mm: 'ct' of case c is of a specimen in nm"):
            Registration(fixed="mr", moving="ct")(case)
        normalized = replace(subject.ct, quantity=Quantity.NORMALIZED)
        with pytest.raises(PreprocessingError, match="needs CT in HU or MR signal: found normalized"):
            Registration(fixed="mr", moving="ct")(Case("c", "s", {"mr": subject.mr, "ct": normalized}))

    @pytest.mark.parametrize(
        "wrong",
        [{"moving": "mr"}, {"levels_mm": ()}, {"levels_mm": (4, 0)}, {"largest_rotation": 0}, {"least_overlap": 2}],
    )
    def test_settings(self, wrong):
        with pytest.raises(ValidationError):
            Registration(**{"fixed": "mr", "moving": "ct", **wrong})


def test_the_angle_of_a_movement():
    assert rotation_degrees(movement((3, 4, 5), (0, 25, 0))) == pytest.approx(25)
    assert rotation_degrees(np.eye(4)) == 0


def test_real_limbs_that_share_a_frame_move_little(shared_data):
    folder = shared_data / "mrct" / "sts_ibsi" / "nifti" / "STS_035"
    images = {
        "mr": read_volume(folder / "MR_T1_image.nii.gz", quantity=Quantity.MR_SIGNAL),
        "ct": read_volume(folder / "CT_image.nii.gz", quantity=Quantity.HOUNSFIELD),
    }
    recipe = Recipe.from_json([{"stage": "registration", "fixed": "mr", "moving": "ct"}])
    facts = recipe(Case("sts_035", "sts_035", images)).images["ct"].provenance.steps[-1].parameters
    assert np.linalg.norm(facts["shift_mm"]) < 3
    assert facts["rotation_degrees"] < 4
    assert facts["body_overlap"] > 0.95
