"""The tables of a segmentation study that judge probabilities and trainings, as sections of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.segmentation_evaluation import CalibrationResults, findings_of, gradient_ratio_of
from medgan.commands.segmentation_study import Job
from medgan.commands.segmentation_study_tables import MISSING, TITLES, text
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.reporting.sections import TableSection


def calibration_table(calibrations: Mapping[str, CalibrationResults], *, focus: str, where: str) -> TableSection:
    """Return expected calibration error and Brier score before and after the temperature; ``where`` says of what."""
    from medgan.reporting.sections import TableSection

    rows = []
    for arm, found in calibrations.items():
        temperatures = ", ".join(f"{t:.2f}" for t in found.temperatures.values())
        rows.append(
            (
                TITLES.get(arm, arm),
                f"{found.before.ece:.4f}",
                f"{found.after.ece:.4f}",
                f"{found.before.brier:.4f}",
                f"{found.after.brier:.4f}",
                temperatures,
            )
        )
    columns = ("Arm", "ECE before", "ECE after", "Brier before", "Brier after", "Temperature of each fold")
    caption = (
        "ECE and Brier score of the probability, over voxels. Temperatures are fitted on each fold's validation "
        "subjects, for all classes together, so that the error of one class need not fall."
    )
    return TableSection(f"Calibration of {focus} {where}", columns, rows, caption)


def uncertainty_table(calibrations: Mapping[str, CalibrationResults]) -> TableSection:
    """Return the error in fifths of rising entropy."""
    from medgan.reporting.sections import TableSection

    rows = []
    for arm, found in calibrations.items():
        one = found.by_entropy
        cells = [f"{error:.3f}" for error in one.error]
        rows.append((TITLES.get(arm, arm), *cells, text(one.rank_correlation, 2), "yes" if one.grows else "no"))
    columns = ("Arm", "lowest fifth", "2nd", "3rd", "4th", "highest fifth", "Rank correlation", "Error grows")
    caption = (
        "Share of voxels whose most probable class is wrong, by entropy of the mean over an image and its mirror image."
    )
    return TableSection("Error by uncertainty", columns, rows, caption)


def training_table(study: Study, jobs: Sequence[Job]) -> TableSection:
    """Return how each training went: checkpoint, discriminator, gradients, monitors."""
    from medgan.reporting.sections import TableSection

    rows = []
    for job in jobs:
        found = findings_of(study, job)
        ratio = gradient_ratio_of(study, job)
        best = found["checkpoints"][str(found["chosen_step"])]
        alarms = "; ".join(_alarm(a, in_words=job.part != "curve") for a in found["alarms"])
        if not any(found["checkpoints"].values()):
            alarms = "; ".join(filter(None, (alarms, "no checkpoint finds the class on a validation slice")))
        rows.append(
            (
                job.name,
                str(found["chosen_step"]),
                text(best, 3),
                text(found["softness"], 2),
                MISSING if ratio is None else f"{ratio[0]:.2g} / {ratio[1]:.2g}",
                alarms or "none",
            )
        )
    columns = ("Training", "Step", "Validation Dice", "Softness", "Gradient ratio raw / applied", "Monitors")
    caption = (
        "Step: the checkpoint that was chosen, by one rule for all arms. Softness: accuracy of the discriminator on "
        "plain against softened expert maps, 0.5 is blind to softness. Gradient ratio: norm of the adversarial "
        "gradient over that of the (weighted) cross-entropy with respect to the logits, median."
    )
    return TableSection("Trainings", columns, rows, caption, frozenset({5}))


def _alarm(alarm: Mapping[str, Any], *, in_words: bool) -> str:
    """Return a monitor's alarm; of the many trainings of a curve without its values, which its run's files hold."""
    head = f"{alarm['monitor']} (steps {alarm['first_step']} to {alarm['last_step']})"
    return f"{head}: {alarm['words']}" if in_words else head
