"""All files below the paths that are given: folders, archives and DICOM directories opened, junk left to be told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medgan.errors import FormatError
from medgan.formats.archive import is_archive, members_of
from medgan.formats.byte_stream import read_prefix
from medgan.formats.chunked_findings import is_section_stack, is_store, names_array
from medgan.formats.stored_file import DiskFile, StoredFile, natural_key

DIRECTORY_NAME = "DICOMDIR"
MOST_FILES = 5_000_000


@dataclass
class FileTree:
    """What was found below some paths.

    Parameters
    ----------
    files : list of StoredFile
        In natural order of their paths, each once.
    refused : list of (kind, name, sentence)
        What may not be read, such as members that lead out of an archive, and the archive's name.
    archives : int
        Zip files inside folders: they are told and not opened, because what they hold often lies unpacked beside them.
    stores : list of Path
        Zarr stores and HDF5 files, arrays named inside them, and folders of sections that were named themselves.
    """

    files: list[StoredFile] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    archives: int = 0
    stores: list[Path] = field(default_factory=list)


def file_tree(paths: list[Path]) -> FileTree:
    """Find the files below paths.

    Raises
    ------
    FormatError
        If a path does not exist.
    """
    tree = FileTree()
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if names_array(path) or (path.exists() and (is_store(path) or is_section_stack(path))):
            tree.stores.append(path)
            continue
        if not path.exists():
            raise FormatError(f"{path.name} does not exist: check the name and the folder.")
        if path.is_dir():
            for each in files_below(path, stores=tree.stores):
                if each.suffix.lower() == ".zip":
                    tree.archives += 1
                elif is_store(each):
                    tree.stores.append(each)
                else:
                    _add(tree, each, seen)
        elif path.is_file():
            try:
                _add_named(tree, path, seen)
            except FormatError as error:
                tree.refused.append(("archive", path.name, str(error)))
        else:
            raise FormatError(f"{path.name} is not a regular file: an image is never read from a device or pipe.")
    return tree


def _add_named(tree: FileTree, path: Path, seen: set[tuple[int, int]]) -> None:
    if path.name.upper() == DIRECTORY_NAME:
        _add_directory(tree, path, seen)
    elif is_archive(read_prefix(path, 4)):
        members, refused = members_of(path)
        tree.files.extend(members)
        tree.refused += [("archive_member", path.name, sentence) for sentence in refused]
    else:
        _add(tree, path, seen)


def _add(tree: FileTree, path: Path, seen: set[tuple[int, int]]) -> None:
    try:
        facts = path.stat()
    except OSError:
        # A dangling link, or a file that went away meanwhile.
        return
    key = (facts.st_dev, facts.st_ino)
    if stat.S_ISREG(facts.st_mode) and key not in seen:
        seen.add(key)
        tree.files.append(DiskFile(path, facts.st_size))


def files_below(folder: Path, *, stores: list[Path] | None = None) -> Iterator[Path]:
    """Yield what is no folder below a folder in natural order, following links to folders but never in a circle.

    Folders that are Zarr stores are put into ``stores`` and not searched, where a list is given.

    Raises
    ------
    FormatError
        If there are more files than any study has.
    """
    visited: set[tuple[int, int]] = set()
    left = [folder]
    count = 0
    while left:
        current = left.pop()
        try:
            facts = current.stat()
            entries = sorted(os.scandir(current), key=lambda entry: natural_key(entry.name))
        except OSError:
            continue
        if (facts.st_dev, facts.st_ino) in visited:
            continue
        visited.add((facts.st_dev, facts.st_ino))
        folders: list[Path] = []
        for entry in entries:
            if entry.is_dir():
                is_apart = stores is not None and is_store(current / entry.name)
                (stores if stores is not None and is_apart else folders).append(current / entry.name)
            else:
                count += 1
                yield current / entry.name
        if count > MOST_FILES:
            raise FormatError(f"{folder.name} holds more than {MOST_FILES} files: name a folder further down.")
        left += reversed(folders)


def _add_directory(tree: FileTree, path: Path, seen: set[tuple[int, int]]) -> None:
    from medgan.formats.dicom_directory import listed_files

    found, missing, outside = listed_files(path)
    for each in found:
        _add(tree, each, seen)
    if missing:
        sentence = f"The DICOMDIR lists {missing} files that are not there: copy the whole medium."
        tree.refused.append(("missing_files", path.name, sentence))
    if outside:
        sentence = f"The DICOMDIR lists {outside} files outside its own folder: they are never read."
        tree.refused.append(("missing_files", path.name, sentence))
