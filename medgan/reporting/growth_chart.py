"""How time and memory grow with the size of a volume, as a small figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgan.errors import ReportError
from medgan.reporting.png import png_bytes


def growth_chart(
    *,
    voxels: Sequence[int],
    seconds_a_patch: Sequence[Sequence[float]],
    memory_voxels: Sequence[int],
    memory_beyond_mb: Sequence[float | None],
    title: str = "",
) -> bytes:
    """Return a PNG of seconds a patch, and of memory beyond input and output, over the number of voxels.

    Parameters
    ----------
    voxels : sequence of int
        Of each volume, the smallest first.
    seconds_a_patch : sequence of sequences of float
        Of each volume, one number a round; all are drawn, their median joined.
    memory_voxels : sequence of int
        Of each volume whose memory was measured, the smallest first.
    memory_beyond_mb : sequence of float or None
        Of each of those, in MB; None where it is not known.
    title : str

    Raises
    ------
    ReportError
        If there are fewer than two volumes, or the sequences differ in length.
    """
    from matplotlib.figure import Figure

    if len(voxels) < 2 or len(voxels) != len(seconds_a_patch) or len(memory_voxels) != len(memory_beyond_mb):
        raise ReportError(
            f"A growth chart needs two or more volumes with seconds each, and one memory a volume: found {len(voxels)} "
            f"volumes, {len(seconds_a_patch)} rows of seconds, {len(memory_voxels)} further volumes and "
            f"{len(memory_beyond_mb)} of memory."
        )
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    times = np.asarray(voxels) / voxels[0]
    medians = [1000 * float(np.median(each)) for each in seconds_a_patch]
    for at, seconds in zip(times, seconds_a_patch):
        left.plot([at] * len(seconds), [1000 * s for s in seconds], "o", color="#0072b2", markersize=3, alpha=0.4)
    left.plot(times, medians, color="#0072b2", linewidth=1.4)
    left.axhspan(0.75 * medians[0], 1.25 * medians[0], color="#0072b2", alpha=0.08, linewidth=0)
    left.set_title("ms a patch (band: within 25 % of the first)", fontsize=8, loc="left")
    sizes = np.asarray(memory_voxels) / memory_voxels[0]
    known = [(at, memory) for at, memory in zip(sizes, memory_beyond_mb) if memory is not None]
    if known:
        right.plot(*zip(*known), "o-", color="#d55e00", linewidth=1.4, markersize=3)
    right.set_title("MB beyond input and output", fontsize=8, loc="left")
    for axes, ticks, first in ((left, times, voxels[0]), (right, sizes, memory_voxels[0])):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, labels=[f"{round(float(at), 2):g}x" for at in ticks])
        axes.minorticks_off()
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])
        axes.set_xlabel(f"voxels (1x = {first / 1e6:.2f} million)", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    if title:
        figure.suptitle(title, fontsize=8)
    return png_bytes(figure)
