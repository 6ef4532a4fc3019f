"""``classifier.yaml``: how a network that others trained takes images and what its outputs mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from medgan.inference.classifier_facts import RadiographDomain
from medgan.settings import checked, read_yaml

CLASSIFIER_FILE = "classifier.yaml"
Range = tuple[float, float]


class ClassifierFile(BaseModel):
    """The settings of a classifier in a folder.

    Parameters
    ----------
    name : str
    weights : str
        File in the folder: ``.safetensors``; ``.pt``, ``.pth`` or ``.bin`` with a state dict; ``.onnx``; ``.pt2``.
    network : str or None
        A network of medgan's or MONAI's own, by name.
    factory : str or None
        ``package.module:function``: the user's own code, which is run only where it is trusted. It gets ``settings``
        and returns a module.
    settings : mapping
        Arguments of the network or factory.
    input_size : (rows, columns)
    channels : int
        1, or 3 for a network made for color photographs: the gray image is then given three times.
    value_range : (black, white), or one pair a channel
        What the network takes for black and for white.
    labels : sequence of str
        One an output, in their order. One label alone: the output says how much it is present.
    output : str or None
        Of independent labels the one to explain; None where exactly one of the labels is true.
    absent : str or None
        Name of the class without the explained label; ``no LABEL`` if not given.
    score_space : {"logit", "sigmoid", "softmax"}
        What the network returns.
    target_layer : str
        Dotted name of the last layer with a spatial extent; empty for none, and then there is no Grad-CAM.
    temperature : float
        Divides logits, where they were calibrated so.
    crop, population, stamp
        Of :class:`~medgan.inference.classifier_facts.RadiographDomain`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    weights: str
    network: str | None = None
    factory: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    settings: dict[str, Any] = Field(default_factory=dict)
    input_size: tuple[PositiveInt, PositiveInt]
    channels: Literal[1, 3] = 1
    value_range: Range | tuple[Range, ...] = (-1.0, 1.0)
    labels: tuple[str, ...] = Field(min_length=1)
    output: str | None = None
    absent: str | None = None
    score_space: Literal["logit", "sigmoid", "softmax"]
    target_layer: str = ""
    temperature: float = Field(default=1.0, gt=0)
    crop: Literal["center", "pad", "stretch"] = "center"
    population: str = "not stated"
    stamp: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> ClassifierFile:
        if any(part in self.weights for part in "/\\") or self.weights in ("", ".", ".."):
            raise ValueError(f"weights names a file in the folder, without a path: found {self.weights!r}")
        needs_network = self.weights_kind in ("safetensors", "state_dict")
        if needs_network and (self.network is None) == (self.factory is None):
            raise ValueError("give network (by name) or factory (your own code), one of the two")
        if not needs_network and (self.network or self.factory):
            raise ValueError(f"{self.weights} holds its own network: leave out network and factory")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must be distinct: found {list(self.labels)}")
        if self.output is not None and self.output not in self.labels:
            raise ValueError(f"output must be one of the labels ({', '.join(self.labels)}): found {self.output!r}")
        is_single = self.output is not None or len(self.labels) == 1
        if is_single and self.score_space == "softmax":
            raise ValueError("softmax scores belong to all labels together: leave out output, and name all labels")
        if not is_single and self.score_space == "sigmoid":
            raise ValueError("sigmoid scores are independent: say by output which label is to be explained")
        if not is_single and self.absent is not None:
            raise ValueError("absent names the class without one label: it needs output")
        if self.absent is not None and self.absent in self.labels:
            raise ValueError(f"absent must not be one of the labels: found {self.absent!r}")
        ranges = self.ranges
        if len(ranges) not in (1, self.channels) or any(low == high for low, high in ranges):
            raise ValueError(f"value_range needs one pair, or one for each of {self.channels} channels, of two numbers")
        if self.temperature != 1 and self.score_space != "logit":
            raise ValueError("temperature divides logits: probabilities are calibrated where they are made")
        return self

    @property
    def weights_kind(self) -> Literal["safetensors", "state_dict", "onnx", "exported"]:
        """What the weights' suffix says they are."""
        suffix = Path(self.weights).suffix.lower()
        if suffix in (".pt", ".pth", ".bin"):
            return "state_dict"
        if suffix in (".onnx", ".pt2", ".safetensors"):
            return {".onnx": "onnx", ".pt2": "exported", ".safetensors": "safetensors"}[suffix]  # type: ignore[return-value]
        raise ValueError(f"weights end in .safetensors, .pt, .pth, .bin, .onnx or .pt2: found {self.weights!r}")

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Black and white for one channel, or for each."""
        first = self.value_range[0]
        return (self.value_range,) if isinstance(first, int | float) else self.value_range  # type: ignore[return-value]

    @property
    def output_index(self) -> int | None:
        """Which output is explained; None where the outputs are exclusive classes."""
        if self.output is not None:
            return self.labels.index(self.output)
        return 0 if len(self.labels) == 1 else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that are told apart."""
        index = self.output_index
        if index is None:
            return self.labels
        return (self.absent or f"no {self.labels[index]}", self.labels[index])

    @property
    def domain(self) -> RadiographDomain:
        """How a radiograph becomes its input."""
        return RadiographDomain(
            input_size=self.input_size, crop=self.crop, population=self.population, stamp=self.stamp
        )


def read_classifier_file(folder: Path) -> ClassifierFile:
    """Return the checked settings of a classifier's folder.

    Raises
    ------
    SettingsError
        If there is no ``classifier.yaml``, or with every fault at once.
    """
    return checked(read_yaml(folder / CLASSIFIER_FILE), ClassifierFile, name=f"{folder.name}/{CLASSIFIER_FILE}")
