"""How good an image is: measures between a result and a reference, cohort tables, and baselines to beat.

Knows grids, volumes and label maps, in NumPy. Must not know networks or tensors, and must not make the mask it counts
in: the caller gives it.
"""

from medgan.evaluation.baselines import BodyMedian, MedianPerBin, QuantileMatch, T1Table
from medgan.evaluation.cohort_summary import PairedDifference, Summary, paired_difference, summarize
from medgan.evaluation.cohort_table import CaseRow, CohortTable, read_csv, write_csv
from medgan.evaluation.comparison import Comparison, compare
from medgan.evaluation.label_comparison import LabelComparison, compare_labels
from medgan.evaluation.measure import Measure
from medgan.evaluation.presets import PRESETS, MultiScale, Preset, preset_named

__all__ = [
    "PRESETS",
    "BodyMedian",
    "CaseRow",
    "CohortTable",
    "Comparison",
    "LabelComparison",
    "Measure",
    "MedianPerBin",
    "MultiScale",
    "PairedDifference",
    "Preset",
    "QuantileMatch",
    "Summary",
    "T1Table",
    "compare",
    "compare_labels",
    "paired_difference",
    "preset_named",
    "read_csv",
    "summarize",
    "write_csv",
]
