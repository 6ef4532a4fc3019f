"""NumPy-only records of explanations, of one case and of a cohort: what reports may import.

Knows no tensor and computes nothing but intervals of shares.
"""

from medgan.explanation.explanation.case import (
    KINDS,
    Alternative,
    AttributionMap,
    Curve,
    Explanation,
    Kind,
    Randomization,
    TransformOutcome,
    Verdict,
)
from medgan.explanation.explanation.cohort import (
    Atlas,
    Calibration,
    CohortResult,
    Control,
    Diversity,
    DosePath,
    Equivalence,
    Interval,
    Localization,
    MethodSummary,
    RegionDifference,
    RegionRestoration,
    ReliabilityBin,
    Success,
)
from medgan.explanation.explanation.rate import Rate
from medgan.explanation.explanation.readiness import Preflight, RuleFinding
from medgan.explanation.explanation.values import FloatArray, json_value

__all__ = [
    "KINDS",
    "Alternative",
    "Atlas",
    "AttributionMap",
    "Calibration",
    "CohortResult",
    "Control",
    "Curve",
    "Diversity",
    "DosePath",
    "Equivalence",
    "Explanation",
    "FloatArray",
    "Interval",
    "Kind",
    "Localization",
    "MethodSummary",
    "Preflight",
    "Randomization",
    "Rate",
    "RegionDifference",
    "RegionRestoration",
    "ReliabilityBin",
    "RuleFinding",
    "Success",
    "TransformOutcome",
    "Verdict",
    "json_value",
]
