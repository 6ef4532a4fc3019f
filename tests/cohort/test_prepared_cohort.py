"""From rows to prepared cases: through the store, restarted, and never another file's case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dicom_phantoms import mr, series_of
from manifest_rows import entry, manifest
from stored_phantoms import written_mhd

from medgan.cohort.manifest import digest_of
from medgan.commands import cohort_data
from medgan.commands.cohort_data import (
    fitted_on_usable,
    fitted_recipe,
    prepared_cases,
    put_in_store,
    read_case,
    training_entries,
)
from medgan.commands.console import Console
from medgan.errors import CohortError, FormatError
from medgan.formats import write_volume
from medgan.formats.byte_stream import sha256_of
from medgan.geometry import Grid
from medgan.phantoms.dicom_companions import JunkFiles, OtherObject
from medgan.phantoms.dicom_folder import write_archive, write_file_set, write_series
from medgan.phantoms.dicom_geometry_faults import MissingSlice
from medgan.phantoms.dicom_stacks import SeveralEchoes
from medgan.preprocessing.recipe import Recipe
from medgan.volume import Quantity, Volume

QUIET = Console(quiet=True)
RECIPE = Recipe.from_json([{"stage": "reorient"}, {"stage": "mr_percentiles"}])


@pytest.fixture
def rows(tmp_path):
    """Three MR images on disk and their rows."""
    return [written(tmp_path, f"limb_{n}", seed=n) for n in range(3)]


def written(root, case_id, *, seed):
    grid = Grid.axis_aligned((6, 5, 4), spacing=(2, 2, 3))
    signal = np.random.default_rng(seed).uniform(1, 500, grid.shape)
    file = root / f"{case_id}_{seed}.nii.gz"
    write_volume(Volume(signal, grid, Quantity.MR_SIGNAL), file)
    return entry(case_id=case_id, subject_id=case_id, path=file.name, sha256=digest_of(file))


def test_cases_come_in_the_order_of_their_rows(rows, tmp_path):
    order = [rows[2], rows[0], rows[1]]
    cases = prepared_cases(order, tmp_path, recipe=RECIPE, store_root=tmp_path / "store", console=QUIET)
    assert [case.case_id for case in cases] == ["limb_2", "limb_0", "limb_1"]
    assert all(case.image.quantity is Quantity.NORMALIZED for case in cases)


def test_what_is_prepared_is_not_read_again(rows, tmp_path, monkeypatch):
    arguments = {"recipe": RECIPE, "store_root": tmp_path / "store", "console": QUIET}
    first = prepared_cases(rows[:2], tmp_path, **arguments)
    read = []
    monkeypatch.setattr(cohort_data, "read_case", lambda e, root: (read.append(e.case_id), read_case(e, root))[1])
    again = prepared_cases(rows, tmp_path, **arguments)
    assert read == ["limb_2"]
    assert all(np.array_equal(a.image.array, b.image.array) for a, b in zip(first, again))


def test_a_store_never_answers_with_another_file(rows, tmp_path):
    arguments = {"recipe": RECIPE, "store_root": tmp_path / "store", "console": QUIET}
    prepared_cases(rows, tmp_path, **arguments)
    other = written(tmp_path, "limb_1", seed=99)
    with pytest.raises(
        CohortError, match=r"limb_1.mr.npz was made from another file than the manifest's row \(limb_1_99"
    ):
        prepared_cases([other], tmp_path, **arguments)


def test_a_changed_file_is_refused(rows, tmp_path):
    (tmp_path / rows[0].path).write_bytes(b"other")
    with pytest.raises(CohortError, match=r"limb_0 needs .* with SHA-256"):
        prepared_cases(rows, tmp_path, recipe=RECIPE, store_root=tmp_path / "store", console=QUIET)


def test_a_recipe_is_fitted_on_the_training_split_of_its_domain(rows, tmp_path):
    recipe = Recipe.from_json([{"stage": "mr_percentiles", "percentiles": [20, 60, 99]}])
    whole = manifest(*rows[:2], replace(rows[2], split="test"), replace(rows[2], domain="t2", split="test"))
    fitted = fitted_recipe(recipe, whole, tmp_path, domain="mr")
    assert fitted == recipe.fitted([read_case(row, tmp_path) for row in rows[:2]])
    assert fitted != recipe.fitted([read_case(row, tmp_path) for row in rows])
    with pytest.raises(CohortError, match=r"images of domain 't2' in the split 'train': .* has none. Its domains"):
        fitted_recipe(recipe, whole, tmp_path, domain="t2")


def test_several_processes_prepare_the_same_bits_in_the_same_order(tmp_path):
    rows = [written(tmp_path, f"limb_{n}", seed=n) for n in range(8)]
    one, two = (
        prepared_cases(rows, tmp_path, recipe=RECIPE, store_root=tmp_path / f"store_{jobs}", console=QUIET, jobs=jobs)
        for jobs in (1, 2)
    )
    assert [case.case_id for case in two] == [row.case_id for row in rows]
    assert all(np.array_equal(a.image.array, b.image.array) for a, b in zip(one, two))


def test_a_faster_process_is_no_error(rows, tmp_path, monkeypatch):
    store = tmp_path / "store"
    first = put_in_store(rows[0], data_root=tmp_path, recipe=RECIPE, store_root=store)
    before = next(store.rglob("*.npz")).read_bytes()
    looks = iter([False, True])
    monkeypatch.setattr(cohort_data.CaseStore, "__contains__", lambda self, key: next(looks))
    assert put_in_store(rows[0], data_root=tmp_path, recipe=RECIPE, store_root=store) == first == ()
    assert next(store.rglob("*.npz")).read_bytes() == before


def test_a_recipe_is_fitted_on_what_is_not_refused(rows, tmp_path):
    recipe = Recipe.from_json([{"stage": "reorient"}, {"stage": "mr_percentiles", "percentiles": [20, 60, 99]}])
    everything = fitted_on_usable(recipe, rows, tmp_path, console=QUIET)
    assert everything == fitted_recipe(recipe, manifest(*rows), tmp_path, domain="mr")
    (tmp_path / rows[1].path).write_bytes(b"other")
    usable = fitted_on_usable(recipe, rows, tmp_path, console=QUIET)
    assert usable == recipe.fitted([read_case(row, tmp_path) for row in (rows[0], rows[2])])
    assert usable != everything
    with pytest.raises(CohortError, match="fitted on training images: none of 1 can be used"):
        fitted_on_usable(recipe, rows[1:2], tmp_path, console=QUIET)
    # Nothing to learn: nothing is read.
    assert fitted_on_usable(RECIPE, rows[1:2], tmp_path, console=QUIET) == RECIPE.fitted(())


def test_a_recipe_with_nothing_to_learn_reads_no_image(tmp_path):
    fitted = fitted_recipe(RECIPE, manifest(entry()), tmp_path / "nowhere", domain="mr")
    assert fitted.stages[1].standard == (0.8,)
    assert (
        fitted_recipe(Recipe(RECIPE.stages[:1]), manifest(entry()), tmp_path, domain="mr").stages == RECIPE.stages[:1]
    )


def test_unpaired_training_refuses_a_subject_in_both_domains():
    mr, ct = entry(), entry(domain="ct", modality="CT", quantity="hounsfield")
    other = replace(ct, case_id="limb_2", subject_id="limb_2", path="o", sha256="0" * 64)
    with pytest.raises(CohortError, match="different subjects in its two domains: limb_1 is in 'mr' and in 'ct'"):
        training_entries(manifest(mr, ct, other), source="mr", target="ct")
    assert training_entries(manifest(mr, other), source="mr", target="ct") == ((mr,), (other,))
    with pytest.raises(CohortError, match="images of domain 'ct' in the split 'train'"):
        training_entries(manifest(mr), source="mr", target="ct")


class TestDicom:
    """Rows whose path is a folder, a zip or a DICOMDIR."""

    def row(self, root, path, **changes):
        return entry(path=path, sha256=digest_of(root / path), **changes)

    def test_a_folder_an_archive_and_a_directory_are_one_image(self, tmp_path):
        series = series_of(OtherObject(), JunkFiles(), volume=mr())
        write_series(series, tmp_path / "folder")
        write_archive(series, tmp_path / "a.zip")
        write_file_set(replace(series, beside=()), tmp_path / "set")
        for path in ("folder", "a.zip", "set/DICOMDIR"):
            row = self.row(tmp_path, path)
            case = read_case(row, tmp_path)
            assert np.array_equal(case.image.array, series.truth[0].array)
            assert case.image.grid.same_as(series.truth[0].grid)
            assert case.image.quantity is Quantity.MR_SIGNAL
            assert case.image.provenance.sources[0] == row.sha256
            assert len(case.image.provenance.sources) == 1 + len(series.slices)
            assert case.notices == ()

    def test_the_series_is_the_one_that_inspect_numbers(self, tmp_path):
        series = series_of(SeveralEchoes(), volume=mr())
        write_series(series, tmp_path / "study")
        cases = [read_case(self.row(tmp_path, "study", series=n), tmp_path) for n in (1, 2)]
        assert not np.array_equal(cases[0].image.array, cases[1].image.array)
        assert cases[0].notices[0].startswith("Stack 1 of 2 in its series: echo")
        with pytest.raises(FormatError, match=r"2 usable images, .* choose it in the manifest's column series: 1 \(MR"):
            read_case(self.row(tmp_path, "study"), tmp_path)
        with pytest.raises(FormatError, match="has no series 3"):
            read_case(self.row(tmp_path, "study", series=3), tmp_path)

    def test_what_the_gate_refuses_is_refused(self, tmp_path):
        write_series(series_of(MissingSlice(), volume=mr()), tmp_path / "study")
        with pytest.raises(FormatError, match=r"evenly spaced.*prepare it alone with medgan preprocess --allow-gap to"):
            read_case(self.row(tmp_path, "study"), tmp_path)

    def test_another_modality_than_the_row_says_is_refused(self, tmp_path):
        write_series(series_of(), tmp_path / "study")
        with pytest.raises(CohortError, match=r"limb_1 is to hold MR in domain 'mr': the file says that it holds CT"):
            read_case(self.row(tmp_path, "study"), tmp_path)

    def test_it_is_prepared_stored_and_known_again(self, tmp_path):
        write_series(series_of(volume=mr()), tmp_path / "study")
        row, arguments = self.row(tmp_path, "study"), {"recipe": RECIPE, "store_root": tmp_path / "s", "console": QUIET}
        (first,) = prepared_cases([row], tmp_path, **arguments)
        (again,) = prepared_cases([row], tmp_path, **arguments)
        assert np.array_equal(first.image.array, again.image.array)
        write_series(series_of(volume=mr(), seed=9), tmp_path / "other")
        with pytest.raises(CohortError, match=r"was made from another file than the manifest's row \(its mr \(DICOM"):
            prepared_cases([self.row(tmp_path, "other")], tmp_path, **arguments)


def test_a_header_s_digest_of_old_is_taken_and_told(tmp_path):
    path = written_mhd(tmp_path)
    old = entry(path="v.mhd", sha256=sha256_of(path))
    case = read_case(old, tmp_path)
    assert case.notices == ("The manifest's digest covers the header only: changed voxels would not be noticed.",)
    new = replace(old, sha256=digest_of(path))
    assert read_case(new, tmp_path).notices == ()
    (tmp_path / "v.raw").write_bytes(bytes([1] * 24))
    assert read_case(old, tmp_path).image.array.max() == 1
    with pytest.raises(CohortError, match="The file has changed"):
        read_case(new, tmp_path)
