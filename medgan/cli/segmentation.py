"""Verbs that label voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import (
    AllowGap,
    AssumeAxes,
    BlockSize,
    Device,
    Json,
    Overwrite,
    Precision,
    Quiet,
    VoxelSize,
    console_of,
)

app = typer.Typer()


@app.command(
    epilog="Examples: medgan segment study/ --model runs/prostate/bundle --out results/ · "
    "medgan segment study/ --model runs/prostate/bundle --channel dwi=6 · "
    "medgan segment --model runs/prostate/bundle --channel t2w=t2.nii.gz --channel adc=adc.nii.gz "
    "--channel dwi=b1400.nii.gz · "
    "medgan segment volume.zarr:/raw --model runs/neurites/bundle --out cells.zarr --block 128,256,256"
)
def segment(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY|IMAGE|STACK]",
            help="DICOM as folder, zip or DICOMDIR; an image file; .zarr, .h5:/path or a folder of sections.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of an embedded model, or folder of a bundle.")] = None,
    channels: Annotated[
        list[str],
        typer.Option(
            "--channel",
            help="NAME=INDEX (as medgan inspect numbers images), NAME=FILE or NAME=FOLDER#INDEX. May be repeated.",
        ),
    ] = [],  # noqa: B006 - typer needs a literal default and never changes it
    manifest: Annotated[
        Path | None, typer.Option(help="A cohort: a release's YAML with one row a channel. Restartable.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="For a cohort: where the manifest's paths start from.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results, or store for a stack's; default: here.")
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Move the other channels rigidly onto the first, not by geometry alone.")
    ] = False,
    flips: Annotated[
        bool, typer.Option("--flips/--no-flips", help="Average over the image and its mirror image.")
    ] = True,
    allow_gap: AllowGap = False,
    assume_axes: AssumeAxes = False,
    voxel_size: VoxelSize = None,
    block: BlockSize = None,
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Label the voxels of a study on the grid of its first channel, or of a stack, and list what was found.

    Without --model the models are listed. The images for each channel are found by their headers, and the choice is
    shown. Writes label map, probability and numbers of lesions (NIfTI), a table (CSV), a picture with contours, JSON. A
    cohort exits 3 if some cases are refused, 2 if all are.

    With a model of boundaries: the instances of a stack of any size, block by block, as an OME-Zarr store.
    """
    from medgan.commands.segment import lines_of
    from medgan.commands.segment import segment as run
    from medgan.commands.segment_cohort import cohort_lines, segment_cohort

    console = console_of(quiet, as_json)
    if manifest is not None:
        facts, code = segment_cohort(
            manifest,
            data_root=data_root,
            model=model,
            out=out,
            given=source is not None or bool(channels),
            align=align,
            flips=flips,
            allow_gap=allow_gap,
            assume_axes=assume_axes,
            device=device,
            precision=precision,
            overwrite=overwrite,
            console=console,
        )
        console.result(facts, cohort_lines(facts))
        return code
    facts = run(
        source,
        model=model,
        channels=channels,
        out=out,
        align=align,
        flips=flips,
        allow_gap=allow_gap,
        assume_axes=assume_axes,
        voxel_size=voxel_size,
        block=block,
        device=device,
        precision=precision,
        overwrite=overwrite,
        console=console,
    )
    console.result(facts, lines_of(facts))
    return 0
