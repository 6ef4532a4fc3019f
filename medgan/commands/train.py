"""``medgan train``: from a configuration to a model bundle, restartable at every step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.training_session import Training, TrainingRequest, default_folder


def trainings() -> dict[str, Training]:
    """Return what trains each method; its configuration's class stands in ``EXPERIMENTS``."""
    from medgan.commands.train_cyclegan import train_cyclegan

    return {"cyclegan": train_cyclegan}


def train(
    config: Path,
    *,
    data_root: Path | None = None,
    out: Path | None = None,
    phantoms: Path | None = None,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    console: Console,
) -> dict[str, Any]:
    """Train a model, or continue the training that is in the run folder.

    Parameters
    ----------
    config : Path
        Complete YAML configuration; its ``method`` decides what is trained.
    data_root : Path, optional
        Folder that the manifest's paths start from; the manifest's own folder if not given.
    out : Path, optional
        Run folder, ``runs/<model name>`` if not given.
    phantoms, store : Path, optional
        Folders for phantoms (where the configuration asks for them) and for prepared cases; beside and in the run
        folder if not given.
    overrides : sequence of str
        ``a.b=c`` settings that replace those of the file.
    device, precision : str
        ``auto`` chooses; a continued run keeps what it began with.
    threads : int, optional
        CPU threads; a continued run keeps its number, because the bits depend on it.
    console : Console

    Returns
    -------
    dict
        Run folder, bundle folder, steps, last losses.

    Raises
    ------
    MedganError
        If configuration, data or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.training_settings import read_experiment

    experiment, values = read_experiment(config, overrides)
    request = TrainingRequest(
        config=config,
        experiment=experiment,
        values=values,
        folder=default_folder(experiment.model.name, out),
        data_root=data_root,
        phantoms=phantoms,
        store=store,
        device=device,
        precision=precision,
        threads=threads,
        console=console,
    )
    return trainings()[experiment.method](request)
