"""Contrasts of electron microscopy: does a segmenter work on a contrast that it was not trained on?

    python pipelines/em_contrast.py configs/em_contrast/study_phantom.yaml
    python pipelines/em_contrast.py configs/em_contrast/study_fib25.yaml --data-root ~/data

The frozen segmenter is measured on the unlabeled contrast as it is, after histogram matching, after a CycleGAN, after
SECGAN, and, where it is known, on the same specimen in the labeled contrast. Every step leaves finished files in the
study folder and is skipped where they are there, so that the same command continues an interrupted study.
"""

from __future__ import annotations

from medgan.commands.em_study import segmenter_step, train_step
from medgan.commands.em_study_measures import measure_step
from medgan.commands.em_study_report import report_step
from medgan.commands.pipeline import Step, run_pipeline

STEPS = (
    Step("segmenter", segmenter_step),
    Step("train", train_step),
    Step("measure", measure_step),
    Step("report", report_step),
)

if __name__ == "__main__":
    run_pipeline(__doc__ or "", STEPS)
