"""Verbs that make a result from an image, and measure it."""

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
    Scheduler,
    Series,
    Shard,
    VoxelSize,
    Workers,
    console_of,
)

app = typer.Typer()


@app.command(
    epilog="Examples: medgan translate volume.nii.gz --model phantom-mr-to-ct · "
    "medgan translate scan.mha --model runs/limbs/bundle --out results/ --uncertainty · "
    "medgan translate study/ --series 2 --model phantom-mr-to-ct · "
    "medgan translate --manifest cases.csv --model runs/limbs/bundle --out results/ --workers 2 · "
    "medgan translate volume.zarr:/raw --model runs/em/bundle --out translated.zarr --workers 8"
)
def translate(
    image: Annotated[
        Path | None,
        typer.Argument(
            help="Volume: .nii, .nii.gz, .hdr/.img, .mha, .mhd, .nrrd, .nhdr; DICOM as folder, file, zip or DICOMDIR; "
            "or a stack: .zarr, .zarr:/path, .h5:/path, folder of sections."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of an embedded model, or folder of a bundle.")] = None,
    out: Annotated[Path | None, typer.Option(help="Result file (with a suffix) or folder; default: here.")] = None,
    modality: Annotated[
        str | None, typer.Option(help="Declare what the file holds (mr, ct), where it does not say.")
    ] = None,
    series: Series = None,
    allow_gap: AllowGap = False,
    orthogonal: Annotated[
        bool,
        typer.Option("--orthogonal", help="Give the result of a tilted CT at right angles, not on its sheared grid."),
    ] = False,
    assume_axes: AssumeAxes = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write maps of what flips and members change, and what does not return."),
    ] = False,
    members: Annotated[
        list[str], typer.Option("--member", help="Further model for --uncertainty. May be repeated.")
    ] = [],  # noqa: B006 - typer needs a literal default and never changes it
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Run the network once over the body's box, not patch by patch; needs memory."),
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="A cohort: CSV with case_id and path, or a release's YAML. Restartable.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="For a cohort: where its paths start from.")] = None,
    workers: Workers = None,
    shard: Shard = None,
    scheduler: Scheduler = None,
    voxel_size: VoxelSize = None,
    block: BlockSize = None,
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Translate a volume to the model's target modality, on the volume's own grid; or every volume of a cohort.

    Writes VOLUME_sct.nii.gz (int16 HU, marked SYNTHETIC), VOLUME_sct.json (provenance, model, domain check, timing) and
    VOLUME_sct.png (three planes, source beside result). For DICOM, VOLUME is mr_series01 or the like. --uncertainty
    adds VOLUME_sct_uncertainty (standard deviation in HU) and, where the model has a way back,
    VOLUME_sct_cycle_residual.

    A cohort goes into the folder --out, one CASE_sct a case, with summary.csv; started again it continues; exits 3 if
    some cases failed, 2 if all did.

    A stack of electron microscopy goes, block by block, into the OME-Zarr store --out, named --out with .partial until
    it is complete; started again it continues; exits 3 if some blocks failed.
    """
    from medgan.commands.translate_request import translate_any as run

    console = console_of(quiet, as_json)
    facts, lines, code = run(
        image,
        model=model,
        out=out,
        modality=modality,
        series=series,
        allow_gap=allow_gap,
        orthogonal=orthogonal,
        assume_axes=assume_axes,
        uncertainty=uncertainty,
        members=members,
        whole=whole,
        manifest=manifest,
        data_root=data_root,
        workers=workers,
        shard=shard,
        scheduler=scheduler,
        voxel_size=voxel_size,
        block=block,
        device=device,
        precision=precision,
        overwrite=overwrite,
        console=console,
    )
    console.result(facts, lines)
    return code


@app.command(
    epilog="Examples: medgan evaluate volume_sct.nii.gz ct.nii.gz · "
    "medgan evaluate sct.nii.gz ct.nii.gz --mask body.nii.gz --preset synthrad2025 --json · "
    "medgan evaluate sct.nii.gz ct.nii.gz --against other_sct.nii.gz · "
    "medgan evaluate --table results.csv --against baseline.csv --out measures.csv"
)
def evaluate(
    result: Annotated[Path | None, typer.Argument(help="Synthetic CT: a file, or DICOM.")] = None,
    reference: Annotated[Path | None, typer.Argument(help="True CT: a file, or DICOM.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="A cohort: CSV with case_id, subject_id, result, reference and, if any, mask.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="For a paired comparison: a second result; with --table another table, or its measures."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="For a cohort: processes; default 1.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Label map; measured where it is not 0. Default: the body.")] = None,
    preset: Annotated[str, typer.Option(help="corrected, synthrad2023 or synthrad2025.")] = "corrected",
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring reference and mask onto the result's grid (they share a frame).")
    ] = False,
    series: Series = None,
    reference_series: Annotated[int | None, typer.Option(min=1, help="As --series, for the reference alone.")] = None,
    allow_gap: AllowGap = False,
    orthogonal: Annotated[
        bool, typer.Option("--orthogonal", help="Compare at right angles where the result's grid is sheared.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the measures to this file as well: JSON; of a cohort .csv or .json.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Compare instance numbers in stores: VOI, ARAND, CREMI, run length.")
    ] = False,
    voxel_size: VoxelSize = None,
    block: BlockSize = None,
    border_nm: Annotated[float, typer.Option(min=0, help="With --instances: leave out voxels so near a border.")] = 0.0,
    assume_axes: AssumeAxes = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compare a synthetic CT with the true one; mask, range and peak of every measure are stated.

    A cohort: every case is printed, then the mean of every measure with a 95 % interval (bootstrap over subjects) from
    six subjects on; exits 3 if some cases are refused, 2 if all are.
    """
    from medgan.commands.evaluate_request import both_named

    if instances:
        from medgan.commands import evaluate_instances as of_instances

        console = console_of(quiet, as_json)
        facts = of_instances.evaluate_instances(
            *both_named(result, reference),
            voxel_size_zyx_nm=of_instances.numbers_of(voxel_size, option="--voxel-size", whole=False),
            block_zyx=of_instances.numbers_of(block, option="--block", whole=True),
            border_nm=border_nm,
            out=out,
            overwrite=overwrite,
            console=console,
        )
        console.result(facts, of_instances.instance_lines_of(facts))
        return 0
    from medgan.commands.evaluate_request import evaluate_any as run

    console = console_of(quiet, as_json)
    facts, lines, code = run(
        result,
        reference,
        table=table,
        against=against,
        jobs=jobs,
        mask=mask,
        preset=preset,
        resample_reference=resample,
        series=series,
        reference_series=reference_series,
        allow_gap=allow_gap,
        orthogonal=orthogonal,
        out=out,
        assume_axes=assume_axes,
        overwrite=overwrite,
        console=console,
    )
    console.result(facts, lines)
    return code


@app.command(epilog="Example: medgan demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for images and pictures.")] = Path("demo"),
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate a phantom MR with the embedded phantom model and compare with the known truth; offline."""
    from medgan.commands.demo import demo as run

    console = console_of(quiet, as_json)
    facts = run(out, device=device, precision=precision, overwrite=overwrite, console=console)
    console.result(facts, facts["lines"])
