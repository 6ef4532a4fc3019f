"""What ``medgan translate`` is asked for: one image, a cohort, or a stack of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.out_of_core_hands import Hands
from medgan.commands.preprocess import Outcome, refuse_any
from medgan.errors import SettingsError


def translate_any(
    image: Path | None,
    *,
    manifest: Path | None = None,
    series: int | None = None,
    overwrite: bool = False,
    data_root: Path | None = None,
    workers: int | None = None,
    shard: str | None = None,
    scheduler: str | None = None,
    voxel_size: str | None = None,
    block: str | None = None,
    out: Path | None = None,
    model: str | None = None,
    modality: str | None = None,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    uncertainty: bool = False,
    members: Sequence[str] = (),
    whole: bool = False,
    device: str = "auto",
    precision: str = "auto",
    console: Console,
) -> Outcome:
    """Translate an image, all images of a list, or a stack block by block.

    Parameters
    ----------
    image, manifest : Path or None
        One of the two.
    series, overwrite
        For an image, as for :func:`~medgan.commands.translate.translate`.
    data_root
        For a cohort, as for :func:`~medgan.commands.translate_cohort.translate_cohort`.
    workers, shard, scheduler
        Who works, for a cohort or a stack; see :class:`~medgan.commands.out_of_core_hands.Hands`.
    voxel_size, block : str, optional
        ``z,y,x``, for a stack, as for :func:`~medgan.commands.out_of_core.translate_blocks`.
    out, model, device, precision, console
        For all.
    modality, allow_gap, orthogonal, assume_axes, uncertainty, members, whole
        For an image or a cohort.

    Raises
    ------
    MedganError
        If something is refused, or an option does not belong to what is translated.
    """
    if (image is None) == (manifest is None):
        raise SettingsError("Name an image, or a cohort by --manifest: one of the two.")
    clinical: dict[str, Any] = {
        "modality": modality,
        "allow_gap": allow_gap,
        "orthogonal": orthogonal,
        "assume_axes": assume_axes,
        "uncertainty": uncertainty,
        "members": members,
        "whole": whole,
    }
    shared: dict[str, Any] = {"out": out, "model": model, "device": device, "precision": precision, "console": console}
    hands = Hands.asked(workers=workers, shard=shard, scheduler=scheduler)
    if image is not None and _is_stack(image):
        from medgan.commands import out_of_core
        from medgan.commands.evaluate_instances import numbers_of

        refuse_any(
            {**_as_options(clinical), "--series": series, "--data-root": data_root},
            "an image or a cohort",
            f"{image.name} is a stack",
        )
        facts = out_of_core.translate_blocks(
            image,
            voxel_size_zyx_nm=numbers_of(voxel_size, option="--voxel-size", whole=False),
            block_zyx=numbers_of(block, option="--block", whole=True),
            hands=hands,
            overwrite=overwrite,
            **shared,
        )
        return facts, out_of_core.lines_of(facts), out_of_core.exit_code_of(facts)
    of_stack = {"--voxel-size": voxel_size, "--block": block}
    refuse_any(of_stack, "a stack", "name a .zarr, an array in an .h5, or a folder of sections")
    if manifest is not None:
        from medgan.commands.translate_cohort import exit_code_of, lines_of, translate_cohort

        refuse_any(
            {"--series": series, "--overwrite": overwrite},
            "an image",
            f"{manifest.name} is a cohort, whose finished cases are kept and whose series stand in its table",
        )
        facts = translate_cohort(manifest, data_root=data_root, hands=hands, **clinical, **shared)
        return facts, lines_of(facts), exit_code_of(facts)
    from medgan.commands.translate import translate

    refuse_any({"--data-root": data_root}, "a cohort", "pass it by --manifest")
    refuse_any(hands.options, "a cohort or a stack", "pass a cohort by --manifest; one image is one process's work")
    facts = translate(image or Path(), series=series, overwrite=overwrite, **clinical, **shared)
    return facts, list(facts["outputs"].values()), 0


def _is_stack(image: Path) -> bool:
    from medgan.formats.chunked import is_chunked

    return is_chunked(image)


def _as_options(values: dict[str, Any]) -> dict[str, Any]:
    names = {"members": "--member"}
    return {names.get(name, f"--{name.replace('_', '-')}"): value for name, value in values.items()}
