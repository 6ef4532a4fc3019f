"""Write a cohort of prostate phantoms as files with a manifest, so that the study runs without data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.commands.console import Console

if TYPE_CHECKING:
    from medgan.cohort import Manifest
    from medgan.commands.segmentation_settings import ProstatePhantomSettings
    from medgan.phantoms.prostate import ProstatePhantom
    from medgan.volume import LabelMap, Volume

MANIFEST = "phantoms.yaml"


def prostate_cohort(folder: Path, settings: ProstatePhantomSettings, *, console: Console) -> Manifest:
    """Write the phantoms of a study and return their manifest; files that are there already are kept.

    Parameters
    ----------
    folder : Path
        Receives five NIfTI files a subject (t2w, adc, dwi, zones, lesion), ``phantoms.yaml`` and ``phantoms.csv``.
    settings : ProstatePhantomSettings
    console : Console

    Notes
    -----
    All rows are of the split ``train``: folds and curves deal the subjects anew. Label images are rows, too; their
    quantity column must name something and says ``probability``.
    """
    from medgan.cohort import CaseEntry, Manifest
    from medgan.cohort.manifest import digest_of
    from medgan.errors import CohortError
    from medgan.formats import write_labels, write_volume

    title = f"prostate phantoms {hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]}"
    if (folder / MANIFEST).is_file():
        manifest = Manifest.read(folder / MANIFEST)
        if manifest.title != title:
            raise CohortError(
                f"The phantoms in {folder.name} must be those of the configuration ({title}): found {manifest.title}. "
                "Choose another folder, or remove this one."
            )
        return manifest
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    with console.progress("drawing phantoms") as advance:
        for index in range(settings.subjects):
            case_id, phantom = f"prostate_{index:03d}", prostate_subject(settings, index)
            images: dict[str, Volume] = {"t2w": phantom.t2w, "adc": phantom.adc, "dwi": phantom.dwi}
            labels: dict[str, LabelMap] = {"zones": phantom.zones, "lesion": phantom.lesion}
            for domain in (*images, *labels):
                file = folder / f"{case_id}_{domain}.nii.gz"
                if not file.exists() and domain in images:
                    write_volume(images[domain], file)
                elif not file.exists():
                    write_labels(labels[domain], file)
                modality, quantity = ("MR", "mr_signal") if domain in images else ("SEG", "probability")
                row = (case_id, case_id, "train", domain, modality, quantity, file.name, digest_of(file))
                entries.append(CaseEntry(*row))
            advance(index + 1, settings.subjects)
    manifest = Manifest(
        title=title,
        license="Apache-2.0",
        citation="Phantoms of medgan",
        obtain="Written by medgan from a seed; nothing to obtain.",
        entries=tuple(entries),
    )
    manifest.write(folder / MANIFEST)
    return manifest


def prostate_subject(settings: ProstatePhantomSettings, index: int) -> ProstatePhantom:
    """Return one subject; anatomy, lesion and contrast depend on seed and index only."""
    from medgan.phantoms.prostate import prostate_phantom
    from medgan.seeding import numpy_generator

    traits = numpy_generator(settings.seed, "prostate traits", index)
    has_lesion = bool(traits.random() < settings.lesion_share)
    contrast = settings.contrast * (1 + settings.contrast_spread * float(traits.uniform(-1, 1)))
    return prostate_phantom(
        generator=numpy_generator(settings.seed, "prostate", index),
        lesion=has_lesion,
        shape=settings.shape,
        spacing_mm=settings.spacing_mm,
        diffusion_spacing_mm=settings.diffusion_spacing_mm,
        b_value=settings.b_value,
        noise=settings.noise,
        contrast=contrast,
        partial_volume=settings.partial_volume,
        bias_strength=settings.bias_strength,
    )
