"""The peer of ``medgan translate``: the same preparation, network and way back by MONAI and plain PyTorch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from medgan.commands.bench_sliding_window import PeerChoice
    from medgan.inference.bundle import ModelBundle

MODEL = "phantom-mr-to-ct"


class FileTranslation:
    """Translate a NIfTI file into another.

    Parameters
    ----------
    bundle : ModelBundle
        Whose recipe is reorient, respace, body mask, crop and MR percentiles, as that of the embedded model.
    choice : PeerChoice, optional
        Threads, layout and batch; measured at the first file if not given.
    """

    def __init__(self, bundle: ModelBundle[Any], *, choice: PeerChoice | None = None) -> None:
        self._bundle = bundle
        self._network = bundle.network()
        self.choice = choice

    def __call__(self, source: Path, out: Path) -> None:
        """Translate one file."""
        from scipy.ndimage import gaussian_filter1d

        from medgan.cohort import Case
        from medgan.commands.bench_monai_image import as_image, as_volume, loaded, on_grid, saved
        from medgan.commands.bench_sliding_window import SlidingWindow
        from medgan.geometry import Grid
        from medgan.patches.layout import PatchLayout
        from medgan.volume import Quantity

        stages = self._bundle.recipe.stages
        image = loaded(source)
        grid = Grid(image.shape[1:], np.asarray(image.affine, dtype=np.float64))
        working = grid.respaced(stages[1].spacing_mm)
        # The smoothing before voxels become larger, which MONAI's resampling does not have.
        values = image.numpy()[0]
        for axis, factor in enumerate(np.asarray(working.spacing) / np.asarray(grid.spacing)):
            if factor > 1.01:
                sigma = 0.5 * float(np.sqrt(factor**2 - 1))
                values = gaussian_filter1d(values, sigma, axis=axis, mode="nearest", truncate=3.0)
        moved = on_grid(as_image(values, grid), working, outside=0.0)
        case = Case("scan", "scan", {"mr": as_volume(moved, Quantity.MR_SIGNAL)})
        for stage in stages[2:]:
            case = stage(case)

        patch = self._bundle.facts.patch
        window = SlidingWindow(
            self._network, PatchLayout(case.image.shape, patch.shape, patch.overlap), choice=self.choice
        )
        self.choice = window.choice
        translated = self._bundle.target_map.inverse(window(case))
        air = Quantity.HOUNSFIELD.outside
        final = on_grid(as_image(translated, case.image.grid), _stored_grid(source), outside=air)
        saved(final.round().clamp(-32768, 32767), out, dtype=np.int16)


def _stored_grid(path: Path) -> Any:
    """Return the grid of a file as its header has it: the result lies there again."""
    from medgan.geometry import Grid

    header: Any = import_module("nibabel").load(path)
    return Grid(header.shape, header.affine)


def main(source: str, out: str, threads: int, channels_last: int, batch: int) -> None:
    """Translate one file in a process of its own, imports included."""
    import torch

    from medgan.commands.bench_sliding_window import PeerChoice
    from medgan.inference.bundle import find_bundle

    torch.set_num_threads(threads)
    choice = PeerChoice(threads, bool(channels_last), batch)
    FileTranslation(find_bundle(MODEL, task="translation"), choice=choice)(Path(source), Path(out))
