"""MR to CT, the whole study: prepare, train, translate, evaluate, report.

    python pipelines/mr_to_ct.py configs/mr_to_ct/phantom.yaml --out studies/phantom

Every step leaves finished files in the study folder and is skipped where they are there, so that the same command
continues an interrupted study, to the bits of an uninterrupted one.
"""

from __future__ import annotations

from medgan.commands.pipeline import Step, run_pipeline
from medgan.commands.study import evaluate_step, prepare_step, train_step, translate_step
from medgan.commands.study_report import report_step

STEPS = (
    Step("prepare", prepare_step),
    Step("train", train_step),
    Step("translate", translate_step),
    Step("evaluate", evaluate_step),
    Step("report", report_step),
)

if __name__ == "__main__":
    run_pipeline(__doc__ or "", STEPS)
