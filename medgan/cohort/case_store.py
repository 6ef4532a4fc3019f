"""Prepared cases on disk, keyed by what was done to them."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgan.cohort.case import Case
from medgan.errors import CohortError
from medgan.formats import made_folder, write_with
from medgan.geometry import Grid
from medgan.volume import LabelMap, Provenance, Quantity, Step, Volume

_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True)
class CaseStore:
    """A folder of prepared cases, one file each, written once and atomically.

    Parameters
    ----------
    root : Path
        Folder shared by all recipes.
    recipe_digest : str
        Names the subfolder: another recipe never reads or overwrites these cases.

    Notes
    -----
    A case is an ``.npz`` archive of plain arrays and one JSON text (no pickle). It is written under a temporary name
    and renamed, so a killed preparation leaves no half case and continues where it stopped.
    """

    root: Path
    recipe_digest: str

    @property
    def folder(self) -> Path:
        """Folder of this recipe's cases."""
        return self.root / self.recipe_digest[:16]

    def path_of(self, key: str) -> Path:
        """Return the file of a case; ``key`` is unique within the store, such as ``sts_002.mr``."""
        return self.folder / f"{key}.npz"

    def __contains__(self, key: str) -> bool:
        return self.path_of(key).is_file()

    def keys(self) -> Iterator[str]:
        """Return the keys of all finished cases, sorted."""
        # What a killed process left behind begins with a dot.
        return iter(sorted(file.stem for file in self.folder.glob("*.npz") if not file.name.startswith(".")))

    def write(self, key: str, case: Case) -> Path:
        """Write a case once.

        Raises
        ------
        CohortError
            If it is there already.
        OutputError
            If the disk is full or writing is not permitted.
        """
        path = self.path_of(key)
        if path.exists():
            raise CohortError(f"A prepared case is written once: {path.name} is in the store already.")
        made_folder(self.folder)
        arrays: dict[str, Any] = {}
        facts: dict[str, Any] = {
            "case_id": case.case_id,
            "subject_id": case.subject_id,
            "notices": list(case.notices),
            "images": {},
            "labels": {},
        }
        for name, volume in case.images.items():
            arrays[f"image/{name}"], arrays[f"image_affine/{name}"] = volume.array, volume.grid.affine
            facts["images"][name] = {
                "quantity": volume.quantity.label,
                "unit": volume.grid.unit,
                "frame": volume.grid.frame,
                "provenance": volume.provenance.as_dict(),
            }
        for name, labels in case.labels.items():
            arrays[f"label/{name}"], arrays[f"label_affine/{name}"] = labels.array, labels.grid.affine
            facts["labels"][name] = {"unit": labels.grid.unit, "frame": labels.grid.frame, "names": dict(labels.names)}
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
        return write_with(path, lambda stream: np.savez(stream, **arrays))

    def read(self, key: str) -> Case:
        """Read a finished case.

        Raises
        ------
        CohortError
            If it is absent or damaged.
        """
        path = self.path_of(key)
        if not path.is_file():
            raise CohortError(
                f"The store needs the prepared case {path.name}: it is not there. Prepare the cohort first."
            )
        try:
            # NumPy leaves a damaged file open where it opened it itself.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return _case(json.loads(arrays["facts"].tobytes()), arrays)
        # Whatever a damaged archive can raise: ValueError holds medgan's own refusals of arrays and grids.
        except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, *_ARCHIVE_ERRORS) as error:
            raise CohortError(
                f"The prepared case {path.name} is damaged ({type(error).__name__}): remove it and prepare again."
            ) from None


def _case(facts: dict[str, Any], arrays: dict[str, Any]) -> Case:
    images = {}
    for name, fact in facts["images"].items():
        array = arrays[f"image/{name}"]
        grid = Grid(array.shape, arrays[f"image_affine/{name}"], fact["unit"], fact["frame"])
        images[name] = Volume(array, grid, Quantity.named(fact["quantity"]), _provenance(fact["provenance"]))
    labels = {}
    for name, fact in facts["labels"].items():
        array = arrays[f"label/{name}"]
        grid = Grid(array.shape, arrays[f"label_affine/{name}"], fact["unit"], fact["frame"])
        labels[name] = LabelMap(array, grid, {int(k): v for k, v in fact["names"].items()})
    return Case(facts["case_id"], facts["subject_id"], images, labels, tuple(facts["notices"]))


def _provenance(facts: dict[str, Any]) -> Provenance:
    steps = tuple(Step(s["name"], {k: v for k, v in s.items() if k != "name"}) for s in facts["steps"])
    return Provenance(tuple(facts["sources"]), steps, facts["is_synthetic"])
