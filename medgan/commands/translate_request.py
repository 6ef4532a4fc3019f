"""What ``medgan translate`` is asked for: one image, or a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.preprocess import Outcome, refuse_any
from medgan.errors import SettingsError


def translate_any(
    image: Path | None,
    *,
    manifest: Path | None = None,
    series: int | None = None,
    overwrite: bool = False,
    data_root: Path | None = None,
    jobs: int | None = None,
    out: Path | None = None,
    model: str | None = None,
    modality: str | None = None,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    uncertainty: bool = False,
    members: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    console: Console,
) -> Outcome:
    """Translate an image, or all images of a list.

    Parameters
    ----------
    image, manifest : Path or None
        One of the two.
    series, overwrite
        For an image, as for :func:`~medgan.commands.translate.translate`.
    data_root, jobs
        For a cohort, as for :func:`~medgan.commands.translate_cohort.translate_cohort`.
    out, model, modality, allow_gap, orthogonal, assume_axes, uncertainty, members, device, precision, console
        For either.

    Raises
    ------
    MedganError
        If something is refused, or an option does not belong to what is translated.
    """
    if (image is None) == (manifest is None):
        raise SettingsError("Name an image, or a cohort by --manifest: one of the two.")
    shared: dict[str, Any] = {
        "out": out,
        "model": model,
        "modality": modality,
        "allow_gap": allow_gap,
        "orthogonal": orthogonal,
        "assume_axes": assume_axes,
        "uncertainty": uncertainty,
        "members": members,
        "device": device,
        "precision": precision,
        "console": console,
    }
    if manifest is not None:
        from medgan.commands.translate_cohort import exit_code_of, lines_of, translate_cohort

        refuse_any(
            {"--series": series, "--overwrite": overwrite},
            "an image",
            f"{manifest.name} is a cohort, whose finished cases are kept and whose series stand in its table",
        )
        facts = translate_cohort(manifest, data_root=data_root, jobs=jobs or 1, **shared)
        return facts, lines_of(facts), exit_code_of(facts)
    from medgan.commands.translate import translate

    refuse_any({"--data-root": data_root, "--jobs": jobs}, "a cohort", "pass it by --manifest")
    facts = translate(image or Path(), series=series, overwrite=overwrite, **shared)
    return facts, list(facts["outputs"].values()), 0
