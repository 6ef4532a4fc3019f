"""What every stage makes of its example cases, in a few numbers; ``tests/golden/stage_outputs.json`` keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from test_stage_contract import EXAMPLES, made

from medgan.cohort import Case
from medgan.preprocessing.recipe import STAGES

GOLDEN = Path(__file__).parents[1] / "golden" / "stage_outputs.json"


def summary_of(case: Case) -> dict[str, dict[str, list[float]]]:
    """Place and values of images and label maps: deviation, mean, extremes, and a sum that no rearrangement keeps."""
    summary = {}
    for kind, all_of_kind in (("image", case.images), ("label", case.labels)):
        for name, one in all_of_kind.items():
            array = np.asarray(one.array, dtype=np.float64)
            weights = np.random.default_rng(11).normal(size=array.shape)
            mixed = (weights * (array - array.mean())).sum() / np.sqrt(array.size)
            numbers = {
                "shape": array.shape,
                "affine": one.grid.affine[:3].ravel(),
                "values": (array.std(), array.mean(), array.min(), array.max(), mixed),
            }
            summary[f"{kind} {name}"] = {key: [float(f"{n:.6g}") for n in each] for key, each in numbers.items()}
    return summary


def summaries(name: str) -> dict[str, Any]:
    """Revision of a stage, and a summary for each of its example cases."""
    return {"revision": STAGES[name].revision, "cases": [summary_of(made(name)(case)) for case in EXAMPLES[name][1]]}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: summaries(name) for name in EXAMPLES}, indent=1) + "\n")
