"""The peer of a translation: MONAI's sliding window around a network in its plain form, in float32.

It gets the lattice and the Gaussian weights of medgan's patches, and the number of threads, memory layout and batch
that are fastest for it on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.bench_threads import fastest_seconds

if TYPE_CHECKING:
    import torch

    from medgan.cohort import Case
    from medgan.patches.layout import PatchLayout

BATCHES = (1, 2)


@dataclass(frozen=True)
class PeerChoice:
    """What is fastest for the peer: CPU threads, channels-last or not, windows in a batch."""

    threads: int
    channels_last: bool
    batch: int

    @property
    def in_words(self) -> str:
        """For a note."""
        layout = "channels-last" if self.channels_last else "contiguous"
        return f"peer at its best: {self.threads} thread(s), {layout}, batches of {self.batch}"


class SlidingWindow:
    """MONAI's ``SlidingWindowInferer`` around a network.

    Parameters
    ----------
    network : module
        In its plain form, float32; called with image and body.
    layout : PatchLayout
        Whose patches, overlap and Gaussian it gets.
    choice : PeerChoice, optional
        Measured with :meth:`tuned` if not given.

    Notes
    -----
    MONAI cuts its Gaussian off at 0.001; with that the two sides would weight corners differently, so it is given
    medgan's.
    """

    def __init__(self, network: torch.nn.Module, layout: PatchLayout, *, choice: PeerChoice | None = None) -> None:
        import monai.inferers  # noqa: F401  (before the clock runs)

        self._network = network
        self._layout = layout
        self.choice = choice or self._tuned()

    def __call__(self, prepared: Case) -> npt.NDArray[np.float32]:
        """Return the normalized translation (I, J, K) of a prepared image."""
        import torch
        import torch.nn.functional as functional
        from monai.inferers import SlidingWindowInferer

        threads = torch.get_num_threads()
        torch.set_num_threads(self.choice.threads)
        try:
            inferer = SlidingWindowInferer(
                self._layout.patch,
                sw_batch_size=self.choice.batch,
                overlap=self._layout.overlap,
                mode="gaussian",
                sigma_scale=self._layout.sigma,
            )
            inferer.roi_weight_map = _gaussian(self._layout)
            pixels = torch.from_numpy(np.array(prepared.image.array, dtype=np.float32))
            inside = torch.from_numpy(prepared.label("body").array.astype(np.float32))
            # MONAI would center an image that is smaller than a patch; medgan's patches reach beyond its end.
            missing = [max(0, length - size) for length, size in zip(self._layout.patch, pixels.shape)]
            pads = [pad for length in reversed(missing) for pad in (0, length)]
            outside = prepared.image.quantity.outside
            both = torch.stack((functional.pad(pixels, pads, value=outside), functional.pad(inside, pads)))[None]
            with torch.inference_mode():
                result: Any = inferer(both, self._window)
            return np.asarray(result[0, 0][tuple(slice(size) for size in pixels.shape)].numpy())
        finally:
            torch.set_num_threads(threads)

    def _window(self, windows: torch.Tensor) -> torch.Tensor:
        import torch

        if self.choice.channels_last:
            windows = windows.contiguous(memory_format=torch.channels_last_3d)
        result: torch.Tensor = self._network(windows[:, :1], windows[:, 1:])
        return result

    def _tuned(self) -> PeerChoice:
        """Return the fastest choice for one patch: layout first, then batch, then threads; the network keeps it."""
        import torch

        every = torch.get_num_threads()
        timed: dict[PeerChoice, float] = {}

        def fastest(*choices: PeerChoice) -> PeerChoice:
            timed.update({choice: self._seconds_a_patch(choice) for choice in choices if choice not in timed})
            return min(choices, key=timed.__getitem__)

        try:
            best = fastest(PeerChoice(every, False, 1), PeerChoice(every, True, 1))
            best = fastest(best, *(replace(best, batch=batch) for batch in BATCHES[1:]))
            best = fastest(best, replace(best, threads=1))
        finally:
            torch.set_num_threads(every)
        self._network.to(memory_format=_memory_format(best))  # type: ignore[call-overload]
        return best

    def _seconds_a_patch(self, choice: PeerChoice) -> float:
        import torch

        torch.set_num_threads(choice.threads)
        self._network.to(memory_format=_memory_format(choice))  # type: ignore[call-overload]
        self.choice = choice
        windows = torch.zeros(choice.batch, 2, *self._layout.patch)
        windows[:, 1] = 1.0
        with torch.inference_mode():
            return fastest_seconds(lambda: self._window(windows)) / choice.batch


def _memory_format(choice: PeerChoice) -> torch.memory_format:
    import torch

    return torch.channels_last_3d if choice.channels_last else torch.contiguous_format


def _gaussian(layout: PatchLayout) -> torch.Tensor:
    """Return the weight of a patch before shares are taken, (1, 1, *patch) float32."""
    import torch

    axes = []
    for length in layout.patch:
        position = (torch.arange(length, dtype=torch.float64) - (length - 1) / 2) / (layout.sigma * length)
        axes.append(torch.exp(-0.5 * position**2).clamp_min(1e-6))
    weights = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return weights.float()[None, None]
