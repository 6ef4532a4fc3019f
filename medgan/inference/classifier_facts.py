"""What a bundle says of a classifier of radiographs, and of a translator between two of its classes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from medgan.inference.bundle_facts import CommonFacts


class RadiographDomain(BaseModel):
    """Which radiographs a model was made for.

    Parameters
    ----------
    input_size : (rows, columns)
        Of the model's input.
    native_only : bool
        Whether only radiographs of exactly that size are like those it learned from.
    crop : {"center", "pad", "stretch"}
        How a radiograph of another shape becomes its input, see
        :class:`~medgan.volume.radiograph_placement.RadiographPlacement`.
    population : str
        Whose radiographs it learned from.
    stamp : str
        To be printed on every page about the model's results; empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    input_size: tuple[PositiveInt, PositiveInt]
    native_only: bool = False
    crop: Literal["center", "pad", "stretch"] = "center"
    population: str
    stamp: str = ""


class AskedClassifier(BaseModel):
    """The classifier that took part in a translator's training, with the weight of its term."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    weight: float = Field(gt=0)


class ClassificationFacts(CommonFacts):
    """Facts of a classifier: one logit a label, of exclusive classes; images of one channel in [-1, 1].

    ``temperature`` divides the logits to give calibrated probabilities; ``results`` holds what was measured.
    """

    task: Literal["classification"]
    labels: tuple[str, ...] = Field(min_length=2)
    domain: RadiographDomain
    target_layer: str
    temperature: float = Field(default=1.0, gt=0)
    results: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _distinct(self) -> ClassificationFacts:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must be distinct: found {list(self.labels)}")
        return self

    @property
    def headline(self) -> str:
        """The classes, such as ``normal | pneumonia``."""
        return " | ".join(self.labels)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """One image."""
        return ((1, 1, *self.domain.input_size),)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """A logit a label."""
        return (1, len(self.labels))


class CounterfactualFacts(CommonFacts):
    """Facts of a translator between two classes, both directions in one network.

    ``classes`` are source (class 0) and target (class 1), by the names of the classifier's labels.
    """

    task: Literal["counterfactual"]
    classes: tuple[str, str]
    domain: RadiographDomain
    classifier: AskedClassifier | None = None
    results: dict[str, Any] = Field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The classes, such as ``normal <-> pneumonia``."""
        return " <-> ".join(self.classes)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """One image."""
        return ((1, 1, *self.domain.input_size),)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the image."""
        return (1, 1, *self.domain.input_size)
