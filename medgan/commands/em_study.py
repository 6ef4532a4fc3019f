"""The steps of a study of contrast translation: the segmenter, and every arm by every seed.

Each step is skipped where its finished files are there. What follows has files of its own:
:mod:`medgan.commands.em_study_measures`, :mod:`medgan.commands.em_study_report`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.commands.study import Study
from medgan.errors import SettingsError

if TYPE_CHECKING:
    from medgan.commands.em_data import EmStudy
    from medgan.commands.em_study_settings import EmStudySettings, StudyArm
    from medgan.commands.secgan_settings import SecganExperiment


@dataclass(frozen=True)
class Training:
    """One arm by one seed.

    Attributes
    ----------
    arm : str
    settings : StudyArm
    seed : int
    steps : int or None
        In place of the configuration's own.
    """

    arm: str
    settings: StudyArm
    seed: int
    steps: int | None

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return f"{self.arm}_seed{self.seed}"

    @property
    def overrides(self) -> tuple[str, ...]:
        """What replaces the configuration's settings."""
        steps = () if self.steps is None else (f"secgan.steps={self.steps}",)
        return f"seed={self.seed}", f"secgan.segmentation={self.settings.segmentation}", *steps


def study_settings(study: Study) -> EmStudySettings:
    """Return the checked configuration of a study.

    Raises
    ------
    SettingsError
        With every fault at once.
    """
    from medgan.commands.em_study_settings import EmStudySettings
    from medgan.settings import checked, read_yaml

    settings = checked(read_yaml(study.config, study.overrides), EmStudySettings, name=study.config.name)
    if settings.baseline not in settings.arms:
        raise SettingsError(
            f"{study.config.name}: baseline must be one of the arms {', '.join(settings.arms)}: "
            f"found {settings.baseline!r}."
        )
    return settings


def trainings(settings: EmStudySettings) -> Iterator[Training]:
    """Yield every arm by every seed, seeds outermost: what is finished first is a complete small table."""
    for seed in settings.seeds:
        for arm, one in settings.arms.items():
            yield Training(arm, one, seed, settings.steps)


def run_folder(study: Study, training: Training) -> Path:
    """Return where a training lies."""
    return study.folder / "runs" / training.name


def experiment_of(study: Study, arm: StudyArm) -> SecganExperiment:
    """Return an arm's checked training configuration.

    Raises
    ------
    SettingsError
        If it is none of ``method: secgan``, or is refused.
    """
    from medgan.commands.secgan_settings import SecganExperiment
    from medgan.settings import checked, read_yaml

    config = study.config.parent / arm.config
    values = read_yaml(config, [f"secgan.segmentation={arm.segmentation}"])
    if values.get("method") != "secgan":
        raise SettingsError(f"{config.name}: an arm needs method secgan: found {values.get('method')!r}.")
    return checked(values, SecganExperiment, name=config.name)


def require_one_data(study: Study, settings: EmStudySettings) -> SecganExperiment:
    """Return the first arm's configuration after comparing the others' data and segmenter with it.

    Raises
    ------
    SettingsError
        If arms differ in either, or have no frozen segmenter: they could not stand in one table.
    """
    experiments = {name: experiment_of(study, arm) for name, arm in settings.arms.items()}
    first_name, first = next(iter(experiments.items()))
    for name, one in experiments.items():
        if one.data != first.data:
            raise SettingsError(f"{study.config.name}: the arms {first_name} and {name} need the same data.")
        if one.segmenter is None or one.segmenter != first.segmenter:
            raise SettingsError(f"{study.config.name}: the arms {first_name} and {name} need the same segmenter.")
    return first


def segmenter_folder(study: Study, settings: EmStudySettings) -> Path:
    """Return the folder of the frozen segmenter's bundle."""
    first = next(iter(settings.arms.values()))
    config = study.config.parent / first.config
    return Path(os.path.normpath(config.parent / str(require_one_data(study, settings).segmenter)))


def stacks_of(study: Study, settings: EmStudySettings) -> EmStudy:
    """Return the stacks of the study, the test stack with its truth among them.

    Raises
    ------
    SettingsError
        If nothing with a truth is there to be measured.
    """
    from medgan.commands.em_data import em_study
    from medgan.commands.secgan_settings import VolumeData

    data = require_one_data(study, settings).data
    if isinstance(data, VolumeData):
        raise SettingsError(f"{study.config.name}: a study of contrast needs stacks of sections, not volumes.")
    config = study.config.parent / next(iter(settings.arms.values())).config
    stacks = em_study(data, config=config, data_root=study.data_root)
    if stacks.test is None:
        raise SettingsError(f"{study.config.name}: data of kind {data.kind} have no test stack with a truth.")
    return stacks


def segmenter_step(study: Study) -> None:
    """Train the frozen segmenter, where it is not there, on the labeled domain."""
    from medgan.commands.train import train

    settings = study_settings(study)
    bundle = segmenter_folder(study, settings)
    if not bundle.is_dir():
        train(
            study.config.parent / settings.segmenter,
            data_root=study.data_root,
            out=bundle.parent,
            device=study.device,
            precision=study.precision,
            threads=study.threads,
            console=study.console,
        )


def train_step(study: Study) -> None:
    """Train every arm by every seed that is not finished."""
    from medgan.commands.train import train

    settings = study_settings(study)
    every = list(trainings(settings))
    for number, training in enumerate(every, start=1):
        folder = run_folder(study, training)
        if (folder / "result.json").is_file():
            continue
        study.console.notice(f"training {number} of {len(every)}: {training.name}")
        train(
            study.config.parent / training.settings.config,
            data_root=study.data_root,
            out=folder,
            overrides=training.overrides,
            device=study.device,
            precision=study.precision,
            threads=study.threads,
            console=study.console,
        )
