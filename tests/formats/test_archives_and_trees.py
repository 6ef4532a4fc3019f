"""Files are found in folders, archives and DICOM directories; nothing outside of them is ever touched."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
from dicom_phantoms import series_of

from medgan.errors import FormatError
from medgan.formats.archive import is_archive, members_of
from medgan.formats.dicom_directory import listed_files
from medgan.formats.file_tree import file_tree
from medgan.formats.stored_file import DiskFile, natural_key
from medgan.phantoms.dicom_folder import write_file_set


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_in_place(tmp_path, method):
    data = {"b/s10": os.urandom(700_000), "b/s9": b"abc" * 1000, "empty": b""}
    members, refused = members_of(zipped(tmp_path / "a.zip", data, method))
    assert refused == []
    assert [(m.folder, m.name) for m in members] == [("b", "s9"), ("b", "s10"), (".", "empty")]
    for member in members:
        assert member.content() == data[member.inner]
        assert member.head(100) == data[member.inner][:100]
        assert member.head(10**9) == data[member.inner]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..\\x", "C:\\x", "c:x", "a\\..\\..\\x"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    members, refused = members_of(zipped(tmp_path / "a.zip", {name: b"1", "fine": b"2"}))
    assert [m.name for m in members] == ["fine"]
    assert refused == ["1 members of the archive have names that lead out of the archive: they are never read."]


def test_other_compressions_and_encrypted_members_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x": b"1" * 100}, zipfile.ZIP_LZMA)
    assert members_of(path)[0] == []
    assert "another method than deflate" in members_of(path)[1][0]
    data = bytearray(zipped(tmp_path / "b.zip", {"x": b"1" * 100}).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    assert "encrypted" in members_of(tmp_path / "b.zip")[1][0]


def test_damaged_members_are_refused_by_name(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x.dcm": os.urandom(5000)})
    data = bytearray(path.read_bytes())
    data[2000] ^= 255
    path.write_bytes(data)
    (member,), _ = members_of(path)
    with pytest.raises(FormatError, match=r"x\.dcm: the member of the archive is damaged"):
        member.content()


def test_a_member_that_declares_more_than_it_can_hold_is_refused_before_memory_is_taken(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x.dcm": b"1" * 5000})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)
    (member,), _ = members_of(path)
    with pytest.raises(FormatError, match="declares more bytes"):
        member.content()
    assert member.head(100) == b"1" * 100


@pytest.mark.parametrize("data", [b"PK\x03\x04" + bytes(50), b"PK\x05\x06" + b"\xff" * 18, b"PK\x03\x04"])
def test_a_damaged_archive_is_one_sentence(tmp_path, data):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert is_archive(data)
    with pytest.raises(FormatError, match=r"^a\.zip is a damaged zip archive: copy it again\.$"):
        members_of(path)


def test_a_tree_is_walked_once_in_natural_order_links_followed_but_not_in_circles(tmp_path):
    for name in ("b/s10", "b/s9", "a/x", "top"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "linked").write_text("1")
    (tmp_path / "in" / "link").symlink_to(outside)
    (tmp_path / "in" / "b" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "b" / "same").symlink_to(tmp_path / "in" / "top")
    (tmp_path / "in" / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in" / "pipe")
    tree = file_tree([tmp_path / "in", tmp_path / "in" / "top"])
    assert [file.name for file in tree.files] == ["top", "x", "s9", "s10", "linked"]


def test_paths_that_are_not_there_or_no_files_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"^absent does not exist"):
        file_tree([tmp_path / "absent"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match=r"^pipe is not a regular file"):
        file_tree([tmp_path / "pipe"])


def test_a_file_without_permission_is_told(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("1")
    file = DiskFile(tmp_path / "x", 1)

    def denied(self, *args, **kwargs):
        raise PermissionError

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(FormatError, match="x may not be read"):
        file.head(10)


def test_a_directory_lists_its_files_and_what_is_missing(tmp_path):
    directory = write_file_set(series_of(), tmp_path / "set")
    files, missing, outside = listed_files(directory)
    assert (len(files), missing, outside) == (6, 0, 0)
    files[2].unlink()
    assert listed_files(directory)[1] == 1
    tree = file_tree([directory])
    assert len(tree.files) == 5
    assert tree.refused == [
        ("missing_files", "DICOMDIR", "The DICOMDIR lists 1 files that are not there: copy the whole medium.")
    ]


def test_a_directory_finds_files_copied_with_other_capitals_and_versions(tmp_path):
    directory = write_file_set(series_of(), tmp_path / "set")
    for file in listed_files(directory)[0]:
        file.rename(file.with_name(file.name.lower() + ";1"))
    files, missing, _ = listed_files(directory)
    assert (len(files), missing) == (6, 0)


def test_a_directory_that_points_outside_is_not_followed(tmp_path):
    directory = write_file_set(series_of(), tmp_path / "set")
    inner = listed_files(directory)[0][0].relative_to(directory.parent).parts
    data = directory.read_bytes()
    name = "\\".join(inner).encode()
    assert data.count(name) == 1
    directory.write_bytes(data.replace(name, b"..\\..\\outsid".ljust(len(name), b"e")[: len(name)]))
    _, _, outside = listed_files(directory)
    assert outside == 1
    assert any("outside its own folder" in sentence for _, _, sentence in file_tree([directory]).refused)


def test_what_is_no_directory_is_refused(tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(series_of().slices[0].as_bytes)
    ((kind, name, sentence),) = file_tree([tmp_path / "DICOMDIR"]).refused
    assert (kind, name) == ("archive", "DICOMDIR")
    assert "is no DICOMDIR" in sentence


def test_natural_keys_compare_any_names():
    names = ["a10", "a9", "10", "9", "a", "", "a-1", "\N{SUPERSCRIPT TWO}x"]
    assert sorted(names, key=natural_key)[:3] == ["", "9", "10"]
