"""Manifests: every fault found, all at once; what is written is read back; the digest means the rows."""

from __future__ import annotations

import hashlib
import os
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from manifest_rows import FACTS, digest, entry, manifest, paired

from medgan.cohort import Manifest
from medgan.cohort.manifest import COLUMNS, digest_of
from medgan.errors import CohortError

HEADER = ",".join(COLUMNS) + "\n"
YAML = "".join(f"{name}: {text!r}\n" for name, text in FACTS.items())


def line_of(row: object) -> str:
    return ",".join(getattr(row, name) for name in COLUMNS) + "\n"


def read_text(folder: Path, table: str | bytes | None, facts: str | bytes = YAML) -> Manifest:
    """Write two files as they are and read them as a manifest."""
    (folder / "limbs.yaml").write_bytes(facts if isinstance(facts, bytes) else facts.encode())
    if table is not None:
        (folder / "limbs.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    return Manifest.read(folder / "limbs.yaml")


def refusal(*args: object) -> str:
    with pytest.raises(CohortError) as caught:
        read_text(*args)  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(args[0]) not in message, "a message must not hold an absolute path"
    return message


class TestRows:
    def test_a_valid_manifest_selects_and_pairs(self):
        whole = manifest(entry(), *paired("limb_2", "test"), *paired("limb_3", "validation"))
        assert [e.case_id for e in whole.select(split="test")] == ["limb_2", "limb_2"]
        assert [e.case_id for e in whole.select(domain="mr")] == ["limb_1", "limb_2", "limb_3"]
        assert whole.select() == whole.entries
        assert whole.select(split="test", domain="pet") == ()
        assert whole.pairs(split="test", source="mr", target="ct") == (whole.select(split="test"),)
        assert whole.pairs(split="train", source="mr", target="ct") == ()

    @pytest.mark.parametrize(
        "path",
        ["../x.nii", "a/../../x.nii", "/x.nii", "C:\\x.nii", "c:x.nii", "a\\b.nii", "\\\\server\\x.nii", "", ".", ".."],
    )
    def test_paths_stay_below_the_data_root(self, path):
        with pytest.raises(CohortError, match="limb_1: a path must be relative to the data root and stay below it"):
            manifest(entry(path=path, sha256=digest("x")))

    @pytest.mark.parametrize("path", ["x.nii", "a/b.c/x.nii", "./a/x.nii", "..a/x..nii", "a b/ü.nii"])
    def test_relative_paths_are_taken(self, path):
        assert manifest(entry(path=path)).entries[0].path == path

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"split": "trian"}, "a split must be one of train, validation, test: found 'trian'"),
            ({"quantity": "hu"}, "A quantity must be one of hounsfield, mr_signal.*: found 'hu'"),
            ({"case_id": "a/b"}, "case_id must match .*: found 'a/b'"),
            ({"case_id": "../../b"}, "case_id must match .*: found '../../b'"),
            ({"subject_id": "Doe, J"}, "subject_id must match .*: found 'Doe, J'"),
            ({"domain": "m.r"}, "domain must match .*: found 'm.r'"),
            ({"modality": "mr"}, "modality must match .*: found 'mr'"),
            ({"sha256": "abc"}, "sha256 must match .*: found 'abc'"),
            ({"sha256": digest("x").upper()}, "sha256 must match"),
        ],
    )
    def test_single_values(self, changes, message):
        with pytest.raises(CohortError, match=message):
            manifest(entry(**changes))

    def test_two_images_of_one_domain(self):
        with pytest.raises(CohortError, match="limb_1: two images of domain 'mr'"):
            manifest(entry(), entry(path="other.nii"))
        manifest(entry(), entry(path="other.nii", domain="mr2"))

    def test_a_case_of_two_subjects(self):
        with pytest.raises(CohortError, match="limb_1: belongs to subject limb_1 and to limb_2"):
            manifest(entry(), entry(domain="ct", subject_id="limb_2"))

    def test_a_subject_in_two_splits(self):
        with pytest.raises(CohortError, match="subject s is in the splits test and train"):
            manifest(entry(subject_id="s"), entry(subject_id="s", case_id="limb_2", split="test"))
        manifest(entry(subject_id="s"), entry(subject_id="s", case_id="limb_2"))

    def test_a_file_in_two_splits_under_two_names(self):
        twin = {"sha256": digest("one file")}
        with pytest.raises(CohortError, match=r"one file is in two splits: as b \(test\) and as a \(train\)"):
            manifest(
                entry(case_id="a", subject_id="a", **twin), entry(case_id="b", subject_id="b", split="test", **twin)
            )

    def test_all_faults_at_once(self):
        with pytest.raises(CohortError) as caught:
            manifest(
                entry(split="trian"),
                entry(domain="ct", quantity="hu", path="/etc/x"),
                entry(domain="ct", path="y"),
                entry(case_id="limb_2", subject_id="limb_1", split="test"),
            )
        message = str(caught.value)
        assert message.startswith("Manifest 'Two limbs' has 5 fault(s):\n- ")
        for part in ("trian", "'hu'", "/etc/x", "two images of domain 'ct'", "splits test and train and trian"):
            assert part in message


class TestDigest:
    def test_it_does_not_depend_on_the_order(self):
        rows = [*paired("limb_2", "test"), *paired("limb_3", "train"), entry()]
        shuffled = rows.copy()
        random.Random(3).shuffle(shuffled)
        assert shuffled != rows
        assert manifest(*rows).digest == manifest(*shuffled).digest

    @pytest.mark.parametrize(
        "changes", [{"split": "test"}, {"path": "z"}, {"sha256": digest("z")}, {"subject_id": "z"}, {"modality": "PT"}]
    )
    def test_it_depends_on_every_column(self, changes):
        assert manifest(replace(entry(), **changes)).digest != manifest(entry()).digest


class TestLocated:
    def test_the_file_is_compared_with_its_digest(self, tmp_path):
        file = tmp_path / "images" / "limb_1_mr.nii.gz"
        file.parent.mkdir()
        file.write_bytes(b"voxels")
        assert entry(sha256=digest_of(file)).located(tmp_path) == file

    def test_a_changed_file_is_refused(self, tmp_path):
        file = tmp_path / "x.nii"
        file.write_bytes(b"voxels")
        row = entry(path="x.nii", sha256=digest_of(file))
        file.write_bytes(b"voxelS")
        with pytest.raises(CohortError, match=r"limb_1 needs x.nii with SHA-256 .{12}…: found .{12}…. The file has ch"):
            row.located(tmp_path)

    def test_an_absent_file_is_named_without_the_data_root(self, tmp_path):
        with pytest.raises(CohortError, match=r"limb_1 needs images/limb_1_mr.nii.gz below the data root") as caught:
            entry().located(tmp_path)
        assert str(tmp_path) not in str(caught.value)

    def test_a_folder_is_compared_as_a_whole(self, tmp_path):
        folder = tmp_path / "study"
        folder.mkdir()
        (folder / "a").write_bytes(b"1")
        row = entry(path="study", sha256=digest_of(folder))
        assert row.located(tmp_path) == folder
        (folder / "b").write_bytes(b"2")
        with pytest.raises(CohortError, match=r"limb_1 needs its mr \(DICOM\) with SHA-256 .*A file in it has changed"):
            row.located(tmp_path)


class TestSeries:
    ROW: ClassVar = {"path": "study", "sha256": digest("study")}

    def test_a_table_may_say_which_series(self, tmp_path):
        rows = (entry(**self.ROW, series=3), entry(case_id="limb_2", subject_id="limb_2"))
        manifest(*rows).write(tmp_path / "limbs.yaml")
        lines = (tmp_path / "limbs.csv").read_text().splitlines()
        assert lines[0] == ",".join(COLUMNS) + ",series"
        assert (lines[1].split(",")[-1], lines[2].split(",")[-1]) == ("3", "")
        assert Manifest.read(tmp_path / "limbs.yaml").entries == rows

    def test_without_any_the_table_and_its_digest_are_what_they_were(self, tmp_path):
        manifest(entry()).write(tmp_path / "limbs.yaml")
        assert (tmp_path / "limbs.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
        row = ",".join(getattr(entry(), name) for name in COLUMNS)
        assert manifest(entry()).digest == hashlib.sha256(row.encode()).hexdigest()

    def test_the_digest_depends_on_it(self):
        digests = {manifest(entry(**self.ROW, series=series)).digest for series in (None, 1, 2)}
        assert len(digests) == 3

    @pytest.mark.parametrize("series", ["0", "-1", "1.5", "one", "1;2"])
    def test_it_is_an_index(self, tmp_path, series):
        table = HEADER.replace("\n", ",series\n") + line_of(entry()).replace("\n", f",{series}\n")
        assert f"line 2: series is '{series}'" in refusal(tmp_path, table)

    def test_it_is_counted_from_one(self):
        with pytest.raises(CohortError, match="limb_1: a series must be counted from 1: found 0"):
            manifest(entry(series=0))

    def test_one_series_in_two_splits_is_a_leak_two_series_of_a_folder_are_none(self):
        other = {**self.ROW, "case_id": "limb_2", "subject_id": "limb_2", "split": "test"}
        with pytest.raises(CohortError, match="one file is in two splits"):
            manifest(entry(**self.ROW, series=1), entry(**other, series=1))
        with pytest.raises(CohortError, match="one file is in two splits"):
            manifest(entry(**self.ROW), entry(**other, series=1))
        manifest(entry(**self.ROW, series=1), entry(**other, series=2))


class TestFiles:
    def test_what_is_written_is_read_back(self, tmp_path):
        # A path with a comma and quotes, names that a table program would read as a number or as nothing.
        rows = (
            *paired("007", "test"),
            entry(case_id="NA", subject_id="NA", path='a, "b"/ü.nii'),
            entry(case_id="1e5", subject_id="1e5"),
        )
        written = manifest(*rows)
        written.write(tmp_path / "new" / "limbs.yaml")
        assert Manifest.read(tmp_path / "new" / "limbs.yaml") == written
        assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["limbs.csv", "limbs.yaml"]

    def test_nothing_is_overwritten(self, tmp_path):
        manifest(entry()).write(tmp_path / "limbs.yaml")
        before = (tmp_path / "limbs.yaml").read_bytes()
        with pytest.raises(CohortError, match=r"never overwritten: limbs.yaml exists"):
            manifest(entry()).write(tmp_path / "limbs.yaml")
        (tmp_path / "limbs.yaml").unlink()
        with pytest.raises(CohortError, match=r"never overwritten: limbs.csv exists"):
            manifest(entry(case_id="limb_2")).write(tmp_path / "limbs.yaml")
        # A writer that was killed after the table starts again.
        manifest(entry()).write(tmp_path / "limbs.yaml")
        assert (tmp_path / "limbs.yaml").read_bytes() == before

    def test_a_manifest_is_named_yaml(self, tmp_path):
        with pytest.raises(CohortError, match=r"found the name limbs.csv"):
            manifest(entry()).write(tmp_path / "limbs.csv")
        assert os.listdir(tmp_path) == []

    def test_another_table_may_be_named(self, tmp_path):
        (tmp_path / "rows.csv").write_text(HEADER + line_of(entry()))
        assert read_text(tmp_path, None, YAML + "table: rows.csv\n").entries == (entry(),)

    @pytest.mark.parametrize("name", ["../rows.csv", "a/rows.csv", "/rows.csv", "''", "3", "[a]", "..", "a\\b.csv"])
    def test_a_table_lies_beside_its_manifest(self, tmp_path, name):
        assert "names its table by a file name beside it" in refusal(tmp_path, HEADER, YAML + f"table: {name}\n")

    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            ("- a\n", "must be a mapping with title, license, citation, obtain: found list"),
            ("title: [\n", "limbs.yaml must be YAML"),
            (b"\xff\xfe", "limbs.yaml must be YAML"),
            ("", "must be a mapping"),
            ("title: a\nlicense: 3\n", "limbs.yaml needs the text(s) license, citation, obtain"),
        ],
    )
    def test_facts(self, tmp_path, facts, message):
        assert message in refusal(tmp_path, HEADER, facts)

    def test_absent_files(self, tmp_path):
        with pytest.raises(CohortError, match=r"needs a file limbs.yaml: there is none"):
            Manifest.read(tmp_path / "limbs.yaml")
        assert "needs its table limbs.csv beside it: there is none" in refusal(tmp_path, None)

    @pytest.mark.parametrize(
        "table",
        [b"\xef\xbb\xbf" + (HEADER + line_of(entry())).encode(), (HEADER + line_of(entry())).replace("\n", "\r\n")],
        ids=["byte order mark", "line ends of Windows"],
    )
    def test_tables_of_spreadsheet_programs(self, tmp_path, table):
        assert read_text(tmp_path, table).entries == (entry(),)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("", "limbs.csv must be a CSV table"),
            (HEADER.encode() + b"\xff", "limbs.csv must be a CSV table"),
            (HEADER + line_of(entry()) + "a,b,c,d,e,f,g,h,i\n", "limbs.csv must be a CSV table: .*line 3"),
            (HEADER + line_of(entry()).replace("\n", ",\n"), "more values than columns: is there a comma at their end"),
            (HEADER.replace(",path", "") + "\n", r"columns must be case_id.*\(path\)"),
            (HEADER.replace("\n", ",age\n") + "\n", r"columns must be case_id.*\(age\)"),
            (HEADER.replace("\n", ",path\n") + "\n", r"columns must be case_id.*\(path.1\)"),
        ],
    )
    def test_tables_that_are_none(self, tmp_path, table, message):
        assert re.search(message, refusal(tmp_path, table), re.DOTALL)

    def test_values_are_named_with_their_line(self, tmp_path):
        # Line 3 is blank and counts.
        table = HEADER + line_of(entry()) + "\n" + line_of(replace(entry(), case_id="limb 2", split="tst"))
        message = refusal(tmp_path, table)
        assert "line 4: case_id is 'limb 2'" in message
        assert "line 4: split is 'tst', against isin(('train', 'validation', 'test'))" in message

    def test_all_faults_of_a_table_at_once(self, tmp_path):
        table = HEADER + "".join(
            line_of(row)
            for row in (
                entry(modality="mr", quantity="hu"),
                entry(path="../x", sha256="0"),
                entry(case_id="limb_2", subject_id="limb_1", split="test", path="/y"),
            )
        )
        message = refusal(tmp_path, table)
        for part in ("'mr'", "'hu'", "'../x'", "'0'", "'/y'", "two images of domain 'mr'", "splits test and train"):
            assert part in message
        assert message.startswith("limbs.csv has 7 fault(s)")

    def test_a_short_row_is_not_filled_in(self, tmp_path):
        assert "line 2: sha256 is ''" in refusal(tmp_path, HEADER + "limb_1,limb_1,train,mr,MR,mr_signal,x.nii\n")
