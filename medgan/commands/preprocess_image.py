"""``medgan preprocess`` for one image: prepared by a recipe, with its body mask and a sidecar of what was done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.cohort import Case
from medgan.commands.console import Console
from medgan.commands.image_input import found_image
from medgan.commands.pseudonyms import opened_key
from medgan.commands.recipe_files import QUANTITY_OF, RecipeFile, find_recipe
from medgan.errors import FormatError, MedganError, OutputError, SettingsError
from medgan.volume import Quantity, Volume

if TYPE_CHECKING:
    from medgan.formats import ImageFile, InventoryItem
    from medgan.preprocessing.recipe import Recipe

IMAGE, FIXED = "image", "fixed"
"""Names of the image that is prepared and of the one that it is moved onto, for recipes with a registration."""


@dataclass(frozen=True)
class PreparedPaths:
    """The files of a prepared image."""

    volume: Path
    sidecar: Path
    labels: dict[str, Path]

    @classmethod
    def of(cls, out: Path | None, *, stem: str, labels: Iterable[str]) -> PreparedPaths:
        """Return the paths: ``out`` with a suffix is the image, without one a folder for ``STEM.nii.gz``.

        Raises
        ------
        OutputError
            If no image can be written under this name.
        """
        from medgan.formats import is_supported, is_writable, stem_of

        if out is not None and (is_supported(out) or (out.suffix and not out.is_dir())):
            volume = out
        else:
            volume = (out or Path()) / f"{stem}.nii.gz"
        if not is_writable(volume):
            raise OutputError(
                f"{volume.name} cannot be written: an image needs the suffix .nii, .nii.gz, .mha or .nrrd. "
                "A path without a suffix is taken as a folder."
            )
        name = stem_of(volume)
        suffix = volume.name[len(name) :]
        masks = {label: volume.with_name(f"{name}_{label}{suffix}") for label in labels}
        return cls(volume, volume.with_name(f"{name}.json"), masks)

    def as_dict(self) -> dict[str, Any]:
        """Return the paths as given, as text."""
        labels = {name: str(path) for name, path in self.labels.items()}
        return {"volume": str(self.volume), "sidecar": str(self.sidecar), "labels": labels}


def preprocess_image(
    image: Path,
    *,
    recipe: str | None,
    out: Path | None = None,
    modality: str | None = None,
    onto: Path | None = None,
    series: int | None = None,
    allow_gap: bool = False,
    assume_axes: bool = False,
    overwrite: bool = False,
    pseudonym_key: Path | None = None,
    console: Console,
) -> dict[str, Any]:
    """Prepare one image.

    Parameters
    ----------
    image : Path
        Volume in a supported format; a DICOM folder, file, zip or DICOMDIR.
    recipe : str
        Name, or a YAML file.
    out : Path, optional
        File (with a suffix) or folder; the working directory if not given.
    modality : str, optional
        ``"mr"``, ``"ct"`` or ``"em"``: what the file holds, where neither it nor the recipe says so.
    onto : Path, optional
        Image that a recipe with the stage ``registration`` moves this one onto, as ``fixed`` and ``image``. Where its
        format does not say what it holds, it is the other of MR and CT.
    series : int, optional
        Which image of several, as ``medgan inspect`` numbers them.
    allow_gap, assume_axes, overwrite : bool
    pseudonym_key : Path, optional
        File with the key that the sidecar's pseudonyms of patient and study are made with, made where there is none.
        Without a key the sidecar holds none: a pseudonym of one run would say nothing.
    console : Console

    Returns
    -------
    dict
        What the sidecar holds, and the paths under ``outputs``.

    Raises
    ------
    MedganError
        If the recipe, the file or an output is refused; nothing is written then.
    """
    if recipe is None:
        raise SettingsError("An image needs a recipe: pass --recipe NAME or FILE.yaml; --list-recipes names them.")
    name, file_of_recipe = find_recipe(recipe)
    stages = file_of_recipe.recipe
    if stages.learns:
        raise SettingsError(
            f"Recipe {name} learns from a training split, and one image is none: prepare a cohort, or give "
            "the numbers that it learned (standard)."
        )
    item = found_image(image, series=series, allow_gap=allow_gap, console=console)
    labels = ["body"] if any(stage.stage == "body_mask" for stage in stages.stages) else []
    paths = PreparedPaths.of(out, stem=f"{item.name}_{name}", labels=labels)
    _require_outputs(paths, overwrite=overwrite)
    ids: dict[str, str | None] = {"subject_id": None, "case_id": None}
    if pseudonym_key is not None:
        ids = item.pseudonyms(opened_key(pseudonym_key, console=console))
    read = {"allow_gap": allow_gap, "assume_axes": assume_axes}
    file = _read(item, _quantity(item, file_of_recipe, name, modality), declared=modality is not None, **read)
    case = Case(item.name, item.name, {IMAGE: file.volume})
    for notice in file.notices:
        case = case.with_notice(notice)
    if onto is not None:
        fixed = found_image(onto, series=None, allow_gap=allow_gap, console=console)
        other = Quantity.HOUNSFIELD if file.volume.quantity is Quantity.MR_SIGNAL else Quantity.MR_SIGNAL
        quantity = QUANTITY_OF.get((fixed.modality or "").lower(), other)
        beside = _read(fixed, quantity, declared=False, **read)
        case = case.with_image(FIXED, beside.volume)
        for notice in beside.notices:
            case = case.with_notice(f"{fixed.label}: {notice}")
    began = time.perf_counter()
    prepared = stages(case)
    for notice in prepared.notices:
        console.notice(f"{item.label}: {notice}")
    facts = {**_sidecar(prepared, name, stages, round(time.perf_counter() - began, 3)), **ids}
    paths = PreparedPaths.of(paths.volume, stem="", labels=prepared.labels)
    _write(paths, prepared, facts, overwrite=overwrite)
    return {**facts, "outputs": paths.as_dict()}


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the files that were written."""
    outputs = facts["outputs"]
    return [outputs["volume"], *outputs["labels"].values(), outputs["sidecar"]]


def _quantity(item: InventoryItem, file: RecipeFile, recipe: str, modality: str | None) -> Quantity:
    """Return what an image measures, by declaration, recipe or header, in this order."""
    declared = _declared(modality)
    wanted = None if file.modality is None else QUANTITY_OF[file.modality]
    if declared is not None and wanted is not None and declared is not wanted:
        raise SettingsError(f"Recipe {recipe} prepares {str(file.modality).upper()}, not {str(modality).upper()}.")
    found = declared or wanted or QUANTITY_OF.get((item.modality or "").lower())
    if found is None:
        raise SettingsError(
            f"Neither {item.label} nor recipe {recipe} says what the values mean: pass --modality mr, ct or em."
        )
    return found


def _declared(modality: str | None) -> Quantity | None:
    if modality is not None and modality.lower() not in QUANTITY_OF:
        raise SettingsError(f"A modality must be one of {', '.join(QUANTITY_OF)}: found {modality!r}.")
    return None if modality is None else QUANTITY_OF[modality.lower()]


def _read(item: InventoryItem, quantity: Quantity, *, declared: bool, **options: bool) -> ImageFile:
    """Read an image; what contradicts the quantity is refused unless it was declared.

    Raises
    ------
    FormatError
        As the reader, or if the file says or looks as if it held another modality.
    """
    from medgan.commands.translate import CT_LIKE_PERCENTILE, CT_LIKE_VALUE

    file = item.read(quantity=quantity, **options)
    if declared:
        return file
    modality = next(name for name, each in QUANTITY_OF.items() if each is quantity)
    hint = (file.modality_hint or "").lower()
    if hint in QUANTITY_OF and hint != modality:
        raise FormatError(
            f"{item.label} is to be prepared as {modality.upper()}: the file says that it holds {hint.upper()}. "
            f"Choose another recipe, or pass --modality {modality} if the file is wrong."
        )
    if quantity is Quantity.MR_SIGNAL and _percentile(file.volume, CT_LIKE_PERCENTILE) < CT_LIKE_VALUE:
        raise FormatError(
            f"{item.label} is to be prepared as MR, whose signal is not negative: {CT_LIKE_PERCENTILE:g} % of its "
            f"values lie below {CT_LIKE_VALUE:g}, as in a CT in HU. If it is MR all the same, pass --modality mr."
        )
    return file


def _percentile(volume: Volume, percentile: float) -> float:
    import numpy as np

    return float(np.percentile(volume.array, percentile))


def _sidecar(case: Case, name: str, recipe: Recipe, seconds: float) -> dict[str, Any]:
    from medgan import __version__

    image = case.images[IMAGE]
    return {
        "medgan": __version__,
        "synthetic": image.provenance.is_synthetic,
        "recipe": {"name": name, "digest": recipe.digest, "stages": recipe.as_json()},
        "source": {"sha256": list(image.provenance.sources)},
        "result": {
            "quantity": image.quantity.label,
            "unit": image.quantity.unit,
            "minimum": round(float(image.array.min()), 4),
            "maximum": round(float(image.array.max()), 4),
        },
        "grid": {
            "shape": list(image.shape),
            "spacing": [round(s, 6) for s in image.grid.spacing],
            "unit": image.grid.unit,
            "affine_ras": image.grid.affine.tolist(),
        },
        "labels": {label: int(each.mask().sum()) for label, each in case.labels.items()},
        "notices": list(case.notices),
        "seconds": seconds,
        "provenance": image.provenance.as_dict(),
        "provenance_digest": image.provenance.digest,
    }


def _require_outputs(paths: PreparedPaths, *, overwrite: bool) -> None:
    from medgan.formats import require_absent

    require_absent([paths.volume, paths.sidecar, *paths.labels.values()], overwrite=overwrite)


def _write(paths: PreparedPaths, case: Case, facts: dict[str, Any], *, overwrite: bool) -> None:
    """Write all files, the image last: where it is, the others are. Where one fails, none of the new ones stays."""
    from medgan.formats import made_folder, write_bytes, write_labels, write_volume

    _require_outputs(paths, overwrite=overwrite)
    made_folder(paths.volume.parent)
    everything = (paths.sidecar, *paths.labels.values())
    new = [path for path in everything if not path.exists()]
    try:
        for label, path in paths.labels.items():
            write_labels(case.label(label), path, overwrite=overwrite)
        write_bytes(paths.sidecar, (json.dumps(facts, indent=1) + "\n").encode(), overwrite=overwrite)
        write_volume(case.images[IMAGE], paths.volume, overwrite=overwrite)
    except MedganError:
        for path in new:
            path.unlink(missing_ok=True)
        raise
