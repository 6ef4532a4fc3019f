"""The page about prostate lesions says nothing that the studies' own tables do not say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "prostate.md").read_text(encoding="utf-8")
TABLES = "\n".join((DOCS / f"prostate_{name}.md").read_text(encoding="utf-8") for name in ("phantom", "tumors"))
RESULTS = PAGE[PAGE.index("### Phantoms") : PAGE.index("## On a real prostate study")]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_every_row_is_one_of_the_studies():
    known = set(rows(TABLES))
    found = rows(RESULTS)
    assert len(found) > 60
    assert [row for row in found if row not in known] == []


def test_a_row_that_no_study_has_would_be_seen():
    changed = [row.replace("0.568", "0.668") for row in rows(RESULTS)]
    assert set(changed) - set(rows(TABLES))


def test_every_number_in_the_text_is_in_a_table():
    text = "\n".join(line for line in RESULTS.splitlines() if not line.startswith("|"))
    numbers = re.findall(r"(?<![\d.])(?:0?\.\d{2,}|\d\.\d{2,})", text)
    assert len(numbers) > 5
    assert [n for n in numbers if n.lstrip("0") not in TABLES] == []


@pytest.mark.parametrize("name", ["phantom", "tumors"])
def test_the_tables_are_of_a_finished_study_and_hold_its_claims(name):
    text = (DOCS / f"prostate_{name}.md").read_text(encoding="utf-8")
    for words in ("adversarial − cross-entropy", "hybrid − cross-entropy", "## Trainings", "ECE before"):
        assert words in text


def test_the_curve_is_a_small_picture():
    path = DOCS / "prostate_curve.png"
    assert path.stat().st_size < 100_000
    with Image.open(path) as picture:
        assert picture.width > 400
    assert "](prostate_curve.png)" in PAGE
