"""Findings of image files: NIfTI, MetaImage and NRRD, judged by their headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from medgan.errors import FormatError
from medgan.formats.archive import ArchiveMember
from medgan.formats.files import ImageFile, header_of, kind_of, read_image, stem_of
from medgan.formats.finding import Finding
from medgan.formats.stored_file import DiskFile, StoredFile
from medgan.volume import Quantity


@dataclass(frozen=True)
class ImageFileSource:
    """The voxels of an image file on disk."""

    path: Path

    def read(self, *, name: str, quantity: Quantity, allow_gap: bool, assume_axes: bool) -> ImageFile:
        """Read the file; a gap is nothing that it could have."""
        return read_image(self.path, quantity=quantity, assume_axes=assume_axes)


@dataclass(frozen=True)
class ArchivedImageSource:
    """The voxels of an image file in an archive."""

    member: ArchiveMember

    def read(self, *, name: str, quantity: Quantity, allow_gap: bool, assume_axes: bool) -> ImageFile:
        """Unpack the file into a folder of its own, read it, and remove it."""
        with TemporaryDirectory(prefix="medgan-") as folder:
            return read_image(_unpacked(self.member, folder), quantity=quantity, assume_axes=assume_axes)


def image_findings(files: Sequence[StoredFile]) -> list[Finding]:
    """Return a finding for each image; a header and the data file beside it are one."""
    findings = []
    for stored in files:
        if stored.name.lower().endswith(".img") and any(
            other.folder == stored.folder and other.name.lower() == stored.name.lower()[:-4] + ".hdr" for other in files
        ):
            continue
        if isinstance(stored, DiskFile):
            findings.append(_finding(stored.path, ImageFileSource(stored.path)))
        elif isinstance(stored, ArchiveMember):
            findings.append(_archived(stored))
    return findings


def _archived(member: ArchiveMember) -> Finding:
    with TemporaryDirectory(prefix="medgan-") as folder:
        try:
            path = _unpacked(member, folder)
        except FormatError as error:
            kind = kind_of(member.name)
            return Finding(
                kind, None, None, "refused", (str(error),), 1, None, stem=stem_of(member.name), label=member.name
            )
        return _finding(path, ArchivedImageSource(member))


def _unpacked(member: ArchiveMember, folder: str) -> Path:
    path = Path(folder) / member.name
    path.write_bytes(member.content())
    return path


def _finding(path: Path, source: ImageFileSource | ArchivedImageSource) -> Finding:
    kind, stem = kind_of(path), stem_of(path)
    try:
        stored = header_of(path)
        for segment in stored.segments:
            segment.require_plausible()
    except FormatError as error:
        return Finding(kind, None, None, "refused", (str(error),), 1, source, stem=stem, label=path.name)
    return Finding(
        kind=kind,
        modality=stored.modality_hint,
        grid=stored.grid,
        verdict="corrected" if stored.notices else "accepted",
        reasons=stored.notices,
        files=len(stored.files),
        source=source,
        stem=stem,
        label=path.name,
    )
