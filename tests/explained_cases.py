"""Explanations made of arithmetic, for the tests of reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from medgan.explanation.explanation import (
    Alternative,
    AttributionMap,
    Curve,
    Explanation,
    Randomization,
    TransformOutcome,
    Verdict,
)

SIDE = 12
AREAS = np.linspace(1, 0, 21)


def curve(method: str = "d_ig", **changes: Any) -> Curve:
    mask = np.zeros((SIDE, SIDE))
    mask[4:8, 4:8] = 1
    facts: dict[str, Any] = {
        "method": method,
        "preset": "dapi",
        "direction": "real into fake",
        "thresholds": np.linspace(-1, 1, 21),
        "areas": AREAS,
        "scores": np.sqrt(AREAS) * 0.9,
        "total": 0.9,
        "dac": 0.6,
        "first_tenth": 0.2,
        "optimal": 15,
        "mask": mask,
        "hybrid": mask - 0.5,
        "closing": True,
        "smallest_flipping_area": 0.07,
        "insertion": 0.9,
        "deletion": 0.1,
        "distinct_masks": 20,
    }
    return Curve(**facts, **changes)


def explanation(case_id: str = "case_1", kind: str = "robust", **changes: Any) -> Explanation:
    real = np.linspace(-1, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    check = Randomization("full", ("all",), (0.4,), (0.2,))
    flip = kind if kind in ("robust", "fragile", "classifier-specific") else ""
    outcome = TransformOutcome("blur, sigma 0.5 px", kind == "fragile", None if kind == "fragile" else True, 0.9)
    verdict = Verdict(kind, f"{kind.capitalize()}: <said> so.", (outcome,), "flips", "", flip)  # type: ignore[arg-type]
    has_curve = bool(flip)
    base = Explanation(
        case_id=case_id,
        subject_id="subject_1",
        class_names=("normal", "ill"),
        source=0,
        target=1,
        real=real,
        fake=np.clip(real + 0.25, -1, 1),
        real_probabilities=(0.9, 0.1),
        fake_probabilities=(0.2, 0.8),
        verdict=verdict,
        preset="dapi",
        maps=(
            AttributionMap("d_ig", "discriminative integrated gradients", real * 2, "score", "", 0.001, check),
            AttributionMap("d_gc", "discriminative Grad-CAM", None, refusal="the target layer has no extent."),
        )
        if has_curve
        else (),
        curves=(curve(), curve("residual")) if has_curve else (),
        alternatives=(Alternative("nearest neighbor", -real, (0.1, 0.9), 3.0, 0.5, verdict, "case other"),),
        settings={"seed": 1},
    )
    return replace(base, **changes)
