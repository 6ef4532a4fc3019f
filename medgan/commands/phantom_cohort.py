"""Write a cohort of phantoms as files with a manifest, so that a study can be run without data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.commands.console import Console

if TYPE_CHECKING:
    from medgan.cohort import Manifest
    from medgan.commands.training_settings import PhantomSettings
    from medgan.phantoms.paired_imaging import Acquisition, PairedPhantom
    from medgan.volume import Volume

MANIFEST = "phantoms.yaml"


def phantom_cohort(folder: Path, settings: PhantomSettings, *, console: Console) -> Manifest:
    """Write the phantoms of a study and return their manifest; files that are there already are kept.

    Parameters
    ----------
    folder : Path
        Receives one NIfTI file an image, ``phantoms.yaml`` and ``phantoms.csv``.
    settings : PhantomSettings
        Kind, number of subjects in each role, grid and acquisition.
    console : Console

    Notes
    -----
    As in a real unpaired study, subjects of the source's training split give their MR only and those of the target's
    their CT only; validation and test subjects give both.
    """

    from medgan.cohort import CaseEntry, Manifest
    from medgan.cohort.manifest import digest_of
    from medgan.errors import CohortError
    from medgan.formats import write_volume

    title = f"{settings.kind} phantoms {hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]}"
    if (folder / MANIFEST).is_file():
        manifest = Manifest.read(folder / MANIFEST)
        if manifest.title != title:
            raise CohortError(
                f"The phantoms in {folder.name} must be those of the configuration ({title}): found {manifest.title}. "
                "Choose another folder, or remove this one."
            )
        return manifest
    folder.mkdir(parents=True, exist_ok=True)
    roles = [
        *(("train", ("mr",)) for _ in range(settings.source_train)),
        *(("train", ("ct",)) for _ in range(settings.target_train)),
        *(("validation", ("mr", "ct")) for _ in range(settings.validation)),
        *(("test", ("mr", "ct")) for _ in range(settings.test)),
    ]
    entries = []
    with console.progress("drawing phantoms") as advance:
        for index, (split, domains) in enumerate(roles):
            phantom, case_id = phantom_subject(settings, index), f"{settings.kind}_{index:03d}"
            for domain in domains:
                file = folder / f"{case_id}_{domain}.nii.gz"
                if not file.exists():
                    write_volume(phantom.mr if domain == "mr" else phantom.ct, file)
                quantity = (phantom.mr if domain == "mr" else phantom.ct).quantity.label
                row = (case_id, case_id, split, domain, domain.upper(), quantity, file.name, digest_of(file))
                entries.append(CaseEntry(*row))
            advance(index + 1, len(roles))
    manifest = Manifest(
        title=title,
        license="Apache-2.0",
        citation="Phantoms of medgan",
        obtain="Written by medgan from a seed; nothing to obtain.",
        entries=tuple(entries),
    )
    manifest.write(folder / MANIFEST)
    return manifest


def phantom_subject(settings: PhantomSettings, index: int) -> PairedPhantom:
    """Return one subject; the anatomy depends on seed and index only."""
    return _drawn(settings, index, _acquisition(settings))


def ideal_ct(settings: PhantomSettings, index: int) -> Volume:
    """Return the CT of a subject as an ideal translator of its MR would give it: without noise and couch.

    Partial volume stays: the truth that it is compared with has it too.
    """
    from dataclasses import replace

    quiet = replace(_acquisition(settings), ct_noise_hu=0.0, couch=False)
    return _drawn(settings, index, quiet).ct


def _acquisition(settings: PhantomSettings) -> Acquisition:
    from medgan.phantoms.paired_imaging import CLEAN, IDEAL, REALISTIC

    return {"ideal": IDEAL, "clean": CLEAN, "realistic": REALISTIC}[settings.acquisition]


def _drawn(settings: PhantomSettings, index: int, acquisition: Acquisition) -> PairedPhantom:
    from medgan.phantoms.head import head_phantom
    from medgan.phantoms.limb import limb_phantom
    from medgan.seeding import numpy_generator

    make = {"head": head_phantom, "limb": limb_phantom}[settings.kind]
    return make(
        generator=numpy_generator(settings.seed, settings.kind, index),
        shape=settings.shape,
        spacing_mm=settings.spacing_mm,
        acquisition=acquisition,
    )
