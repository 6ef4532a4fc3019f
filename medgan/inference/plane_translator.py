"""Run a counterfactual translator on radiographs of a model's input size, toward either of its two classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medgan.errors import InferenceError
from medgan.inference.bundle import find_bundle
from medgan.inference.classifier import Classifier
from medgan.inference.classifier_facts import AskedClassifier, RadiographDomain
from medgan.networks.counterfactual_pair import CounterfactualPair

Images = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PlaneTranslator:
    """Both directions of a counterfactual translation.

    Parameters
    ----------
    name : str
    pair : CounterfactualPair
        In evaluation mode, its weights without gradients.
    classes : (str, str)
        Names of class 0 and class 1.
    domain : RadiographDomain
    weights_sha256 : str
    asked : AskedClassifier or None
        The classifier that took part in the training.
    """

    name: str
    pair: CounterfactualPair
    classes: tuple[str, str]
    domain: RadiographDomain
    weights_sha256: str
    asked: AskedClassifier | None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.pair.parameters()).device

    def class_index(self, name: str) -> int:
        """Return the number of a class by its name.

        Raises
        ------
        InferenceError
            If it is neither of the two.
        """
        if name not in self.classes:
            raise InferenceError(f"{self.name} translates between {' and '.join(self.classes)}: found {name!r}.")
        return self.classes.index(name)

    def translated_tensor(self, images: Tensor, *, toward: str) -> Tensor:
        """Return images (N, 1, H, W) in [-1, 1] made into images of a class, with gradients."""
        return self.pair.toward(self.class_index(toward))(images)

    def translated(self, images: Images, *, toward: str, batch: int = 64) -> Images:
        """Return radiographs made into radiographs of a class; synthetic.

        Parameters
        ----------
        images : (N, H, W) float32
            In [-1, 1], of the model's input size. Those that are of the wanted class already are the sham: what the
            translator changes where nothing is to be changed.
        toward : str
            Name of the class.
        batch : int
            Images at a time; instance normalization works on each alone, so the results do not depend on it beyond
            rounding.

        Raises
        ------
        InferenceError
            If the class or the size is not one of this translator.
        """
        if images.ndim != 3 or images.shape[1:] != self.domain.input_size:
            rows, columns = self.domain.input_size
            raise InferenceError(f"{self.name} takes images (N, {rows}, {columns}): found {images.shape}.")
        whole = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
        with torch.inference_mode():
            parts = [
                self.translated_tensor(part.to(self.device), toward=toward).float().cpu() for part in whole.split(batch)
            ]
        return np.asarray(torch.cat(parts)[:, 0].numpy())

    def require_fits(self, classifier: Classifier) -> None:
        """Raise unless the classifier tells the same two classes apart, on images of the same size.

        Raises
        ------
        InferenceError
            Naming what differs.
        """
        missing = [name for name in self.classes if name not in classifier.class_names]
        if missing:
            raise InferenceError(
                f"Classifier and translator must speak of the same classes: {self.name} translates between "
                f"{' and '.join(self.classes)}, {classifier.name} knows {', '.join(classifier.class_names)}."
            )
        if classifier.domain.input_size != self.domain.input_size:
            raise InferenceError(
                f"Classifier and translator need one input size: {self.name} has {self.domain.input_size}, "
                f"{classifier.name} {classifier.domain.input_size}."
            )


def open_plane_translator(name_or_folder: str, *, device: torch.device | str = "cpu") -> PlaneTranslator:
    """Return a counterfactual translator by the name of an embedded bundle, or of a folder.

    Raises
    ------
    BundleError
        If there is none, it is damaged, or it is for another task.
    """
    bundle = find_bundle(name_or_folder, task="counterfactual")
    network = bundle.network()
    if not isinstance(network, CounterfactualPair):
        raise InferenceError(f"A counterfactual bundle holds a counterfactual_pair: {bundle.facts.name} does not.")
    return PlaneTranslator(
        name=bundle.facts.name,
        pair=network.to(device),
        classes=bundle.facts.classes,
        domain=bundle.facts.domain,
        weights_sha256=bundle.facts.weights_sha256,
        asked=bundle.facts.classifier,
    )
