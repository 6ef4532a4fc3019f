"""What ``bundle.json`` holds: the facts that every model has, and those of each task."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from medgan.inference.domain_check import TrainedDomain
from medgan.preprocessing.intensity import IntensityMap, Knots
from medgan.preprocessing.recipe import Recipe
from medgan.volume import Quantity


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DomainFacts(_Facts):
    """One side of a translation: the manifest's domain, the modality and what a voxel measures."""

    domain: str
    modality: str
    quantity: str

    @field_validator("quantity")
    @classmethod
    def _known(cls, label: str) -> str:
        return Quantity.named(label).label


class NetworkFacts(_Facts):
    """A network by name and the arguments of its constructor."""

    name: str
    settings: dict[str, Any]


class PatchFacts(_Facts):
    """How the network is run over a volume."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    overlap: float = Field(ge=0, lt=1)


class TrainingFacts(_Facts):
    """Where the weights come from."""

    method: str
    config_sha256: str
    manifest_sha256: str
    steps: int
    seed: int
    data: str
    data_license: str


class CommonFacts(_Facts):
    """Facts of a model of any task."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    task: str
    trained_anatomy: str
    network: NetworkFacts
    training: TrainingFacts
    license: str
    intended_use: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    medgan_version: str

    def require_usable(self) -> None:
        """Build what the facts describe, so that a fault (a ValidationError) shows on loading."""

    @property
    def headline(self) -> str:
        """What the model does, in a few words for a list."""
        return self.task

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors that the network takes, for a trial run."""
        raise NotImplementedError

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the tensor that the network then returns."""
        raise NotImplementedError


class TranslationFacts(CommonFacts):
    """Facts of a model that translates volumes: both domains, preparation, intensity map, patches, trained domain.

    ``flip_axes`` are the axes of the prepared image along which it was reversed in training: the model should not care.
    A bundle may hold the generator from target to source as well, in a second weights file.
    """

    task: Literal["translation"]
    source: DomainFacts
    target: DomainFacts
    recipe: list[dict[str, Any]]
    target_knots: Knots
    patch: PatchFacts
    trained_domain: TrainedDomain
    flip_axes: tuple[Literal[0, 1, 2], ...] = (0,)
    return_network: NetworkFacts | None = None
    return_weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _whole_return(self) -> TranslationFacts:
        if (self.return_network is None) != (self.return_weights_sha256 is None):
            raise ValueError("return_network and return_weights_sha256 belong together: one of them is missing")
        return self

    def require_usable(self) -> None:
        """Build recipe and intensity map once."""
        Recipe.from_json(self.recipe)
        IntensityMap(knots=self.target_knots)

    @property
    def headline(self) -> str:
        """Modalities, such as ``MR to CT``."""
        return f"{self.source.modality} to {self.target.modality}"

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """A patch and its body mask."""
        return ((1, 1, *self.patch.shape),) * 2

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the patch."""
        return (1, 1, *self.patch.shape)
