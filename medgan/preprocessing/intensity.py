"""Intensity maps: strictly increasing, piecewise linear, and therefore invertible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.preprocessing.piecewise_linear import interpolated
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.memory_order import row_major

STRICT = ConfigDict(extra="forbid")
Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True, config=STRICT)
class IntensityMap:
    """A strictly increasing piecewise-linear map from a quantity to [-1, 1]; values beyond the end knots are clipped.

    Parameters
    ----------
    knots : pairs (value, normalized value)
        At least two, both columns strictly increasing, the normalized column within [-1, 1].

    Raises
    ------
    pydantic.ValidationError
        If the knots are not such a map; a ValueError, which readers of configurations and bundles turn into theirs.

    Examples
    --------
    >>> window = IntensityMap(knots=((-1000.0, -1.0), (1000.0, 1.0)))
    >>> window.forward(np.array([-2000.0, 0.0, 500.0])).tolist()
    [-1.0, 0.0, 0.5]
    >>> window.inverse(np.array([0.5])).tolist()
    [500.0]
    """

    knots: Knots

    @field_validator("knots")
    @classmethod
    def _increasing(cls, knots: Knots) -> Knots:
        return _checked(knots)

    def forward(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return normalized float32 values of the same shape."""
        xs, ys = self._columns()
        return interpolated(values, xs, ys)

    def inverse(self, normalized: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return float32 values in the quantity's unit; ``inverse(forward(v)) = v`` between the end knots."""
        xs, ys = self._columns()
        return interpolated(normalized, ys, xs)

    def _columns(self) -> tuple[list[float], list[float]]:
        return [x for x, _ in self.knots], [y for _, y in self.knots]


@dataclass(frozen=True, config=STRICT)
class HuWindow:
    """Map a window of HU linearly to [-1, 1]."""

    revision: ClassVar[int] = 1
    stage: Literal["hu_window"] = "hu_window"
    low_hu: float = -1024.0
    high_hu: float = 1500.0

    @model_validator(mode="after")
    def _increasing(self) -> HuWindow:
        _checked(((self.low_hu, -1.0), (self.high_hu, 1.0)))
        return self

    @property
    def intensity_map(self) -> IntensityMap:
        """The map itself."""
        return IntensityMap(knots=((self.low_hu, -1.0), (self.high_hu, 1.0)))

    def __call__(self, case: Case) -> Case:
        """Return the case with its CT normalized; air outside the body label becomes -1."""
        return _normalized(case, self.intensity_map, Quantity.HOUNSFIELD, step=self.stage)


@dataclass(frozen=True, config=STRICT)
class PiecewiseHu:
    """Map HU to [-1, 1] so that soft tissue, a few hundred HU of four thousand, gets most of the range.

    Notes
    -----
    The knots are a free choice. The default spends 1.25 of 2.0 on -160 to 200 HU and 0.55 on bone up to 1500 HU.
    """

    revision: ClassVar[int] = 1
    stage: Literal["piecewise_hu"] = "piecewise_hu"
    knots: Knots = ((-1024.0, -1.0), (-160.0, -0.8), (200.0, 0.45), (1500.0, 1.0))

    @field_validator("knots")
    @classmethod
    def _increasing(cls, knots: Knots) -> Knots:
        return _checked(knots)

    @property
    def intensity_map(self) -> IntensityMap:
        """The map itself."""
        return IntensityMap(knots=self.knots)

    def __call__(self, case: Case) -> Case:
        """Return the case with its CT normalized; air outside the body label becomes -1."""
        return _normalized(case, self.intensity_map, Quantity.HOUNSFIELD, step=self.stage)


@dataclass(frozen=True, config=STRICT)
class MrPercentiles:
    """Map MR signal to [-1, 1] by percentiles of the body, zero signal to -1.

    Parameters
    ----------
    percentiles : increasing percentages
        Landmarks in the body of each image.
    standard : one normalized value a landmark, not decreasing, or None
        Where the landmarks go. None: only the last landmark counts and goes to ``top``. :meth:`fitted` learns the
        others from the training split and returns them as numbers; what was given stays.
    top : float
        Normalized value of the last landmark.
    dark : (share, value) or None
        A knot between zero and the first landmark, at a share of the last landmark's signal: gives dark tissue, where
        bone and air lie close together, more of the range. The same place in every image, unlike a low percentile,
        which moves with the share of dark tissue.

    Notes
    -----
    After Nyúl and Udupa (1999, doi 10.1002/(SICI)1522-2594(199912)42:6<1072::AID-MRM11>3.0.CO;2-M). Deviations: zero
    signal is a fixed first knot; the standard scale is the median of the training landmarks after the last one is
    fixed; above the last landmark the last slope continues to 1, then clips.
    """

    revision: ClassVar[int] = 1
    stage: Literal["mr_percentiles"] = "mr_percentiles"
    percentiles: tuple[float, ...] = (99.0,)
    standard: tuple[float, ...] | None = None
    top: float = Field(default=0.8, gt=-1.0, le=1.0)
    dark: tuple[float, float] | None = None

    @field_validator("dark")
    @classmethod
    def _inside(cls, dark: tuple[float, float] | None) -> tuple[float, float] | None:
        if dark is not None and not (0 < dark[0] < 1 and -1 < dark[1] < 1):
            raise ValueError(f"dark needs a share in (0, 1) and a value in (-1, 1): found {list(dark)}")
        return dark

    @field_validator("percentiles")
    @classmethod
    def _ordered(cls, percentiles: tuple[float, ...]) -> tuple[float, ...]:
        if not percentiles or any(b <= a for a, b in pairwise(percentiles)):
            raise ValueError(f"percentiles must increase: found {list(percentiles)}")
        if not (percentiles[0] >= 0 and percentiles[-1] <= 100):
            raise ValueError(f"percentiles must lie in [0, 100]: found {list(percentiles)}")
        return percentiles

    @model_validator(mode="after")
    def _one_each(self) -> MrPercentiles:
        standard = self.standard
        if standard is None:
            return self
        if len(standard) != len(self.percentiles):
            raise ValueError(
                f"standard needs one value for each of {len(self.percentiles)} percentiles: found {len(standard)}"
            )
        inside = all(-1 <= value <= 1 for value in standard) and standard[-1] > -1
        if not inside or any(b < a for a, b in pairwise(standard)):
            raise ValueError(f"standard must not decrease, from -1 to 1, and end above -1: found {list(standard)}")
        return self

    @property
    def learns(self) -> bool:
        """Whether :meth:`fitted` looks at its cases: one landmark has its place, and so has a given standard."""
        return self.standard is None and len(self.percentiles) > 1

    def fitted(self, cases: Sequence[Case]) -> MrPercentiles:
        """Return the stage with its standard scale learned from training cases that have a body label.

        Raises
        ------
        PreprocessingError
            If there is something to learn and no case.
        """
        if not self.learns:
            return replace(self, standard=self.standard or (self.top,))
        if not cases:
            raise PreprocessingError("MR normalization learns its standard scale from training cases: found none.")
        landmarks = np.array([self._landmarks(case) for case in cases])
        relative = np.median(landmarks / landmarks[:, -1:], axis=0)
        standard = tuple(round(float(r * (self.top + 1) - 1), 6) for r in relative)
        return replace(self, standard=standard)

    def map_for(self, case: Case) -> IntensityMap:
        """Return the map of one image.

        Raises
        ------
        PreprocessingError
            If the body holds no signal.
        """
        landmarks, standard = self._landmarks(case), self.standard
        if standard is None:
            landmarks, standard = landmarks[-1:], (self.top,)
        knots = [(0.0, -1.0)]
        places = [] if self.dark is None else [(self.dark[0] * landmarks[-1], self.dark[1])]
        for x, y in [*places, *zip(landmarks, standard)]:
            # Two landmarks may coincide (a saturated image) or touch zero: the map must stay strictly increasing.
            if x > knots[-1][0] and y > knots[-1][1]:
                knots.append((float(x), float(y)))
        (x0, y0), (x1, y1) = knots[-2:]
        if y1 < 1.0:
            knots.append((x1 + (1.0 - y1) * (x1 - x0) / (y1 - y0), 1.0))
        return IntensityMap(knots=tuple(knots))

    def __call__(self, case: Case) -> Case:
        """Return the case with its MR normalized; everything outside the body label becomes -1."""
        return _normalized(case, self.map_for(case), Quantity.MR_SIGNAL, step=self.stage)

    def _landmarks(self, case: Case) -> npt.NDArray[np.float64]:
        volume, body = _image_of(case, Quantity.MR_SIGNAL, self.stage), _body_of(case, self.stage)
        inside = volume.array.ravel() if body is None else volume.array[body.mask()]
        landmarks = np.percentile(inside, self.percentiles) if inside.size else np.zeros(len(self.percentiles))
        if landmarks[-1] <= 0:
            raise PreprocessingError(
                f"MR normalization needs signal in the body: in case {case.case_id} "
                f"percentile {self.percentiles[-1]:g} is {landmarks[-1]:g}."
            )
        return np.asarray(landmarks, dtype=np.float64)


def _checked(knots: Knots) -> Knots:
    for column, name in ((0, "values"), (1, "normalized values")):
        numbers = [knot[column] for knot in knots]
        if len(numbers) < 2 or any(b <= a for a, b in pairwise(numbers)) or not np.isfinite(numbers).all():
            raise PreprocessingError(
                f"An intensity map needs two or more knots with strictly increasing {name}: found {numbers}."
            )
    if knots[0][1] < -1 or knots[-1][1] > 1:
        raise PreprocessingError(
            f"An intensity map needs normalized values within [-1, 1]: found {knots[0][1]} to {knots[-1][1]}."
        )
    return knots


def _image_of(case: Case, quantity: Quantity, stage: str) -> Volume:
    volume = case.image
    if volume.quantity is not quantity:
        raise PreprocessingError(
            f"Stage {stage} needs an image of {quantity.label}: case {case.case_id} has {volume.quantity.label}."
        )
    return volume


def _body_of(case: Case, stage: str) -> LabelMap | None:
    body = case.labels.get("body")
    if body is not None:
        body.grid.require_same_as(case.image.grid, this="body", that="image", what=f"Stage {stage}")
    return body


def _normalized(case: Case, intensity_map: IntensityMap, quantity: Quantity, *, step: str) -> Case:
    volume, body = _image_of(case, quantity, step), _body_of(case, step)

    def forward(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        normalized = intensity_map.forward(values)
        if body is not None:
            np.copyto(normalized, np.float32(-1.0), where=body.array == 0)
        # Patches are cut along the last axis, wherever the image comes from.
        return row_major(normalized)

    knots = [list(k) for k in intensity_map.knots]
    return case.with_image(
        next(iter(case.images)), volume.mapped(forward, step=step, quantity=Quantity.NORMALIZED, knots=knots)
    )
