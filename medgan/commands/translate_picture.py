"""The picture beside a translation: source, result and, where they were asked for, the maps of uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medgan.commands.pictures import shown_window, translation_picture
from medgan.volume import Quantity, Volume

if TYPE_CHECKING:
    from medgan.inference.translator import Translation
    from medgan.inference.uncertainty import Uncertainty

DEVIATION_LIMIT_HU = 100.0
RESIDUAL_LIMIT = 0.5
"""Upper ends of the windows: one scale for all cases, so that two pictures can be compared."""


def translated_picture(
    *, source: Volume, translation: Translation, uncertainty: Uncertainty | None, title: str
) -> bytes:
    """Return a PNG of three planes through the body, one column an image."""
    body = translation.prepared.label("body")
    if uncertainty is None or (uncertainty.deviation is None and uncertainty.cycle_residual is None):
        return translation_picture(source=source, result=translation.volume, body=body, title=title)
    from medgan.reporting import Panel, percentile_window, three_planes
    from medgan.volume.resample import resample_labels

    window = shown_window(source)
    if source.quantity is Quantity.MR_SIGNAL:
        window = (0.0, percentile_window(source, mask=resample_labels(body, source.grid))[1])
    panels = [
        Panel(source, "Source", window),
        Panel(translation.volume, "Result", shown_window(translation.volume)),
    ]
    if uncertainty.deviation is not None:
        unit = translation.volume.quantity.unit
        panels.append(Panel(uncertainty.deviation, "Deviation", (0.0, DEVIATION_LIMIT_HU), unit=unit))
    if uncertainty.cycle_residual is not None:
        panels.append(Panel(uncertainty.cycle_residual, "Cycle residual", (0.0, RESIDUAL_LIMIT), unit="normalized"))
    return three_planes(panels, mask=body, title=title)
