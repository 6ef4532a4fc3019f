"""An MR-to-CT study: its trainings, one or one a fold, and the steps that prepare, train and translate.

Every step leaves finished files behind and is skipped where they are there. The steps that follow have files of their
own: :mod:`medgan.commands.choose`, :mod:`medgan.commands.study_evaluation`, :mod:`medgan.commands.study_report`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.errors import CohortError, SettingsError

if TYPE_CHECKING:
    from medgan.cohort import CaseEntry
    from medgan.cohort.folds import Fold
    from medgan.commands.cohort_data import Cohort
    from medgan.commands.training_settings import CycleGANExperiment
    from medgan.inference.bundle import ModelBundle
    from medgan.preprocessing.recipe import Recipe
    from medgan.volume import LabelMap, Volume

MASK_WORDS = "body of the reference (Otsu), where both images were acquired"


@dataclass(frozen=True)
class Study:
    """One study: a configuration, where the data lie, and the folder that everything is written to.

    Attributes
    ----------
    config : Path
    folder : Path
    data_root : Path or None
    overrides : sequence of str
    device, precision : str
    threads : int or None
    console : Console
    foreign : Path or None
        Manifest of scans that the model was not made for, to test the domain check on.
    model : str or None
        Embedded model, or folder of a bundle, that is measured in place of one that the study trains.
    """

    config: Path
    folder: Path
    data_root: Path | None
    overrides: Sequence[str]
    device: str
    precision: str
    threads: int | None
    console: Console
    foreign: Path | None = None
    model: str | None = None

    @property
    def experiment(self) -> CycleGANExperiment:
        """The checked configuration.

        Raises
        ------
        SettingsError
            If it is not valid, or trains something else than a translator of volumes.
        """
        from medgan.commands.training_settings import CycleGANExperiment, read_experiment

        experiment, _ = read_experiment(self.config, self.overrides)
        if not isinstance(experiment, CycleGANExperiment):
            raise SettingsError(
                f"This study trains by method cyclegan: {self.config.name} asks for {experiment.method}."
            )
        return experiment

    @property
    def config_sha256(self) -> str:
        """Digest of the configuration with its overrides."""
        import yaml

        from medgan.commands.training_settings import read_experiment

        text = yaml.safe_dump(read_experiment(self.config, self.overrides)[1], sort_keys=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def whole_cohort(self) -> Cohort:
        """Return the manifest that the folds are dealt from, and its data root; phantoms are drawn first."""
        from medgan.commands.cohort_data import opened_cohort

        data = self.experiment.data.model_copy(update={"fold": None})
        return opened_cohort(data, self.config, self.data_root, self.folder / "phantoms", self.console)

    def parts(self) -> tuple[Part, ...]:
        """Return the trainings of the study: the one of a configuration without folds, else one a fold."""
        from medgan.commands.cohort_data import of_fold

        experiment, whole = self.experiment, self.whole_cohort()
        data = experiment.data
        folds: tuple[Fold | None, ...] = (data.fold,)
        if data.folds is not None and data.fold is None:
            folds = tuple(range(data.folds))
        return tuple(Part(self, fold, experiment, of_fold(whole, data, fold)) for fold in folds)


@dataclass(frozen=True)
class Part:
    """One training of a study.

    Attributes
    ----------
    study : Study
    fold : int, "all" or None
        None in a study without folds.
    experiment : CycleGANExperiment
    cohort : Cohort
        With the manifest of the fold.
    """

    study: Study
    fold: Fold | None
    experiment: CycleGANExperiment
    cohort: Cohort

    @property
    def name(self) -> str:
        """Name of the run folder, such as ``run_fold_0``."""
        return "run" if self.fold is None else f"run_fold_{self.fold}"

    @property
    def title(self) -> str:
        """Name for people."""
        return "the training" if self.fold is None else f"fold {self.fold}"

    @property
    def run(self) -> Path:
        """Folder of the training."""
        return self.study.folder / self.name

    @property
    def choice(self) -> Path:
        """Folder of the chosen checkpoint: its bundle, and why it was chosen."""
        return self.study.folder / "choice" / self.name

    @property
    def run_config_sha256(self) -> str:
        """Digest of the configuration that the training was started with."""
        return hashlib.sha256((self.run / "config.yaml").read_bytes()).hexdigest()

    def bundle(self) -> ModelBundle[Any]:
        """Return the chosen model.

        Raises
        ------
        BundleError
            If none has been chosen, or it is damaged.
        """
        from medgan.inference.bundle import ModelBundle

        return ModelBundle.load(self.choice / "bundle")

    def training_entries(self) -> tuple[tuple[CaseEntry, ...], ...]:
        """Return the training images of both domains."""
        from medgan.commands.cohort_data import training_entries

        data = self.experiment.data
        return training_entries(self.cohort.manifest, source=data.source, target=data.target)

    def pairs(self, split: str) -> tuple[tuple[CaseEntry, CaseEntry], ...]:
        """Return (source, target) images of the subjects of a split."""
        data = self.experiment.data
        return self.cohort.manifest.pairs(split=split, source=data.source, target=data.target)

    def recipes(self) -> tuple[Recipe, Recipe]:
        """Return the fitted recipes of source and target."""
        from medgan.commands.cohort_data import fitted_recipe
        from medgan.preprocessing.recipe import Recipe

        experiment, cohort = self.experiment, self.cohort
        source, target = (Recipe(tuple(stages)) for stages in (experiment.recipe.source, experiment.recipe.target))
        domains = experiment.data
        return (
            fitted_recipe(source, cohort.manifest, cohort.root, domain=domains.source),
            fitted_recipe(target, cohort.manifest, cohort.root, domain=domains.target),
        )


def pairs_for_test(parts: Sequence[Part]) -> list[tuple[Part, CaseEntry, CaseEntry]]:
    """Return the test cases of all trainings, each with the training that must not have seen it.

    Raises
    ------
    CohortError
        If there are none.
    """
    found = [(part, source, target) for part in parts for source, target in part.pairs("test")]
    if not found:
        title = parts[0].cohort.manifest.title
        raise CohortError(f"A study needs test cases with both domains: manifest {title!r} has none.")
    return found


def prepare_step(study: Study) -> None:
    """Prepare the training images of both domains, and the source images of the validation subjects."""
    from medgan.commands.cohort_data import prepared_cases
    from medgan.volume.side_by_side import usable_cores

    study.folder.mkdir(parents=True, exist_ok=True)
    jobs = study.threads or usable_cores()
    for part in study.parts():
        validation = tuple(source for source, _ in part.pairs("validation"))
        sources, targets = part.training_entries()
        for entries, recipe in zip(((*sources, *validation), targets), part.recipes()):
            prepared_cases(
                entries,
                part.cohort.root,
                recipe=recipe,
                store_root=study.folder / "prepared",
                console=study.console,
                jobs=jobs,
            )


def train_step(study: Study) -> dict[str, Any]:
    """Train every model of the study, one after the other, each in a run folder of its own; none if one is given."""
    from medgan.commands.study_given import require_one_origin
    from medgan.commands.train import train

    require_one_origin(study)
    if study.model is not None:
        study.console.notice("nothing is trained: the model is given")
        return {}
    results = {}
    for part in study.parts():
        if part.fold is not None:
            study.console.notice(f"training {part.title}")
        results[part.name] = train(
            study.config,
            data_root=study.data_root,
            out=part.run,
            phantoms=study.folder / "phantoms",
            store=study.folder / "prepared",
            fold=part.fold,
            overrides=study.overrides,
            device=study.device,
            precision=study.precision,
            threads=study.threads,
            console=study.console,
        )
    return results


def translation_file(study: Study, case_id: str) -> Path:
    """Return where the translation of a test case lies."""
    return study.folder / "translations" / f"{case_id}_sct.nii.gz"


def translate_step(study: Study) -> None:
    """Translate every test case with its maps of uncertainty, by the chosen model that never saw the subject."""
    from medgan.commands.translate import translate

    for part, source, _ in pairs_for_test(study.parts()):
        out = translation_file(study, source.case_id)
        if _is_translated(out, part.bundle().facts.weights_sha256):
            continue
        translate(
            source.located(part.cohort.root),
            model=str(part.choice / "bundle"),
            out=out,
            modality=source.modality.lower(),
            series=source.series,
            # The models of other folds are no members: they may have been trained on this subject.
            uncertainty=True,
            device=study.device,
            precision=study.precision,
            # A killed step may have left sidecar and picture; the volume comes last.
            overwrite=True,
            console=study.console,
        )


def _is_translated(volume: Path, weights_sha256: str) -> bool:
    """Tell whether a translation is there and comes from these weights."""
    sidecar = volume.with_name(volume.name.removesuffix(".nii.gz") + ".json")
    if not (volume.is_file() and sidecar.is_file()):
        return False
    return bool(json.loads(sidecar.read_text(encoding="utf-8"))["model"]["weights_sha256"] == weights_sha256)


def truth_and_mask(source: Volume, reference: Volume) -> tuple[Volume, LabelMap]:
    """Return the reference and the mask of every measure, on the source's grid (see ``MASK_WORDS``)."""
    from medgan.commands.evaluate import brought_onto
    from medgan.preprocessing.body_mask import REFERENCE_CLOSING_MM, BodyMask
    from medgan.preprocessing.field_of_view import acquired_region
    from medgan.volume import LabelMap

    body = LabelMap(BodyMask(closing_mm=REFERENCE_CLOSING_MM).found_in(reference).mask, reference.grid, {1: "body"})
    truth, mask = brought_onto(source, reference, body)
    return truth, LabelMap(mask.mask() & acquired_region(source).mask(), source.grid, {1: "body"})
