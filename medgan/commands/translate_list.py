"""Which images a cohort's translation is about: a release's manifest, or a plain table of images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.errors import CohortError

if TYPE_CHECKING:
    from medgan.cohort import CaseEntry

REQUIRED = ("case_id", "path")
OPTIONAL = ("subject_id", "modality", "series", "split", "domain", "quantity", "sha256")
_IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class ListedImage:
    """One image to translate.

    Attributes
    ----------
    case_id, subject_id : str
        Pseudonyms; the case names the outputs.
    file : Path
        Where it lies; it need not exist, that is found out when it is its turn.
    series : int or None
    modality : str or None
        As the table says, in lower case.
    entry : CaseEntry or None
        Its row in a release's manifest, whose digest must match.
    """

    case_id: str
    subject_id: str
    file: Path
    series: int | None = None
    modality: str | None = None
    entry: CaseEntry | None = None

    def located(self, data_root: Path) -> Path:
        """Return the file, after comparing its digest where a manifest gives one."""
        return self.file if self.entry is None else self.entry.located(data_root)


def listed_images(table: Path, *, domain: str, data_root: Path | None) -> tuple[tuple[ListedImage, ...], Path]:
    """Return the images of a list, and the folder that their paths start from.

    Parameters
    ----------
    table : Path
        ``.yaml``: a manifest, of which the images of the model's source domain count. ``.csv``: columns ``case_id`` and
        ``path``, and those of a manifest's table that it has; rows of other domains do not count.
    domain : str
        The model's source domain.
    data_root : Path or None
        Folder that paths start from; the list's own if None.

    Raises
    ------
    CohortError
        If the list is not one, holds no image of the domain, or names a case twice; with every fault at once.
    """
    root = data_root or table.parent
    if table.suffix.lower() in (".yaml", ".yml"):
        images = _of_manifest(table, domain, root)
    else:
        images = _of_table(table, domain, root)
    if not images:
        raise CohortError(
            f"A cohort needs images of domain {domain!r}, which the model translates: {table.name} has none."
        )
    return images, root


def _of_manifest(path: Path, domain: str, root: Path) -> tuple[ListedImage, ...]:
    from medgan.cohort import Manifest

    return tuple(
        ListedImage(e.case_id, e.subject_id, root / e.path, e.series, e.modality.lower(), e)
        for e in Manifest.read(path).select(domain=domain)
    )


def _of_table(path: Path, domain: str, root: Path) -> tuple[ListedImage, ...]:
    from medgan.commands.case_table import read_case_table

    rows = read_case_table(path, required=REQUIRED, optional=OPTIONAL)
    faults, images = [], []
    for line, row in rows:
        if row.get("domain", domain) not in ("", domain):
            continue
        series = row.get("series", "")
        if not re.fullmatch(_IDENTIFIER, row["case_id"]):
            faults.append(f"line {line}: a case_id names files and must match {_IDENTIFIER}: found {row['case_id']!r}")
        if not row["path"]:
            faults.append(f"line {line}: case {row['case_id']} has no path")
        if series and not re.fullmatch(r"[1-9][0-9]{0,5}", series):
            faults.append(f"line {line}: a series is counted from 1: found {series!r}")
            continue
        images.append(
            ListedImage(
                row["case_id"],
                row.get("subject_id") or row["case_id"],
                root / row["path"],
                int(series) if series else None,
                row.get("modality", "").lower() or None,
            )
        )
    faults += _twice(images)
    if faults:
        raise CohortError(f"{path.name} has {len(faults)} fault(s):\n- " + "\n- ".join(faults))
    return tuple(images)


def _twice(images: Sequence[ListedImage]) -> list[str]:
    # Compared without case: some disks do not tell names apart by it.
    seen: set[str] = set()
    twice = []
    for image in images:
        if image.case_id.lower() in seen:
            twice.append(f"case {image.case_id} is named more than once")
        seen.add(image.case_id.lower())
    return twice
