"""From a radiograph to what a model takes: is it of the model's domain, and which part of it is seen?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import InferenceError
from medgan.inference.classifier_facts import RadiographDomain
from medgan.volume import Quantity, Radiograph
from medgan.volume.radiograph_placement import RadiographPlacement


@dataclass(frozen=True, eq=False)
class PreparedRadiograph:
    """A radiograph as a model sees it.

    Parameters
    ----------
    image : (h, w) float32
        In [-1, 1].
    placement : RadiographPlacement
        Brings maps back onto the original pixels.
    is_accepted_domain : bool
        False where the radiograph is not of the model's domain and the user accepted that.
    notices : tuple of str
    """

    image: npt.NDArray[np.float32]
    placement: RadiographPlacement
    is_accepted_domain: bool
    notices: tuple[str, ...]


def prepared_radiograph(
    radiograph: Radiograph, domain: RadiographDomain, *, name: str, model: str, accept_domain: bool = False
) -> PreparedRadiograph:
    """Return the input that a model gets of a radiograph.

    Parameters
    ----------
    radiograph : Radiograph
        NORMALIZED to [-1, 1], as :func:`medgan.formats.radiograph.read_radiograph` gives it.
    domain : RadiographDomain
        Of the model.
    name, model : str
        Of radiograph and model, for messages.
    accept_domain : bool
        Go on with a radiograph that is not of the model's domain, with a notice.

    Raises
    ------
    InferenceError
        If it is not of the model's domain and that was not accepted, or its values are not in [-1, 1].
    """
    array = radiograph.array
    if radiograph.quantity is not Quantity.NORMALIZED or array.min() < -1 or array.max() > 1:
        raise InferenceError(
            f"{model} needs values in [-1, 1]: {name} has {radiograph.quantity.label} from {array.min():g} to "
            f"{array.max():g}."
        )
    notices: list[str] = []
    size = domain.input_size
    is_native = array.shape == size
    if domain.native_only and not is_native:
        found = f"{array.shape[1]} x {array.shape[0]} px"
        sentence = (
            f"{name} is outside the domain of {model}, which knows {size[1]} x {size[0]} px radiographs "
            f"({domain.population}) and nothing else: found {found}"
        )
        if not accept_domain:
            raise InferenceError(f"{sentence}. Name models made for such radiographs, or pass --accept-domain.")
        notices.append(f"{sentence}. It was reduced; what the models say of it means nothing by itself.")
    placement = RadiographPlacement.of(array.shape, size, crop=domain.crop)
    rows, columns = array.shape
    if domain.crop == "center" and rows * size[1] != columns * size[0]:
        notices.append(f"{_lost(placement):.1%} of the radiograph is cut off to give it the model's proportions.")
    image = np.clip(placement.prepared(array), -1, 1)
    return PreparedRadiograph(image, placement, is_native or not domain.native_only, tuple(notices))


def _lost(placement: RadiographPlacement) -> float:
    seen = 1.0
    for axis in (0, 1):
        low, high = max(placement.start[axis], 0), min(placement.stop[axis], placement.original[axis])
        seen *= (high - low) / placement.original[axis]
    return 1 - seen
