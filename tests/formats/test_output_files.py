import errno
import os
import stat

import pytest

from medgan.errors import OutputError
from medgan.formats.output import require_absent, staged_path, write_bytes, write_with


def test_bytes_arrive_whole_and_nothing_else_is_left(tmp_path):
    path = write_bytes(tmp_path / "a.json", b"{}")
    assert path.read_bytes() == b"{}"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_permissions_follow_the_umask_and_not_those_of_temporary_files(tmp_path):
    before = os.umask(0o022)
    try:
        path = write_bytes(tmp_path / "a.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_temporary_path_keeps_the_suffix_and_lies_in_the_same_folder(tmp_path):
    with staged_path(tmp_path / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        assert not (tmp_path / "figure.png").exists()
        temporary.write_bytes(b"x")
    assert (tmp_path / "figure.png").read_bytes() == b"x"


def test_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a\.nii\.gz exists.*--overwrite"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"


def test_failed_overwriting_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"old")

    def fails(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(OutputError, match="the disk is full") as caught:
        write_with(path, fails, overwrite=True)
    assert str(tmp_path) not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


def test_other_errors_pass_through_and_leave_nothing(tmp_path):
    def fails(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_with(tmp_path / "a.nii", fails)
    assert list(tmp_path.iterdir()) == []


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(OutputError, match="exists"):
        write_with(path, lambda file: path.write_bytes(b"another program's"))
    assert path.read_bytes() == b"another program's"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_dangling_link_counts_as_existing(tmp_path):
    (tmp_path / "a.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists"):
        write_bytes(tmp_path / "a.json", b"")


def test_folder_is_never_replaced(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OutputError, match=r"place of a folder: a\.json"):
        write_bytes(tmp_path / "a.json", b"", overwrite=True)


def test_missing_folder_is_named_as_the_reason(tmp_path):
    with pytest.raises(OutputError, match=r"a\.json cannot be written: its folder does not exist") as caught:
        write_bytes(tmp_path / "missing" / "a.json", b"")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.EACCES, "not permitted"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_unwritable_folder_gives_one_sentence(tmp_path, monkeypatch, code, sentence):
    def refuses(path, flags, mode=0o777):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr("medgan.formats.output.os.open", refuses)
    with pytest.raises(OutputError, match=sentence) as caught:
        write_bytes(tmp_path / "a.json", b"")
    assert str(tmp_path) not in str(caught.value)


def test_too_long_name_gives_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="too long"):
        write_bytes(tmp_path / ("a" * 300 + ".json"), b"")


def test_require_absent_names_the_first_files_and_counts_the_rest(tmp_path):
    paths = [tmp_path / f"{n}.nii" for n in range(8)]
    require_absent(paths)
    for path in paths:
        path.touch()
    with pytest.raises(OutputError, match=r"0\.nii, 1\.nii, 2\.nii, 3\.nii, 4\.nii and 3 more exists"):
        require_absent(paths)
    require_absent(paths, overwrite=True)
