"""Verbs for training, and for its configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import Device, Json, Precision, Quiet, Set, console_of

app = typer.Typer()
config_app = typer.Typer(help="Training configurations: show, check, schema.", no_args_is_help=True)
app.add_typer(config_app, name="config")


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
    fold: Annotated[
        str | None, typer.Option(help="Which fold of a configuration with data.folds: a number from 0, or all.")
    ] = None,
    overrides: Set = [],  # noqa: B006 - typer needs a literal default and never changes it
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; a continued run keeps its own.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; started again with the same configuration it continues where it stopped, to the same bits."""
    from medgan.commands.train import train as run

    console = console_of(quiet, as_json)
    facts = run(
        config,
        data_root=data_root,
        out=out,
        fold=fold,
        overrides=overrides,
        device=device,
        precision=precision,
        threads=threads,
        console=console,
    )
    if facts:
        console.result(facts, [facts["bundle"]])


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
    console_of(quiet, as_json).result(facts, [text])


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
    console_of(quiet, as_json).result(facts, [f"{facts['file']}: valid, method {facts['method']}"])


@config_app.command("schema", epilog="Example: medgan config schema cyclegan")
def config_schema(
    method: Annotated[str, typer.Argument(help="Method, such as cyclegan.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the JSON schema of a method's configuration."""
    from medgan.commands.config import config_schema as schema

    facts = schema(method)
    console_of(quiet, as_json).result(facts, [json.dumps(facts, indent=2)])
