"""The command line of a pipeline: a configuration, a study folder, and the steps in order."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.outcome import guarded
from medgan.commands.study import Study


@dataclass(frozen=True)
class Step:
    """One step of a study by name."""

    name: str
    run: Callable[[Study], Any]


def run_pipeline(
    description: str, steps: Sequence[Step], arguments: Sequence[str] | None = None, *, takes_model: bool = False
) -> None:
    """Parse arguments, run the steps that are not done, and exit with the codes of the ``medgan`` command.

    Parameters
    ----------
    description : str
    steps : sequence of Step
    arguments : sequence of str, optional
        Those of the process if not given.
    takes_model : bool
        Whether the study can measure a model that is there already: the option ``--model``.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="complete YAML configuration of the study")
    parser.add_argument("--data-root", type=Path, help="folder that the manifest's paths start from")
    parser.add_argument("--foreign", type=Path, help="manifest of scans that the domain check must tell apart")
    if takes_model:
        parser.add_argument("--model", help="measure this embedded model or bundle of the configuration; train nothing")
    parser.add_argument("--out", type=Path, help="study folder; default: studies/<name of the configuration>")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="replace a setting"
    )
    parser.add_argument("--until", choices=[step.name for step in steps], help="last step to run")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args(arguments)
    study = Study(
        config=given.config,
        folder=given.out or Path("studies") / given.config.stem,
        data_root=given.data_root,
        overrides=tuple(given.overrides),
        device=given.device,
        precision=given.precision,
        threads=given.threads,
        console=Console(quiet=given.quiet),
        foreign=given.foreign,
        model=given.model if takes_model else None,
    )

    def run() -> None:
        for number, step in enumerate(steps, start=1):
            study.console.notice(f"[{number}/{len(steps)}] {step.name}")
            step.run(study)
            if step.name == given.until:
                return

    raise SystemExit(guarded(run, as_json=False))
