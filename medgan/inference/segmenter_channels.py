"""From the images of one study to the channels of a network, on one working grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.geometry import Grid, axis_map_to
from medgan.inference.segmentation_facts import ChannelFacts, FixedWindow, WorkingGrid
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.resample import resample, resample_labels

LEAST_COVERAGE = 0.5
"""Share of what the first channel shows of the working field that every other channel must have imaged."""
EXPERT = "expert"
"""Name of the label map that holds the truth of a prepared study."""


def working_grid(reference: Volume, working: WorkingGrid) -> Grid:
    """Return the grid that a study is worked on.

    Parameters
    ----------
    reference : Volume
        The first channel, in any axis order.
    working : WorkingGrid

    Returns
    -------
    Grid
        Axes toward right, anterior and superior along those of the image; in-plane spacing and size as asked for,
        about the middle of the image; slices where the image has them.
    """
    grid = reference.grid
    straight = axis_map_to(grid, "RAS").applied_to_grid(grid)
    shape = (*working.size, straight.shape[2])
    spacing = (*working.spacing_mm, straight.spacing[2])
    affine = np.eye(4)
    affine[:3, :3] = straight.direction * spacing
    center = straight.world((np.asarray(straight.shape) - 1) / 2)
    affine[:3, 3] = center - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine, straight.unit, straight.frame)


def prepared_channels(
    case: Case, *, channels: Sequence[ChannelFacts], working: WorkingGrid, allows_missing: bool = False
) -> Case:
    """Return a case whose images are the channels: on the working grid, normalized, in the network's order.

    Parameters
    ----------
    case : Case
        One image a channel, by name, each on its own grid. Label maps are dropped: see :func:`expert_on`.
    channels : sequence of ChannelFacts
    working : WorkingGrid
    allows_missing : bool
        Fill a channel that the case lacks, other than the first, with the value of what was not acquired.

    Raises
    ------
    InferenceError
        If a channel is missing, is not in the patient's frame in mm, measures something else, or hardly overlaps the
        working field; if a channel holds no signal there.
    """
    first = channels[0]
    missing = [channel.name for channel in channels if channel.name not in case.images]
    if missing and (first.name in missing or not allows_missing):
        have = ", ".join(sorted(case.images)) or "none"
        raise InferenceError(
            f"The model takes {', '.join(c.name for c in channels)}: case {case.case_id} has {have}, so "
            f"{', '.join(missing)} is missing. Name the image with --channel {missing[0]}=…, or use a model that was "
            "trained with missing channels."
        )
    grid = working_grid(case.images[first.name], working)
    prepared = Case(case.case_id, case.subject_id, notices=case.notices)
    for channel in channels:
        if channel.name in missing:
            empty = np.full(grid.shape, Quantity.NORMALIZED.outside, np.float32)
            prepared = prepared.with_image(channel.name, Volume(empty, grid, Quantity.NORMALIZED))
            prepared = prepared.with_notice(f"{channel.name} is missing: the model was trained to do without.")
            continue
        volume = case.images[channel.name]
        _require_fitting(volume, channel, grid, case.images[first.name], case.case_id)
        moved = resample(volume, grid, antialias=True)
        prepared = prepared.with_image(channel.name, _normalized(moved, channel, case.case_id))
    return prepared


def expert_on(grid: Grid, labels: Sequence[tuple[LabelMap, Mapping[int, int]]], *, case_id: str) -> LabelMap:
    """Return experts' label maps as one, on a grid.

    Parameters
    ----------
    grid : Grid
    labels : sequence of (LabelMap, mapping from value to class number)
        Later ones lie over earlier ones; value 0 changes nothing.
    case_id : str

    Raises
    ------
    InferenceError
        For a value that its table does not have.
    """
    expert = np.zeros(grid.shape, dtype=np.uint8)
    for labels_map, table in labels:
        unknown = sorted({int(value) for value in np.unique(labels_map.array)} - {0, *table})
        if unknown:
            raise InferenceError(
                f"Labels must have the values of their table ({', '.join(map(str, sorted(table)))}): case {case_id} "
                f"has {', '.join(map(str, unknown[:5]))}. Add them to the table, with the class they belong to."
            )
        moved = resample_labels(labels_map, grid).array
        for value, number in table.items():
            expert[moved == value] = number
    return LabelMap(expert, grid)


def stacked(prepared: Case, channels: Sequence[ChannelFacts]) -> npt.NDArray[np.float32]:
    """Return the channels of a prepared case as (C, I, J, K) float32."""
    return np.stack([np.asarray(prepared.images[channel.name].array, np.float32) for channel in channels])


def coverage(volume: Volume, grid: Grid, *, of: Volume) -> float:
    """Return the share that an image covers of a grid's voxels (every third along each axis) within another image."""
    places = [np.arange(0, n, 3) for n in grid.shape]
    xyz = grid.world(np.stack(np.meshgrid(*places, indexing="ij"), axis=-1))
    within = _holds(of, xyz)
    return float(_holds(volume, xyz)[within].mean()) if within.any() else 0.0


def _holds(volume: Volume, xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    ijk = volume.grid.index(xyz)
    inside = (ijk >= -0.5) & (ijk <= np.asarray(volume.shape) - 0.5)
    return np.asarray(inside.all(axis=-1))


def coverage_mask(working: Grid, grid: Grid) -> npt.NDArray[np.bool_]:
    """Return which voxels of a grid lie within the working field."""
    field = LabelMap(np.ones(working.shape, dtype=np.uint8), working)
    return resample_labels(field, grid).mask()


def _require_fitting(volume: Volume, channel: ChannelFacts, grid: Grid, first: Volume, case_id: str) -> None:
    if (volume.grid.unit, volume.grid.frame) != (grid.unit, grid.frame):
        raise InferenceError(
            f"All channels need one frame: {channel.name} of case {case_id} is of a {volume.grid.frame} in "
            f"{volume.grid.unit}, the first channel of a {grid.frame} in {grid.unit}."
        )
    if volume.quantity.label != channel.quantity:
        raise InferenceError(
            f"Channel {channel.name} takes {channel.quantity}: case {case_id} has {volume.quantity.label}."
        )
    found = coverage(volume, grid, of=first)
    if found < LEAST_COVERAGE:
        raise InferenceError(
            f"All channels must show the same place: {channel.name} of case {case_id} covers {100 * found:.0f} % of "
            f"what the first channel shows of the field (needed: {100 * LEAST_COVERAGE:.0f} %). Is it of "
            "another region or study?"
        )


def _normalized(volume: Volume, channel: ChannelFacts, case_id: str) -> Volume:
    chosen = channel.normalization
    low, high = chosen.low, chosen.high
    if not isinstance(chosen, FixedWindow):
        signal = volume.array[volume.array > 0]
        low, high = np.percentile(signal, (low, high)).tolist() if signal.size else (0.0, 0.0)
        if not low < high:
            raise InferenceError(f"Channel {channel.name} of case {case_id} holds no signal in the field of the model.")
    values = np.clip((np.asarray(volume.array, np.float32) - low) * (2 / (high - low)) - 1, -1, 1)
    return volume.mapped(
        lambda _: values.astype(np.float32),
        step="normalize channel",
        quantity=Quantity.NORMALIZED,
        low=round(float(low), 6),
        high=round(float(high), 6),
    )
