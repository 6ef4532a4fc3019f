"""The weights of a classifier in a folder: read as tensors only, or as a whole model without gradients."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medgan.errors import InferenceError
from medgan.inference.classifier_file import ClassifierFile
from medgan.inference.classifier_networks import network_of

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network")
_PREFIXES = ("module.", "_orig_mod.")


class OnnxNetwork(nn.Module):
    """An ONNX model as a module: it computes, and gives no gradients.

    Parameters
    ----------
    data : bytes
        Of the file.
    name : str
        For messages.

    Raises
    ------
    InferenceError
        If onnxruntime is absent, or the model is damaged or has more than one input or output.
    """

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise InferenceError(f"{name} needs the package onnxruntime: pip install onnxruntime.") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception:
            # onnxruntime raises classes of its own for each kind of damage.
            raise InferenceError(f"{name} is no ONNX model that onnxruntime can load.") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise InferenceError(
                f"An ONNX classifier has one input and one output: {name} has {len(inputs)} and {len(outputs)}."
            )
        self._input = inputs[0].name
        batch = inputs[0].shape[0]
        self._batch = batch if isinstance(batch, int) and batch > 0 else None

    def forward(self, image: Tensor) -> Tensor:
        """Return the model's outputs (N, K), detached."""
        array = image.detach().cpu().numpy().astype("float32")
        if self._batch is None:
            results = [self._session.run(None, {self._input: array})[0]]
        else:
            # A fixed batch size: the last batch is filled with its own last image.
            results = []
            for start in range(0, len(array), self._batch):
                part = array[start : start + self._batch]
                filled = part.repeat([1] * (len(part) - 1) + [1 + self._batch - len(part)], axis=0)
                results.append(self._session.run(None, {self._input: filled})[0][: len(part)])
        return torch.cat([torch.from_numpy(result) for result in results]).to(image.device)


class ExportedNetwork(nn.Module):
    """A program saved by ``torch.export``, run without gradients."""

    def __init__(self, program: Any) -> None:
        super().__init__()
        self._call = [program.module()]

    def forward(self, image: Tensor) -> Tensor:
        """Return the program's outputs, detached."""
        with torch.no_grad():
            return self._call[0](image)


def loaded_network(folder: Path, settings: ClassifierFile, *, trust_code: bool) -> tuple[nn.Module, str, list[str]]:
    """Return the network with its weights, the SHA-256 of their file, and notices.

    Raises
    ------
    InferenceError
        If the file is absent or damaged, holds more than tensors, or does not fit the network.
    """
    path = folder / settings.weights
    if not path.is_file():
        raise InferenceError(f"{settings.name} needs its weights: there is no {settings.weights} in {folder.name}.")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    kind = settings.weights_kind
    if kind == "onnx":
        return OnnxNetwork(data, settings.weights), digest, []
    if kind == "exported":
        return _exported(path, settings, trust_code), digest, []
    weights = _safe_tensors(data, settings) if kind == "safetensors" else _state_dict(path, settings)
    network = network_of(settings, trust_code=trust_code)
    notices: list[str] = []
    for prefix in _PREFIXES:
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
            notices.append(f"The weights' names began with {prefix!r}, which was removed.")
    _fill(network, weights, settings)
    return network, digest, notices


def _safe_tensors(data: bytes, settings: ClassifierFile) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(data))
    except SafetensorError as error:
        raise InferenceError(f"{settings.weights} is no safetensors file: {error}.") from None


def _state_dict(path: Path, settings: ClassifierFile) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InferenceError(
            f"{settings.weights} holds more than tensors (a whole model, or code) and was not loaded. Save the state "
            "dict instead: torch.save(model.state_dict(), ...), or safetensors."
        ) from None
    except Exception as error:
        raise InferenceError(f"{settings.weights} cannot be read as a state dict: {type(error).__name__}.") from None
    for name in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise InferenceError(f"{settings.weights} must hold a state dict, names with tensors: found something else.")
    return dict(found)


def _exported(path: Path, settings: ClassifierFile, trust_code: bool) -> nn.Module:
    if not trust_code:
        raise InferenceError(
            f"{settings.weights} is an exported program, which may hold pickled objects: it is loaded only with "
            "--trust-code. An ONNX file needs no trust."
        )
    try:
        return ExportedNetwork(torch.export.load(str(path)))
    except Exception as error:
        raise InferenceError(f"{settings.weights} is no exported program: {type(error).__name__}.") from None


def _fill(network: nn.Module, weights: dict[str, Tensor], settings: ClassifierFile) -> None:
    wanted = network.state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in weights]
    faults += [f"{name} is unknown" for name in weights if name not in wanted]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise InferenceError(
            f"The weights of {settings.name} do not fit its network: {'; '.join(faults[:4])}{more}. "
            "Check network and settings in classifier.yaml."
        )
    if any(not torch.isfinite(t).all() for t in weights.values() if t.is_floating_point()):
        raise InferenceError(f"The weights of {settings.name} must be finite: found NaN or infinity.")
    network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in weights.items()})
