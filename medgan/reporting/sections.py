"""Parts of a report: frozen records that say what is shown, not how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from medgan.errors import ReportError
from medgan.reporting.viewer import ViewerSection


@dataclass(frozen=True)
class TextSection:
    """Paragraphs of plain text."""

    kind: ClassVar[str] = "text"
    title: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class KeyFacts:
    """Pairs of a name and a value, such as the number of cases or the version."""

    kind: ClassVar[str] = "facts"
    title: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class WarningSection:
    """What a reader must know before believing the numbers."""

    kind: ClassVar[str] = "warning"
    title: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class TableSection:
    """A table of text; the first column is set left, the others right.

    Raises
    ------
    ReportError
        If a row has another number of cells than there are columns.
    """

    kind: ClassVar[str] = "table"
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: frozenset[int] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise ReportError(
                    f"Table {self.title!r} has {len(self.columns)} columns: found {len(row)} cells in row {number}."
                )


@dataclass(frozen=True)
class FigureSection:
    """A PNG that is embedded in the page.

    Parameters
    ----------
    title : str
    png : bytes
    alternative : str
        What the image shows, for those who cannot see it.
    caption : str

    Raises
    ------
    ReportError
        If the bytes are not a PNG, or there is no alternative text.
    """

    kind: ClassVar[str] = "figure"
    title: str
    png: bytes
    alternative: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ReportError(f"Figure {self.title!r} must be a PNG: found other bytes.")
        if not self.alternative.strip():
            raise ReportError(f"Figure {self.title!r} needs a text that says what it shows.")


Section = TextSection | KeyFacts | WarningSection | TableSection | FigureSection | ViewerSection
