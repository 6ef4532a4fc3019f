"""Verbs for the models that come with medgan, and for bundles in folders."""

from __future__ import annotations

from typing import Annotated

import typer

from medgan.cli.options import Json, Quiet, console_of

app = typer.Typer()
models_app = typer.Typer(help="Models that come with medgan, and bundles in folders.", no_args_is_help=True)
app.add_typer(models_app, name="models")


@models_app.command("list", epilog="Example: medgan models list --json")
def models_list(as_json: Json = False, quiet: Quiet = False) -> None:
    """List the embedded models."""
    from medgan.commands.models import list_models

    facts = list_models()
    lines = [
        f"{m['name']:<24} {m['task']:<14} {m['does']:<12} trained on {m['trained_anatomy']}" for m in facts["models"]
    ]
    console_of(quiet, as_json).result(facts, lines)


@models_app.command("show", epilog="Example: medgan models show phantom-mr-to-ct")
def models_show(
    model: Annotated[str, typer.Argument(help="Name of an embedded model, or folder of a bundle.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a model's card, or all its facts as JSON."""
    from medgan.commands.models import show_model

    facts = show_model(model)
    console_of(quiet, as_json).result(facts, [facts["card"]])


@models_app.command("check", epilog="Example: medgan models check runs/limbs/bundle")
def models_check(
    model: Annotated[str, typer.Argument(help="Name of an embedded model, or folder of a bundle.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle: facts, digest, weights against the network, and that the network runs."""
    from medgan.commands.models import check_model

    facts = check_model(model)
    console_of(quiet, as_json).result(facts, [f"{facts['name']}: {sentence}" for sentence in facts["checks"]])
