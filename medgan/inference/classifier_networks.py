"""Networks for classifiers in folders: medgan's and MONAI's own by name, or the user's own code where it is trusted."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from medgan.errors import InferenceError
from medgan.inference.classifier_file import ClassifierFile
from medgan.networks.classifier import CLASSIFIERS
from medgan.settings import meant

MONAI_NETWORKS = (
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "EfficientNetBN",
    "SEResNet50",
    "resnet18",
    "resnet34",
    "resnet50",
)
"""Names in ``monai.networks.nets``, spelled as there; with their own arguments."""
_FORBIDDEN = ("pretrained", "progress")


def network_of(settings: ClassifierFile, *, trust_code: bool) -> nn.Module:
    """Return the network of a classifier's folder, without its weights.

    Raises
    ------
    InferenceError
        If the name is unknown, the settings do not fit, MONAI is absent, or the user's code is not trusted, not found,
        fails or returns no module.
    """
    if settings.factory is not None:
        if not trust_code:
            raise InferenceError(
                f"The network of {settings.name} is made by {settings.factory}, which is code: it is run only with "
                "--trust-code. Read it first."
            )
        return _called(settings.factory, settings)
    return _built(_maker(str(settings.network)), settings)


def _maker(name: str) -> Callable[..., nn.Module]:
    if name in CLASSIFIERS:
        return CLASSIFIERS[name]
    if name not in MONAI_NETWORKS:
        raise InferenceError(f"There is no network {name!r}. {meant(name, [*CLASSIFIERS, *MONAI_NETWORKS])}")
    try:
        from monai.networks import nets
    except ImportError:
        raise InferenceError(f"The network {name} needs the package monai: pip install monai.") from None
    return getattr(nets, name)


def _built(make: Callable[..., nn.Module], settings: ClassifierFile) -> nn.Module:
    asked = sorted(set(settings.settings) & set(_FORBIDDEN))
    if asked:
        raise InferenceError(
            f"{settings.name} sets {', '.join(asked)}: nothing is downloaded. The weights are those of the folder."
        )
    arguments: Mapping[str, Any] = settings.settings
    try:
        return make(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InferenceError(f"The network {settings.network} of {settings.name} cannot be built: {error}.") from None


def _called(factory: str, settings: ClassifierFile) -> nn.Module:
    module_name, _, function = factory.partition(":")
    try:
        make = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise InferenceError(
            f"The factory {factory} of {settings.name} cannot be imported ({type(error).__name__}). "
            "Its package must be installed, or its folder be named in PYTHONPATH."
        ) from None
    try:
        network = make(**settings.settings)
    except Exception as error:
        # The user's own code may raise anything; its text may hold paths.
        raise InferenceError(f"The factory {factory} of {settings.name} failed with {type(error).__name__}.") from None
    if not isinstance(network, nn.Module):
        raise InferenceError(
            f"The factory {factory} of {settings.name} must return a torch.nn.Module: found {type(network).__name__}."
        )
    return network
