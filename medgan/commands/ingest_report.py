"""What became of every image of a cohort: a table, and a page with thumbnails."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medgan.cohort import Case, CaseEntry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from medgan.preprocessing.recipe import Recipe
    from medgan.reporting.sections import Section

Verdict = Literal["accepted", "corrected", "refused"]
TILES_A_SHEET = 40
COLUMNS = (
    "case_id",
    "subject_id",
    "split",
    "domain",
    "modality",
    "verdict",
    "reasons",
    "quantity",
    "shape",
    "spacing",
    "unit",
    "body_share",
    "prepared_digest",
)
TONES = {"accepted": "plain", "corrected": "amber", "refused": "red"}


@dataclass(frozen=True, eq=False)
class IngestRow:
    """One image and what became of it.

    Parameters
    ----------
    case_id, subject_id, split, domain, modality : str
        As in the manifest.
    verdict : str
        ``corrected`` where a reader or a stage has something to say about it.
    reasons : tuple of str
        One sentence each.
    quantity, shape, spacing, unit : optional
        Of the prepared image; None if it is refused.
    body_share : float, optional
        Share of the prepared image that is body, where the recipe finds one.
    prepared_digest : str, optional
        Digest of its provenance: same file and same recipe, same digest.
    is_synthetic : bool
    thumbnail : (rows, columns) uint8, optional
    """

    case_id: str
    subject_id: str
    split: str
    domain: str
    modality: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    quantity: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    unit: str | None = None
    body_share: float | None = None
    prepared_digest: str | None = None
    is_synthetic: bool = False
    thumbnail: npt.NDArray[np.uint8] | None = None

    @classmethod
    def refused(cls, entry: CaseEntry, reason: str) -> IngestRow:
        """Return the row of an image that is not in the store."""
        return cls(entry.case_id, entry.subject_id, entry.split, entry.domain, entry.modality, "refused", (reason,))

    @classmethod
    def prepared(cls, entry: CaseEntry, case: Case) -> IngestRow:
        """Return the row of an image that is in the store."""
        from medgan.commands.pictures import shown_window
        from medgan.reporting.contact_sheet import thumbnail

        image, body = case.image, case.labels.get("body")
        return replace(
            cls.refused(entry, ""),
            verdict="corrected" if case.notices else "accepted",
            reasons=case.notices,
            quantity=image.quantity.label,
            shape=image.shape,
            spacing=tuple(round(s, 6) for s in image.grid.spacing),  # type: ignore[arg-type]
            unit=image.grid.unit,
            body_share=None if body is None else round(float(body.mask().mean()), 4),
            prepared_digest=image.provenance.digest,
            is_synthetic=image.provenance.is_synthetic,
            thumbnail=thumbnail(image, window=shown_window(image), mask=body),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the thumbnail as JSON values."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def write_ingest_report(
    rows: Sequence[IngestRow], *, folder: Path, name: str, title: str, recipes: Mapping[str, Recipe]
) -> dict[str, Path]:
    """Write ``ingest_NAME.csv`` and ``.html`` and return their paths; those of an earlier run are replaced.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from medgan.formats import write_bytes
    from medgan.reporting.report import render_report

    paths = {suffix: folder / f"ingest_{name}.{suffix}" for suffix in ("csv", "html")}
    page = render_report(title, _sections(rows, recipes), subtitle="medgan preprocess")
    # They say what is in the store now: a run that continues another one takes their place.
    write_bytes(paths["csv"], _csv(rows).encode(), overwrite=True)
    write_bytes(paths["html"], page.encode(), overwrite=True)
    return paths


def _csv(rows: Sequence[IngestRow]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([_cell(getattr(row, column)) for column in COLUMNS] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(value) if value and isinstance(value[0], str) else " x ".join(f"{n:g}" for n in value)
    return str(value)


def _sections(rows: Sequence[IngestRow], recipes: Mapping[str, Recipe]) -> list[Section]:
    from medgan.reporting.sections import KeyFacts, TableSection, WarningSection

    number = {verdict: sum(row.verdict == verdict for row in rows) for verdict in TONES}
    facts = {
        "Images": f"{len(rows)} of {len({row.subject_id for row in rows})} subjects",
        "Accepted": str(number["accepted"]),
        "Corrected": f"{number['corrected']} (prepared; something was corrected, replaced or assumed)",
        "Refused": f"{number['refused']} (not prepared)",
        **{
            f"Recipe of {domain}": f"{', '.join(stage.stage for stage in recipe.stages)} "
            f"(SHA-256 {recipe.digest[:16]}…)"
            for domain, recipe in recipes.items()
        },
    }
    sections: list[Section] = [KeyFacts("In short", facts)]
    refused = [row for row in rows if row.verdict == "refused"]
    if refused:
        words = [f"{row.case_id} ({row.domain}, {row.split}): {' '.join(row.reasons)}" for row in refused]
        sections.append(WarningSection("Refused", words))
    corrected = [row for row in rows if row.verdict == "corrected"]
    if corrected:
        cells = [(row.case_id, row.domain, " ".join(row.reasons)) for row in corrected]
        sections.append(
            TableSection("Corrected", ("Case", "Domain", "What was done"), cells, text_columns=frozenset({1, 2}))
        )
    return [*sections, *_sheets(rows), _table(rows)]


def _sheets(rows: Sequence[IngestRow]) -> list[Section]:
    from medgan.reporting.contact_sheet import Tile, contact_sheet
    from medgan.reporting.sections import FigureSection

    tiles = [
        Tile(
            f"{row.case_id}, {row.domain}",
            f"{row.verdict}, {row.split}" + (", SYNTHETIC" if row.is_synthetic else ""),
            row.thumbnail,
            TONES[row.verdict],
        )
        for row in rows
    ]
    sheets: list[Section] = []
    for start in range(0, len(tiles), TILES_A_SHEET):
        sheet = tiles[start : start + TILES_A_SHEET]
        numbers = "" if len(tiles) <= TILES_A_SHEET else f", {start + 1} to {start + len(sheet)}"
        sheets.append(
            FigureSection(
                f"Prepared images{numbers}",
                contact_sheet(sheet),
                f"Thumbnails of {len(sheet)} images: {', '.join(tile.title for tile in sheet)}",
                "Axial and coronal slices through the middle of the body, the right side at the left; specimens: a "
                "section and a side view. Empty frames were refused.",
            )
        )
    return sheets


def _table(rows: Sequence[IngestRow]) -> Section:
    from medgan.reporting.sections import TableSection
    from medgan.reporting.tables import MISSING

    def text(value: Any) -> str:
        return _cell(value) or MISSING

    cells = [
        (
            row.case_id,
            row.domain,
            row.split,
            row.verdict,
            text(row.shape),
            f"{text(row.spacing)} {row.unit or ''}".strip(),
            MISSING if row.body_share is None else f"{100 * row.body_share:.0f} %",
        )
        for row in rows
    ]
    columns = ("Case", "Domain", "Split", "Verdict", "Voxels", "Spacing", "Body")
    return TableSection("All images", columns, cells, text_columns=frozenset({1, 2, 3}))
