"""The command line: one function a verb, and nothing heavy imported until a verb runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from medgan.cli import benchmark, explanation, images, learning, models, results, segmentation

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
for _part in (images, results, learning, models, explanation, segmentation, benchmark):
    app.add_typer(_part.app)


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
