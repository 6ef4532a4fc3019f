"""``medgan train``: from a configuration to a model bundle, restartable at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.training_session import Training, TrainingRequest, default_folder
from medgan.errors import SettingsError

REPLICATED = frozenset({"cyclegan"})
"""Methods that several processes, started by ``torchrun``, can train together."""


def trainings() -> dict[str, Training]:
    """Return what trains each method; its configuration's class stands in ``EXPERIMENTS``."""
    from medgan.commands.train_boundaries import train_boundaries
    from medgan.commands.train_classification import train_classification
    from medgan.commands.train_counterfactual import train_counterfactual
    from medgan.commands.train_cyclegan import train_cyclegan
    from medgan.commands.train_secgan import train_secgan
    from medgan.commands.train_segmentation import train_segmentation

    return {
        "adversarial_segmentation": train_segmentation,
        "boundaries": train_boundaries,
        "classification": train_classification,
        "counterfactual": train_counterfactual,
        "cyclegan": train_cyclegan,
        "secgan": train_secgan,
    }


def train(
    config: Path,
    *,
    data_root: Path | None = None,
    out: Path | None = None,
    phantoms: Path | None = None,
    store: Path | None = None,
    fold: int | str | None = None,
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
        Run folder, ``runs/<model name>`` (with ``-fold-<fold>``) if not given.
    phantoms, store : Path, optional
        Folders for phantoms (where the configuration asks for them) and for prepared cases; beside and in the run
        folder if not given.
    fold : int or "all", optional
        Which fold of a configuration with ``data.folds``; the same as the override ``data.fold``.
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
        Run folder, bundle folder, steps, last losses; empty in all but the first of several processes.

    Raises
    ------
    MedganError
        If configuration, data or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.training_settings import read_experiment
    from medgan.training.distributed import joined_replicas

    overrides = (*overrides, f"data.fold={fold}") if fold is not None else overrides
    experiment, values = read_experiment(config, overrides)
    with joined_replicas() as replicas:
        if replicas.size > 1 and experiment.method not in REPLICATED:
            raise SettingsError(
                f"Training by several processes is there for {', '.join(sorted(REPLICATED))}: {config.name} asks for "
                f"{experiment.method}. Start it without torchrun."
            )
        request = TrainingRequest(
            config=config,
            experiment=experiment,
            values=values,
            folder=default_folder(_run_name(experiment, config), out),
            data_root=data_root,
            phantoms=phantoms,
            store=store,
            device=device,
            precision=precision,
            threads=threads,
            console=console if replicas.leads else replace(console, quiet=True),
            replicas=replicas,
        )
        return trainings()[experiment.method](request)


def _run_name(experiment: Any, config: Path) -> str:
    """Return the model's name with the fold that is trained; methods without folds have none."""
    data = getattr(experiment, "data", None)
    folds, fold = getattr(data, "folds", None), getattr(data, "fold", None)
    if folds is not None and fold is None:
        raise SettingsError(
            f"{config.name} has {folds} folds: say by --fold which one is trained, 0 to {folds - 1}, or all."
        )
    return str(experiment.model.name) if fold is None else f"{experiment.model.name}-fold-{fold}"
