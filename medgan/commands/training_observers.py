"""What watches a training: progress, TensorBoard, preview pictures. None of them changes the state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Advance

if TYPE_CHECKING:
    from medgan.cohort import Case
    from medgan.preprocessing.intensity import IntensityMap


class ProgressObserver:
    """Move the progress bar."""

    def __init__(self, advance: Advance, steps: int) -> None:
        self._advance, self._steps = advance, steps

    def __call__(self, seen: Any) -> None:
        """Show the step of an observation."""
        self._advance(seen.step, self._steps)


class TensorBoardObserver:
    """Write the losses as TensorBoard scalars; a continued training hides what was written after its checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def __call__(self, seen: Any) -> None:
        """Write the losses of an observation."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=seen.step)
        for name, value in seen.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, seen.step)
        self._writer.flush()


class Preview:
    """Translate one case with the current weights and draw source and result in three planes."""

    def __init__(
        self,
        *,
        folder: Path,
        every: int,
        steps: int,
        case: Case,
        target_map: IntensityMap | None,
        patch: tuple[int, int, int],
        overlap: float,
        precision: str,
    ) -> None:
        self._folder, self._every, self._steps, self._case = folder, every, steps, case
        self._target_map, self._patch, self._overlap, self._precision = target_map, patch, overlap, precision

    def __call__(self, seen: Any) -> None:
        """Draw ``step_<n>.png`` at every n-th observation and at the last."""
        if self._target_map is None or (seen.step % self._every and seen.step != self._steps):
            return
        from medgan.commands.pictures import translation_picture
        from medgan.inference.patchwise import run_patchwise
        from medgan.volume import Quantity, Volume

        network = seen.state.source_to_target
        device = next(network.parameters()).device
        was_training = network.training
        result = run_patchwise(
            network.eval(),
            self._case,
            patch=self._patch,
            overlap=self._overlap,
            device=device,
            precision=self._precision,
        )
        network.train(was_training)
        image = self._case.image
        provenance = image.provenance.synthesized("preview", step=seen.step)
        synthetic = Volume(self._target_map.inverse(result.normalized), image.grid, Quantity.HOUNSFIELD, provenance)
        title = f"{self._case.case_id}, step {seen.step}"
        picture = translation_picture(source=image, result=synthetic, body=self._case.label("body"), title=title)
        (self._folder / f"step_{seen.step:06d}.png").write_bytes(picture)
