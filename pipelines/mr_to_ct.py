r"""MR to CT, the whole study: prepare, train, choose, translate, evaluate, report, card.

    python pipelines/mr_to_ct.py configs/mr_to_ct/phantom.yaml --out studies/phantom
    python pipelines/mr_to_ct.py configs/mr_to_ct/sts.yaml --data-root ~/data \
        --foreign data_manifests/sts_limbs_foreign.yaml
    python pipelines/mr_to_ct.py configs/mr_to_ct/phantom.yaml --model phantom-mr-to-ct --out studies/phantom

A configuration with data.folds trains one model a fold and reports all test subjects in one table. With --model nothing
is trained: the model of the configuration that is there already, such as an embedded one, is measured. Every step
leaves finished files in the study folder and is skipped where they are there, so that the same command continues an
interrupted study, to the bits of an uninterrupted one.
"""

from __future__ import annotations

from medgan.commands.choose import choose_step
from medgan.commands.pipeline import Step, run_pipeline
from medgan.commands.study import prepare_step, train_step, translate_step
from medgan.commands.study_card import card_step
from medgan.commands.study_evaluation import evaluate_step
from medgan.commands.study_report import report_step

STEPS = (
    Step("prepare", prepare_step),
    Step("train", train_step),
    Step("choose", choose_step),
    Step("translate", translate_step),
    Step("evaluate", evaluate_step),
    Step("report", report_step),
    Step("card", card_step),
)

if __name__ == "__main__":
    run_pipeline(__doc__ or "", STEPS, takes_model=True)
