"""A trained classifier of radiographs, ready to be asked: an embedded bundle, or a folder that a user brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from medgan.errors import BundleError, InferenceError
from medgan.inference.bundle import FACTS_FILE, embedded_names, find_bundle
from medgan.inference.classifier_facts import RadiographDomain
from medgan.inference.classifier_file import CLASSIFIER_FILE, Range, read_classifier_file
from medgan.inference.classifier_weights import ExportedNetwork, OnnxNetwork, loaded_network

Images = npt.NDArray[np.float32]
ScoreSpace = Literal["logit", "sigmoid", "softmax"]
CANNOT = (
    "saliency, input x gradient, integrated gradients, DeepLift, deconvolution, guided backprop and all their "
    "discriminative forms (they need gradients)",
    "CAM, Grad-CAM, guided Grad-CAM and their discriminative forms (they need inner activations)",
    "gradient mutation, and the model-randomization check",
    "the classifier term in a translator's training",
)
"""What a model without gradients cannot do."""
CAN = ("scores and calibration", "residual, random and occlusion maps", "score curves, verdicts and cohort statistics")


class MappedNetwork(nn.Module):
    """A network behind the convention of medgan: images (N, 1, H, W) in [-1, 1] in, its own outputs out.

    Parameters
    ----------
    network : Module
    ranges : sequence of (black, white)
        What the network takes for -1 and for 1: one pair, or one for each channel.
    channels : int
    temperature : float
        Divides the outputs, which are then logits.
    """

    black: Tensor
    span: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        ranges: tuple[Range, ...] = ((-1.0, 1.0),),
        channels: int = 1,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.temperature = temperature
        self.is_mapped = tuple(ranges) != ((-1.0, 1.0),)
        pairs = torch.tensor(ranges, dtype=torch.float32).view(1, -1, 1, 1, 2)
        self.register_buffer("black", pairs[..., 0], persistent=False)
        self.register_buffer("span", pairs[..., 1] - pairs[..., 0], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's outputs (N, K)."""
        if self.is_mapped:
            image = (image + 1.0) * 0.5 * self.span + self.black
        if image.shape[1] != self.channels:
            image = image.expand(-1, self.channels, *image.shape[2:])
        result = self.network(image)
        return result / self.temperature if self.temperature != 1.0 else result


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier with what its outputs mean.

    Parameters
    ----------
    name : str
    module : MappedNetwork
        In evaluation mode, its weights without gradients, on its device.
    class_names : tuple of str
        The classes that are told apart.
    score_space : str
        What the module returns: ``logit``, ``sigmoid`` or ``softmax``.
    output : int or None
        The one output that is explained, of independent ones; then the classes are (absent, present).
    target_layer : str
        Dotted name in ``module`` of the last layer with a spatial extent; empty for none.
    domain : RadiographDomain
    weights_sha256 : str
    has_gradients : bool
        False for an ONNX or exported model; see :data:`CANNOT`.
    results : dict
        What its bundle says was measured; empty for a user's own.
    notices : tuple of str
    """

    name: str
    module: MappedNetwork
    class_names: tuple[str, ...]
    score_space: ScoreSpace
    output: int | None
    target_layer: str
    domain: RadiographDomain
    weights_sha256: str
    has_gradients: bool
    results: dict[str, Any]
    notices: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.module.black.device

    def probabilities_of(self, images: Tensor) -> Tensor:
        """Return probabilities (N, classes) of images (N, 1, H, W) in [-1, 1], with gradients where there are any.

        Notes
        -----
        Of independent labels the explained one alone counts: (1 - p, p). Exclusive labels: softmax.
        """
        outputs = self.module(images)
        if self.output is not None:
            score = outputs[:, self.output]
            present = torch.sigmoid(score) if self.score_space == "logit" else score
            return torch.stack((1 - present, present), dim=1)
        return outputs.softmax(dim=1) if self.score_space == "logit" else outputs

    def probabilities(self, images: Images, *, batch: int = 128) -> npt.NDArray[np.float64]:
        """Return probabilities (N, classes) of images (N, H, W) in [-1, 1]."""
        with torch.inference_mode():
            parts = [self.probabilities_of(part).double().cpu() for part in self._parts(images, batch)]
        return np.asarray(torch.cat(parts).numpy())

    def outputs(self, images: Images, *, batch: int = 128) -> npt.NDArray[np.float64]:
        """Return what the module returns, (N, K), in its score space."""
        with torch.inference_mode():
            parts = [self.module(part).double().cpu() for part in self._parts(images, batch)]
        return np.asarray(torch.cat(parts).numpy())

    def features(self, images: Images, *, batch: int = 128) -> npt.NDArray[np.float32]:
        """Return the spatial mean of the target layer's channels, (N, C), for distances between images.

        Raises
        ------
        InferenceError
            If there is no target layer, or no inner activation can be seen.
        """
        if not self.has_gradients or not self.target_layer:
            raise InferenceError(f"{self.name} shows no inner activations: features need a network and a target layer.")
        seen: list[Tensor] = []
        layer = self.module.get_submodule(self.target_layer)
        handle = layer.register_forward_hook(lambda module, given, result: seen.append(result.flatten(2).mean(2)))
        try:
            with torch.inference_mode():
                for part in self._parts(images, batch):
                    self.module(part)
        finally:
            handle.remove()
        return np.asarray(torch.cat(seen).float().cpu().numpy())

    def _parts(self, images: Images, batch: int) -> list[Tensor]:
        whole = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
        return [part.to(self.device) for part in whole.split(batch)]


def open_classifier(
    name_or_folder: str | Path, *, trust_code: bool = False, device: torch.device | str = "cpu"
) -> Classifier:
    """Return an embedded classifier by name, that of a bundle's folder, or one that a user brings in a folder.

    Parameters
    ----------
    name_or_folder : str or Path
    trust_code : bool
        Run the user's own factory, or load an exported program.
    device : torch.device or str

    Raises
    ------
    BundleError, SettingsError, InferenceError
        If there is no such classifier, its files are damaged or do not fit, or a trial image gives no scores.
    """
    folder = Path(name_or_folder)
    is_bundle = str(name_or_folder) in embedded_names() or (folder / FACTS_FILE).is_file()
    if is_bundle:
        return _of_bundle(str(name_or_folder), device)
    if not (folder / CLASSIFIER_FILE).is_file():
        known = ", ".join(embedded_names(task="classification")) or "none"
        raise BundleError(
            f"A classifier is an embedded name ({known}), the folder of a bundle, or a folder with {CLASSIFIER_FILE}: "
            f"found {folder.name!r}."
        )
    return _of_folder(folder, trust_code, device)


def _of_bundle(name_or_folder: str, device: torch.device | str) -> Classifier:
    bundle = find_bundle(name_or_folder, task="classification")
    facts = bundle.facts
    module = MappedNetwork(bundle.network(), temperature=facts.temperature).eval().requires_grad_(False).to(device)
    return Classifier(
        name=facts.name,
        module=module,
        class_names=facts.labels,
        score_space="logit",
        output=None,
        target_layer=f"network.{facts.target_layer}",
        domain=facts.domain,
        weights_sha256=facts.weights_sha256,
        has_gradients=True,
        results=facts.results,
    )


def _of_folder(folder: Path, trust_code: bool, device: torch.device | str) -> Classifier:
    settings = read_classifier_file(folder)
    network, digest, notices = loaded_network(folder, settings, trust_code=trust_code)
    has_gradients = not isinstance(network, OnnxNetwork | ExportedNetwork)
    if settings.target_layer and settings.target_layer not in dict(network.named_modules()):
        known = [name for name, _ in network.named_modules() if name]
        raise InferenceError(
            f"target_layer {settings.target_layer!r} is not in the network of {settings.name}. Its last layers are: "
            f"{', '.join(known[-6:]) or 'not to be seen'}."
        )
    module = MappedNetwork(
        network, ranges=settings.ranges, channels=settings.channels, temperature=settings.temperature
    )
    module.eval().requires_grad_(False)
    classifier = Classifier(
        name=settings.name,
        module=module.to(device),
        class_names=settings.class_names,
        score_space=settings.score_space,
        output=settings.output_index,
        target_layer=f"network.{settings.target_layer}" if settings.target_layer else "",
        domain=settings.domain,
        weights_sha256=digest,
        has_gradients=has_gradients,
        results={},
        notices=tuple(notices),
    )
    _require_scores(classifier, outputs=len(settings.labels))
    return classifier


def _require_scores(classifier: Classifier, *, outputs: int) -> None:
    """Ask a trial image: shape and finiteness of the outputs, and that probabilities are some."""
    rows, columns = classifier.domain.input_size
    trial = np.linspace(-1, 1, rows * columns, dtype=np.float32).reshape(1, rows, columns)
    try:
        result: Any = classifier.module(torch.from_numpy(trial)[:, None].to(classifier.device))
    except Exception as error:
        # A network made for other shapes may raise anything.
        raise InferenceError(
            f"{classifier.name} fails on an image of {columns} x {rows} pixels with {type(error).__name__}: "
            "check input_size and channels."
        ) from None
    if not isinstance(result, Tensor) or tuple(result.shape) != (1, outputs) or not bool(torch.isfinite(result).all()):
        found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise InferenceError(
            f"{classifier.name} must return finite scores of shape (1, {outputs}), one a label: found {found}. "
            "Check labels; a network that returns several things needs a factory that returns its scores only."
        )
    low, high = float(result.min()), float(result.max())
    is_sum = abs(float(result.sum()) - 1) < 1e-3
    if classifier.score_space != "logit" and not (0 <= low <= high <= 1):
        raise InferenceError(
            f"{classifier.name} says its scores are {classifier.score_space} probabilities: found {low:.3g} to "
            f"{high:.3g}. If they are logits, say score_space: logit."
        )
    if classifier.score_space == "softmax" and not is_sum:
        raise InferenceError(
            f"{classifier.name} says its scores are softmax probabilities: they sum to {float(result.sum()):.3g}. "
            "If the labels are independent, say score_space: sigmoid and name the output."
        )
