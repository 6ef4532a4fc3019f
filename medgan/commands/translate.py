"""``medgan translate``: one volume in, its translation on the same grid out, with a sidecar and a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.console import Console
from medgan.commands.image_input import found_image
from medgan.errors import BundleError, FormatError, SettingsError
from medgan.volume import Quantity, Volume

if TYPE_CHECKING:
    from medgan.formats import ImageFile
    from medgan.geometry import Grid
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.bundle_facts import TranslationFacts
    from medgan.inference.domain_check import DomainCheck
    from medgan.inference.translator import Translation

DEFAULT_MODEL = "mr-to-ct"
"""Model that is used when none is named; it ships once one trained on real scans is good enough."""
CT_LIKE_PERCENTILE = 2.0
CT_LIKE_VALUE = -150.0
"""A volume whose second percentile lies below this is in HU, not MR signal."""


@dataclass(frozen=True)
class OutputPaths:
    """The three files of a translation."""

    volume: Path
    sidecar: Path
    picture: Path

    @classmethod
    def beside(cls, image: Path, *, out: Path | None, suffix: str, stem: str | None = None) -> OutputPaths:
        """Return the paths for an image: ``out`` with a suffix is the volume, without one a folder.

        ``stem`` names the outputs where the path of the image must not: a folder of DICOM may be named after a patient.

        Raises
        ------
        OutputError
            If ``out`` has a suffix that no image format has.
        """
        from medgan.formats import is_supported, stem_of

        if out is not None and (is_supported(out) or (out.suffix and not out.is_dir())):
            stem = stem_of(out)
            return cls(out, out.with_name(f"{stem}.json"), out.with_name(f"{stem}.png"))
        folder = out or Path()
        stem = f"{stem or stem_of(image)}_s{suffix}"
        return cls(folder / f"{stem}.nii.gz", folder / f"{stem}.json", folder / f"{stem}.png")

    def as_dict(self) -> dict[str, str]:
        """Return the paths as given, as text."""
        return {"volume": str(self.volume), "sidecar": str(self.sidecar), "picture": str(self.picture)}


def translate(
    image: Path,
    *,
    model: str | None = None,
    out: Path | None = None,
    modality: str | None = None,
    series: int | None = None,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Translate one image.

    Parameters
    ----------
    image : Path
        Volume in a supported format; a DICOM folder, file, zip or DICOMDIR.
    model : str, optional
        Name or folder; the default model if not given.
    out : Path, optional
        File (with a suffix) or folder; the working directory if not given.
    modality : str, optional
        ``"mr"`` or ``"ct"``: what the file holds.
    series : int, optional
        Which image of several, as ``medgan inspect`` numbers them.
    allow_gap : bool
        Interpolate one missing slice.
    orthogonal : bool
        Give the result of a sheared image (tilted gantry) on axes at right angles instead of the image's own.
    assume_axes, overwrite : bool
    device, precision : str
    console : Console

    Returns
    -------
    dict
        What the sidecar holds, and the paths under ``outputs``.

    Raises
    ------
    MedganError
        If the model, the file or an output is refused; nothing is written then.
    """
    bundle = chosen_bundle(model)
    facts = bundle.facts
    _require_modality(modality, facts)
    item = found_image(image, series=series, allow_gap=allow_gap, console=console)
    paths = OutputPaths.beside(image, out=out, suffix=facts.target.domain, stem=item.name)
    _require_outputs(paths, overwrite=overwrite)

    file = item.read(quantity=Quantity.named(facts.source.quantity), allow_gap=allow_gap, assume_axes=assume_axes)
    grid = _result_grid(file.volume.grid, paths.volume, orthogonal=orthogonal)
    notices = [*file.notices, *_declared(item.label, file, facts, modality)]
    for notice in notices:
        console.notice(f"{item.label}: {notice}")

    translation, run_facts = _translated(file.volume, bundle, device, precision, console, grid=grid)
    for notice in translation.notices:
        console.notice(f"{item.label}: {notice}")
    if (warning := domain_warning(item.label, translation.domain_check, facts)) is not None:
        console.notice(warning)
    sidecar = _sidecar(file, bundle, translation, [*notices, *translation.notices], run_facts)
    _write(paths, translation, file.volume, sidecar, overwrite=overwrite)
    return {**sidecar, "outputs": paths.as_dict()}


def domain_warning(name: str, check: DomainCheck, facts: TranslationFacts) -> str | None:
    """Return a sentence for people where an image is not, or cannot be shown to be, what the model was trained on."""
    reasons = "; ".join(check.reasons)
    if check.status == "inside":
        return None
    if check.status == "unknown":
        return f"Warning: whether {name} is what {facts.name} was trained on cannot be told: {reasons}."
    return (
        f"Warning: {name} is outside the domain that {facts.name} was trained on ({facts.trained_anatomy}): {reasons}. "
        "Do not trust the result without checking it."
    )


def chosen_bundle(model: str | None) -> ModelBundle:
    """Return the named model, or the default one.

    Raises
    ------
    BundleError
        If there is none; the message lists the models.
    """
    from medgan.inference.bundle import embedded_names, find_bundle

    if model is None and DEFAULT_MODEL not in embedded_names():
        known = ", ".join(embedded_names()) or "none"
        raise BundleError(
            f"Name a model with --model: no model trained on real scans comes with medgan yet. Embedded: {known} "
            "(trained on phantoms: for trying things out, not for scans); or give the folder of a bundle of your own."
        )
    return find_bundle(model or DEFAULT_MODEL, task="translation")


def _require_outputs(paths: OutputPaths, *, overwrite: bool) -> None:
    from medgan.errors import OutputError
    from medgan.formats import require_absent
    from medgan.formats.files import is_writable

    if not is_writable(paths.volume):
        raise OutputError(
            f"{paths.volume.name} cannot be written: an image needs the suffix .nii, .nii.gz, .mha or .nrrd. "
            "A path without a suffix is taken as a folder."
        )
    require_absent([paths.volume, paths.sidecar, paths.picture], overwrite=overwrite)


def _result_grid(grid: Grid, out: Path, *, orthogonal: bool) -> Grid:
    """Return the grid of the result: the image's own, or one at right angles; refuse a format that cannot hold it.

    Raises
    ------
    OutputError
        Before anything is computed.
    """
    from medgan.formats.encoding import require_patient_grid
    from medgan.formats.files import kind_of
    from medgan.preprocessing.respace import orthogonal as at_right_angles

    wanted = at_right_angles(grid) if orthogonal else grid
    require_patient_grid(wanted, out.name, may_shear=kind_of(out) == "nifti")
    return wanted


def _require_modality(modality: str | None, facts: TranslationFacts) -> None:
    if modality is None:
        return
    if modality.lower() not in ("mr", "ct"):
        raise SettingsError(f"A modality must be mr or ct: found {modality!r}.")
    if modality.upper() != facts.source.modality:
        raise SettingsError(
            f"Model {facts.name} takes {facts.source.modality}, not {modality.upper()}: choose another model."
        )


def _declared(name: str, file: ImageFile, facts: TranslationFacts, modality: str | None) -> list[str]:
    """Return the notice that the modality was assumed; refuse values that contradict it.

    Raises
    ------
    FormatError
        If the file says or looks as if it held another modality, and ``modality`` does not overrule it.
    """
    wanted = facts.source.modality
    if modality is not None:
        return []
    if file.modality_hint is not None and file.modality_hint.upper() != wanted:
        raise FormatError(
            f"{name}: model {facts.name} takes {wanted}, and the file says that it holds {file.modality_hint}. "
            f"If that is wrong, pass --modality {wanted.lower()}."
        )
    low = float(np.percentile(file.volume.array, CT_LIKE_PERCENTILE))
    if wanted == "MR" and low < CT_LIKE_VALUE:
        raise FormatError(
            f"{name}: model {facts.name} takes MR, whose signal is not negative: {CT_LIKE_PERCENTILE:g} % of the "
            f"values lie below {low:.0f}, as in a CT in HU. If it is MR all the same, pass --modality mr."
        )
    if file.modality_hint is not None:
        return []
    return [f"the format does not say what it holds; it is taken as {wanted}, which the model translates."]


def _translated(
    volume: Volume, bundle: ModelBundle, device: str, precision: str, console: Console, *, grid: Grid
) -> tuple[Translation, dict[str, Any]]:
    import torch

    from medgan.commands.devices import resolve_device
    from medgan.inference.translator import Translator
    from medgan.training.precision import resolve_precision

    chosen = resolve_device(device)
    record = resolve_precision(precision, device=chosen)
    translator = Translator(bundle, device=chosen, precision=record.precision)
    with console.progress("translating") as advance:
        translation = translator.translation_of(volume, grid=grid, progress=advance)
    return translation, {"device": chosen, "threads": torch.get_num_threads(), "precision": record.as_dict()}


def _sidecar(
    file: ImageFile, bundle: ModelBundle, translation: Translation, notices: list[str], run_facts: dict[str, Any]
) -> dict[str, Any]:
    from dataclasses import asdict

    from medgan import __version__

    facts, result = bundle.facts, translation.volume
    return {
        "synthetic": True,
        "medgan": __version__,
        "model": {
            "name": facts.name,
            "trained_anatomy": facts.trained_anatomy,
            "weights_sha256": facts.weights_sha256,
            "license": facts.license,
            "intended_use": facts.intended_use,
        },
        "source": {"modality": facts.source.modality, "sha256": list(file.volume.provenance.sources)},
        "result": {
            "modality": facts.target.modality,
            "quantity": result.quantity.label,
            "unit": result.quantity.unit,
            "minimum": round(float(result.array.min()), 1),
            "maximum": round(float(result.array.max()), 1),
        },
        "grid": {
            "shape": list(result.shape),
            "spacing_mm": [round(s, 6) for s in result.grid.spacing],
            "affine_ras": result.grid.affine.tolist(),
        },
        "intensity_range": {
            "unit": result.quantity.unit,
            "lowest": facts.target_knots[0][0],
            "highest": facts.target_knots[-1][0],
        },
        "domain_check": asdict(translation.domain_check),
        "notices": notices,
        "patches": {"all": translation.patches, "skipped_outside_body": translation.patches_skipped},
        "seconds": translation.seconds,
        **run_facts,
        "provenance": result.provenance.as_dict(),
        "provenance_digest": result.provenance.digest,
    }


def _write(
    paths: OutputPaths, translation: Translation, source: Volume, sidecar: dict[str, Any], *, overwrite: bool
) -> None:
    """Write the three files, the volume last: where it is, the others are."""
    from medgan.commands.pictures import translation_picture
    from medgan.formats import write_bytes, write_volume

    paths.volume.parent.mkdir(parents=True, exist_ok=True)
    body = translation.prepared.label("body")
    title = (
        f"{sidecar['source']['modality']} to synthetic {sidecar['result']['modality']} by {sidecar['model']['name']}"
    )
    picture = translation_picture(source=source, result=translation.volume, body=body, title=title)
    write_bytes(paths.picture, picture, overwrite=overwrite)
    write_bytes(paths.sidecar, (json.dumps(sidecar, indent=1) + "\n").encode(), overwrite=overwrite)
    write_volume(translation.volume, paths.volume, overwrite=overwrite)
