"""Verbs that make a result from an image, and measure it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import AllowGap, AssumeAxes, Device, Json, Overwrite, Precision, Quiet, Series, console_of

app = typer.Typer()


@app.command(
    epilog="Examples: medgan translate volume.nii.gz --model phantom-mr-to-ct · "
    "medgan translate scan.mha --model runs/limbs/bundle --out results/ · "
    "medgan translate study/ --series 2 --model phantom-mr-to-ct"
)
def translate(
    image: Annotated[
        Path,
        typer.Argument(
            help="Volume: .nii, .nii.gz, .hdr/.img, .mha, .mhd, .nrrd, .nhdr; DICOM as folder, file, zip or DICOMDIR."
        ),
    ],
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
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate a volume to the model's target modality, on the volume's own grid.

    Writes VOLUME_sct.nii.gz (int16 HU, marked SYNTHETIC), VOLUME_sct.json (provenance, model, domain check, timing) and
    VOLUME_sct.png (three planes, source beside result). For DICOM, VOLUME is mr_series01 or the like.
    """
    from medgan.commands.translate import translate as run

    console = console_of(quiet, as_json)
    facts = run(
        image,
        model=model,
        out=out,
        modality=modality,
        series=series,
        allow_gap=allow_gap,
        orthogonal=orthogonal,
        assume_axes=assume_axes,
        device=device,
        precision=precision,
        overwrite=overwrite,
        console=console,
    )
    console.result(facts, [str(facts["outputs"][name]) for name in ("volume", "sidecar", "picture")])


@app.command(
    epilog="Examples: medgan evaluate volume_sct.nii.gz ct.nii.gz · "
    "medgan evaluate sct.nii.gz ct.nii.gz --mask body.nii.gz --preset synthrad2025 --json"
)
def evaluate(
    result: Annotated[Path, typer.Argument(help="Synthetic CT: a file, or DICOM.")],
    reference: Annotated[Path, typer.Argument(help="True CT: a file, or DICOM.")],
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
    out: Annotated[Path | None, typer.Option(help="Write the measures as JSON to this file as well.")] = None,
    assume_axes: AssumeAxes = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare a synthetic CT with the true one; mask, range and peak of every measure are stated."""
    from medgan.commands.evaluate import evaluate as run
    from medgan.commands.evaluate import lines_of

    console = console_of(quiet, as_json)
    facts = run(
        result,
        reference,
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
    console.result(facts, lines_of(facts))


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
