from __future__ import annotations

import os

import pytest

from medgan.errors import OutputError
from medgan.formats import made_folder


def test_a_folder_is_made_with_its_parents_or_kept(tmp_path):
    deep = tmp_path / "a" / "b"
    assert made_folder(deep) == deep
    (deep / "x").write_text("kept")
    assert made_folder(str(deep)) == deep
    assert (deep / "x").read_text() == "kept"


def test_a_file_in_the_way_is_named_without_its_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"^taken is a file: a folder is needed there. Choose another name.$"):
        made_folder(tmp_path / "taken")
    with pytest.raises(OutputError, match=r"^Folder b cannot be made: its folder is not a folder: choose another.$"):
        made_folder(tmp_path / "taken" / "b")
    with pytest.raises(OutputError, match="its name is too long"):
        made_folder(tmp_path / ("x" * 300))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="writing there is not permitted"):
        made_folder(tmp_path / "b")
