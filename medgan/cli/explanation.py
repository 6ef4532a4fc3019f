"""Verbs for explaining a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import Device, Json, Overwrite, Quiet, console_of

app = typer.Typer()
classifier_app = typer.Typer(help="Classifiers of radiographs, your own or embedded ones.", no_args_is_help=True)
app.add_typer(classifier_app, name="classifier")

TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the classifier's own Python code (factory) or exported program.")
]
AcceptDomain = Annotated[
    bool, typer.Option("--accept-domain", help="Go on with radiographs that the model was not made for.")
]


@classifier_app.command(
    "check",
    epilog="Examples: medgan classifier check my_classifier · medgan classifier check chest28-classifier --json",
)
def classifier_check(
    folder: Annotated[str, typer.Argument(help="Folder with classifier.yaml, a bundle, or an embedded name.")],
    image: Annotated[
        list[Path], typer.Option(help="A radiograph to look at it with, at least four of different classes.")
    ] = [],  # noqa: B006 - typer needs a literal default and never changes it
    trust_code: TrustCode = False,
    accept_domain: AcceptDomain = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Load a classifier and say by which methods it can be explained, and why by others not.

    The exit code is 2 where nothing may be explained.
    """
    from medgan.commands.classifier import check_classifier, check_lines

    facts = check_classifier(folder, images=image, trust_code=trust_code, accept_domain=accept_domain)
    console_of(quiet, as_json).result(facts, check_lines(facts))
    raise typer.Exit(0 if facts["usable"] else 2)


@app.command(
    epilog="Examples: medgan explain chest.png --out report/ · medgan explain --cohort list.csv --classifier mine/ "
    "--translator runs/translator/bundle --second-classifier other/ --out report/"
)
def explain(
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="PNG, JPEG or DICOM radiographs.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that receives the report.")] = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="Embedded name, bundle, or folder with classifier.yaml; default: the embedded one."),
    ] = None,
    translator: Annotated[str | None, typer.Option(help="Embedded name or bundle, of the same two classes.")] = None,
    second_classifier: Annotated[
        str | None, typer.Option(help="Another seed and architecture, trained on the same data.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(metavar="LIST.csv", help="Columns case_id, path, and perhaps subject_id and label.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Where the list's paths start from; default: beside it.")
    ] = None,
    accept_domain: AcceptDomain = False,
    trust_code: TrustCode = False,
    preset: Annotated[str, typer.Option(help="Published direction: dapi (real into fake) or quac.")] = "dapi",
    method: Annotated[
        list[str], typer.Option(help="Attribution method; may be repeated. Default: the published five.")
    ] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="Cases explained in each direction.")] = None,
    shown: Annotated[int, typer.Option(min=0, help="Cases with images, of each direction and verdict.")] = 12,
    batch: Annotated[int, typer.Option(min=1, help="Images in a forward pass: bounds memory.")] = 32,
    precision: Annotated[str, typer.Option(help="Of the curves: auto, float32 or bfloat16.")] = "float32",
    seed: Annotated[int, typer.Option(help="Of random maps, random weights and resampling.")] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Explain what a classifier says of radiographs, by translation into the other class and attribution.

    Writes report.html (one self-contained page), cases.json, maps/*.npz and tables/*.csv. Interrupted, the same command
    continues. Exits 2 if a radiograph is outside the models' domain and --accept-domain is not given, 3 if some
    radiographs of a list are refused.
    """
    from medgan.commands.explain import explain as run
    from medgan.commands.explain import explain_lines, settings_of

    facts = run(
        images or (),
        classifier=classifier,
        translator=translator,
        second_classifier=second_classifier,
        cohort=cohort,
        data_root=data_root,
        out=out,
        settings=settings_of(
            preset=preset, methods=method, limit=limit, shown=shown, batch=batch, precision=precision, seed=seed
        ),
        accept_domain=accept_domain,
        trust_code=trust_code,
        device=device,
        overwrite=overwrite,
        console=(console := console_of(quiet, as_json)),
    )
    console.result(facts, explain_lines(facts))
    return int(facts["exit_code"])
