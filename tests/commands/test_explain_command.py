from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands_support import Outcome
from PIL import Image
from radiograph_models import classification_bundle, counterfactual_bundle

from medgan.commands.console import Console
from medgan.commands.explain import settings_of
from medgan.commands.explanation_evidence import restore_regions
from medgan.commands.explanation_images import listed_radiographs, named_images, read_images
from medgan.commands.explanation_models import opened_models
from medgan.errors import CohortError, FormatError, InferenceError, SettingsError
from medgan.inference.classifier_facts import RadiographDomain

QUIET = Console(quiet=True)
DOMAIN = RadiographDomain(input_size=(12, 12), population="nobody")


def picture(folder: Path, name: str, side: int = 28) -> Path:
    ramp = np.linspace(0, 255, side * side).reshape(side, side).astype(np.uint8)
    path = folder / name
    Image.fromarray(ramp).save(path)
    return path


@pytest.fixture
def bundles(tmp_path: Path) -> dict[str, str]:
    """Tiny bundles of 12 px: a classifier, one with other classes, and a translator."""
    return {
        "classifier": str(classification_bundle(tmp_path / "c").folder),
        "foreign": str(classification_bundle(tmp_path / "f", labels=["cat", "dog"], name="foreign").folder),
        "translator": str(counterfactual_bundle(tmp_path / "t").folder),
    }


def test_another_size_is_outside_the_demonstration_models_domain_and_nothing_is_written(
    medgan: Any, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    done: Outcome = medgan("explain", picture(tmp_path, "chest.png", 64), "--out", out)
    assert done.code == 2
    assert "domain" in done.err
    assert "--accept-domain" in done.err
    assert not out.exists()


def test_an_accepted_domain_is_stamped_and_maps_lie_on_the_original_pixels(medgan: Any, tmp_path: Path) -> None:
    out = tmp_path / "report"
    file = picture(tmp_path, "Doe, Jane.png", 64)
    done: Outcome = medgan("explain", file, "--out", out, "--accept-domain", "--method", "d_ig")
    assert done.code == 0, done.err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "DEMONSTRATION MODEL, 28 PX, PEDIATRIC · OUTSIDE THE MODELS&#39; DOMAIN" in page
    assert "outside the models&#39; domain; that was accepted" in page
    with np.load(out / "maps" / "Doe_Jane_original.npz") as maps:
        assert maps["difference"].shape == (64, 64)
        assert not any(name in maps for name in ("real", "fake"))
    case = json.loads((out / "cases.json").read_text())["cases"][0]
    assert case["radiograph"]["placement"]["original"] == [64, 64]
    assert case["radiograph"]["in_domain"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name radiographs, or a list"),
        (["chest.png", "--cohort", "list.csv"], "not both"),
        (["chest.png", "--classifier", "chest28-classifier"], "--translator"),
        (["chest.png", "--translator", "chest28-translator"], "--classifier"),
        (["absent.png"], "absent.png"),
        (["chest.png", "--method", "d_gi"], "Did you mean 'd_ig'?"),
        (["chest.png", "--preset", "other"], "dapi"),
        (["chest.png", "--second-classifier", "chest28-classifier"], "the same model"),
    ],
)
def test_refusals_name_what_is_wrong(medgan: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    picture(Path.cwd(), "chest.png")
    done: Outcome = medgan("explain", *arguments, "--out", tmp_path / "report", "-q")
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "report").exists()


def test_a_report_needs_a_folder(medgan: Any) -> None:
    picture(Path.cwd(), "chest.png")
    done: Outcome = medgan("explain", "chest.png")
    assert done.code == 2
    assert "--out" in done.err


def test_a_folder_that_holds_something_else_is_left_alone(medgan: Any, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("mine")
    done: Outcome = medgan("explain", picture(tmp_path, "chest.png"), "--out", out)
    assert done.code == 2
    assert "no report" in done.err
    assert [one.name for one in out.iterdir()] == ["chapter.txt"]


def test_models_of_other_classes_are_refused(bundles: dict[str, str]) -> None:
    with pytest.raises(InferenceError, match="same classes"):
        opened_models(bundles["foreign"], bundles["translator"], None)
    with pytest.raises(InferenceError, match=r"foreign cat \| dog"):
        opened_models(bundles["classifier"], bundles["translator"], bundles["foreign"])


def test_models_that_fit_say_what_they_are(bundles: dict[str, str]) -> None:
    models = opened_models(bundles["classifier"], bundles["translator"], None)
    assert models.pair == (0, 1)
    assert models.stamps == ()
    assert models.facts()["second classifier"] is None
    assert opened_models(None, None, None).stamps == ("DEMONSTRATION MODEL, 28 PX, PEDIATRIC",)


def test_dicom_files_are_named_by_modality_and_number_and_pictures_by_their_stem(
    shared_data: Path, tmp_path: Path
) -> None:
    dicom = sorted((shared_data / "cxr" / "dicom").glob("*.dcm"))
    if not dicom:
        pytest.skip("no DICOM radiographs")
    rows = named_images([picture(tmp_path, "one.png"), *dicom[:2]])
    assert rows[0].case_id == "one"
    assert [row.case_id.split("_")[1] for row in rows[1:]] == ["series02", "series03"]
    assert not any(part in row.case_id for row, file in zip(rows[1:], dicom) for part in (file.stem,))


def test_two_pictures_of_one_name_get_two_cases(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    rows = named_images([picture(tmp_path, "a.png"), picture(other, "a.png")])
    assert [row.case_id for row in rows] == ["a", "a_2"]


def test_a_folder_is_no_radiograph(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="--cohort"):
        named_images([tmp_path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case_id\na\n", "path is missing"),
        ("case_id,path\na,x.png\na,y.png\n", "case a occurs twice"),
        ("case_id,path\n../a,x.png\n", "letters, digits"),
        ("case_id,path\na,\n", "has no path"),
        ("case_id,path\n", "no radiograph"),
    ],
)
def test_a_list_with_faults_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(CohortError, match=message):
        listed_radiographs(table, data_root=None)


def test_an_unknown_label_is_named_and_a_list_without_any_good_file_is_refused(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    table = tmp_path / "list.csv"
    table.write_text("case_id,path,label\na,a.png,nromal\n")
    rows = listed_radiographs(table, data_root=None)
    with pytest.raises(InferenceError, match="Did you mean 'normal'"):
        read_images(
            rows, DOMAIN, classes=("normal", "ill"), model="m", accept_domain=False, is_list=True, console=QUIET
        )


def test_the_lead_method_is_one_that_is_asked_for() -> None:
    assert settings_of(methods=["d_gc", "d_gc"]).lead == "d_gc"
    assert settings_of(methods=["d_gc", "d_ig"]).lead == "d_ig"
    with pytest.raises(SettingsError, match="limit"):
        settings_of(limit=0)


def test_regions_of_the_restore_test_are_disjoint_but_for_declared_ones_which_take_nothing() -> None:
    marker = np.zeros((20, 20), dtype=bool)
    marker[1:3, 15:19] = True
    image = np.zeros((20, 20), dtype=np.float32)
    image[4:18, 2:18] = 1
    regions = restore_regions(image, grid=(3, 2), corner=0.2, declared={"marker": marker})
    np.testing.assert_array_equal(regions["marker"], marker)
    stacked = np.stack([mask for name, mask in regions.items() if name != "marker"]).astype(int)
    assert (stacked.sum(axis=0) == 1).all()
    assert regions["rest of the image"][0, 10]
    # Someone who declares nothing sees the marker's corner all the same.
    assert regions["corner, upper image right"][1:3, 16:19].all()
    assert len(restore_regions(image, grid=(3, 2), corner=0, declared={})) == 7
