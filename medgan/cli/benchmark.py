"""The verb that measures: what this machine can do, beside named peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgan.cli.options import Json, Overwrite, Quiet, console_of

app = typer.Typer()


@app.command(
    epilog="Examples: medgan bench --quick · medgan bench translate train · "
    "medgan bench --data-root ~/data --json > speed.json · medgan bench growth --plot growth.png · "
    "medgan bench --from speed.json --table docs/speed.md --plot growth.png --overwrite"
)
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE]...",
            help="translate, train, preprocess, io, startup, growth, explain, segment; all if none is named.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The same work a patch on smaller volumes: three minutes on two idle cores.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the growth with the volume as a PNG.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Real scans; without them the limb is left out.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Show an earlier --json instead of measuring.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Put the table between the marks of this Markdown page.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure medgan beside named peers on the same input, weights and patches, in turns, and say how results differ.

    Prints both medians, the ratio pair by pair with its spread, the deviation with its bound (beyond which there is no
    ratio) and the peak memory of each side. The peer gets its best thread count and memory layout. Rows in bf16 are
    not applicable where the CPU has no bf16 instructions. The whole set takes some twenty minutes on two cores. Exits 2
    for an unknown case or a peer that is not installed.
    """
    from medgan.commands.bench import lines_of
    from medgan.commands.bench import show as run

    console = console_of(quiet, as_json)
    facts = run(
        names or [],
        quick=quick,
        plot=plot,
        data_root=data_root,
        results=results,
        table=table,
        overwrite=overwrite,
        console=console,
    )
    console.result(facts, lines_of(facts))
