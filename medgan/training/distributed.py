"""Several processes train one model: each has its own share of a batch, and gradients are averaged before an update.

The processes are those that ``torchrun`` starts. They hold equal weights from the first step on, because all build the
same networks from the same seed and apply the same averaged gradients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from medgan.errors import TrainingError

if TYPE_CHECKING:
    import torch

BatchT = TypeVar("BatchT")

_PATIENCE = timedelta(hours=4)
"""How long a process waits for the others; preparing a cohort is done by one of them while the rest wait."""


@dataclass(frozen=True)
class Replicas:
    """The processes that train one model, seen from one of them.

    Parameters
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        How many there are; with 1 every function here does nothing.
    local_rank : int
        Number of this process on its machine, which picks its CUDA device.

    Examples
    --------
    >>> Replicas().leads, Replicas().averaged({"total": 2.0})
    (True, {'total': 2.0})
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes what a reader looks at: metrics, pictures, the bundle."""
        return self.rank == 0

    @property
    def place(self) -> tuple[int | str, ...]:
        """What this process adds to the place of a random generator: nothing for the first, so that one is as alone."""
        return () if self.leads else ("process", self.rank)

    def device_of(self, device: str) -> str:
        """Return the device of this process: with several, ``cuda`` means the one of its number."""
        return f"cuda:{self.local_rank}" if self.size > 1 and device == "cuda" else device

    def checkpoints_in(self, folder: Path) -> Path:
        """Return the folder of this process's checkpoints: each keeps its own, because image pools differ."""
        return folder / "checkpoints" if self.leads else folder / "checkpoints" / f"process_{self.rank}"

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Replace the gradients of an optimizer's parameters by their mean over all processes: one all-reduce.

        Parameters
        ----------
        optimizer : Optimizer
            After ``backward`` and before ``step``; in every process the same parameters have a gradient.
        """
        if self.size == 1:
            return
        import torch
        import torch.distributed

        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not gradients:
            return
        together = torch.cat([gradient.reshape(-1) for gradient in gradients])
        torch.distributed.all_reduce(together)
        together /= self.size
        for gradient, mean in zip(gradients, together.split([g.numel() for g in gradients])):
            gradient.copy_(mean.view_as(gradient))

    def connect(self, state: object) -> None:
        """Let every optimizer that is an attribute of a training's state average its gradients before each step.

        Raises
        ------
        TrainingError
            If there are several processes and no optimizer, so that they would drift apart without a word.
        """
        if self.size == 1:
            return
        import torch

        optimizers = [part for part in vars(state).values() if isinstance(part, torch.optim.Optimizer)]
        if not optimizers:
            raise TrainingError(
                f"Several processes train together through the optimizers of a state: {type(state).__name__} has none."
            )
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(lambda optimizer, *_: self.average_gradients(optimizer))

    def averaged(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of every loss over all processes: that of the whole batch; NaN where one process has NaN."""
        if self.size == 1:
            return dict(losses)
        import torch
        import torch.distributed

        values = torch.tensor(list(losses.values()), dtype=torch.float64)
        torch.distributed.all_reduce(values)
        return dict(zip(losses, (values / self.size).tolist()))

    def gathered(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names that all processes have, in the order of the processes."""
        if self.size == 1:
            return tuple(names)
        import torch.distributed

        parts: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(parts, tuple(names))
        return tuple(name for part in parts for name in part)

    def first_decides(self, finding: bool) -> bool:
        """Return what the first process found: all of them must go the same way."""
        if self.size == 1:
            return finding
        import torch
        import torch.distributed

        answer = torch.tensor([int(finding)])
        torch.distributed.broadcast(answer, src=0)
        return bool(answer.item())

    def lowest(self, step: int) -> int:
        """Return the lowest of the numbers that the processes give."""
        if self.size == 1:
            return step
        import torch
        import torch.distributed

        answer = torch.tensor([step])
        torch.distributed.all_reduce(answer, op=torch.distributed.ReduceOp.MIN)
        return int(answer.item())

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.lowest(0)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the first process do the block, then all others, which find its files."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


ALONE = Replicas()
"""One process, which is its own leader."""


@contextmanager
def joined_replicas() -> Iterator[Replicas]:
    """Join the processes that ``torchrun`` started; without it there is this one.

    Raises
    ------
    TrainingError
        If the environment asks for several processes and they do not find each other.

    Notes
    -----
    gloo for tensors on a CPU, NCCL for those on CUDA devices. ``torchrun`` tells each process its place by the
    environment variables RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        yield ALONE
        return
    import torch
    import torch.distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise TrainingError(
            f"WORLD_SIZE asks for {size} processes that train together, and they do not find each other: "
            f"{str(error).splitlines()[0].removesuffix('.')}. Start them by torchrun, or unset WORLD_SIZE."
        ) from None
    try:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        yield Replicas(torch.distributed.get_rank(), torch.distributed.get_world_size(), local)
    finally:
        torch.distributed.destroy_process_group()


def shared_out(batches: Callable[[int, int], BatchT], replicas: Replicas) -> Callable[[int, int], BatchT]:
    """Return batches of which this process gets its share.

    Parameters
    ----------
    batches : callable
        ``batches(step, attempt)`` gives the whole batch, a dataclass; every process draws it whole, so that the samples
        do not depend on the number of processes.
    replicas : Replicas
    """
    if replicas.size == 1:
        return batches
    return lambda step, attempt: share_of(batches(step, attempt), replicas)


def share_of(batch: BatchT, replicas: Replicas) -> BatchT:
    """Return one process's samples of a batch: an equal run of every tensor (N, ...) and every tuple of N names.

    Raises
    ------
    TrainingError
        If the samples cannot be dealt equally.
    """
    changes: dict[str, Any] = {}
    for field in fields(batch):  # type: ignore[arg-type]
        value = getattr(batch, field.name)
        if value is None or (isinstance(value, tuple) and not value):
            continue
        samples, rest = divmod(len(value), replicas.size)
        if rest or not samples:
            raise TrainingError(
                f"A batch for {replicas.size} processes needs a multiple of {replicas.size} samples: "
                f"{field.name} has {len(value)}."
            )
        changes[field.name] = value[replicas.rank * samples : (replicas.rank + 1) * samples]
    return replace(batch, **changes)  # type: ignore[type-var]
