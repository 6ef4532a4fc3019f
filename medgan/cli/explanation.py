"""Verbs for explaining a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import Json, Quiet, console_of

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
