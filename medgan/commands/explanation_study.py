"""The steps of a study of counterfactual explanations; each is skipped where its finished files are there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.study import Study
from medgan.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from medgan.commands.chest_data import ChestData, ChestSplit
    from medgan.commands.explanation_evidence import Label, Reference
    from medgan.commands.explanation_images import ExplainedCohort
    from medgan.commands.explanation_study_settings import ExplanationStudySettings, StudyArm, StudyModel
    from medgan.inference.classifier import Classifier

Mask = npt.NDArray[np.bool_]
SUMMARY = "summary.json"
MARKER = "the marker's corner"


def study_settings(study: Study) -> ExplanationStudySettings:
    """Return the checked configuration of a study.

    Raises
    ------
    SettingsError
        With every fault at once.
    """
    from medgan.commands.explanation_study_settings import ExplanationStudySettings
    from medgan.settings import checked, read_yaml

    return checked(read_yaml(study.config, study.overrides), ExplanationStudySettings, name=study.config.name)


def arm_data(study: Study, arm: StudyArm) -> ChestData:
    """Return an arm's radiographs."""
    from medgan.commands.chest_data import chest_data

    return chest_data(arm.data, base=study.config.parent, data_root=study.data_root)


def data_step(study: Study) -> None:
    """Read the data of every arm, and say what they are."""
    study.folder.mkdir(parents=True, exist_ok=True)
    for name, arm in study_settings(study).arms.items():
        data = arm_data(study, arm)
        counts = ", ".join(f"{len(split)} {part}" for part, split in data.splits.items())
        study.console.notice(f"{name}: {data.title}; {counts} images of {data.size[1]} x {data.size[0]} px")
        for notice in data.notices:
            study.console.notice(f"{name}: {notice}")


def classifiers_step(study: Study) -> None:
    """Train the classifiers that are not there: the explained one, the second, and those of other labels."""
    for name, arm in study_settings(study).arms.items():
        for role, model in (("classifier", arm.classifier), ("second", arm.second), *arm.labels.items()):
            if model is not None:
                _trained(study, name, role, model, arm if role in ("classifier", "second") else None)


def translator_step(study: Study) -> None:
    """Train the translators that are not there, with the arm's classifier."""
    for name, arm in study_settings(study).arms.items():
        _trained(study, name, "translator", arm.translator, arm)


def explain_step(study: Study) -> None:
    """Explain the test split of every arm and write its report."""
    from medgan.commands.explain import explained_report
    from medgan.commands.explanation_models import opened_models
    from medgan.commands.explanation_request import ExplanationRequest

    settings = study_settings(study)
    for name, arm in settings.arms.items():
        data = arm_data(study, arm)
        models = opened_models(
            _place(study, name, "classifier", arm.classifier),
            _place(study, name, "translator", arm.translator),
            None if arm.second is None else _place(study, name, "second", arm.second),
            device="cpu" if study.device == "auto" else study.device,
        )
        facts = explained_report(
            ExplanationRequest(
                models=models,
                cohort=explained_split(data),
                settings=settings.explain,
                folder=study.folder / name,
                title=arm.title,
                notices=(f"Data: {data.title} ({data.license}). {data.citation}", *data.notices),
                reference=_reference(study, name, arm, data),
                gallery=_gallery(data),
                probes=_tensor(data.splits["validation"].images[: settings.probes]),
            ),
            console=study.console,
        )
        for direction, counts in facts["verdicts"].items():
            study.console.notice(f"{name}, {direction}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")


def summary_step(study: Study) -> None:
    """Write what every arm came to into ``summary.json``."""
    from medgan.commands.explanation_output import CASES
    from medgan.formats import write_bytes

    found: dict[str, Any] = {}
    for name in study_settings(study).arms:
        cohort = json.loads((study.folder / name / CASES).read_text(encoding="utf-8"))["cohort"]
        keep = ("success", "flips", "agreement", "controls", "localization", "equivalence", "alternatives", "diversity")
        found[name] = {key: cohort[key] for key in keep}
        found[name]["methods"] = [
            {k: v for k, v in row.items() if not k.startswith(("mean_curve", "curve_"))} for row in cohort["methods"]
        ]
        found[name]["calibration"] = [{k: c[k] for k in ("images", "expected_error")} for c in cohort["calibration"]]
    write_bytes(study.folder / SUMMARY, (json.dumps(found, indent=1) + "\n").encode(), overwrite=True)


def explained_split(data: ChestData, split: str = "test") -> ExplainedCohort:
    """Return a split as radiographs to explain; of identical images of one class only the first."""
    import hashlib

    from medgan.commands.explanation_images import ExplainedCohort, ExplainedImage

    chosen, seen = data.splits[split], set()
    images = []
    for n in range(len(chosen)):
        digest = hashlib.sha256(chosen.images[n].tobytes()).hexdigest()
        if (digest, int(chosen.labels[n])) in seen:
            continue
        seen.add((digest, int(chosen.labels[n])))
        images.append(
            ExplainedImage(
                case_id=chosen.case_ids[n],
                subject_id=chosen.subject_ids[n] if data.knows_subjects else "",
                image=chosen.images[n],
                label=data.classes[int(chosen.labels[n])],
                placement=None,
                sha256=digest,
                lesion=None if chosen.lesions is None else chosen.lesions[n],
            )
        )
    return ExplainedCohort(tuple(images), knows_subjects=data.knows_subjects)


def marker_region(split: ChestSplit) -> Mask | None:
    """Return the box around every marker of a split, None where there is none."""
    if split.markers is None or not split.markers.any():
        return None
    rows, columns = (np.flatnonzero(split.markers.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    mask = np.zeros(split.images.shape[1:], dtype=bool)
    # One pixel more: the marker's edge is blurred.
    mask[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2] = True
    return mask


def _reference(study: Study, name: str, arm: StudyArm, data: ChestData) -> Reference:
    from medgan.commands.explanation_evidence import Reference
    from medgan.inference.classifier import open_classifier

    labels: dict[str, Label | None] = {}
    for label, model in arm.labels.items():
        judge = open_classifier(_place(study, name, label, model))
        labels[f"probability of {judge.class_names[-1]}"] = _probability(judge)
    marker = marker_region(data.splits["test"])
    regions = {}
    if marker is not None:
        regions[MARKER] = marker
        labels[f"gray value of {MARKER}"] = _mean_gray(marker)
    findings = {}
    train = data.splits["train"].of_class(1)
    if train.twins is not None:
        first, other = data.classes
        change = train.images - train.twins
        findings = {f"{first} to {other}": list(change[:200]), f"{other} to {first}": list(-change[:200])}
    return Reference(regions, findings, labels)


def _probability(judge: Classifier) -> Label:
    return lambda images: judge.probabilities(images[:, 0].numpy())[:, -1]


def _mean_gray(mask: Mask) -> Label:
    return lambda images: np.asarray(images[:, 0].numpy()[:, mask].mean(axis=1), dtype=np.float64)


def _gallery(data: ChestData) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
    train = data.splits["train"]
    parts = {name: train.of_class(label) for label, name in enumerate(data.classes)}
    return {name: (_tensor(part.images), part.case_ids) for name, part in parts.items()}


def _tensor(images: npt.NDArray[np.float32]) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]


def _trained(study: Study, arm_name: str, role: str, model: StudyModel, arm: StudyArm | None) -> None:
    """Train a model into the study folder unless it is embedded, finished, or a finished run is given."""
    from medgan.commands.train import train
    from medgan.commands.training_settings import read_experiment

    if model.config is None or _reused(study, arm_name, role, model) is not None:
        return
    config = study.config.parent / model.config
    overrides = _overrides(study, arm_name, role, arm)
    experiment, _ = read_experiment(config, overrides)
    if arm is not None and experiment.data != arm.data:
        raise SettingsError(
            f"Arm {arm_name} explains other data than its {role} is trained on: data of {config.name} and of "
            f"{study.config.name} must be the same."
        )
    folder = _run_folder(study, arm_name, role)
    if (folder / "result.json").is_file():
        return
    study.console.notice(f"{arm_name}: training {role}")
    train(
        config,
        data_root=study.data_root,
        out=folder,
        overrides=overrides,
        device=study.device,
        precision=study.precision,
        threads=study.threads,
        console=study.console,
    )


def _overrides(study: Study, arm_name: str, role: str, arm: StudyArm | None) -> tuple[str, ...]:
    if role != "translator" or arm is None:
        return ()
    found = [f"classifier={_beside(study, _place(study, arm_name, 'classifier', arm.classifier))}"]
    if arm.second is not None:
        found.append(f"second_classifier={_beside(study, _place(study, arm_name, 'second', arm.second))}")
    return tuple(found)


def _beside(study: Study, place: str) -> str:
    """Return a folder as a configuration beside the study's names it; an embedded name stays one."""
    return os.path.relpath(place, study.config.parent) if Path(place).is_dir() else place


def _run_folder(study: Study, arm_name: str, role: str) -> Path:
    return study.folder / "runs" / f"{arm_name}_{role.replace(' ', '_')}"


def _place(study: Study, arm_name: str, role: str, model: StudyModel) -> str:
    """Return the name or folder that a model is opened by."""
    if model.bundle is not None:
        beside = study.config.parent / model.bundle
        return str(beside) if beside.is_dir() else model.bundle
    reused = _reused(study, arm_name, role, model)
    return str((reused or _run_folder(study, arm_name, role)) / "bundle")


def _reused(study: Study, arm_name: str, role: str, model: StudyModel) -> Path | None:
    """Return the finished run that a study names, if it was begun with the same configuration.

    Notes
    -----
    Paths of classifiers are left out of the comparison: they are written as seen from where the run was started. That
    a translator asked another classifier is said in the report, by the digest in its bundle.
    """
    import yaml

    from medgan.commands.training_settings import read_experiment

    if model.run is None or model.config is None:
        return None
    run = study.config.parent / model.run
    if not (run / "result.json").is_file() or not (run / "bundle").is_dir():
        return None
    begun = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    _, wanted = read_experiment(study.config.parent / model.config)
    apart = ("classifier", "second_classifier")
    same = {k: v for k, v in begun.items() if k not in apart} == {k: v for k, v in wanted.items() if k not in apart}
    if not same:
        study.console.notice(
            f"{arm_name}: run {run.name} was begun with another configuration; {role} is trained anew."
        )
        return None
    return run
