"""What the frozen segmenter makes of the test stack: raw, matched, translated by every arm, and as it should be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.em_study import (
    Training,
    run_folder,
    segmenter_folder,
    stacks_of,
    study_settings,
    trainings,
)
from medgan.commands.study import Study
from medgan.errors import SettingsError
from medgan.volume import LabelMap, Volume

if TYPE_CHECKING:
    from medgan.commands.em_data import EmStudy, KnownStack
    from medgan.commands.em_study_settings import Checkpoint, EmStudySettings
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.instance_segmentation import InstanceSegmenter

RAW, MATCHED, BOUND = "raw", "matched", "bound"
"""Rows that no training is needed for."""
SECTION = "section.npz"


@dataclass(frozen=True)
class Row:
    """One image of the test stack that is segmented.

    Attributes
    ----------
    name : str
        Of its folder.
    training : Training or None
    checkpoint : str
        Which weights of the training.
    digest : str
        Of what it is made from; another one is measured anew.
    """

    name: str
    training: Training | None
    checkpoint: Checkpoint
    digest: str


def measure_step(study: Study) -> dict[str, dict[str, Any]]:
    """Measure every row that is not measured yet, and return all by name.

    Returns
    -------
    dict
        ``pooled`` and ``blocks`` of :func:`medgan.evaluation.instance_table.compare_instances`, and for rows that come
        from a training its ``arm`` and ``seed``.
    """
    settings = study_settings(study)
    stacks = stacks_of(study, settings)
    rows = list(_rows(study, settings, stacks))
    missing = [row for row in rows if _found(study, row) is None]
    if missing:
        from medgan.commands.devices import resolve_device
        from medgan.inference.bundle import find_bundle
        from medgan.inference.instance_segmentation import InstanceSegmenter

        bundle = find_bundle(str(segmenter_folder(study, settings)), task="boundaries")
        segmenter = InstanceSegmenter(bundle, device=resolve_device(study.device), precision="float32")
        with study.console.progress("measuring") as advance:
            for done, row in enumerate(missing, start=1):
                _measure(study, settings, stacks, segmenter, row)
                advance(done, len(missing))
    return {row.name: found for row in rows if (found := _found(study, row)) is not None}


def _rows(study: Study, settings: EmStudySettings, stacks: EmStudy) -> Iterator[Row]:
    from medgan.inference.bundle import find_bundle

    segmenter = find_bundle(str(segmenter_folder(study, settings))).facts.weights_sha256
    test = stacks.test
    plain = [RAW, MATCHED, *([BOUND] if test is not None and test.clean is not None else [])]
    for name in plain:
        yield Row(name, None, "chosen", _digest(stacks.digest, segmenter, settings.block_zyx))
    for training in trainings(settings):
        folder = run_folder(study, training) / "bundle"
        if not folder.is_dir():
            continue
        weights = find_bundle(str(folder)).facts.weights_sha256
        for checkpoint in settings.checkpoints:
            values = [stacks.digest, segmenter, settings.block_zyx, weights]
            name = training.name if checkpoint == "chosen" else f"{training.name}_{checkpoint}"
            yield Row(name, training, checkpoint, _digest(*values, *([] if checkpoint == "chosen" else [checkpoint])))


def _measure(study: Study, settings: EmStudySettings, stacks: EmStudy, segmenter: InstanceSegmenter, row: Row) -> None:
    from medgan.formats import write_bytes

    test = stacks.test
    if test is None:
        return
    image = _image_of(study, stacks, row)
    boundary = segmenter.probabilities(image, image.grid.box)
    instances = segmenter.instances(image)
    facts = compared(instances, test, block_zyx=settings.block_zyx)
    if row.training is not None:
        facts |= {"arm": row.training.arm, "seed": row.training.seed, "checkpoint": row.checkpoint}
    middle = _shown_section(test)
    folder = study.folder / "measures" / row.name
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / SECTION,
        image=image.array[:, :, middle],
        boundary=np.rint(boundary.max(axis=0)[:, :, middle] * 255).astype(np.uint8),
        instances=instances.array[:, :, middle],
        truth=test.instances.read(test.image.grid.box).array[:, :, middle],
    )
    facts |= {"digest": row.digest, "section": middle}
    write_bytes(folder / "measures.json", (json.dumps(facts, indent=1) + "\n").encode(), overwrite=True)


def compared(instances: LabelMap, test: KnownStack, *, block_zyx: tuple[int, int, int] | None) -> dict[str, Any]:
    """Return the measures of a segmentation of the test stack.

    Parameters
    ----------
    instances : LabelMap
    test : KnownStack
        Where only some sections are known, each by itself, every section is a block of its own, and an instance that
        runs through several counts in each: neither side is followed from section to section.
    block_zyx : three integers or None
    """
    from medgan.evaluation.instance_table import compare_instances

    if test.sections is None:
        block = None if block_zyx is None else (block_zyx[2], block_zyx[1], block_zyx[0])
        return compare_instances(result=instances, reference=test.instances, block=block).as_dict()
    alone = LabelMap(_by_section(instances.array), instances.grid)
    block = (*instances.shape[:2], 1)
    table = compare_instances(result=alone, reference=test.instances, block=block, with_runs=False).as_dict()
    known = [b for b in table["blocks"] if b["start_ijk"][2] in test.sections]
    return {"pooled": table["pooled"], "blocks": known}


def _by_section(array: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return instance numbers that no two sections share."""
    labels = array.astype(np.uint64)
    offsets = np.arange(labels.shape[2], dtype=np.uint64) * (labels.max() + np.uint64(1))
    return np.where(labels > 0, labels + offsets, 0).astype(np.uint64)


def _image_of(study: Study, stacks: EmStudy, row: Row) -> Volume:
    from medgan.commands.devices import resolve_device
    from medgan.inference.bundle import find_bundle
    from medgan.inference.contrast_translation import ContrastTranslator

    test = stacks.test
    if test is None or (row.name == BOUND and test.clean is None):
        raise ValueError("A row needs a test stack.")
    whole = test.image.grid.box
    if row.training is not None:
        run = run_folder(study, row.training)
        bundle = find_bundle(str(run / "bundle"), task="em_contrast")
        if row.checkpoint == "last":
            bundle = last_bundle(run, bundle)
        translator = ContrastTranslator(bundle, device=resolve_device(study.device), precision="float32")
        return translator.translate(test.image, label=row.name)
    if row.name == RAW:
        return test.image.read(whole)
    if row.name == BOUND and test.clean is not None:
        return test.clean.read(whole)
    return _matched(stacks, test)


def last_bundle(run: Path, chosen: ModelBundle[Any]) -> ModelBundle[Any]:
    """Return a training's bundle with the weights after its last step; written beside the chosen one.

    Raises
    ------
    SettingsError
        If the training kept no candidates: it has no ``selection``.
    """
    from safetensors.torch import load

    from medgan.inference.bundle import ModelBundle

    files = sorted((run / "candidates").glob("attempt_*.safetensors"))
    if not files:
        raise SettingsError(f"{run.name} kept no candidates, so its last step is its only one: measure `chosen`.")
    folder = run / "bundle_last"
    if not folder.is_dir():
        card = f"# {chosen.facts.name}, last step\n\nWeights after the last step, not the chosen ones.\n"
        facts = chosen.facts.model_dump(mode="json", exclude={"weights_sha256"})
        ModelBundle.write(folder, facts=facts, weights=load(files[-1].read_bytes()), card=card)
    return ModelBundle.load(folder)


def _matched(stacks: EmStudy, test: KnownStack) -> Volume:
    """Return the test stack with each section's gray values distributed as the labeled stacks'."""
    from dataclasses import replace

    from medgan.patches.em_matching import gray_counts, matched, matching_tables

    reference = np.sum([gray_counts(volume.image).sum(axis=0) for volume in stacks.labeled], axis=0)
    tables = matching_tables(gray_counts(test.image), reference, by="sections")
    image = test.image.read(test.image.grid.box)
    if tables is None:
        return image
    return replace(image, array=matched(image.array, tables, 0), provenance=image.provenance.then("match gray values"))


def _shown_section(test: KnownStack) -> int:
    middle = test.image.grid.shape[2] // 2
    return middle if test.sections is None else min(test.sections, key=lambda s: abs(s - middle))


def _found(study: Study, row: Row) -> dict[str, Any] | None:
    path: Path = study.folder / "measures" / row.name / "measures.json"
    if not path.is_file():
        return None
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts if facts["digest"] == row.digest else None


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
