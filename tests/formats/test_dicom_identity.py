"""Markers in every text of a series, and in the names of its files: none is written, printed, named or kept."""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands_support import NETWORK, Outcome, ball_volume, tiny_facts
from dicom_phantoms import coded, mr, series_of
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medgan.cohort import CaseEntry, Manifest
from medgan.cohort.source_digest import digest_of
from medgan.errors import MedganError
from medgan.formats import write_volume
from medgan.formats.inventory import open_image, take_inventory
from medgan.geometry import Grid
from medgan.phantoms.dicom_companions import JunkFiles, Localizer, OtherObject, SecondaryCapture, SecondSeries
from medgan.phantoms.dicom_file import DicomFile
from medgan.phantoms.dicom_folder import write_archive, write_file_set, write_series
from medgan.phantoms.dicom_geometry_faults import (
    ConflictingSlice,
    Drift,
    DuplicateSlice,
    GantryTilt,
    MissingSlice,
    MixedPixelSpacing,
    OnePosition,
    TwoOrientations,
    UnevenSpacing,
)
from medgan.phantoms.dicom_header_faults import (
    NO_RESCALE,
    NO_ROWS,
    NO_SPACING,
    AlteredElement,
    OtherEncoding,
    ShuffledOrder,
    UnknownSyntax,
    WithoutElements,
)
from medgan.phantoms.dicom_identity import FOLDER, MARKER, IdentityMarkers, markers_in
from medgan.phantoms.dicom_mosaic import SiemensMosaic
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import (
    Compressed,
    MixedMatrix,
    PaddingOutsideCircle,
    RgbPixels,
    TruncatedPixels,
)
from medgan.phantoms.dicom_projection import RadiographBeside
from medgan.phantoms.dicom_series import DicomSeries, dicom_series
from medgan.phantoms.dicom_stacks import (
    SeveralAcquisitions,
    SeveralBValues,
    SeveralEchoes,
    SeveralImageTypes,
    TemporalPositions,
    UnlabeledRepeats,
)
from medgan.volume import Quantity

CASES = {
    "clean": (),
    "all beside": (
        Localizer(),
        SecondaryCapture(),
        OtherObject(),
        OtherObject("structures"),
        JunkFiles(),
        SecondSeries(),
    ),
    "radiographs": (RadiographBeside(), RadiographBeside("DX", spacing="detector"), RadiographBeside("MG", frames=2)),
    "tilt": (GantryTilt(),),
    "padding": (PaddingOutsideCircle(),),
    "duplicate": (DuplicateSlice(),),
    "implicit VR": (OtherEncoding("implicit"),),
    "compressed": (Compressed("jpeg-ls"),),
    "enhanced": (Enhanced(is_shuffled=True),),
    "enhanced echoes": (SeveralEchoes(), Enhanced()),
    "mosaic": (SiemensMosaic(),),
    "echoes": (SeveralEchoes(),),
    "b-values": (SeveralBValues(place="sequence-name"),),
    "times": (TemporalPositions(),),
    "image types": (SeveralImageTypes(),),
    "acquisitions": (SeveralAcquisitions(),),
    "orientations": (TwoOrientations(),),
    "conflict": (ConflictingSlice(),),
    "repeats": (UnlabeledRepeats(),),
    "uneven": (UnevenSpacing(),),
    "drift": (Drift(),),
    "missing": (MissingSlice(),),
    "one position": (OnePosition(3),),
    "mixed spacing": (MixedPixelSpacing(),),
    "mixed matrix": (MixedMatrix(),),
    "color": (RgbPixels(),),
    "truncated file": (TruncatedPixels("file"),),
    "truncated pixels": (TruncatedPixels("element"), Compressed("rle")),
    "no Rows": (NO_ROWS,),
    "no Rows in one": (WithoutElements(("Rows",), only_one=True),),
    "no rescale": (NO_RESCALE,),
    "no spacing": (NO_SPACING,),
    "unknown syntax": (UnknownSyntax(),),
}
NAMED_VALUES = {
    # Texts that decide something and hold a name all the same.
    "Modality": f"{MARKER}MODALITY",
    "PhotometricInterpretation": f"{MARKER}PHOTO",
    "SOPClassUID": f"{MARKER}CLASS",
    "RescaleType": f"{MARKER}UNIT",
    "RescaleSlope": f"{MARKER}",
    "PixelSpacing": (f"{MARKER}", "1"),
    "ImagePositionPatient": (f"{MARKER}A", "1", "2"),
    "ImageOrientationPatient": (f"{MARKER}", "0", "0", "0", "1", "0"),
    "SpecificCharacterSet": f"{MARKER}SET",
    "NumberOfFrames": f"{MARKER}",
}


def test_the_search_finds_what_was_planted(tmp_path):
    write_series(series_of(IdentityMarkers(is_named=True)), tmp_path)
    found = leaks(tmp_path)
    assert any("00100010" in leak for leak in found)
    assert any("name" in leak for leak in found)
    for name, data in (
        ("a.gz", gzip.compress(b"x QXZJ y")),
        ("b.html", b"<p>qxzjgiven</p>"),
        ("c.txt", "QXZJ".encode("utf-16-le")),
    ):
        (tmp_path / name).write_bytes(data)
        assert any(name in leak for leak in leaks(tmp_path))
    picture, note = io.BytesIO(), PngInfo()
    note.add_text("Comment", "of QXZJ00100010", zip=True)
    Image.new("L", (4, 4)).save(picture, "PNG", pnginfo=note)
    (tmp_path / "e.png").write_bytes(picture.getvalue())
    inside = base64.b64encode(picture.getvalue()).decode()
    (tmp_path / "f.html").write_text(f'<img src="data:image/png;base64,{inside}">')
    for name in ("e.png", "f.html"):
        assert not markers_in((tmp_path / name).read_bytes())
        assert any(name in leak for leak in leaks(tmp_path))
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"1.2.826.0.1.7777321.4")
    assert any("d.npz" in leak for leak in leaks(tmp_path))


def leaks(folder: Path) -> list[str]:
    """Markers in the names and the bytes of all files below a folder, packed ones as well."""
    found = [f"name of {path}: {markers}" for path in folder.rglob("*") if (markers := markers_in(path.name))]
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        parts = parts_of(path.read_bytes())
        found += [f"{path.name}: {markers}" for part in parts if (markers := markers_in(part))]
    return found


def parts_of(data: bytes) -> list[bytes]:
    """The bytes of a file, what is packed in them, and what a picture says besides its pixels."""
    parts = [data]
    if data.startswith(b"\x1f\x8b"):
        parts += parts_of(gzip.decompress(data))
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts += [archive.read(name) for name in archive.namelist()]
            parts.append(" ".join(archive.namelist()).encode())
    if data.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(data)) as picture:
            parts.append(repr(picture.info).encode())
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data):
        parts += parts_of(base64.b64decode(packed))
    return parts


def texts_of(paths: list[Path]) -> list[str]:
    """Everything that the library says about paths: verdicts, notices, provenance, errors, representations."""
    inventory = take_inventory(paths)
    texts = [repr(inventory), repr(inventory.items), repr(inventory.other)]
    for item in inventory.items:
        texts += [repr(item), json.dumps(item.as_dict()), *item.reasons, item.name]
        for allow_gap in (False, True):
            try:
                file = item.read(allow_gap=allow_gap, quantity=Quantity.HOUNSFIELD)
            except MedganError as error:
                texts += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
            else:
                texts += [repr(file), *file.notices, json.dumps(file.volume.provenance.as_dict())]
    texts += [json.dumps(other.as_dict()) for other in inventory.other]
    for path in paths:
        try:
            texts.append(repr(open_image(path)))
        except MedganError as error:
            texts += [str(error), repr(error.__cause__), repr(error.__context__)]
        try:
            open_image(path, series=99)
        except MedganError as error:
            texts.append(str(error))
    return texts


def marked(*faults, is_ct: bool = True) -> DicomSeries:
    return series_of(*faults, IdentityMarkers(is_named=True), volume=coded() if is_ct else mr())


BY_MODALITY = [
    (name, is_ct)
    for name in CASES
    for is_ct in (True, False)
    # An MR may lack its rescale, and no CT is a mosaic.
    if not (name == "no rescale" and not is_ct) and not (name == "mosaic" and is_ct)
]


@pytest.mark.parametrize(("name", "is_ct"), BY_MODALITY)
def test_the_library_repeats_no_marker(tmp_path, caplog, capfd, name, is_ct):
    caplog.set_level(logging.DEBUG)
    series = marked(*CASES[name], is_ct=is_ct)
    folder = tmp_path / FOLDER
    write_series(series, folder)
    archive = write_archive(series, tmp_path / f"{FOLDER}.zip", folder=FOLDER, escaping=True, links=True)
    texts = [*texts_of([folder]), *texts_of([archive])]
    printed = capfd.readouterr()
    texts += [printed.out, printed.err, caplog.text]
    assert [markers for text in texts if (markers := markers_in(text))] == []


@pytest.mark.parametrize("keyword", NAMED_VALUES)
@pytest.mark.parametrize("only_one", [True, False])
def test_names_where_codes_and_numbers_belong_are_not_repeated(tmp_path, keyword, only_one):
    # After the markers, which leave these elements alone.
    series = marked()
    fault = AlteredElement(keyword, NAMED_VALUES[keyword], only_one=only_one)
    write_series(fault(series, np.random.default_rng(0)), tmp_path / FOLDER)
    assert [m for text in texts_of([tmp_path / FOLDER]) if (m := markers_in(text))] == []


def test_a_directory_and_missing_files_repeat_no_marker(tmp_path):
    directory = write_file_set(replace(marked(Localizer(), OtherObject()), beside=()), tmp_path / FOLDER)
    assert markers_in(directory.read_bytes())
    next(path for path in directory.parent.rglob("*") if path.is_file() and path != directory).unlink()
    assert [m for text in texts_of([directory]) if (m := markers_in(text))] == []


def test_damaged_marked_files_repeat_no_marker(tmp_path):
    rng = np.random.default_rng(3)
    series = series_of(IdentityMarkers(is_named=True), volume=coded(shape=(3, 3, 2)))
    for case in range(25):
        folder = tmp_path / str(case) / FOLDER
        for file in series.slices:
            assert isinstance(file, DicomFile)
            data = bytearray(file.as_bytes)
            for _ in range(3):
                at = int(rng.integers(len(data)))
                data[at : at + 4] = rng.bytes(4)
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[: int(rng.integers(len(data) // 2, len(data)))])
        assert [m for text in texts_of([folder]) if (m := markers_in(text))] == []


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from medgan.inference.bundle import ModelBundle
    from medgan.networks.initialization import initialize
    from medgan.networks.residual_generator import ResidualGenerator
    from medgan.seeding import torch_generator

    network = ResidualGenerator(**NETWORK)
    initialize(network, torch_generator(1))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    ModelBundle.write(folder, facts=tiny_facts(), weights=network.state_dict(), card="# tiny\n")
    return folder


@pytest.fixture
def medgan(capfd, caplog, monkeypatch, tmp_path) -> Callable[..., Outcome]:
    """The command line in this process, in a folder of its own; everything printed or logged is searched."""
    from medgan.cli import app
    from medgan.commands.outcome import guarded

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "work" / "cache"))
    caplog.set_level(logging.DEBUG)

    def run(*arguments: object) -> Outcome:
        given = [str(a) for a in arguments]
        code = guarded(lambda: app(args=given, prog_name="medgan", standalone_mode=False), as_json="--json" in given)
        printed = capfd.readouterr()
        assert markers_in(printed.out + printed.err + caplog.text) == (), printed.out + printed.err
        assert leaks(work) == []
        return Outcome(code, printed.out, printed.err)

    return run


def ball_series(*faults, **options) -> DicomSeries:
    """An MR that the tiny model takes."""
    grid = Grid((24, 26, 22), np.diag([-3.0, -3.0, 3.0, 1.0]))
    volume = ball_volume(grid, radius_mm=28)
    whole = replace(volume, array=np.rint(volume.array))
    marker = IdentityMarkers(is_named=True)
    return dicom_series(whole, *faults, marker, generator=np.random.default_rng(8), **options)


@pytest.mark.parametrize("as_json", [(), ("--json",)])
@pytest.mark.parametrize("name", ["all beside", "missing", "no Rows in one", "b-values"])
def test_inspect_repeats_no_marker(medgan, tmp_path, name, as_json):
    write_series(marked(*CASES[name], is_ct=name != "b-values"), tmp_path / FOLDER)
    outcome = medgan("inspect", tmp_path / FOLDER, *as_json)
    assert outcome.code in (0, 2, 3)
    assert ("ct_series01" in outcome.out) or ("mr_series01" in outcome.out)


def test_translate_and_preprocess_of_a_folder_and_an_archive_repeat_no_marker(medgan, tiny_bundle, tmp_path):
    series = ball_series(Localizer(), OtherObject(), ShuffledOrder())
    write_series(series, tmp_path / FOLDER)
    archive = write_archive(series, tmp_path / f"{FOLDER}.zip", folder=FOLDER)
    outcome = medgan("translate", tmp_path / FOLDER, "--model", tiny_bundle)
    assert outcome.code == 0, outcome.err
    names = {path.name for path in Path.cwd().iterdir()}
    assert {"mr_series01_sct.nii.gz", "mr_series01_sct.json", "mr_series01_sct.png"} <= names
    outcome = medgan("translate", archive, "--model", tiny_bundle, "--out", "from_archive", "--json")
    assert outcome.code == 0, outcome.err
    outcome = medgan("preprocess", tmp_path / FOLDER, "--recipe", "isotropic_1mm", "--out", "prepared")
    assert outcome.code == 0, outcome.err
    outcome = medgan("preprocess", archive, "--recipe", "mr_t1_limb", "--out", "from_archive", "--json")
    assert outcome.code == 0, outcome.err
    reference = write_volume(replace(series.truth[0], quantity=Quantity.HOUNSFIELD), Path.cwd() / "reference.nii.gz")
    outcome = medgan("evaluate", "mr_series01_sct.nii.gz", reference, "--json")
    assert outcome.code in (0, 2)
    outcome = medgan("evaluate", tmp_path / FOLDER, reference)
    assert outcome.code in (0, 2)


@pytest.mark.parametrize(
    "faults",
    [(MissingSlice(),), (SeveralEchoes(),), (ConflictingSlice(),), (NO_ROWS,), (TruncatedPixels("file"),)],
    ids=repr,
)
def test_refusals_of_translate_repeat_no_marker(medgan, tiny_bundle, tmp_path, faults):
    write_series(ball_series(*faults), tmp_path / FOLDER)
    outcome = medgan("translate", tmp_path / FOLDER, "--model", tiny_bundle)
    assert outcome.code == 2
    assert outcome.err
    assert not list(Path.cwd().glob("*series*"))


@pytest.mark.parametrize("key", [(), ("--pseudonym-key", "study.key")])
def test_pseudonyms_repeat_no_marker(medgan, tmp_path, key):
    write_series(ball_series(RadiographBeside()), tmp_path / FOLDER)
    facts = medgan("inspect", tmp_path / FOLDER, *key, "--json").json
    ids = {(item["subject_id"], item["case_id"]) for item in facts["items"]}
    assert len(ids) == 1
    assert all(each for each in ids.pop())
    assert medgan("inspect", tmp_path / FOLDER, *key).code == 0
    outcome = medgan("preprocess", tmp_path / FOLDER, "--recipe", "isotropic_1mm", *key, "--json")
    assert outcome.code == 0, outcome.err


def test_a_cohort_of_marked_studies_repeats_no_marker(medgan, tmp_path):
    """Its messages, case store, CSV and HTML with thumbnails; studies lie in folders named after the patient."""
    root, rows = tmp_path / "data", []
    for number, faults in enumerate(((), (GantryTilt(8.0),), (MissingSlice(),), (TruncatedPixels("file"),), ())):
        folder = root / f"{FOLDER}_{number}"
        write_series(ball_series(Localizer(), OtherObject(), *faults), folder)
        sha256 = digest_of(folder) if number < 4 else "0" * 64
        case = f"case_{number}"
        rows.append(CaseEntry(case, case, "train", "mr", "MR", "mr_signal", folder.name, sha256))
    archive = write_archive(ball_series(), root / f"{FOLDER}.zip", folder=FOLDER)
    rows.append(CaseEntry("zip", "zip", "test", "mr", "MR", "mr_signal", archive.name, digest_of(archive)))
    rows.append(CaseEntry("gone", "gone", "test", "mr", "MR", "mr_signal", f"{FOLDER}_gone", "1" * 64))
    facts = {"title": "Limbs", "license": "none", "citation": "none", "obtain": "none"}
    Manifest(**facts, entries=tuple(rows)).write(tmp_path / "limbs.yaml")
    stages = "[{stage: reorient}, {stage: body_mask}, {stage: mr_percentiles, percentiles: [20, 99]}]"
    (tmp_path / "study.yaml").write_text(f"data: {{manifest: limbs.yaml}}\nrecipe: {{source: {stages}}}\n")
    arguments = ("preprocess", tmp_path / "study.yaml", "--data-root", root, "--out", "store", "--jobs", 1)
    outcome = medgan(*arguments)
    assert outcome.code == 3
    assert outcome.out.startswith("2 accepted, 1 corrected, 4 refused\n")
    assert {p.suffix for p in Path("store").rglob("*") if p.is_file()} == {".npz", ".json", ".csv", ".html"}
    # Again, from the store, and as JSON.
    assert medgan(*arguments, "--json").code == 3


def test_a_filled_gap_repeats_no_marker(medgan, tiny_bundle, tmp_path):
    write_series(ball_series(MissingSlice()), tmp_path / FOLDER)
    outcome = medgan("translate", tmp_path / FOLDER, "--model", tiny_bundle, "--allow-gap")
    assert outcome.code == 0, outcome.err
    assert "interpolated" in outcome.err
