"""What a configuration says of the model that it makes, whatever the method."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ModelSettings(BaseModel):
    """What the bundle says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    trained_anatomy: str
    intended_use: str
    not_for: tuple[str, ...] = ("Diagnosis, treatment planning or any other decision about a person.",)
    limits: tuple[str, ...] = (
        "Unpaired training never saw the error it makes: anatomy may be moved, removed or invented.",
    )
    data: str
    data_license: str
    data_citation: str = ""
    license: str = "Apache-2.0"
    half_precision_weights: bool = False
    return_generator: bool = False
    """Whether a translation model's bundle holds the generator from target to source too, for the cycle residual."""
