"""The files of a translation: their names, the sidecar's content, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.volume import Volume

if TYPE_CHECKING:
    from medgan.formats import ImageFile
    from medgan.geometry import Grid
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.translator import Translation
    from medgan.inference.uncertainty import Uncertainty


@dataclass(frozen=True)
class OutputPaths:
    """The files of a translation; the two maps are written where they were asked for."""

    volume: Path
    sidecar: Path
    picture: Path
    uncertainty: Path
    cycle_residual: Path

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
            return cls._named(out, stem_of(out))
        stem = f"{stem or stem_of(image)}_s{suffix}"
        return cls._named((out or Path()) / f"{stem}.nii.gz", stem)

    @classmethod
    def _named(cls, volume: Path, stem: str) -> OutputPaths:
        ending = volume.name[len(stem) :]
        names = (f"{stem}.json", f"{stem}.png", f"{stem}_uncertainty{ending}", f"{stem}_cycle_residual{ending}")
        return cls(volume, *(volume.with_name(name) for name in names))

    def written(self, uncertainty: Uncertainty | None) -> dict[str, Path]:
        """Return the paths of what is written, by name."""
        paths = {"volume": self.volume, "sidecar": self.sidecar, "picture": self.picture}
        if uncertainty is not None and uncertainty.deviation is not None:
            paths["uncertainty"] = self.uncertainty
        if uncertainty is not None and uncertainty.cycle_residual is not None:
            paths["cycle_residual"] = self.cycle_residual
        return paths


def require_outputs(paths: OutputPaths, *, maps: bool, overwrite: bool) -> None:
    """Refuse a suffix that cannot be written, and outputs that exist, before anything is computed.

    Raises
    ------
    OutputError
    """
    from medgan.errors import OutputError
    from medgan.formats import require_absent
    from medgan.formats.files import is_writable

    if not is_writable(paths.volume):
        raise OutputError(
            f"{paths.volume.name} cannot be written: an image needs the suffix .nii, .nii.gz, .mha or .nrrd. "
            "A path without a suffix is taken as a folder."
        )
    wanted = [paths.volume, paths.sidecar, paths.picture]
    require_absent([*wanted, *((paths.uncertainty, paths.cycle_residual) if maps else ())], overwrite=overwrite)


def result_grid(grid: Grid, out: Path, *, orthogonal: bool) -> Grid:
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


def sidecar_of(
    file: ImageFile,
    bundle: ModelBundle[Any],
    translation: Translation,
    *,
    warning: str | None,
    uncertainty: Uncertainty | None,
    notices: Sequence[str],
    run_facts: dict[str, Any],
) -> dict[str, Any]:
    """Return what is to be known about a translation, as JSON values."""
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
        "domain_warning": warning,
        "uncertainty": None if uncertainty is None else _uncertainty_facts(uncertainty, translation),
        "notices": list(notices),
        "patches": {"all": translation.patches, "skipped_outside_body": translation.patches_skipped},
        "seconds": translation.seconds,
        **run_facts,
        "provenance": result.provenance.as_dict(),
        "provenance_digest": result.provenance.digest,
    }


def _uncertainty_facts(uncertainty: Uncertainty, translation: Translation) -> dict[str, Any]:
    import numpy as np

    from medgan.volume.resample import resample_labels

    body = resample_labels(translation.prepared.label("body"), translation.volume.grid).mask()

    def in_body(volume: Volume | None, unit: str) -> dict[str, Any] | None:
        if volume is None or not body.any():
            return None
        values = volume.array[body]
        return {
            "unit": unit,
            "mean_in_body": round(float(values.mean()), 4),
            "percentile_95_in_body": round(float(np.percentile(values, 95)), 4),
        }

    return {
        "deviation": in_body(uncertainty.deviation, translation.volume.quantity.unit),
        "cycle_residual": in_body(uncertainty.cycle_residual, "normalized source intensity, whose range is 2"),
        "results": uncertainty.results,
        "flipped_axes": [list(axes) for axes in uncertainty.flips],
        "members_weights_sha256": list(uncertainty.members),
    }


def write_translation(
    paths: OutputPaths,
    translation: Translation,
    source: Volume,
    sidecar: dict[str, Any],
    *,
    uncertainty: Uncertainty | None,
    overwrite: bool,
) -> None:
    """Write all files, the volume last: where it is, the others are."""
    from medgan.commands.translate_picture import translated_picture
    from medgan.formats import made_folder, write_bytes, write_volume

    made_folder(paths.volume.parent)
    title = (
        f"{sidecar['source']['modality']} to synthetic {sidecar['result']['modality']} by {sidecar['model']['name']}"
    )
    picture = translated_picture(source=source, translation=translation, uncertainty=uncertainty, title=title)
    write_bytes(paths.picture, picture, overwrite=overwrite)
    write_bytes(paths.sidecar, (json.dumps(sidecar, indent=1) + "\n").encode(), overwrite=overwrite)
    if uncertainty is not None:
        for map_of, path in (
            (uncertainty.deviation, paths.uncertainty),
            (uncertainty.cycle_residual, paths.cycle_residual),
        ):
            if map_of is not None:
                write_volume(map_of, path, overwrite=overwrite)
    write_volume(translation.volume, paths.volume, overwrite=overwrite)
