"""Verbs for images as they come: what they are, and preparing them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import (
    AllowGap,
    AssumeAxes,
    Json,
    Overwrite,
    Quiet,
    Scheduler,
    Series,
    Set,
    Shard,
    Workers,
    console_of,
)

app = typer.Typer()
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--pseudonym-key",
        metavar="FILE",
        help="Key that the pseudonyms of patients and studies are made with; made where there is no such file.",
    ),
]


@app.command(epilog="Examples: medgan inspect study/ · medgan inspect scan.zip DICOMDIR volume.nii.gz --json")
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders, zip archives or DICOMDIRs.")],
    pseudonym_key: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say what every image is, and whether it is accepted, corrected or refused and why; only headers are read.

    The index is what --series N means for the other verbs. Patients and studies of DICOM are told apart by keyed
    pseudonyms, of this run only unless a key is kept. Exits 0 if all images are usable, 3 if some are refused, 2 if
    none is usable.
    """
    from medgan.commands.inspect import exit_code_of, lines_of
    from medgan.commands.inspect import inspect as run

    console = console_of(quiet, as_json)
    facts = run(paths, pseudonym_key=pseudonym_key, console=console)
    console.result(facts, lines_of(facts))
    return exit_code_of(facts)


@app.command(
    epilog="Examples: medgan preprocess scan.nii.gz --recipe ct_soft_tissue --out prepared/ · "
    "medgan preprocess study/ --series 2 --recipe isotropic_1mm · "
    "medgan preprocess configs/mr_to_ct/sts.yaml --data-root ~/data --out store --workers 4"
)
def preprocess(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="IMAGE|CONFIG", help="Image or DICOM, or the YAML configuration of a cohort (data and recipe)."
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="For an image: name of a recipe, or its YAML file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Image file (with a suffix) or folder; for a cohort the store.")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="What the image holds (mr, ct, em), where nothing says so.")
    ] = None,
    onto: Annotated[
        Path | None, typer.Option(help="For a recipe with a registration: image to move IMAGE onto.")
    ] = None,
    series: Series = None,
    allow_gap: AllowGap = False,
    assume_axes: AssumeAxes = False,
    data_root: Annotated[Path | None, typer.Option(help="For a cohort: where the manifest's paths start from.")] = None,
    workers: Workers = None,
    shard: Shard = None,
    scheduler: Scheduler = None,
    overrides: Set = [],  # noqa: B006
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="List medgan's own recipes.")] = False,
    overwrite: Overwrite = False,
    pseudonym_key: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Prepare an image by a recipe, or a whole cohort into a case store.

    An image: writes it (normalized ones as float32), its body mask IMAGE_body where the recipe finds one, and a JSON
    sidecar. A cohort: all splits and domains; started again it continues; writes a CSV and an HTML report of what was
    accepted, corrected and refused, and exits 3 if some images are refused, 2 if all are.
    """
    from medgan.commands.preprocess import preprocess as run

    console = console_of(quiet, as_json)
    facts, lines, code = run(
        source,
        recipe=recipe,
        out=out,
        modality=modality,
        onto=onto,
        series=series,
        allow_gap=allow_gap,
        assume_axes=assume_axes,
        data_root=data_root,
        workers=workers,
        shard=shard,
        scheduler=scheduler,
        overrides=overrides,
        list_recipes=list_recipes,
        overwrite=overwrite,
        pseudonym_key=pseudonym_key,
        console=console,
    )
    console.result(facts, lines)
    return code
