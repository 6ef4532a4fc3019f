"""``medgan preprocess`` on one image."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from commands_support import ball_volume
from dicom_phantoms import series_of

from medgan.cohort import Case
from medgan.commands.recipe_files import find_recipe, recipe_names
from medgan.formats import read_image, read_labels, read_volume, write_volume
from medgan.geometry import Grid
from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.neurites import neurite_phantom
from medgan.preprocessing.recipe import Recipe
from medgan.settings import read_yaml
from medgan.volume import Quantity, Volume

GRID = Grid.axis_aligned((24, 24, 20), spacing=(4, 4, 4), origin=(-46, -46, -38))


def ct_volume() -> Volume:
    ball = ball_volume(GRID, radius_mm=32, signal=1040.0)
    hu = np.where(ball.array > 100, ball.array - 1000, -1000).astype(np.float32)
    hu[:, 1] = 200  # a plate below
    return Volume(hu, GRID, Quantity.HOUNSFIELD)


@pytest.fixture
def ct_file(tmp_path: Path) -> Path:
    return write_volume(ct_volume(), tmp_path / "ct.nii.gz")


class TestRecipes:
    def test_they_are_listed_with_a_line_each(self, medgan):
        outcome = medgan("preprocess", "--list-recipes")
        assert outcome.code == 0
        assert [line.split()[0] for line in outcome.out.splitlines()] == list(recipe_names())
        facts = medgan("preprocess", "--list-recipes", "--json").json["recipes"]
        assert {"ct_soft_tissue", "mr_t1_limb", "isotropic_1mm"} <= {each["name"] for each in facts}
        assert all(each["description"].endswith(".") and len(each["description"]) <= 120 for each in facts)
        assert len({each["digest"] for each in facts}) == len(facts)

    def test_those_of_the_limb_study_are_the_study_s(self):
        study = read_yaml(Path(__file__).parents[2] / "configs/mr_to_ct/sts.yaml")["recipe"]
        for name, domain in (("mr_t1_limb", "source"), ("ct_limb", "target")):
            assert find_recipe(name)[1].recipe == Recipe.from_json(study[domain]).fitted(())

    @pytest.mark.parametrize("name", [name for name in recipe_names() if name != "rigid_alignment"])
    def test_each_prepares_an_image_of_its_modality(self, medgan, tmp_path, mr_file, ct_file, name):
        em = neurite_phantom(generator=np.random.default_rng(1), shape=(24, 20, 4)).labeled
        flat = Grid.axis_aligned(em.shape, spacing=(1, 1, 5))
        em_file = write_volume(Volume(em.array, flat, Quantity.EM_SIGNAL), tmp_path / "em.nii.gz")
        file = {"mr": mr_file, "ct": ct_file, "em": em_file, None: ct_file}[find_recipe(name)[1].modality]
        declared = () if find_recipe(name)[1].modality else ("--modality", "ct")
        outcome = medgan("preprocess", file, "--recipe", name, "--out", tmp_path / "out.nii.gz", *declared, "--json")
        assert outcome.code == 0, outcome.err
        assert read_image(tmp_path / "out.nii.gz", quantity=Quantity.NORMALIZED).volume.shape == tuple(
            outcome.json["grid"]["shape"]
        )

    def test_a_file_of_ones_own(self, medgan, tmp_path, ct_file):
        recipe = tmp_path / "window.yaml"
        recipe.write_text(
            "description: A window.\nmodality: ct\nstages: [{stage: hu_window, low_hu: -100, high_hu: 100}]\n"
        )
        outcome = medgan("preprocess", ct_file, "--recipe", recipe)
        assert outcome.code == 0, outcome.err
        assert outcome.out.split() == ["ct_window.nii.gz", "ct_window.json"]

    def test_faults_of_a_file_come_all_at_once(self, medgan, tmp_path, ct_file):
        recipe = tmp_path / "bad.yaml"
        recipe.write_text("descripton: x\nstages: [{stage: couchh}, {stage: couch, detach: 3}]\n")
        outcome = medgan("preprocess", ct_file, "--recipe", recipe)
        assert outcome.code == 2
        for words in ("bad.yaml has 4 faults", "description is missing", "'couch'", "Did you mean 'detach_mm'"):
            assert words in outcome.err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "An image needs a recipe: pass --recipe NAME or FILE.yaml; --list-recipes names them"),
            (("--recipe", "isotropic"), "found 'isotropic'. Did you mean 'isotropic_1mm'? Known: ct_limb,"),
            (("--recipe", "absent.yaml"), "there is no absent.yaml"),
            (("--recipe", "mr_t1_limb", "--modality", "ct"), "Recipe mr_t1_limb prepares MR, not CT"),
            (("--recipe", "mr_t1_limb", "--modality", "pet"), "A modality must be one of mr, ct, em: found 'pet'"),
            (("--recipe", "isotropic_1mm"), "Neither scan.nii.gz nor recipe isotropic_1mm says what the values mean"),
            (("--recipe", "mr_t1_limb", "--out", "x.txt"), "x.txt cannot be written: an image needs the suffix"),
            (
                ("--recipe", "mr_t1_limb", "--jobs", "2"),
                "--workers belongs to a cohort: scan.nii.gz is taken as an image",
            ),
        ],
    )
    def test_refusals_are_one_line_and_write_nothing(self, medgan, mr_file, arguments, words):
        outcome = medgan("preprocess", mr_file, *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert list(Path().iterdir()) == []

    def test_no_source(self, medgan):
        outcome = medgan("preprocess")
        assert outcome.code == 2
        assert "Name an image, or the YAML configuration of a cohort" in outcome.err

    def test_one_that_learns_needs_a_cohort(self, medgan, tmp_path, mr_file):
        recipe = tmp_path / "learns.yaml"
        recipe.write_text("description: x\nmodality: mr\nstages: [{stage: mr_percentiles, percentiles: [10, 99]}]\n")
        outcome = medgan("preprocess", mr_file, "--recipe", recipe)
        assert outcome.code == 2
        assert "Recipe learns learns from a training split" in outcome.err


class TestImage:
    def test_image_body_and_sidecar(self, medgan, mr_file):
        outcome = medgan("preprocess", mr_file, "--recipe", "mr_t1_limb", "--json")
        assert outcome.code == 0, outcome.err
        facts = outcome.json
        assert facts["outputs"] == {
            "volume": "scan_mr_t1_limb.nii.gz",
            "sidecar": "scan_mr_t1_limb.json",
            "labels": {"body": "scan_mr_t1_limb_body.nii.gz"},
        }
        recipe = find_recipe("mr_t1_limb")[1].recipe
        by_hand = recipe(Case("scan", "scan", {"image": read_volume(mr_file, quantity=Quantity.MR_SIGNAL)}))
        written = read_image("scan_mr_t1_limb.nii.gz", quantity=Quantity.NORMALIZED).volume
        assert written.array.dtype == np.float32
        assert np.array_equal(written.array, by_hand.image.array)
        written.grid.require_same_as(by_hand.image.grid, this="written", that="by hand")
        body = read_labels("scan_mr_t1_limb_body.nii.gz")
        assert np.array_equal(body.mask(), by_hand.label("body").mask())
        assert facts["labels"] == {"body": int(body.mask().sum())}
        sidecar = json.loads(Path("scan_mr_t1_limb.json").read_text())
        assert {k: v for k, v in facts.items() if k != "outputs"} == sidecar
        assert sidecar["provenance_digest"] == by_hand.image.provenance.digest
        assert sidecar["recipe"] == {"name": "mr_t1_limb", "digest": recipe.digest, "stages": recipe.as_json()}
        highest = round(float(by_hand.image.array.max()), 4)
        assert sidecar["result"] == {"quantity": "normalized", "unit": "", "minimum": -1.0, "maximum": highest}

    def test_lines_are_the_files(self, medgan, mr_file):
        outcome = medgan("preprocess", mr_file, "--recipe", "mr_t1_limb", "--out", "prepared")
        assert outcome.out.split() == [f"prepared/scan_mr_t1_limb{end}" for end in (".nii.gz", "_body.nii.gz", ".json")]
        assert sorted(p.name for p in Path("prepared").iterdir()) == sorted(
            Path(line).name for line in outcome.out.split()
        )

    def test_another_format_and_notices(self, medgan, ct_file):
        outcome = medgan("preprocess", ct_file, "--recipe", "ct_without_couch", "--out", "a/clean.mha")
        assert outcome.out.split() == ["a/clean.mha", "a/clean_body.mha", "a/clean.json"]
        assert "ct.nii.gz: 480 voxels (31 ml) of couch or devices outside the body were set to -1024 HU." in outcome.err
        hu = read_image("a/clean.mha", quantity=Quantity.HOUNSFIELD).volume
        assert (hu.array[:, 1] == -1024).all()
        assert np.array_equal(hu.array[12, 12, 4:16], np.rint(ct_volume().array[12, 12, 4:16]))
        quiet = medgan("preprocess", ct_file, "--recipe", "ct_without_couch", "--out", "b.mha", "--quiet")
        assert quiet.err == ""

    def test_an_output_that_exists(self, medgan, mr_file):
        Path("out_body.nii.gz").write_bytes(b"mine")
        outcome = medgan("preprocess", mr_file, "--recipe", "mr_t1_limb", "--out", "out.nii.gz")
        assert outcome.code == 2
        assert "never replaced unasked: out_body.nii.gz exists" in outcome.err
        assert [p.name for p in Path().iterdir()] == ["out_body.nii.gz"]
        assert Path("out_body.nii.gz").read_bytes() == b"mine"
        assert medgan("preprocess", mr_file, "--recipe", "mr_t1_limb", "--out", "out.nii.gz", "--overwrite").code == 0
        assert read_labels("out_body.nii.gz").mask().any()

    def test_a_damaged_file(self, medgan, mr_file):
        mr_file.write_bytes(mr_file.read_bytes()[:200])
        outcome = medgan("preprocess", mr_file, "--recipe", "mr_t1_limb")
        assert outcome.code == 2
        assert len(outcome.err.splitlines()) == 1
        assert "scan.nii.gz" in outcome.err
        assert str(mr_file.parent) not in outcome.err
        assert list(Path().iterdir()) == []

    def test_a_missing_file(self, medgan, tmp_path):
        outcome = medgan("preprocess", tmp_path / "absent.nii.gz", "--recipe", "mr_t1_limb", "--json")
        assert outcome.code == 2
        assert "absent.nii.gz" in outcome.json["error"]["message"]

    def test_a_full_disk_leaves_nothing(self, medgan, mr_file, monkeypatch):
        def full(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))

        import medgan.formats.output as output

        replace = output.os.replace

        def replaced(source, target):
            if str(target).endswith("limb.nii.gz"):
                full(target)
            replace(source, target)

        monkeypatch.setattr(output.os, "replace", replaced)
        outcome = medgan("preprocess", mr_file, "--recipe", "mr_t1_limb")
        assert outcome.code == 2
        assert outcome.err == (
            "medgan: scan_mr_t1_limb.nii.gz cannot be written: the disk is full: free some space, or write to another "
            "disk.\n"
        )
        assert list(Path().iterdir()) == []

    def test_a_folder_that_cannot_be_made(self, medgan, mr_file):
        Path("taken").write_text("a file")
        outcome = medgan("preprocess", mr_file, "--recipe", "mr_t1_limb", "--out", "taken/deep/out.nii.gz")
        assert outcome.code == 2
        assert "cannot be made" in outcome.err

    def test_ct_is_not_taken_for_mr(self, medgan, ct_file):
        outcome = medgan("preprocess", ct_file, "--recipe", "mr_t1_limb")
        assert outcome.code == 2
        assert "to be prepared as MR, whose signal is not negative: 2 % of its values lie below -150" in outcome.err
        declared = medgan("preprocess", ct_file, "--recipe", "mr_t1_limb", "--modality", "mr")
        assert declared.code == 0


class TestDicom:
    def study(self, tmp_path):
        grid = Grid((24, 26, 22), np.diag([-3.0, -3.0, 3.0, 1.0]))
        write_series(series_of(volume=ball_volume(grid, radius_mm=28)), tmp_path / "study" / "a")
        ct = Volume(ct_volume().array, Grid(GRID.shape, np.diag([-4.0, -4.0, 4.0, 1.0])), Quantity.HOUNSFIELD)
        write_series(series_of(volume=ct, seed=9), tmp_path / "study" / "b")
        return tmp_path / "study"

    def test_a_folder_with_two_series(self, medgan, tmp_path):
        study = self.study(tmp_path)
        several = medgan("preprocess", study, "--recipe", "isotropic_1mm")
        assert several.code == 2
        assert "--series" in several.err
        names = set()
        for series in ("1", "2"):
            outcome = medgan("preprocess", study, "--recipe", "isotropic_1mm", "--series", series)
            assert outcome.code == 0, outcome.err
            names.add(outcome.out.split()[0])
        assert names == {"mr_series01_isotropic_1mm.nii.gz", "ct_series02_isotropic_1mm.nii.gz"} or names == {
            "ct_series01_isotropic_1mm.nii.gz",
            "mr_series02_isotropic_1mm.nii.gz",
        }

    def test_the_header_s_modality_counts(self, medgan, tmp_path):
        study = self.study(tmp_path)
        outcome = medgan("preprocess", study / "b", "--recipe", "mr_t1_limb")
        assert outcome.code == 2
        assert "to be prepared as MR: the file says that it holds CT" in outcome.err


class TestOnto:
    def test_an_image_is_moved_onto_another(self, medgan, tmp_path):
        from medgan.phantoms.head import head_phantom
        from medgan.preprocessing.rigid_search import moved_grid
        from medgan.seeding import numpy_generator

        head = head_phantom(generator=numpy_generator(4, "head", 0), shape=(42, 46, 36), spacing_mm=(5, 5, 7))
        away = np.eye(4)
        away[:3, 3] = (9, -6, 8)
        mr = write_volume(head.mr, tmp_path / "mr.nii.gz")
        ct = write_volume(
            Volume(head.ct.array, moved_grid(head.ct.grid, away), head.ct.quantity), tmp_path / "ct.nii.gz"
        )
        recipe = tmp_path / "align.yaml"
        stage = "{stage: registration, fixed: fixed, moving: image, levels_mm: [12, 8]}"
        recipe.write_text(f"description: Coarse.\nmodality: ct\nstages: [{stage}]\n")
        outcome = medgan("preprocess", ct, "--recipe", recipe, "--onto", mr)
        assert outcome.code == 0, outcome.err
        assert "'image' was moved onto 'fixed': 13." in outcome.err
        back = read_image("ct_align.nii.gz", quantity=Quantity.HOUNSFIELD).volume
        assert back.grid.same_as(head.ct.grid, tolerance_voxel=0.5)
        assert np.array_equal(back.array, np.rint(head.ct.array))

    def test_without_another_image_there_is_nothing_to_move_onto(self, medgan, ct_file):
        outcome = medgan("preprocess", ct_file, "--recipe", "rigid_alignment", "--modality", "ct")
        assert outcome.code == 2
        assert "needs the images 'fixed' and 'image': case ct has image" in outcome.err
