"""What ``bundle.json`` holds of a model that labels voxels: classes, channels, working grid, calibration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from medgan.inference.bundle_facts import CommonFacts
from medgan.volume import Quantity

PositiveFloat = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PercentileRange(_Section):
    """Two percentiles of the image's non-zero values in the working field become -1 and 1."""

    kind: Literal["percentiles"]
    low: float = Field(default=1.0, ge=0, le=100)
    high: float = Field(default=99.0, ge=0, le=100)

    @model_validator(mode="after")
    def _rising(self) -> PercentileRange:
        if self.low >= self.high:
            raise ValueError(f"percentiles must rise: found {self.low:g} and {self.high:g}")
        return self


class FixedWindow(_Section):
    """Two values in the image's own unit become -1 and 1."""

    kind: Literal["window"]
    low: float
    high: float

    @model_validator(mode="after")
    def _rising(self) -> FixedWindow:
        if self.low >= self.high:
            raise ValueError(f"a window must rise: found {self.low:g} and {self.high:g}")
        return self


class ChannelFacts(_Section):
    """One contrast: its name, how it is recognized in a study, what it measures and how it is normalized."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    kind: Literal["t2w", "adc", "dwi", "mr", "ct"]
    quantity: str
    normalization: Annotated[PercentileRange | FixedWindow, Field(discriminator="kind")]

    @field_validator("quantity")
    @classmethod
    def _known(cls, label: str) -> str:
        return Quantity.named(label).label

    @property
    def modality(self) -> str:
        """MR or CT."""
        return "CT" if self.kind == "ct" else "MR"


class WorkingGrid(_Section):
    """In-plane spacing and size about the middle of the first channel; slices stay as they were acquired."""

    spacing_mm: tuple[PositiveFloat, PositiveFloat]
    size: tuple[PositiveInt, PositiveInt]


class SegmentationFacts(CommonFacts):
    """Facts of a model that labels the voxels of one or more contrasts.

    Parameters
    ----------
    classes : tuple of str
        Names by number; class 0 is everything else.
    focus : str
        The class that is looked for, such as the lesion.
    inside : tuple of str
        Classes that make up the organ, the focus among them; empty where there is no organ.
    channels : tuple of ChannelFacts
        In the order of the network's input; the first gives the grid.
    working : WorkingGrid
    neighbors : int
        Slices above and below that are given along with each slice (2-D).
    depth : int or None
        Slices of a slab (3-D).
    allows_missing : bool
        Whether the training left out channels, so that one may be missing.
    temperature : float
        Divides the logits; fitted on validation subjects.
    on_phantoms : bool
        Whether the model only ever saw phantoms.
    """

    task: Literal["segmentation"]
    classes: tuple[str, ...] = Field(min_length=2)
    focus: str
    inside: tuple[str, ...] = ()
    channels: tuple[ChannelFacts, ...] = Field(min_length=1)
    working: WorkingGrid
    neighbors: int = Field(default=0, ge=0)
    depth: PositiveInt | None = None
    allows_missing: bool = False
    temperature: PositiveFloat = 1.0
    on_phantoms: bool

    @model_validator(mode="after")
    def _consistent(self) -> SegmentationFacts:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must have different names: found {list(self.classes)}")
        unknown = [name for name in (self.focus, *self.inside) if name not in self.classes]
        if unknown:
            raise ValueError(f"focus and inside must be classes: found {', '.join(unknown)}")
        names = [channel.name for channel in self.channels]
        if len(set(names)) != len(names):
            raise ValueError(f"channels must have different names: found {names}")
        return self

    @property
    def focus_class(self) -> int:
        """Number of the focus class."""
        return self.classes.index(self.focus)

    @property
    def headline(self) -> str:
        """Channels and focus, such as ``T2W + ADC + DWI: lesion``."""
        return f"{' + '.join(channel.name.upper() for channel in self.channels)}: {self.focus}"

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """A slice with its neighbors, or a slab."""
        channels = len(self.channels) * (2 * self.neighbors + 1)
        depth = () if self.depth is None else (self.depth,)
        return ((1, channels, *self.working.size, *depth),)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """One logit a class."""
        return (1, len(self.classes), *self.input_shapes[0][2:])

    @property
    def warning(self) -> str | None:
        """What must be said with every result of the model, if anything."""
        if not self.on_phantoms:
            return None
        return (
            f"Model {self.name} was trained on phantoms only: on a person's scan its result shows that the parts "
            "work, and means nothing about the person."
        )


def class_names(facts: SegmentationFacts) -> dict[int, str]:
    """Return what each number of a label map stands for; 0 is background and has no name."""
    return {number: name for number, name in enumerate(facts.classes) if number}
