"""Why did the classifier say so? Counterfactual explanations of chest radiographs, from data to report.

    CONFIGS=configs/chest_xray_counterfactuals
    python pipelines/chest_xray_counterfactuals.py $CONFIGS/smoke.yaml
    python pipelines/chest_xray_counterfactuals.py $CONFIGS/study_pneumonia.yaml --data-root DATA

Every step leaves finished files in the study folder and is skipped where they are there, so that the same command
continues an interrupted study. A finished training that the configuration names is used instead of a new one.
"""

from __future__ import annotations

from medgan.commands.explanation_study import (
    classifiers_step,
    data_step,
    explain_step,
    summary_step,
    translator_step,
)
from medgan.commands.pipeline import Step, run_pipeline

STEPS = (
    Step("data", data_step),
    Step("classifiers", classifiers_step),
    Step("translator", translator_step),
    Step("explain", explain_step),
    Step("summary", summary_step),
)

if __name__ == "__main__":
    run_pipeline(__doc__ or "", STEPS)
