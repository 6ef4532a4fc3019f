"""The pictures of a study's report: every test case, the worst ones where they are worst, and one to leaf through."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.pictures import CT_WINDOW_HU, ERROR_LIMIT_HU
from medgan.commands.study import Part, Study, pairs_for_test, truth_and_mask
from medgan.commands.study_evaluation import read_translation, uncertainty_maps
from medgan.commands.study_gate import CONTRAST_SIGN
from medgan.commands.study_tables import text
from medgan.commands.translate_picture import DEVIATION_LIMIT_HU, RESIDUAL_LIMIT
from medgan.volume import LabelMap, Quantity, Volume

if TYPE_CHECKING:
    from medgan.reporting import Panel
    from medgan.reporting.sections import FigureSection
    from medgan.reporting.viewer import ViewerSection

WORST = 5
NEIGHBORHOOD_MM = 15.0
FRAME_VOXELS = 4


@dataclass(frozen=True)
class ShownCase:
    """One test case as the pictures need it, all on the source's grid; ``maps`` are the maps of uncertainty."""

    case_id: str
    source: Volume
    result: Volume
    truth: Volume
    mask: LabelMap
    maps: Mapping[str, Volume]

    def panels(self) -> list[Panel]:
        """Return source, result, truth, signed error and, where there is one, uncertainty: one scale for all cases."""
        from medgan.reporting import Panel, error_panel, percentile_window

        source_window = (0.0, percentile_window(self.source, mask=self.mask)[1])
        panels = [
            Panel(self.source, "Source", source_window),
            Panel(self.result, "Result", CT_WINDOW_HU),
            Panel(self.truth, "Truth", CT_WINDOW_HU),
            error_panel(
                result=self.result,
                reference=self.truth,
                limit=ERROR_LIMIT_HU,
                mask=self.mask,
                title="Error (result \N{MINUS SIGN} truth)",
            ),
        ]
        for name, volume in self.maps.items():
            title, limit, unit = _map_facts(name)
            panels.append(Panel(volume, title, (0.0, limit), unit=unit))
        return panels


def shown_cases(study: Study, parts: Sequence[Part]) -> Iterator[ShownCase]:
    """Yield the test cases, one in memory at a time."""
    from medgan.commands.cohort_data import read_case
    from medgan.formats import read_volume

    for part, source, target in pairs_for_test(parts):
        root = part.cohort.root
        acquired = read_case(source, root).image
        truth, mask = truth_and_mask(acquired, read_case(target, root).image)
        maps = {
            name: read_volume(file, quantity=Quantity.DIFFERENCE)
            for name, file in uncertainty_maps(study, source.case_id).items()
        }
        yield ShownCase(source.case_id, acquired, read_translation(study, source.case_id), truth, mask, maps)


@dataclass(frozen=True)
class Pictures:
    """All pictures of a report."""

    cases: tuple[FigureSection, ...]
    worst: tuple[FigureSection, ...]
    viewer: ViewerSection | None


def pictures(study: Study, parts: Sequence[Part], rows: Sequence[Mapping[str, Any]]) -> Pictures:
    """Draw every test case through its middle, the worst five where they are worst, and the median one as a viewer.

    Parameters
    ----------
    study : Study
    parts : sequence of Part
    rows : sequence of mappings
        The model's cases with their measures.
    """
    from medgan.reporting import three_planes
    from medgan.reporting.sections import FigureSection

    found = {row["case_id"]: row["measures"] for row in rows}
    ordered = sorted(found, key=lambda case: found[case]["mae"]["value"])
    worst, median = ordered[::-1][:WORST], ordered[(len(ordered) - 1) // 2]
    figures, gallery, viewer = [], {}, None
    for case in shown_cases(study, parts):
        words = _in_words(found[case.case_id])
        what = "source, result, truth and signed error in three planes"
        picture = three_planes(case.panels(), mask=case.mask, title=case.case_id)
        figures.append(FigureSection(case.case_id, picture, f"{case.case_id}: {what}", words))
        if case.case_id in worst:
            rank = worst.index(case.case_id) + 1
            point = worst_point(case)
            picture = three_planes(case.panels(), mask=case.mask, point_xyz=point, title=f"{case.case_id}, worst place")
            title = f"Failure {rank}: {case.case_id}"
            gallery[rank] = FigureSection(title, picture, f"{case.case_id} at its largest error: {what}", words)
        if case.case_id == median:
            viewer = _viewer(case)
    return Pictures(tuple(figures), tuple(gallery[rank] for rank in sorted(gallery)), viewer)


def worst_point(case: ShownCase) -> tuple[float, ...]:
    """Return the world point (x, y, z) in mm around which the mean absolute error over 15 mm is largest."""
    from scipy.ndimage import uniform_filter

    inside = case.mask.mask()
    error = np.where(inside, np.abs(case.result.array.astype(np.float32) - case.truth.array), 0.0)
    size = [max(1, round(NEIGHBORHOOD_MM / spacing)) for spacing in case.source.grid.spacing]
    near = uniform_filter(error.astype(np.float32), size=size, mode="constant")
    place = np.unravel_index(int(np.where(inside, near, -1.0).argmax()), near.shape)
    return tuple(float(value) for value in case.source.grid.world(np.asarray(place)))


def _in_words(measures: Mapping[str, Any]) -> str:
    parts = (("mae", "MAE", 1), ("me", "ME", 1), (CONTRAST_SIGN, "soft-tissue r", 2), ("dice_bone", "Dice of bone", 2))
    words = [
        f"{name} {text(measures[key]['value'], digits)} {measures[key]['unit']}".strip() for key, name, digits in parts
    ]
    return ", ".join(words) + f". CT in {CT_WINDOW_HU[0]:g} to {CT_WINDOW_HU[1]:g} HU, error in ±{ERROR_LIMIT_HU:g} HU."


def _viewer(case: ShownCase) -> ViewerSection:
    from medgan.reporting.viewer import HEAT, SIGNED, ViewerSection, ViewerVolume

    case = _cropped(case)
    source_window = case.panels()[0].window
    error = np.where(case.mask.mask(), case.result.array.astype(np.float32) - case.truth.array, 0.0)
    difference = case.result.mapped(lambda _: np.rint(error), step="difference", quantity=Quantity.DIFFERENCE)
    # Sixteen bits are more than the eye tells apart, and half the bytes.
    scaled = np.clip(case.source.array / source_window[1] * 1000.0, 0, 65535).astype(np.uint16)
    source = Volume(scaled, case.source.grid, case.source.quantity, case.source.provenance)
    volumes = [
        ViewerVolume("Source", _nifti(source), (0.0, 1000.0)),
        ViewerVolume("Result (synthetic)", _nifti(case.result), CT_WINDOW_HU, "HU"),
        ViewerVolume("Truth", _nifti(case.truth), CT_WINDOW_HU, "HU"),
        ViewerVolume("Error", _nifti(difference), (-ERROR_LIMIT_HU, ERROR_LIMIT_HU), "HU", SIGNED),
    ]
    for name, volume in case.maps.items():
        title, limit, unit = _map_facts(name)
        volumes.append(ViewerVolume(title, _nifti(_rounded(volume, limit / 100)), (0.0, limit), unit, HEAT))
    caption = "The test case of median error. Source in thousandths of its display range. Synthetic; not for diagnosis."
    return ViewerSection(f"Leaf through {case.case_id}", volumes, caption)


def _rounded(volume: Volume, step: float) -> Volume:
    """Return a map in whole steps: a hundredth of a window is finer than a screen shows, and compresses."""
    return volume.mapped(lambda values: np.rint(values / step) * step, step="rounded")


def _map_facts(name: str) -> tuple[str, float, str]:
    """Return title, upper end of the window and unit of a map of uncertainty."""
    if name == "cycle_residual":
        return "Cycle residual", RESIDUAL_LIMIT, "normalized"
    return "Deviation", DEVIATION_LIMIT_HU, "HU"


def _cropped(case: ShownCase) -> ShownCase:
    """Return the case around its mask: what lies further out only makes the page heavier."""
    from dataclasses import replace

    from medgan.geometry import bounding_box

    box = bounding_box(case.mask.mask())
    if box is None:
        return case
    framed = box.expanded(FRAME_VOXELS).intersection(case.source.grid.box)
    volumes = {name: getattr(case, name).read(framed) for name in ("source", "result", "truth", "mask")}
    return replace(case, **volumes, maps={name: volume.read(framed) for name, volume in case.maps.items()})


def _nifti(volume: Volume) -> bytes:
    from medgan.formats import write_volume

    with tempfile.TemporaryDirectory() as folder:
        return write_volume(volume, Path(folder) / "image.nii.gz").read_bytes()
