"""Run a translation model over an image of any size, back onto the image's own grid."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.geometry import Grid
from medgan.inference.bundle import ModelBundle
from medgan.inference.domain_check import DomainCheck, fingerprint_of
from medgan.inference.patchwise import PatchwiseResult, run_patchwise
from medgan.inference.pieces import Progress
from medgan.inference.whole_volume import run_whole
from medgan.networks.form import lay_out_for, preferred_form
from medgan.training.page_reuse import reuse_pages
from medgan.volume import LabelMap, Quantity, Volume, VolumeSource
from medgan.volume.resample import resample


@dataclass(frozen=True, eq=False)
class Translation:
    """A translated image and what is to be known about it.

    Attributes
    ----------
    volume : Volume
        On the source's grid unless another was asked for, in the target's quantity.
    prepared : Case
        The source as the network saw it, on the working grid.
    normalized : (I, J, K) float32
        What the network gave, in [-1, 1], on the working grid.
    domain_check : DomainCheck
    notices : tuple of str
        Sentences for people.
    seconds : dict of str to float
        Time of each part.
    patches, patches_skipped : int
        In all, and those that hold only outside air and were not computed.
    """

    volume: Volume
    prepared: Case
    normalized: npt.NDArray[np.float32]
    domain_check: DomainCheck
    notices: tuple[str, ...]
    seconds: dict[str, float]
    patches: int
    patches_skipped: int


class Translator:
    """A model ready to translate: recipe, network, patches, intensity inverse, resampling onto the source grid.

    Parameters
    ----------
    bundle : ModelBundle
        Of the task ``translation``.
    device : str
        Such as ``"cpu"`` or ``"cuda"``.
    precision : {"float32", "bfloat16"}
        Of convolutions; weights and results are float32.
    whole : bool
        Run the network once over the body's box instead of patch by patch: norms then see the whole volume. Refused
        with an InferenceError where memory does not suffice.

    Raises
    ------
    BundleError
        If the bundle's network cannot be built.

    Notes
    -----
    On the CPU the same input gives the same bits at one number of threads. Weights are rounded to bfloat16 once, when
    the network is placed, instead of for every patch; the rounding is the same.
    """

    def __init__(
        self, bundle: ModelBundle, *, device: str = "cpu", precision: str = "float32", whole: bool = False
    ) -> None:
        self.bundle = bundle
        self._whole = whole
        self._device = torch.device(device)
        self._precision = precision
        if self._device.type == "cpu":
            reuse_pages()
        self._network = self._placed(bundle.network())

    def _placed(self, network: Any) -> torch.nn.Module:
        dtype = torch.bfloat16 if self._precision == "bfloat16" else torch.float32
        placed: torch.nn.Module = network.to(self._device, dtype)
        # After the conversion, which does not keep the memory layout of weights in every case.
        network.set_form(preferred_form(self._device, self._precision))
        lay_out_for(network, self._device, self._precision)
        return placed

    def translate(self, source: VolumeSource) -> Volume:
        """Return the translation of an image, on its own grid."""
        return self.translation_of(source).volume

    def translation_of(
        self,
        source: VolumeSource,
        *,
        case_id: str = "image",
        grid: Grid | None = None,
        progress: Progress | None = None,
    ) -> Translation:
        """Translate an image and say everything about it.

        Parameters
        ----------
        source : VolumeSource
            Of the quantity that the model takes.
        case_id : str
            Pseudonym for messages.
        grid : Grid, optional
            Where the result is wanted; the source's own grid if not given.
        progress : callable, optional
            Called after every patch.

        Raises
        ------
        InferenceError
            If the image measures something else, or memory does not suffice for a run in one piece.
        """
        facts = self.bundle.facts
        if source.quantity.label != facts.source.quantity:
            raise InferenceError(
                f"Model {facts.name} takes {facts.source.quantity} ({facts.source.modality}): "
                f"case {case_id} is {source.quantity.label}."
            )
        marks = [time.perf_counter()]
        acquired = source.read(source.grid.box)
        prepared = self.bundle.recipe(Case(case_id, case_id, {facts.source.domain: acquired}))
        check = facts.trained_domain.check(fingerprint_of(source=acquired, prepared=prepared))
        marks.append(time.perf_counter())
        result = self._run(self._network, prepared, progress)
        marks.append(time.perf_counter())
        provenance = prepared.image.provenance.synthesized("translate", model=facts.name, weights=facts.weights_sha256)
        values = self.bundle.target_map.inverse(result.normalized)
        working = Volume(values, prepared.image.grid, Quantity.named(facts.target.quantity), provenance)
        volume = resample(working, grid or source.grid)
        marks.append(time.perf_counter())
        seconds = dict(zip(("prepare", "network", "restore"), (round(b - a, 3) for a, b in pairwise(marks))))
        return Translation(
            volume, prepared, result.normalized, check, prepared.notices, seconds, result.patches, result.skipped
        )

    def normalized(
        self, prepared: Case, *, flipped: tuple[int, ...] = (), progress: Progress | None = None
    ) -> npt.NDArray[np.float32]:
        """Return what the network makes of a prepared image, in [-1, 1], outside the body -1.

        Parameters
        ----------
        prepared : Case
            By the bundle's recipe.
        flipped : tuple of int
            Array axes along which the network sees the image reversed; the result is turned back.
        progress : callable, optional
        """
        result = self._run(self._network, reversed_along(prepared, flipped), progress).normalized
        return np.ascontiguousarray(np.flip(result, flipped)) if flipped else result

    def returned(self, translated: Case, *, progress: Progress | None = None) -> npt.NDArray[np.float32] | None:
        """Return the way back of a normalized translation to the source domain, None where the bundle has no way back.

        The network is built when it is asked for.
        """
        network = self.bundle.return_network()
        return None if network is None else self._run(self._placed(network), translated, progress).normalized

    def _run(self, network: torch.nn.Module, prepared: Case, progress: Progress | None) -> PatchwiseResult:
        patch = self.bundle.facts.patch
        if self._whole:
            return run_whole(
                network,
                prepared,
                patch=patch.shape,
                device=self._device,
                precision=self._precision,
                progress=progress,
            )
        return run_patchwise(
            network,
            prepared,
            patch=patch.shape,
            overlap=patch.overlap,
            device=self._device,
            precision=self._precision,
            progress=progress,
        )


def reversed_along(prepared: Case, axes: tuple[int, ...]) -> Case:
    """Return a prepared case whose arrays are reversed; the grid stays, because only the network's view is meant."""
    if not axes:
        return prepared
    ((name, image),) = prepared.images.items()
    body = prepared.label("body")
    array = np.ascontiguousarray(np.flip(image.array, axes))
    turned = Case(prepared.case_id, prepared.subject_id, {name: Volume(array, image.grid, image.quantity)})
    return turned.with_label("body", LabelMap(np.ascontiguousarray(np.flip(body.array, axes)), body.grid))
