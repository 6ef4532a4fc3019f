"""A recipe: stages in order, as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from medgan.cohort import Case
from medgan.preprocessing.bias_field import BiasField
from medgan.preprocessing.body_mask import BodyMask
from medgan.preprocessing.contrast import Contrast
from medgan.preprocessing.couch import Couch
from medgan.preprocessing.crop import Crop
from medgan.preprocessing.crop_box import CropBox
from medgan.preprocessing.intensity import HuWindow, IntensityMap, MrPercentiles, PiecewiseHu
from medgan.preprocessing.registration import Registration
from medgan.preprocessing.reorient import Reorient
from medgan.preprocessing.respace import Respace

Stage = Annotated[
    Reorient
    | Respace
    | Registration
    | BodyMask
    | Couch
    | BiasField
    | Crop
    | CropBox
    | Contrast
    | HuWindow
    | PiecewiseHu
    | MrPercentiles,
    Field(discriminator="stage"),
]
STAGES = {
    "reorient": Reorient,
    "respace": Respace,
    "registration": Registration,
    "body_mask": BodyMask,
    "couch": Couch,
    "bias_field": BiasField,
    "crop": Crop,
    "crop_box": CropBox,
    "contrast": Contrast,
    "hu_window": HuWindow,
    "piecewise_hu": PiecewiseHu,
    "mr_percentiles": MrPercentiles,
}
_ADAPTER: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[Stage, ...])


@dataclass(frozen=True)
class Recipe:
    """Ordered stages, each a pure function of a case; the same input gives the same output.

    Notes
    -----
    Every stage class has a ``revision``, from 1. It is raised with every change of the code that changes what the stage
    gives for any input, so that cases prepared before are not taken for cases prepared now: :attr:`digest`, which keys
    the case store, holds every revision but 1.

    Examples
    --------
    >>> recipe = Recipe.from_json([{"stage": "reorient"}, {"stage": "respace", "spacing_mm": [2, 2, 3]}])
    >>> recipe.spacing_mm
    (2.0, 2.0, 3.0)
    """

    stages: tuple[Any, ...]

    @classmethod
    def from_json(cls, stages: Sequence[Any]) -> Recipe:
        """Build from plain values, such as a bundle's JSON.

        Raises
        ------
        pydantic.ValidationError
            With every unknown stage, unknown setting and wrong value at once.
        """
        return cls(_ADAPTER.validate_python(tuple(stages)))

    def as_json(self) -> list[dict[str, Any]]:
        """Return plain values that :meth:`from_json` reads back."""
        return list(_ADAPTER.dump_python(self.stages, mode="json"))

    def __call__(self, case: Case) -> Case:
        """Run all stages."""
        for stage in self.stages:
            case = stage(case)
        return case

    def fitted(self, cases: Sequence[Case]) -> Recipe:
        """Return the recipe with every stage that learns fitted on these cases, which must be of the training split.

        Each stage is fitted on the output of the fitted stages before it.
        """
        stages: list[Any] = []
        current = list(cases)
        for position, stage in enumerate(self.stages):
            done = stage.fitted(current) if hasattr(stage, "fitted") else stage
            stages.append(done)
            if any(getattr(later, "learns", False) for later in self.stages[position + 1 :]):
                current = [done(case) for case in current]
        return replace(self, stages=tuple(stages))

    @property
    def learns(self) -> bool:
        """Whether :meth:`fitted` needs cases."""
        return any(getattr(stage, "learns", False) for stage in self.stages)

    @property
    def digest(self) -> str:
        """SHA-256 over all stages, their numbers and their revisions, in hexadecimal."""
        values = [
            # Without the first revision: digests of before there were any stay what they were.
            value if stage.revision == 1 else {**value, "revision": stage.revision}
            for stage, value in zip(self.stages, self.as_json())
        ]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Spacing that the last respacing stage leaves, or None if there is none."""
        found = [stage.spacing_mm for stage in self.stages if isinstance(stage, Respace)]
        return found[-1] if found else None

    @property
    def intensity_map(self) -> IntensityMap | None:
        """The map to [-1, 1] where it is the same for every image (HU), else None."""
        found = [stage.intensity_map for stage in self.stages if isinstance(stage, HuWindow | PiecewiseHu)]
        return found[-1] if found else None
