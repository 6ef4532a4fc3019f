"""What an explanation is asked for: its models, radiographs and settings, and the folder that belongs to them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.explanation_evidence import Reference
from medgan.commands.explanation_images import ExplainedCohort
from medgan.commands.explanation_settings import ExplainSettings
from medgan.errors import OutputError

if TYPE_CHECKING:
    from medgan.commands.explanation_models import ExplainedModels


@dataclass(frozen=True, eq=False)
class ExplanationRequest:
    """Everything an explanation is made of.

    Parameters
    ----------
    models : ExplainedModels
    cohort : ExplainedCohort
    settings : ExplainSettings
    folder : Path
        Receives the report.
    title : str
    notices : tuple of str
        Sentences for the head of the report.
    reference : Reference
        What a study knows beside its images.
    gallery : mapping of class to (images, names), optional
        Real images for nearest neighbors; by default the other queries.
    probes : (N, 1, h, w) tensor, optional
        Real images to choose strengths on; by default the queries.
    overwrite : bool
    """

    models: ExplainedModels
    cohort: ExplainedCohort
    settings: ExplainSettings
    folder: Path
    title: str
    notices: tuple[str, ...] = ()
    reference: Reference = field(default_factory=Reference)
    gallery: dict[str, tuple[Any, tuple[str, ...]]] | None = None
    probes: Any = None
    overwrite: bool = False


def request_digest(request: ExplanationRequest, precision: str) -> str:
    """Return the digest of models, settings and images: what a kept case has to belong to."""
    from medgan import __version__

    facts = {
        "version": __version__,
        "models": request.models.facts(),
        "settings": request.settings.model_dump(mode="json"),
        "precision": precision,
        "images": [
            (one.case_id, one.subject_id, one.label, hashlib.sha256(one.image.tobytes()).hexdigest())
            for one in request.cohort.images
        ],
        "gallery": None
        if request.gallery is None
        else {
            name: hashlib.sha256(images.numpy().tobytes()).hexdigest()
            for name, (images, _) in sorted(request.gallery.items())
        },
        "probes": None if request.probes is None else hashlib.sha256(request.probes.numpy().tobytes()).hexdigest(),
        "regions": sorted(request.reference.regions),
        "labels": sorted(request.reference.labels),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def report_before(request: ExplanationRequest, digest: str) -> dict[str, Any] | None:
    """Return what a finished report of this very request said; refuse a folder of another one."""
    from medgan.commands.explanation_output import CASES, PAGE, finished_request

    folder = request.folder
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise OutputError(f"{folder.name} is a file: a folder is needed there. Choose another name.")
    begun = finished_request(folder)
    if begun is None and any(folder.iterdir()) and not request.overwrite:
        raise OutputError(f"{folder.name} holds something that is no report: choose another folder, or --overwrite.")
    if begun is not None and begun != digest and not request.overwrite:
        raise OutputError(
            f"{folder.name} holds a report of other images, models or settings: choose another folder, or pass "
            "--overwrite."
        )
    if begun == digest and (folder / PAGE).is_file() and not request.overwrite:
        try:
            return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
    if begun is not None:
        # The page belongs to what is about to be replaced.
        for name in (PAGE, CASES, "result.json"):
            (folder / name).unlink(missing_ok=True)
    return None
