"""Options that several verbs share, and the console they speak through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medgan.commands.console import Console


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

VoxelSize = Annotated[
    str | None,
    typer.Option("--voxel-size", metavar="Z,Y,X", help="Of a stack or store that does not state it, in nm: 40,4,4."),
]
BlockSize = Annotated[str | None, typer.Option("--block", metavar="Z,Y,X", help="Voxels of a block: 64,256,256.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "--jobs", min=1, help="For a stack or a cohort: processes on this machine."),
]
Shard = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="For a stack or a cohort: this call is one of N, as in a job array."),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="For a stack or a cohort: workers of this Dask scheduler."),
]


def console_of(quiet: bool, as_json: bool) -> Console:
    """Return the console for the options --quiet and --json."""
    from medgan.commands.console import Console

    return Console(quiet=quiet, as_json=as_json)
