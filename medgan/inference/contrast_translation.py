"""Translate one contrast of electron microscopy into another, in volumes of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medgan.errors import InferenceError
from medgan.geometry import Box
from medgan.inference.bundle import ModelBundle
from medgan.inference.contrast_facts import ContrastFacts
from medgan.inference.tilewise import Progress, run_tilewise
from medgan.networks.form import preferred_form
from medgan.patches.em_matching import Tables, gray_counts, matching_tables
from medgan.patches.em_sampler import denormalized
from medgan.patches.valid_reading import require_field_of_view
from medgan.volume import Provenance, Quantity, Volume, VolumeSource


class ContrastTranslator:
    """A model ready to translate stacks, block by block.

    Parameters
    ----------
    bundle : ModelBundle
        Of the task ``em_contrast``.
    device : str
    precision : {"float32", "bfloat16"}
        Of convolutions; weights are float32.

    Notes
    -----
    A generator that takes noise is given none here (zeros, the mean): a result can be made again.
    """

    def __init__(self, bundle: ModelBundle[ContrastFacts], *, device: str = "cpu", precision: str = "float32") -> None:
        self.bundle, self.facts = bundle, bundle.facts
        self._device, self._precision = torch.device(device), precision
        network: Any = bundle.network()
        network.set_form(preferred_form(self._device, precision))
        self._network = network.to(self._device)

    def require_translatable(self, source: VolumeSource, label: str) -> None:
        """Refuse a stack that the model cannot translate, before anything is computed.

        Raises
        ------
        InferenceError
            If it measures something else or has other voxels.
        PatchError
            If it is smaller than the field of view.
        """
        if source.quantity is not Quantity.EM_SIGNAL:
            raise InferenceError(f"Model {self.facts.name} takes EM stacks: {label} is {source.quantity.label}.")
        self.facts.require_voxel_size(source.grid, label)
        require_field_of_view(source.grid.shape, self.facts.halo, label)

    def tables(self, source: VolumeSource, *, progress: Progress | None = None) -> Tables | None:
        """Return the gray tables of a stack's sections, from one pass over it; None where the model needs none.

        Raises
        ------
        PatchError
            If the source is all zero, or not uint8 where gray values are matched.
        """
        if self.facts.matching == "none" or self.facts.reference_counts is None:
            return None
        counts = gray_counts(source, progress=progress)
        return matching_tables(counts, np.array(self.facts.reference_counts), by=self.facts.matching)

    def block(
        self, source: VolumeSource, box: Box, *, tables: Tables | None = None, progress: Progress | None = None
    ) -> npt.NDArray[Any]:
        """Return the translation of a box, (I, J, K) of the source's type; the bits do not depend on the box.

        Parameters
        ----------
        source : VolumeSource
        box : Box
        tables : (K, 256) uint8, optional
            From :meth:`tables`, of the whole source.
        progress : callable, optional
        """
        values = run_tilewise(
            self._network,
            source,
            box,
            tile=self.facts.tile,
            halo=self.facts.halo,
            input_range=self.facts.input_range,
            tables=tables,
            device=self._device,
            precision=self._precision,
            progress=progress,
        )[0]
        # Of a voxel of the box: another chunk may be damaged, which is nothing to this one.
        one = Box(box.start_ijk, tuple(s + 1 for s in box.start_ijk))  # type: ignore[arg-type]
        dtype = source.read(one).array.dtype
        return denormalized(values, self.facts.input_range, dtype)

    def provenance_of(self, source: VolumeSource) -> Provenance:
        """Return the provenance of a translation, which is synthetic."""
        return source.provenance.synthesized(
            "translate", model=self.facts.name, weights=self.facts.weights_sha256, matching=self.facts.matching
        )

    def translate(self, source: VolumeSource, *, label: str = "image", progress: Progress | None = None) -> Volume:
        """Return the translation of a whole stack that fits in memory."""
        self.require_translatable(source, label)
        array = self.block(source, source.grid.box, tables=self.tables(source), progress=progress)
        return Volume(array, source.grid, source.quantity, self.provenance_of(source))
