"""Lesions in prostates, and tumors in limbs: the arms of an adversarial segmenter under one budget.

    python pipelines/prostate_lesions.py configs/prostate_lesions/phantom.yaml
    python pipelines/prostate_lesions.py configs/prostate_lesions/sts_tumors.yaml --data-root ~/data

Every step leaves finished files in the study folder and is skipped where they are there, so that the same command
continues an interrupted study, to the bits of an uninterrupted one. The step table reports the arms before
the small-data curve is trained; the last step writes the report anew, with the curve.
"""

from __future__ import annotations

from medgan.commands.pipeline import Step, run_pipeline
from medgan.commands.segmentation_evaluation import evaluate_step
from medgan.commands.segmentation_study import curve_step, predict_step, prepare_step, train_step
from medgan.commands.segmentation_study_report import report_step, table_step

STEPS = (
    Step("prepare", prepare_step),
    Step("train", train_step),
    Step("table", table_step),
    Step("curve", curve_step),
    Step("predict", predict_step),
    Step("evaluate", evaluate_step),
    Step("report", report_step),
)

if __name__ == "__main__":
    run_pipeline(__doc__ or "", STEPS)
