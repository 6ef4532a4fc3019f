from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from medgan.commands.study_lock import LOCK, finished_look, opened_look, read_looks
from medgan.errors import CohortError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def look(folder, *, models=None, config="c" * 64):
    return opened_look(
        folder,
        models=models or {"run": "a" * 64},
        config_sha256=config,
        manifest_sha256="m" * 64,
        table=folder / "measures.json",
        now=NOW,
    )


def finish(folder, text="{}"):
    from medgan.cohort.manifest import digest_of

    (folder / "measures.json").write_text(text)
    finished_look(folder, table_sha256=digest_of(folder / "measures.json"))


def test_the_first_look_is_written_before_anything_is_read(tmp_path):
    found, is_new = look(tmp_path)
    assert (is_new, found.reason, found.time) == (True, "first look", "2026-01-02T03:04:05+00:00")
    stored = json.loads((tmp_path / LOCK).read_text())["looks"]
    assert stored[0]["models"] == {"run": "a" * 64}
    assert stored[0]["table_sha256"] is None


def test_an_interrupted_evaluation_goes_on_within_its_look(tmp_path):
    look(tmp_path)
    assert look(tmp_path)[1] is False
    finish(tmp_path)
    found, is_new = look(tmp_path)
    assert is_new is False
    assert found.table_sha256 is not None
    assert len(read_looks(tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"models": {"run": "b" * 64}}, "other models"), ({"config": "d" * 64}, "another configuration or manifest")],
)
def test_other_models_or_settings_are_a_second_look(tmp_path, change, reason):
    look(tmp_path)
    finish(tmp_path)
    found, is_new = look(tmp_path, **change)
    assert (is_new, found.reason) == (True, reason)
    assert [one.reason for one in read_looks(tmp_path)] == ["first look", reason]


def test_other_models_are_a_second_look_even_before_the_first_one_is_finished(tmp_path):
    look(tmp_path)
    assert look(tmp_path, models={"run": "b" * 64})[0].reason == "other models"


def test_a_table_that_is_gone_or_changed_is_a_second_look(tmp_path):
    look(tmp_path)
    finish(tmp_path)
    (tmp_path / "measures.json").unlink()
    assert look(tmp_path)[0].reason == "the finished table was gone"
    finish(tmp_path)
    (tmp_path / "measures.json").write_text('{"better": 1}')
    assert look(tmp_path)[0].reason == "the finished table had been changed"
    assert len(read_looks(tmp_path)) == 3


def test_a_table_without_a_record_is_said_so(tmp_path):
    (tmp_path / "measures.json").write_text("{}")
    assert look(tmp_path)[0].reason == "the table was there without a record"


def test_a_damaged_record_is_refused_and_not_begun_anew(tmp_path):
    (tmp_path / LOCK).write_text('{"looks": [{"time": 1}]}')
    with pytest.raises(CohortError, match="must not be removed"):
        look(tmp_path)
