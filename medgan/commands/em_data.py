"""From a configuration to stacks: phantoms, the FIB-25 sample, or stores of one's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.em_data_settings import (
    ContrastSettings,
    EmDataSettings,
    Fib25Data,
    NeuriteData,
    SectionTemData,
    StackSettings,
    StoreData,
)
from medgan.errors import SettingsError
from medgan.geometry import Box
from medgan.volume import LabelMap, LabelSource, PartOfLabels, PartOfSource, Quantity, Volume, VolumeSource

if TYPE_CHECKING:
    from medgan.patches.em_matching import Matching
    from medgan.patches.em_sampler import EmVolume
    from medgan.phantoms.em_contrast import EmContrast


@dataclass(frozen=True, eq=False)
class KnownStack:
    """A stack whose instances are known, for choices and measures; training never sees those of the unlabeled side.

    Parameters
    ----------
    case_id : str
    image : VolumeSource
    instances : LabelSource
    clean : VolumeSource or None
        The same specimen in the labeled contrast, where that is known: what a perfect translation would give.
    sections : tuple of int or None
        The sections whose instances are known, each by itself; None where they are known in the whole stack.
    """

    case_id: str
    image: VolumeSource
    instances: LabelSource
    clean: VolumeSource | None = None
    sections: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class EmStudy:
    """All stacks of one training.

    Parameters
    ----------
    labeled, unlabeled : tuple of EmVolume
        What is trained on; the unlabeled ones carry no labels.
    validation : KnownStack or None
        Of the labeled domain.
    test : KnownStack or None
        Of the unlabeled domain, with the truth.
    digest : str
        Of what the stacks are made of.
    """

    labeled: tuple[EmVolume, ...]
    unlabeled: tuple[EmVolume, ...]
    validation: KnownStack | None
    test: KnownStack | None
    digest: str

    @property
    def voxel_size_zyx_nm(self) -> tuple[float, float, float]:
        """Of the first labeled stack."""
        x, y, z = self.labeled[0].image.grid.spacing
        return z, y, x


def em_study(data: EmDataSettings, *, config: Path, data_root: Path | None) -> EmStudy:
    """Return the stacks of a configuration.

    Parameters
    ----------
    data : settings
    config : Path
        The configuration's file; without a data root, stores are relative to its folder.
    data_root : Path or None

    Raises
    ------
    MedganError
        If a stack is refused, or stacks have different voxels.
    """
    if isinstance(data, NeuriteData):
        study = _neurites(data)
    elif isinstance(data, Fib25Data | SectionTemData):
        if data_root is None:
            raise SettingsError(
                f"{config.name}: FIB-25 is read from --data-root: name the folder that has {data.folder}."
            )
        study = _fib25(data, data_root) if isinstance(data, Fib25Data) else _section_tem(data, data_root)
    else:
        study = _stores(data, data_root or config.parent)
    _require_one_voxel_size(study)
    return study


def gray_tables_for(study: EmStudy, by: Matching) -> tuple[tuple[EmVolume, ...], list[int] | None]:
    """Return the unlabeled stacks with their gray tables, and the labeled domain's counts; None without matching."""
    from medgan.patches.em_matching import gray_counts, matching_tables
    from medgan.patches.em_sampler import EmVolume

    if by == "none":
        return study.unlabeled, None
    reference = np.sum([gray_counts(volume.image).sum(axis=0) for volume in study.labeled], axis=0)
    prepared = tuple(
        EmVolume(v.case_id, v.image, v.labels, matching_tables(gray_counts(v.image), reference, by=by))
        for v in study.unlabeled
    )
    return prepared, [int(n) for n in reference]


def contrast_of(settings: ContrastSettings) -> EmContrast:
    """Return the contrast that a configuration declares."""
    from medgan.phantoms.em_contrast import EmContrast

    return EmContrast(**settings.model_dump())


def _neurites(data: NeuriteData) -> EmStudy:
    from medgan.patches.em_sampler import EmVolume
    from medgan.phantoms.neurites import NeuritePhantom, neurite_phantom
    from medgan.seeding import numpy_generator

    def drawn(role: str, number: int) -> NeuritePhantom:
        return neurite_phantom(
            generator=numpy_generator(data.seed, "neurites", role, number),
            shape=data.shape_zyx[::-1],
            spacing_nm=data.voxel_size_zyx_nm[::-1],
            caliber_nm=data.caliber_nm,
            membrane_nm=data.membrane_nm,
            labeled_contrast=contrast_of(data.labeled_contrast),
            unlabeled_contrast=contrast_of(data.unlabeled_contrast),
        )

    labeled = []
    for number in range(data.labeled_blocks):
        phantom = drawn("labeled", number)
        labeled.append(EmVolume(f"labeled_{number}", phantom.labeled, phantom.instances))
    unlabeled = [
        EmVolume(f"unlabeled_{number}", drawn("unlabeled", number).unlabeled) for number in range(data.unlabeled_blocks)
    ]
    validation, test = drawn("validation", 0), drawn("test", 0)
    return EmStudy(
        tuple(labeled),
        tuple(unlabeled),
        KnownStack("validation", validation.labeled, validation.instances),
        KnownStack("test", test.unlabeled, test.instances, test.labeled),
        _digest(data.model_dump(mode="json")),
    )


def _fib25(data: Fib25Data, data_root: Path) -> EmStudy:
    from medgan.patches.em_sampler import EmVolume
    from medgan.phantoms.em_contrast import re_imaged
    from medgan.seeding import numpy_generator

    whole, instances = _fib25_sample(data_root / data.folder)
    clean = _sections(whole, instances, data.unlabeled)
    worse = re_imaged(clean[0], contrast_of(data.degradation), numpy_generator(data.seed, "degradation"))
    return EmStudy(
        (EmVolume("labeled", *_sections(whole, instances, data.labeled)),),
        (EmVolume("unlabeled", worse),),
        KnownStack("validation", *_sections(whole, instances, data.validation)),
        KnownStack("test", worse, clean[1], clean[0]),
        _digest([data.model_dump(mode="json"), *whole.provenance.sources]),
    )


def _section_tem(data: SectionTemData, data_root: Path) -> EmStudy:
    from medgan.commands.em_section_tem import read_section_tem
    from medgan.patches.em_sampler import EmVolume

    whole, instances = _fib25_sample(data_root / data.folder)
    stack = read_section_tem(
        data_root / data.unlabeled_folder,
        pixel_nm=data.pixel_nm,
        section_nm=data.section_nm,
        spacing_nm=whole.grid.spacing,
    )
    part = stack.middle(data.extent_px)
    return EmStudy(
        (EmVolume("labeled", *_sections(whole, instances, data.labeled)),),
        (EmVolume("unlabeled", stack.image),),
        KnownStack("validation", *_sections(whole, instances, data.validation)),
        KnownStack("test", part.image, part.instances, sections=part.sections),
        _digest([data.model_dump(mode="json"), *whole.provenance.sources, *stack.image.provenance.sources]),
    )


def _fib25_sample(folder: Path) -> tuple[Volume, LabelMap]:
    from medgan.formats.chunked import open_chunked

    source = open_chunked(folder / "grayscale_maps", voxel_size_zyx_nm=(10.0, 10.0, 10.0))
    whole = source.read(source.grid.box)
    bodies = fib25_bodies(folder / "groundtruth.h5")
    if bodies.shape != whole.shape:
        raise SettingsError(f"{folder.name}: sections and labels must be of one size: {whole.shape}, {bodies.shape}.")
    return whole, LabelMap(bodies, whole.grid)


def _sections(image: Volume, instances: LabelMap, sections: tuple[int, int]) -> tuple[Volume, LabelMap]:
    box = Box((0, 0, sections[0]), (*image.shape[:2], sections[1]))
    return image.cropped(box), instances.read(box)


def fib25_bodies(path: Path) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the bodies of the FIB-25 ground truth, (x, y, z): its supervoxels, each with the body it belongs to.

    Raises
    ------
    SettingsError
        If the file is not that ground truth.
    """
    from medgan.formats.chunked_array import Location
    from medgan.formats.hdf5 import opened_file

    with opened_file(Location(path, "")) as file:
        if "stack" not in file or "transforms" not in file:
            raise SettingsError(f"{path.name} is no ground truth of FIB-25: it needs the arrays stack and transforms.")
        stack, transforms = np.asarray(file["stack"]), np.asarray(file["transforms"])
    lookup = np.zeros(int(max(stack.max(), transforms[:, 0].max())) + 1, dtype=np.uint64)
    lookup[transforms[:, 0]] = transforms[:, 1]
    return np.ascontiguousarray(lookup[stack].transpose(2, 1, 0))


def _stores(data: StoreData, root: Path) -> EmStudy:
    from medgan.patches.em_sampler import EmVolume

    labeled = [EmVolume(f"labeled_{n}", *_stack(stack, root)) for n, stack in enumerate(data.labeled)]
    unlabeled = [EmVolume(f"unlabeled_{n}", _stack(stack, root)[0]) for n, stack in enumerate(data.unlabeled)]
    validation = None
    if data.validation is not None:
        image, labels = _stack(data.validation, root)
        if labels is not None:
            validation = KnownStack("validation", image, labels)
    sources = [each.image.provenance.digest for each in (*labeled, *unlabeled)]
    return EmStudy(
        tuple(labeled), tuple(unlabeled), validation, None, _digest([data.model_dump(mode="json"), *sources])
    )


def _stack(stack: StackSettings, root: Path) -> tuple[VolumeSource, LabelSource | None]:
    from medgan.formats.chunked import open_chunked, open_chunked_labels

    size = stack.voxel_size_zyx_nm
    image: VolumeSource = open_chunked(f"{root}/{stack.image}", voxel_size_zyx_nm=size, quantity=Quantity.EM_SIGNAL)
    labels: LabelSource | None = None
    if stack.labels is not None:
        labels = open_chunked_labels(f"{root}/{stack.labels}", voxel_size_zyx_nm=size)
        labels.grid.require_same_as(image.grid, this=stack.labels, that=stack.image, what="Training")
    if stack.sections is not None:
        i, j, k = image.grid.shape
        first, last = stack.sections
        if not first < last <= k:
            raise SettingsError(f"{stack.image} has sections 0 to {k}: found the range {first} to {last}.")
        box = Box((0, 0, first), (i, j, last))
        image = PartOfSource(image, box)
        labels = None if labels is None else PartOfLabels(labels, box)
    return image, labels


def _require_one_voxel_size(study: EmStudy) -> None:
    wanted = study.labeled[0].image.grid.spacing
    known = [each for each in (study.validation, study.test) if each is not None]
    stacks: list[EmVolume | KnownStack] = [*study.labeled, *study.unlabeled, *known]
    for volume in stacks:
        if not np.allclose(volume.image.grid.spacing, wanted, rtol=0.01, atol=0):
            found = volume.image.grid.spacing
            raise SettingsError(
                f"All stacks of a training need voxels of one size: {study.labeled[0].case_id} has {wanted} nm "
                f"(x, y, z), {volume.case_id} has {found} nm. Resample one of them."
            )


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
