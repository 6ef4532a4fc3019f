"""``medgan segment``: images in, label map, lesion probabilities, table and picture out; by the model's task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from medgan.inference.bundle import ModelBundle


@dataclass(frozen=True)
class SegmentRequest:
    """One call of ``medgan segment``.

    Attributes
    ----------
    source : Path or None
    bundle : ModelBundle
    channels : tuple of str
        ``name=value`` options.
    out : Path or None
    align, flips, allow_gap, assume_axes, overwrite : bool
    voxel_size, block : str or None
        Of a stack of sections, as ``z,y,x``.
    device, precision : str
    console : Console
    """

    source: Path | None
    bundle: ModelBundle[Any]
    channels: tuple[str, ...]
    out: Path | None
    align: bool
    flips: bool
    allow_gap: bool
    assume_axes: bool
    overwrite: bool
    voxel_size: str | None
    block: str | None
    device: str
    precision: str
    console: Console

    def require_unused(self, *options: str, because: str) -> None:
        """Refuse options that mean nothing for the model's task.

        Parameters
        ----------
        *options : str
            Names of attributes.
        because : str
            What the model works on.

        Raises
        ------
        SettingsError
            Naming those that were given.
        """
        given = [name for name in options if getattr(self, name) not in (None, False, ())]
        if given:
            flags = ", ".join("--" + ("channel" if name == "channels" else name.replace("_", "-")) for name in given)
            raise SettingsError(f"{self.bundle.facts.name} {because}: leave out {flags}.")


Segmenting = Callable[[SegmentRequest], dict[str, Any]]
"""What segments by models of one task: from a request to what the JSON beside the result holds."""


def segmentings() -> dict[str, Segmenting]:
    """Return what serves the models of each task."""
    from medgan.commands.segment_instances import segment_stack
    from medgan.commands.segment_study import segment_study

    return {"segmentation": segment_study, "boundaries": segment_stack}


def segment(
    source: Path | None,
    *,
    model: str | None = None,
    channels: Sequence[str] = (),
    out: Path | None = None,
    align: bool = False,
    flips: bool = True,
    allow_gap: bool = False,
    assume_axes: bool = False,
    voxel_size: str | None = None,
    block: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Segment one study, volume or stack of sections.

    Parameters
    ----------
    source : Path, optional
        DICOM as folder, zip or DICOMDIR, or an image file; not needed where ``channels`` name all images. For a model
        of boundaries a stack: OME-Zarr, Zarr, ``file.h5:/path`` or a folder of sections.
    model : str, optional
        Name or folder of a bundle.
    channels : sequence of str
        ``name=index`` or ``name=file``, for channels that are not found by themselves.
    out : Path, optional
        Folder; the working directory if not given. For a stack the store to write.
    align : bool
        Move the other channels rigidly onto the first.
    flips : bool
        Average over the image and its mirror image.
    allow_gap, assume_axes, overwrite : bool
    voxel_size, block : str, optional
        For a stack, as ``z,y,x``: nm where it does not state them, and voxels of a block.
    device, precision : str
    console : Console

    Returns
    -------
    dict
        What the JSON file holds, and the paths under ``outputs``.

    Raises
    ------
    SettingsError
        Without a model; the message lists those that there are.
    MedganError
        If the model, an image or an output is refused; nothing is written then.
    """
    known = segmentings()
    if model is None:
        raise SettingsError(f"A model is needed: pass --model NAME or --model FOLDER. {_listed(known)}")
    from medgan.inference.bundle import find_bundle

    bundle = find_bundle(model)
    if bundle.facts.task not in known:
        raise BundleError(
            f"A model that segments is needed: {bundle.facts.name} is for {bundle.facts.task}. {_listed(known)}"
        )
    request = SegmentRequest(
        source=source,
        bundle=bundle,
        channels=tuple(channels),
        out=out,
        align=align,
        flips=flips,
        allow_gap=allow_gap,
        assume_axes=assume_axes,
        voxel_size=voxel_size,
        block=block,
        overwrite=overwrite,
        device=device,
        precision=precision,
        console=console,
    )
    return known[bundle.facts.task](request)


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return what :func:`segment` found, for people."""
    from medgan.commands.segment_instances import stack_lines
    from medgan.commands.segment_study import study_lines

    return stack_lines(facts) if "instances" in facts else study_lines(facts)


def _listed(known: dict[str, Segmenting]) -> str:
    from medgan.commands.models import list_models

    models = [m for m in list_models()["models"] if m["task"] in known]
    if not models:
        return "None is embedded; a training writes one into the folder bundle of its run."
    words = "; ".join(f"{m['name']} ({m['does']}, trained on {m['trained_anatomy']})" for m in models)
    return f"Embedded: {words}."
