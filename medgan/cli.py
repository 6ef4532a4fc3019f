"""The command line: one function a verb, and nothing heavy imported until a verb runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medgan.commands.console import Console


EXIT_CODES = """Exit codes: 0 done · 1 internal failure, or a loss that is not finite · 2 input or usage refused,
nothing written · 3 a cohort done in part · 130 interrupted."""

app = typer.Typer(
    name="medgan",
    help="Translate medical and biological volumes to another modality, with their geometry kept.\n\n" + EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="Models that come with medgan, and bundles in folders.", no_args_is_help=True)
config_app = typer.Typer(help="Training configurations: show, check, schema.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, also for errors.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notices and no progress on stderr.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[
    str, typer.Option(help="auto, float32 or bfloat16. auto takes bfloat16 only where the machine is faster with it.")
]
Set = Annotated[list[str], typer.Option("--set", help="Replace a setting: --set training.steps=100. May be repeated.")]
AssumeAxes = Annotated[
    bool, typer.Option("--assume-axes", help="Go on with a file that does not say where its axes point.")
]

Series = Annotated[int | None, typer.Option(min=1, help="Which image of several, by its index in medgan inspect.")]
AllowGap = Annotated[bool, typer.Option("--allow-gap", help="Interpolate one missing slice of a DICOM series.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from medgan import __version__

        typer.echo(f"medgan {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take options that come before the verb."""


@app.command(epilog="Examples: medgan inspect study/ · medgan inspect scan.zip DICOMDIR volume.nii.gz --json")
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders, zip archives or DICOMDIRs.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say what every image is, and whether it is accepted, corrected or refused and why; only headers are read.

    The index is what --series N means for the other verbs. Exits 0 if all images are usable, 3 if some are refused, 2
    if none is usable.
    """
    from medgan.commands.inspect import exit_code_of, lines_of
    from medgan.commands.inspect import inspect as run

    console = _console(quiet, as_json)
    facts = run(paths, console=console)
    console.result(facts, lines_of(facts))
    return exit_code_of(facts)


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

    console = _console(quiet, as_json)
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

    console = _console(quiet, as_json)
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


@app.command(
    epilog="Examples: medgan train configs/mr_to_ct/sts.yaml --data-root ~/data · "
    "medgan train configs/mr_to_ct/sts.yaml --data-root ~/data --set cyclegan.steps=500 --out runs/short"
)
def train(
    config: Annotated[Path, typer.Argument(help="Complete YAML configuration; `method` picks what is trained.")],
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that the manifest's paths start from; default: the manifest's own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: runs/MODEL.")] = None,
    overrides: Set = [],  # noqa: B006 - typer needs a literal default and never changes it
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; a continued run keeps its own.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; started again with the same configuration it continues where it stopped, to the same bits."""
    from medgan.commands.train import train as run

    console = _console(quiet, as_json)
    facts = run(
        config,
        data_root=data_root,
        out=out,
        overrides=overrides,
        device=device,
        precision=precision,
        threads=threads,
        console=console,
    )
    console.result(facts, [facts["bundle"]])


@app.command(
    epilog="Examples: medgan preprocess scan.nii.gz --recipe ct_soft_tissue --out prepared/ · "
    "medgan preprocess study/ --series 2 --recipe isotropic_1mm · "
    "medgan preprocess configs/mr_to_ct/sts.yaml --data-root ~/data --out store --jobs 4"
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
    jobs: Annotated[int | None, typer.Option(min=1, help="For a cohort: processes; default: one a core.")] = None,
    overrides: Set = [],  # noqa: B006
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="List medgan's own recipes.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Prepare an image by a recipe, or a whole cohort into a case store.

    An image: writes it (normalized ones as float32), its body mask IMAGE_body where the recipe finds one, and a JSON
    sidecar. A cohort: all splits and domains; started again it continues; writes a CSV and an HTML report of what was
    accepted, corrected and refused, and exits 3 if some images are refused, 2 if all are.
    """
    from medgan.commands.preprocess import preprocess as run

    console = _console(quiet, as_json)
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
        jobs=jobs,
        overrides=overrides,
        list_recipes=list_recipes,
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

    console = _console(quiet, as_json)
    facts = run(out, device=device, precision=precision, overwrite=overwrite, console=console)
    console.result(facts, facts["lines"])


@models_app.command("list", epilog="Example: medgan models list --json")
def models_list(as_json: Json = False, quiet: Quiet = False) -> None:
    """List the embedded models."""
    from medgan.commands.models import list_models

    facts = list_models()
    lines = [f"{m['name']:<24} {m['translates']:<12} trained on {m['trained_anatomy']}" for m in facts["models"]]
    _console(quiet, as_json).result(facts, lines)


@models_app.command("show", epilog="Example: medgan models show phantom-mr-to-ct")
def models_show(
    model: Annotated[str, typer.Argument(help="Name of an embedded model, or folder of a bundle.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a model's card, or all its facts as JSON."""
    from medgan.commands.models import show_model

    facts = show_model(model)
    _console(quiet, as_json).result(facts, [facts["card"]])


@models_app.command("check", epilog="Example: medgan models check runs/limbs/bundle")
def models_check(
    model: Annotated[str, typer.Argument(help="Name of an embedded model, or folder of a bundle.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle: facts, digest, weights against the network, and that the network runs."""
    from medgan.commands.models import check_model

    facts = check_model(model)
    _console(quiet, as_json).result(facts, [f"{facts['name']}: {sentence}" for sentence in facts["checks"]])


@config_app.command("show", epilog="Example: medgan config show configs/mr_to_ct/sts.yaml --set cyclegan.steps=500")
def config_show(
    file: Annotated[Path, typer.Argument(help="Training configuration.")],
    overrides: Set = [],  # noqa: B006
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a configuration with every default filled in."""
    from medgan.commands.config import show_config

    facts, text = show_config(file, overrides)
    _console(quiet, as_json).result(facts, [text])


@config_app.command("check", epilog="Example: medgan config check configs/mr_to_ct/sts.yaml")
def config_check(
    file: Annotated[Path, typer.Argument(help="Training configuration.")],
    overrides: Set = [],  # noqa: B006
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a configuration; all faults are listed at once."""
    from medgan.commands.config import check_config

    facts = check_config(file, overrides)
    _console(quiet, as_json).result(facts, [f"{facts['file']}: valid, method {facts['method']}"])


@config_app.command("schema", epilog="Example: medgan config schema cyclegan")
def config_schema(
    method: Annotated[str, typer.Argument(help="Method, such as cyclegan.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the JSON schema of a method's configuration."""
    from medgan.commands.config import config_schema as schema

    facts = schema(method)
    _console(quiet, as_json).result(facts, [json.dumps(facts, indent=2)])


def _console(quiet: bool, as_json: bool) -> Console:
    from medgan.commands.console import Console

    return Console(quiet=quiet, as_json=as_json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    raise SystemExit(run(given))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    from medgan.commands.outcome import guarded

    return guarded(
        lambda: app(args=arguments, prog_name="medgan", standalone_mode=False), as_json="--json" in arguments
    )
