"""What an explanation of one case consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import ExplanationError
from medgan.explanation.explanation.values import IMAGE, FloatArray, frozen, json_value

Kind = Literal["robust", "fragile", "classifier-specific", "undecided", "not flipped", "dropped"]
KINDS: tuple[Kind, ...] = ("robust", "fragile", "classifier-specific", "undecided", "not flipped", "dropped")


@dataclass(frozen=True)
class Randomization:
    """How much of a map is left when the classifier's weights are random.

    Parameters
    ----------
    mode : str
        ``"full"`` or ``"cascading"``.
    layers : tuple of str
        Randomized so far at each stage, from the output backward; one stage ``("all",)`` in mode full.
    rank_correlation, ssim : tuple of float or None
        Of |map| with the original's |map| at each stage; None where a map has no variation.
    """

    mode: str
    layers: tuple[str, ...]
    rank_correlation: tuple[float | None, ...]
    ssim: tuple[float | None, ...]

    @property
    def sentence(self) -> str:
        """What the last stage says."""
        correlation, similarity = self.rank_correlation[-1], self.ssim[-1]
        if correlation is None or similarity is None:
            return "With random weights the map vanishes: nothing can be compared."
        return (
            f"With random weights the map has rank correlation {correlation:.2f} and SSIM {similarity:.2f} with this."
        )


@dataclass(frozen=True, eq=False)
class AttributionMap:
    """A map of one method for one case, or the reason why there is none.

    Parameters
    ----------
    method, title : str
        Short name and name in words.
    values : float32 array of the image's shape, or None
        Signed, as the method gives it, in ``unit``; not rescaled.
    unit : str
    refusal : str
        Why there is no map; empty where there is one.
    convergence_delta : float or None
        Sum of the map minus the difference of scores, for methods that promise completeness.
    randomization : Randomization or None
    """

    method: str
    title: str
    values: FloatArray | None = field(metadata=IMAGE)
    unit: str = "score per pixel"
    refusal: str = ""
    convergence_delta: float | None = None
    randomization: Randomization | None = None

    def __post_init__(self) -> None:
        if (self.values is None) != bool(self.refusal):
            raise ExplanationError(f"A map of {self.method!r} has either values or a reason why it has none.")
        if self.values is not None:
            object.__setattr__(self, "values", frozen(self.values))

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the pixels as JSON values."""
        found: dict[str, Any] = json_value(self)
        return found


@dataclass(frozen=True, eq=False)
class Curve:
    """How a classifier's score changes while ever more of one image is put into the other.

    Parameters
    ----------
    method, preset, direction : str
        ``direction`` is ``"real into fake"`` (dapi) or ``"fake into real"`` (quac).
    thresholds, areas, scores : (T,) float64
        Threshold, share of the image under the mask before it is blurred, and change of the wanted class's probability.
    total : float
        Change when the whole image is exchanged.
    dac : float
        Area under the curve, from (0, 0) to (1, total), at 101 points.
    first_tenth : float
        Mean change over areas from 0 to 0.1.
    optimal : int
        Index of the optimal mask.
    mask, hybrid : float32 array of the image's shape
        The optimal mask after blurring, and the hybrid image that it makes.
    closing, symmetric_closing : bool
        Whether masks were closed, and whether by an odd ellipse instead of the published even one.
    smallest_flipping_area : float or None
        Smallest area on a fine grid whose hybrid gets the wanted class; None if none does.
    insertion, deletion : float or None
        Mean probability of the wanted class while pixels are inserted or deleted in the map's order.
    distinct_masks : int
        Masks that the classifier saw.
    """

    method: str
    preset: str
    direction: str
    thresholds: npt.NDArray[np.float64]
    areas: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    total: float
    dac: float
    first_tenth: float
    optimal: int
    mask: FloatArray = field(metadata=IMAGE)
    hybrid: FloatArray = field(metadata=IMAGE)
    closing: bool
    distinct_masks: int
    symmetric_closing: bool = False
    smallest_flipping_area: float | None = None
    insertion: float | None = None
    deletion: float | None = None

    def __post_init__(self) -> None:
        for name in ("thresholds", "areas", "scores"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        for name in ("mask", "hybrid"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def optimal_area(self) -> float:
        """Share of the image under the optimal mask."""
        return float(self.areas[self.optimal])

    @property
    def optimal_score(self) -> float:
        """Change of score that the optimal mask makes."""
        return float(self.scores[self.optimal])

    def as_dict(self) -> dict[str, Any]:
        """Return everything but images as JSON values."""
        found: dict[str, Any] = json_value(self)
        return found


@dataclass(frozen=True)
class TransformOutcome:
    """What one transform does to a flip.

    Parameters
    ----------
    transform : str
        Name and strength, such as ``"blur, sigma 0.5 px"``.
    void : bool
        Whether it changes the class of the real image, so that it says nothing about the flip.
    survives : bool or None
        Whether the transformed fake still has the wanted class; None where void.
    probability : float
        Of the wanted class for the transformed fake.
    """

    transform: str
    void: bool
    survives: bool | None
    probability: float


@dataclass(frozen=True)
class Verdict:
    """What kind of flip this is.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    sentence : str
    outcomes : tuple of TransformOutcome
    second : str
        ``"flips"``, ``"keeps its class"``, ``"void"`` (it disagrees about the real image already) or
        ``"not available"``.
    reason : str
        Why a pair is not used for attribution; empty otherwise.
    flip : str
        What the flip itself is (robust, fragile, classifier-specific or undecided), also where the pair was dropped for
        too low a probability; empty without a flip.
    """

    kind: Kind
    sentence: str
    outcomes: tuple[TransformOutcome, ...] = ()
    second: str = "not available"
    reason: str = ""
    flip: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ExplanationError(f"A verdict is one of {', '.join(KINDS)}: found {self.kind!r}.")

    @property
    def void(self) -> int:
        """Number of transforms that were left out."""
        return sum(one.void for one in self.outcomes)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        found: dict[str, Any] = json_value(self)
        return found


@dataclass(frozen=True, eq=False)
class Alternative:
    """A counterfactual of another way: the nearest real image of the other class, or the smallest mutation.

    Parameters
    ----------
    way : str
        ``"nearest neighbor"`` or ``"gradient mutation"``.
    image : float32 array of the image's shape
    probabilities : tuple of float
        By class.
    distance_l2 : float
        Euclidean distance to the query over all pixels.
    distance_feature : float or None
        In feature space; None where no features were compared.
    verdict : Verdict
    note : str
        Such as the identifier of the neighbor.
    """

    way: str
    image: FloatArray = field(metadata=IMAGE)
    probabilities: tuple[float, ...]
    distance_l2: float
    distance_feature: float | None
    verdict: Verdict
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", frozen(self.image))

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the image as JSON values."""
        found: dict[str, Any] = json_value(self)
        return found


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything about one query image.

    Parameters
    ----------
    case_id, subject_id : str
        Pseudonyms; ``subject_id`` is empty where subjects are not known.
    class_names : tuple of str
    source, target : int
        Class of the query and the class that it was translated into.
    real, fake : float32 arrays of one shape
        In [-1, 1]; ``fake`` is synthetic.
    real_probabilities, fake_probabilities : tuple of float
        By class.
    verdict : Verdict
    preset : str
        ``"dapi"`` or ``"quac"``.
    maps : tuple of AttributionMap
    curves : tuple of Curve
        Empty for a pair that was dropped.
    alternatives : tuple of Alternative
    settings : mapping
        Every number that was a free choice.
    """

    case_id: str
    subject_id: str
    class_names: tuple[str, ...]
    source: int
    target: int
    real: FloatArray = field(metadata=IMAGE)
    fake: FloatArray = field(metadata=IMAGE)
    real_probabilities: tuple[float, ...]
    fake_probabilities: tuple[float, ...]
    verdict: Verdict
    preset: str
    maps: tuple[AttributionMap, ...] = ()
    curves: tuple[Curve, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", frozen(self.real))
        object.__setattr__(self, "fake", frozen(self.fake))
        if self.real.shape != self.fake.shape:
            raise ExplanationError(
                f"A pair has one shape: the real image of case {self.case_id} is {self.real.shape}, the fake "
                f"{self.fake.shape}."
            )

    @property
    def direction(self) -> str:
        """Such as ``"normal to pneumonia"``."""
        return f"{self.class_names[self.source]} to {self.class_names[self.target]}"

    def map_of(self, method: str) -> AttributionMap:
        """Return the map of a method."""
        return _named(self.maps, method, self.case_id)

    def curve_of(self, method: str) -> Curve:
        """Return the curve of a method."""
        return _named(self.curves, method, self.case_id)

    def images(self) -> dict[str, FloatArray]:
        """Return every image by a name that says what it is, for an ``.npz`` file."""
        found = {"real": self.real, "fake": self.fake, "difference": self.fake - self.real}
        found |= {f"map_{m.method}": m.values for m in self.maps if m.values is not None}
        for curve in self.curves:
            found |= {f"mask_{curve.method}": curve.mask, f"hybrid_{curve.method}": curve.hybrid}
        return found | {f"alternative_{a.way.replace(' ', '_')}": a.image for a in self.alternatives}

    def as_dict(self) -> dict[str, Any]:
        """Return everything but images as JSON values."""
        found: dict[str, Any] = json_value(self)
        return found | {"synthetic": ["fake", "difference", "hybrid"]}


def _named(records: tuple[Any, ...], method: str, case_id: str) -> Any:
    for one in records:
        if one.method == method:
            return one
    known = ", ".join(one.method for one in records) or "none"
    raise ExplanationError(f"Case {case_id} has nothing of method {method!r}. Known: {known}.")
