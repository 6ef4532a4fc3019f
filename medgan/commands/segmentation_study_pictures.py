"""Pictures of a segmentation study: phantoms' lesions beside expert masks, and contours of single cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgan.commands.segmentation_evaluation import ArmResults, model_facts, prediction_of
from medgan.commands.segmentation_study import Job, cases_of, held_out_entries, opened
from medgan.commands.segmentation_study_tables import TITLES
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.reporting.sections import Section
    from medgan.volume import Volume

EXPERT_SHAPES = Path("prostate") / "picai_lesion_masks_only"
"""Below the data root: expert masks without images that the phantoms' lesions are compared with."""


def shape_sections(study: Study, experiment: SegmentationExperiment) -> Iterator[Section]:
    """Yield the phantoms' lesions beside expert masks, where these are below the data root."""
    folder = None if study.data_root is None else study.data_root / EXPERT_SHAPES
    if experiment.data.phantoms is None or folder is None or not folder.is_dir():
        return
    from medgan.evaluation.lesions import lesion_shapes
    from medgan.formats import read_label_file
    from medgan.reporting.sections import FigureSection, TableSection
    from medgan.reporting.segmentation_charts import shape_chart

    cohort, entries = opened(study, experiment)
    domain = experiment.data.labels[-1].domain
    groups = {
        "phantoms": [entry.rows[domain].located(cohort.root) for entry in entries],
        "expert masks (PI-CAI)": sorted(folder.glob("*.nii.gz")),
    }
    shapes = {
        name: [(s.volume_ml, s.sphericity) for path in paths for s in lesion_shapes(read_label_file(path).labels)]
        for name, paths in groups.items()
    }
    rows = []
    for name, values in shapes.items():
        volume, sphericity = np.array(values, dtype=float).T
        quartiles = [np.percentile(column, (25, 50, 75)) for column in (volume, sphericity)]
        rows.append((name, str(len(values)), *(", ".join(f"{q:.2f}" for q in three) for three in quartiles)))
    columns = ("Lesions", "n", "Volume, ml: quartiles", "Sphericity: quartiles")
    yield TableSection("Shape of the phantoms' lesions", columns, rows, _distances(*shapes.values()))
    yield FigureSection("Volume and sphericity", shape_chart(shapes), "One dot a lesion: sphericity against volume")


def _distances(ours: Sequence[tuple[float, float]], experts: Sequence[tuple[float, float]]) -> str:
    """Return in words how far two distributions of volume and sphericity are apart."""
    from scipy.stats import ks_2samp

    words = []
    for place, name in enumerate(("volume", "sphericity")):
        test = ks_2samp([one[place] for one in ours], [one[place] for one in experts])
        p = "p < 0.001" if test.pvalue < 0.001 else f"p = {test.pvalue:.3f}"
        words.append(f"{name} {test.statistic:.2f} ({p})")
    return (
        f"Largest distance of the cumulative distributions (Kolmogorov-Smirnov): {', '.join(words)}. Connected parts "
        "of at least 10 voxels; sphericity is that of a surface at 1 mm."
    )


def gallery_sections(study: Study, table: Mapping[str, ArmResults]) -> Iterator[Section]:
    """Yield contours of the first arm's best, median and worst cases, by each arm that was measured."""
    first = next(iter(table.values()))
    if first.with_focus is None:
        return
    by_subject: dict[str, list[float]] = {}
    for row in first.with_focus.rows:
        by_subject.setdefault(row.subject_id, []).append(row.values["dice"] or 0.0)
    ranked = sorted(by_subject, key=lambda subject: float(np.mean(by_subject[subject])))
    chosen = {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}
    for word, subject in chosen.items():
        for arm, result in table.items():
            if subject in result.job_of:
                words = f"{word} case of {TITLES.get(first.arm, first.arm)}"
                yield _contours(study, result.job_of[subject], subject, words, arm)


def _contours(study: Study, job: Job, subject: str, words: str, arm: str) -> Section:
    from medgan.inference.segmenter_channels import EXPERT
    from medgan.reporting.panel import Panel
    from medgan.reporting.sections import FigureSection
    from medgan.reporting.segmentation_figure import contour_sheet, shown_slices
    from medgan.volume import LabelMap, Quantity, Volume

    experiment, entries, root = held_out_entries(study, job)
    entry = next(entry for entry in entries if entry.subject_id == subject)
    (case,) = cases_of(study, experiment, [entry], root)
    facts, found = model_facts(study, job), prediction_of(study, job, entry.case_id)
    first = case.images[facts.channels[0].name]
    names = {number: name for number, name in enumerate(facts.classes) if number}
    labels = LabelMap(found.argmax(axis=0).astype(np.uint8), first.grid, names)
    truth = case.label(EXPERT).array == facts.focus_class
    panels = [Panel(case.images[c.name], c.name.upper(), (-1.0, 1.0), synthetic=False) for c in facts.channels]
    likely = Volume(found[facts.focus_class], first.grid, Quantity.PROBABILITY)
    panels.append(Panel(likely, f"probability of {facts.focus}", (0.0, 1.0), synthetic=False))
    png = contour_sheet(
        panels,
        labels=labels,
        slices=shown_slices(LabelMap(truth, first.grid), 1, likely.array, most=1),
        expert=LabelMap(truth, first.grid),
        field_mm=_imaged_mm(first),
        title=f"{subject}, {TITLES.get(arm, arm)}",
        focus=facts.focus,
    )
    what = f"Contours of every class by arm {arm} and the expert's {facts.focus}, where it is largest"
    return FigureSection(f"{subject} ({words}): {TITLES.get(arm, arm)}", png, what)


def _imaged_mm(image: Volume) -> float:
    """Return the side of the square about the middle that holds whatever a prepared image shows."""
    shown = np.argwhere((image.array > image.quantity.outside).any(axis=2))
    if not len(shown):
        return float("inf")
    far = np.abs(shown - (np.asarray(image.shape[:2]) - 1) / 2).max(axis=0) + 0.5
    return float(2 * (far * image.grid.spacing[:2]).max())
