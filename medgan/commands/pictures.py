"""The pictures that commands write beside their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.resample import resample_labels

if TYPE_CHECKING:
    from medgan.reporting import Panel

CT_WINDOW_HU = (-300.0, 500.0)
"""Shows fat, muscle and bone at once: HU of about -100, 50 and 300 upward."""
ERROR_LIMIT_HU = 300.0


def translation_picture(*, source: Volume, result: Volume, body: LabelMap, title: str) -> bytes:
    """Return a PNG of source and result in three planes through the body, which may be on a grid of its own."""
    from medgan.reporting import Panel, three_planes

    panels = [_source_panel(source, body), Panel(result, "Result", _window(result, body))]
    return three_planes(panels, mask=body, title=title)


def comparison_picture(
    *, source: Volume, result: Volume, reference: Volume, body: LabelMap, mask: LabelMap, title: str
) -> bytes:
    """Return a PNG of source, result, reference and signed error, all HU in one window.

    Parameters
    ----------
    source, result, reference : Volume
        Result and reference on one grid.
    body : LabelMap
        Of the source, on any grid.
    mask : LabelMap
        Where the error counts, on the result's grid.
    title : str
    """
    from medgan.reporting import Panel, error_panel, three_planes

    panels = [
        _source_panel(source, body),
        Panel(result, "Result", CT_WINDOW_HU),
        Panel(reference, "Truth", CT_WINDOW_HU),
        error_panel(
            result=result,
            reference=reference,
            limit=ERROR_LIMIT_HU,
            mask=mask,
            title="Error (result \N{MINUS SIGN} truth)",
        ),
    ]
    return three_planes(panels, mask=mask, title=title)


def shown_window(volume: Volume) -> tuple[float, float]:
    """Return the window that a thumbnail of an image is shown in; one that rises even where all voxels are equal."""
    if volume.quantity is Quantity.HOUNSFIELD:
        return CT_WINDOW_HU
    if volume.quantity is Quantity.NORMALIZED:
        return (-1.0, 1.0)
    low, high = (float(end) for end in np.percentile(volume.array, (0.5, 99.5)))
    return (low, high) if low < high else (low, low + 1)


def _source_panel(source: Volume, body: LabelMap) -> Panel:
    from medgan.reporting import Panel

    return Panel(source, "Source", _window(source, body))


def _window(volume: Volume, body: LabelMap) -> tuple[float, float]:
    from medgan.reporting import percentile_window

    if volume.quantity is Quantity.HOUNSFIELD:
        return CT_WINDOW_HU
    if volume.quantity is Quantity.NORMALIZED:
        return (-1.0, 1.0)
    near = _near(volume, body)
    return (0.0, percentile_window(near, mask=resample_labels(body, near.grid))[1])


def _near(volume: Volume, body: LabelMap) -> Volume:
    """Return the part of an image where a label map of the body may hold something: no voxel beyond needs a look."""
    box, whole = volume.grid.box_around(body.grid), volume.grid.box
    return volume.read(box.intersection(whole)) if box.intersects(whole) else volume
