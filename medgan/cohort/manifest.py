"""The release a study draws on: one YAML file of facts and one CSV row an image."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from medgan.cohort.source_digest import digest_of
from medgan.cohort.split import SPLITS, split_faults
from medgan.errors import CohortError, VolumeError
from medgan.formats.byte_stream import sha256_of
from medgan.formats.files import is_supported
from medgan.volume import Quantity

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("case_id", "subject_id", "split", "domain", "modality", "quantity", "path", "sha256")
SERIES = "series"
"""A column that a table may have, for rows whose path holds several images."""
FACTS = ("title", "license", "citation", "obtain")
_IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
# No dot: prepared cases are kept under <case>.<domain>, and two cases must never share that name.
_DOMAIN = r"[A-Za-z0-9][A-Za-z0-9_-]*"
_MODALITY = r"[A-Z]{2,4}"
_DIGEST = r"[0-9a-f]{64}"
_INDEX = r"[1-9][0-9]{0,5}"


@dataclass(frozen=True)
class CaseEntry:
    """One image of a release: who, which split and domain, what it measures, where it lies, and its digest.

    Parameters
    ----------
    case_id, subject_id : str
        Pseudonyms.
    split, domain, modality, quantity : str
    path : str
        Relative to the data root, in POSIX form: an image file, or a folder, zip or DICOMDIR with DICOM.
    sha256 : str
        As :func:`~medgan.cohort.source_digest.digest_of` gives it. That of a header alone (.mhd, .nhdr, .hdr) is taken,
        too: tables were written so.
    series : int, optional
        Which image of a folder, zip or DICOMDIR that holds several, as ``medgan inspect`` numbers them.
    """

    case_id: str
    subject_id: str
    split: str
    domain: str
    modality: str
    quantity: str
    path: str
    sha256: str
    series: int | None = None

    @property
    def label(self) -> str:
        """What messages call the image: its path, but folders and archives of DICOM, which often bear a name."""
        return self.path if is_supported(self.path) else f"its {self.domain} (DICOM)"

    def located(self, data_root: Path) -> Path:
        """Return the file or folder of this entry after comparing its digest.

        Raises
        ------
        CohortError
            If it is absent or is not what the manifest means.
        FormatError
            If it cannot be read.
        """
        file = data_root / self.path
        if not file.exists():
            raise CohortError(f"Case {self.case_id} needs {self.label} below the data root: there is no such file.")
        if file.is_file() and sha256_of(file) == self.sha256:
            return file
        found = digest_of(file)
        if found != self.sha256:
            raise CohortError(
                f"Case {self.case_id} needs {self.label} with SHA-256 {self.sha256[:12]}…: found {found[:12]}…. "
                f"{'A file in it' if file.is_dir() else 'The file'} has changed since the manifest was written; "
                "restore it or write the manifest anew."
            )
        return file


@dataclass(frozen=True)
class Manifest:
    """A release: its facts and its images, checked as a whole.

    Raises
    ------
    CohortError
        On construction, with every fault listed at once: unknown splits or quantities, names and digests that are
        none, paths that are absolute or climb out of the data root, a case with two images of one domain or of two
        subjects, a subject or a file in two splits.
    """

    title: str
    license: str
    citation: str
    obtain: str
    entries: tuple[CaseEntry, ...]

    def __post_init__(self) -> None:
        faults = [*_value_faults(self.entries), *_relation_faults(self.entries)]
        if faults:
            raise CohortError(f"Manifest {self.title!r} has {len(faults)} fault(s):\n- " + "\n- ".join(faults))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read ``<release>.yaml`` and the CSV table it names (by default the file of the same stem).

        Raises
        ------
        CohortError
            If a file is absent or a fact or column is missing, or with every fault of the rows at once.
        """
        import yaml

        if not path.is_file():
            raise CohortError(f"A manifest needs a file {path.name}: there is none.")
        try:
            facts = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CohortError(f"{path.name} must be YAML: {str(error).splitlines()[0]}.") from None
        if not isinstance(facts, dict):
            raise CohortError(f"{path.name} must be a mapping with {', '.join(FACTS)}: found {type(facts).__name__}.")
        missing = [name for name in FACTS if not isinstance(facts.get(name), str)]
        if missing:
            raise CohortError(f"{path.name} needs the text(s) {', '.join(missing)}.")
        table = path.with_name(_table_name(facts.get("table", f"{path.stem}.csv"), path))
        return cls(**{name: facts[name] for name in FACTS}, entries=_read_table(table))

    def write(self, path: Path) -> None:
        """Write ``<release>.yaml`` and ``<release>.csv`` beside it; nothing is overwritten.

        Raises
        ------
        CohortError
            If the name does not end in .yaml or .yml, or one of the files exists with other content.
        """
        import pandas as pd
        import yaml

        if path.suffix not in (".yaml", ".yml"):
            raise CohortError(f"A manifest is a YAML file with a CSV table beside it: found the name {path.name}.")
        table = path.with_suffix(".csv")
        columns = [*COLUMNS, *([SERIES] if any(entry.series is not None for entry in self.entries) else [])]
        rows = [{name: _text(getattr(entry, name)) for name in columns} for entry in self.entries]
        facts = {**{name: getattr(self, name) for name in FACTS}, "table": table.name}
        texts = {
            # The table first: a manifest is there when its YAML is, and a killed writer may start again.
            table: pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n"),
            path: yaml.safe_dump(facts, sort_keys=False, allow_unicode=True),
        }
        if path.exists() or (table.exists() and table.read_bytes() != texts[table].encode()):
            name = path.name if path.exists() else table.name
            raise CohortError(f"A manifest is never overwritten: {name} exists.")
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            temporary.write_bytes(text.encode())
            temporary.replace(file)

    def select(self, *, split: str | None = None, domain: str | None = None) -> tuple[CaseEntry, ...]:
        """Return the entries of one split and domain, in the manifest's order."""
        return tuple(e for e in self.entries if split in (None, e.split) and domain in (None, e.domain))

    def pairs(self, *, split: str, source: str, target: str) -> tuple[tuple[CaseEntry, CaseEntry], ...]:
        """Return (source, target) entries of the cases of a split that have both domains."""
        targets = {e.case_id: e for e in self.select(split=split, domain=target)}
        return tuple((e, targets[e.case_id]) for e in self.select(split=split, domain=source) if e.case_id in targets)

    @property
    def digest(self) -> str:
        """SHA-256 over all rows, in hexadecimal; independent of their order."""
        # A row without a series has the digest that it had before there were any.
        rows = sorted(
            ",".join([*(getattr(e, name) for name in COLUMNS), *([] if e.series is None else [str(e.series)])])
            for e in self.entries
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value)


def _table_name(found: object, path: Path) -> str:
    if not isinstance(found, str) or found in ("", ".", "..") or re.search(r"[/\\]", found):
        raise CohortError(f"{path.name} names its table by a file name beside it, without a folder: found {found!r}.")
    return found


def _read_table(table: Path) -> tuple[CaseEntry, ...]:
    import pandas as pd

    if not table.is_file():
        raise CohortError(f"A manifest needs its table {table.name} beside it: there is none.")
    try:
        frame = pd.read_csv(table, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise CohortError(f"{table.name} must be a CSV table: {str(error).strip().removesuffix('.')}.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas takes surplus values for row names and shifts the columns.
        raise CohortError(f"{table.name} has rows with more values than columns: is there a comma at their end?")
    # Blank lines are no rows, but they count in the lines of messages.
    frame = frame[(frame != "").any(axis=1)]
    columns, values = _schema_faults(frame)
    if columns:
        raise CohortError(f"{table.name} has {len(columns)} fault(s):\n- " + "\n- ".join(columns))
    entries = tuple(
        CaseEntry(**{name: row[name] for name in COLUMNS}, series=_series_of(row.get(SERIES, "")))
        for row in frame.to_dict("records")
    )
    if values:
        faults = [*values, *_relation_faults(entries)]
        raise CohortError(f"{table.name} has {len(faults)} fault(s):\n- " + "\n- ".join(faults))
    return entries


def _series_of(text: str) -> int | None:
    return int(text) if re.fullmatch(_INDEX, text) else None


def _schema_faults(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Check columns and single values with pandera; return the faults of columns, and those of values with lines."""
    import pandera.pandas as pa

    text: Any = lambda pattern: pa.Column(str, pa.Check.str_matches(f"^(?:{pattern})$"))  # noqa: E731
    schema = pa.DataFrameSchema(
        {
            "case_id": text(_IDENTIFIER),
            "subject_id": text(_IDENTIFIER),
            "split": pa.Column(str, pa.Check.isin(SPLITS)),
            "domain": text(_DOMAIN),
            "modality": text(_MODALITY),
            "quantity": pa.Column(str, pa.Check.isin([q.label for q in Quantity])),
            "path": text(".+"),
            "sha256": text(_DIGEST),
            SERIES: pa.Column(str, pa.Check.str_matches(f"^(?:{_INDEX})?$"), required=False),
        },
        strict=True,
    )
    columns, values = [], []
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        for case in error.failure_cases.to_dict("records"):
            if case["index"] is None or case["index"] != case["index"]:
                columns.append(f"columns must be {', '.join(COLUMNS)}: {case['check']} ({case['failure_case']})")
            else:
                # Line 1 is the header, and people count lines from 1.
                where = f"line {int(case['index']) + 2}"
                values.append(f"{where}: {case['column']} is {case['failure_case']!r}, against {case['check']}")
    return columns, values


def _value_faults(entries: Iterable[CaseEntry]) -> list[str]:
    """Return what is wrong with single values of entries that were not read from a table."""
    faults = []
    for entry in entries:
        for name, pattern in (
            ("case_id", _IDENTIFIER),
            ("subject_id", _IDENTIFIER),
            ("domain", _DOMAIN),
            ("modality", _MODALITY),
            ("sha256", _DIGEST),
        ):
            if not re.fullmatch(pattern, getattr(entry, name)):
                faults.append(f"{entry.case_id}: {name} must match {pattern}: found {getattr(entry, name)!r}")
        if entry.series is not None and entry.series < 1:
            faults.append(f"{entry.case_id}: a series must be counted from 1: found {entry.series}")
        if entry.split not in SPLITS:
            faults.append(f"{entry.case_id}: a split must be one of {', '.join(SPLITS)}: found {entry.split!r}")
        try:
            Quantity.named(entry.quantity)
        except VolumeError as error:
            faults.append(f"{entry.case_id}: {str(error).removesuffix('.')}")
    return faults


def _relation_faults(entries: Sequence[CaseEntry]) -> list[str]:
    """Return paths that leave the data root, and what is wrong between entries."""
    faults = []
    seen: set[tuple[str, str]] = set()
    owner: dict[str, str] = {}
    for entry in entries:
        path = PurePosixPath(entry.path)
        if (
            not path.parts
            or path.is_absolute()
            or ".." in path.parts
            or "\\" in entry.path
            or re.match(r"[A-Za-z]:", entry.path)
        ):
            faults.append(
                f"{entry.case_id}: a path must be relative to the data root and stay below it: found {entry.path!r}"
            )
        if (entry.case_id, entry.domain) in seen:
            faults.append(f"{entry.case_id}: two images of domain {entry.domain!r}")
        seen.add((entry.case_id, entry.domain))
        if owner.setdefault(entry.case_id, entry.subject_id) != entry.subject_id:
            faults.append(f"{entry.case_id}: belongs to subject {owner[entry.case_id]} and to {entry.subject_id}")
    return [*faults, *split_faults(entries)]
