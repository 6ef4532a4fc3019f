"""What every training shares around its loop: the request, the run folder, and how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medgan.commands.console import Console
from medgan.errors import MedganError, TrainingError
from medgan.runs import Run
from medgan.training.distributed import ALONE, Replicas


@dataclass(frozen=True)
class TrainingRequest:
    """One call of ``medgan train`` after its configuration was checked.

    Attributes
    ----------
    config : Path
        The configuration's file; paths in it start from its folder.
    experiment : object
        The checked configuration, of the class that its method has in ``EXPERIMENTS``.
    values : dict
        The plain values it was made of, overrides included.
    folder : Path
        Run folder.
    data_root : Path or None
        Where the manifest's paths start from.
    phantoms, store : Path or None
        Folders for phantoms and prepared cases, where a study gives them.
    device, precision : str
        As asked for; ``auto`` is resolved when the run begins.
    threads : int or None
    console : Console
    replicas : Replicas
        The processes that train together.
    """

    config: Path
    experiment: Any
    values: dict[str, Any]
    folder: Path
    data_root: Path | None
    phantoms: Path | None
    store: Path | None
    device: str
    precision: str
    threads: int | None
    console: Console
    replicas: Replicas = ALONE

    @property
    def config_text(self) -> str:
        """The configuration as it is stored with the run."""
        return yaml.safe_dump(self.values, sort_keys=False)

    @property
    def config_sha256(self) -> str:
        """Digest of :attr:`config_text`."""
        return hashlib.sha256(self.config_text.encode()).hexdigest()


def opened_run(request: TrainingRequest, manifest_digest: str) -> Run:
    """Begin or continue the run of a training: device, precision and threads are settled once and kept.

    Raises
    ------
    OutputError, SettingsError
        If the folder belongs to another training, or the machine lacks what was asked for.
    TrainingError
        If it was begun by another number of processes.
    """
    import torch

    from medgan.commands.devices import resolve_device
    from medgan.training.page_reuse import reuse_pages
    from medgan.training.precision import resolve_precision

    chosen = resolve_device(request.device)
    if chosen == "cpu":
        reuse_pages()
    environment: dict[str, Any] = {}
    with request.replicas.leader_first():
        # A run that is continued keeps what it began with: on a new machine a probe would be for nothing.
        if not request.folder.exists():
            environment = {
                "device": chosen,
                "threads": request.threads or torch.get_num_threads(),
                "precision": resolve_precision(request.precision, device=chosen).as_dict(),
                "processes": request.replicas.size,
            }
        run = Run.opened(
            request.folder, config_text=request.config_text, manifest_digest=manifest_digest, environment=environment
        )
    began_with = run.environment.get("processes", 1)
    if began_with != request.replicas.size:
        raise TrainingError(
            f"Run {run.folder.name} was begun by {began_with} process(es), which decides how a batch is dealt out: "
            f"found {request.replicas.size}. Continue it with as many, or choose another folder with --out."
        )
    torch.set_num_threads(run.environment["threads"])
    return run


def finished_result(run: Run, console: Console) -> dict[str, Any] | None:
    """Return what a finished training reported, None if it is not finished."""
    if not (run.folder / "bundle").is_dir() or not (run.folder / "result.json").is_file():
        return None
    console.notice(f"{run.folder.name} is finished: its bundle is there.")
    return dict(json.loads((run.folder / "result.json").read_text(encoding="utf-8")))


@contextmanager
def status_kept(run: Run) -> Iterator[None]:
    """Record in the run's status how the work inside ends, unless it ends well."""
    try:
        yield
    except MedganError as error:
        run.set_status("stopped", reason=str(error))
        raise
    except KeyboardInterrupt:
        run.set_status("interrupted")
        raise


def written_result(run: Run, *, model: str, weights_sha256: str, steps: int) -> dict[str, Any]:
    """Write ``result.json`` of a training whose bundle is written, and return it."""
    lines = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [record for record in map(json.loads, lines) if record["event"] == "losses"]
    result = {
        "run": run.folder.name,
        "bundle": str(run.folder / "bundle"),
        "model": model,
        "steps": steps,
        "weights_sha256": weights_sha256,
        "last_losses": {k: v for k, v in losses[-1].items() if k not in ("event", "attempt")},
    }
    (run.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


Training = Callable[[TrainingRequest], dict[str, Any]]
"""One method's training: from a request to its result."""


def default_folder(model_name: str, out: Path | None) -> Path:
    """Return the run folder: ``runs/<model name>`` where none is given."""
    return out or Path("runs") / model_name
