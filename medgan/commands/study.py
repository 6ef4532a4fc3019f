"""The steps of an MR-to-CT study: each leaves finished files behind and is skipped where they are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.console import Console
from medgan.errors import CohortError

if TYPE_CHECKING:
    from medgan.cohort import Case, CaseEntry
    from medgan.commands.cohort_data import Cohort
    from medgan.commands.training_settings import CycleGANExperiment
    from medgan.evaluation.baselines import Baseline
    from medgan.volume import LabelMap, Volume

MODEL = "model"
"""Name of the trained model in the tables, beside the baselines."""
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
    """

    config: Path
    folder: Path
    data_root: Path | None
    overrides: Sequence[str]
    device: str
    precision: str
    threads: int | None
    console: Console

    @property
    def experiment(self) -> CycleGANExperiment:
        """The checked configuration."""
        from medgan.commands.training_settings import read_experiment

        return read_experiment(self.config, self.overrides)[0]

    @property
    def cohort(self) -> Cohort:
        """The manifest and its data root; phantoms are drawn first."""
        from medgan.commands.cohort_data import opened_cohort

        data = self.experiment.data
        return opened_cohort(data, self.config, self.data_root, self.folder / "phantoms", self.console)

    def test_pairs(self) -> tuple[tuple[CaseEntry, CaseEntry], ...]:
        """Return the (source, target) images of the test split.

        Raises
        ------
        CohortError
            If there are none.
        """
        data, cohort = self.experiment.data, self.cohort
        pairs = cohort.manifest.pairs(split="test", source=data.source, target=data.target)
        if not pairs:
            raise CohortError(
                f"A study needs test cases with both domains: manifest {cohort.manifest.title!r} has none."
            )
        return pairs


def prepare_step(study: Study) -> None:
    """Prepare the training images of both domains."""
    from medgan.commands.cohort_data import fitted_recipe, prepared_cases, training_entries
    from medgan.commands.parallel import usable_cores
    from medgan.preprocessing.recipe import Recipe

    experiment, cohort = study.experiment, study.cohort
    data = experiment.data
    study.folder.mkdir(parents=True, exist_ok=True)
    both = training_entries(cohort.manifest, source=data.source, target=data.target)
    recipes = (Recipe(tuple(experiment.recipe.source)), Recipe(tuple(experiment.recipe.target)))
    for entries, recipe, domain in zip(both, recipes, (data.source, data.target)):
        fitted = fitted_recipe(recipe, cohort.manifest, cohort.root, domain=domain)
        store = study.folder / "prepared"
        jobs = study.threads or usable_cores()
        prepared_cases(entries, cohort.root, recipe=fitted, store_root=store, console=study.console, jobs=jobs)


def train_step(study: Study) -> dict[str, Any]:
    """Train the model of the study into ``run``."""
    from medgan.commands.train import train

    return train(
        study.config,
        data_root=study.data_root,
        out=study.folder / "run",
        phantoms=study.folder / "phantoms",
        store=study.folder / "prepared",
        overrides=study.overrides,
        device=study.device,
        precision=study.precision,
        threads=study.threads,
        console=study.console,
    )


def translate_step(study: Study) -> None:
    """Translate every test case into ``translations``."""
    from medgan.commands.translate import translate

    folder, cohort = study.folder / "translations", study.cohort
    for source, _ in study.test_pairs():
        out = folder / f"{source.case_id}_sct.nii.gz"
        if out.is_file():
            continue
        translate(
            source.located(cohort.root),
            model=str(study.folder / "run" / "bundle"),
            out=out,
            modality=source.modality.lower(),
            device=study.device,
            precision=study.precision,
            # A killed step may have left sidecar and picture; the volume comes last.
            overwrite=True,
            console=study.console,
        )


def evaluate_step(study: Study) -> dict[str, Any]:
    """Measure the model and the baselines on every test case, on the source's grid, in the reference's body.

    Returns
    -------
    dict
        Method names to lists of cases with their measures; also written to ``evaluation/measures.json`` and one CSV
        table a method.
    """
    from medgan.commands.cohort_data import read_case
    from medgan.evaluation.comparison import compare
    from medgan.evaluation.presets import preset_named
    from medgan.formats import write_bytes

    folder, cohort = study.folder / "evaluation", study.cohort
    finished = folder / "measures.json"
    if finished.is_file():
        return dict(json.loads(finished.read_text(encoding="utf-8")))
    folder.mkdir(exist_ok=True)
    baselines: Mapping[str, Baseline] | None = None
    measures: dict[str, list[dict[str, Any]]] = {}
    pairs = study.test_pairs()
    with study.console.progress("evaluating") as advance:
        for done, (source, target) in enumerate(pairs, start=1):
            file = folder / f"{source.case_id}.json"
            if not file.is_file():
                baselines = baselines or dict(fitted_baselines(study))
                reference = read_case(target, cohort.root).image
                acquired = read_case(source, cohort.root)
                truth, mask = truth_and_mask(acquired.image, reference)
                found = {}
                for name, result in _results(study, acquired, baselines):
                    comparison = compare(result=result, reference=truth, mask=mask, preset=preset_named("corrected"))
                    found[name] = {"mask": MASK_WORDS, **comparison.as_dict()}
                write_bytes(file, (json.dumps(found, indent=1) + "\n").encode())
            for name, one in json.loads(file.read_text(encoding="utf-8")).items():
                row = {"case_id": source.case_id, "subject_id": source.subject_id, **one}
                measures.setdefault(name, []).append(row)
            advance(done, len(pairs))
    _write_tables(folder, measures)
    write_bytes(finished, (json.dumps(measures, indent=1) + "\n").encode())
    return measures


def fitted_baselines(study: Study) -> Iterator[tuple[str, Baseline]]:
    """Yield translators without a network, fitted on the training split only: no pair takes part."""
    from medgan.cohort.case_store import CaseStore
    from medgan.commands.cohort_data import fitted_recipe, training_entries
    from medgan.evaluation.baselines import BodyMedian, QuantileMatch, T1Table
    from medgan.preprocessing.recipe import Recipe

    experiment, cohort = study.experiment, study.cohort
    data = experiment.data
    sources, targets = training_entries(cohort.manifest, source=data.source, target=data.target)
    target_recipe = Recipe(tuple(experiment.recipe.target))
    source_recipe = fitted_recipe(
        Recipe(tuple(experiment.recipe.source)), cohort.manifest, cohort.root, domain=data.source
    )
    root = study.folder / "prepared"
    mr = [_inside(CaseStore(root, source_recipe.digest).read(f"{e.case_id}.{e.domain}")) for e in sources]
    target_map = target_recipe.intensity_map
    inverse: Callable[[Any], Any] = target_map.inverse if target_map else np.asarray
    hu = [inverse(_inside(CaseStore(root, target_recipe.digest).read(f"{e.case_id}.{e.domain}"))) for e in targets]
    yield "body_median", BodyMedian.fit(hu)
    yield "quantiles_increasing", QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=False)
    yield "quantiles_decreasing", QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=True)
    yield "t1_table", T1Table.fit(mr)


def _inside(case: Case) -> np.ndarray:
    return case.image.array[case.label("body").mask()]


def truth_and_mask(source: Volume, reference: Volume) -> tuple[Volume, LabelMap]:
    """Return the reference and the mask of every measure, on the source's grid (see ``MASK_WORDS``)."""
    from medgan.commands.evaluate import brought_onto
    from medgan.preprocessing.body_mask import BodyMask
    from medgan.preprocessing.field_of_view import acquired_region
    from medgan.volume import LabelMap

    body = LabelMap(BodyMask().found_in(reference).mask, reference.grid, {1: "body"})
    truth, mask = brought_onto(source, reference, body)
    return truth, LabelMap(mask.mask() & acquired_region(source).mask(), source.grid, {1: "body"})


def _results(study: Study, acquired: Case, baselines: Mapping[str, Baseline]) -> Iterator[tuple[str, Volume]]:
    """Yield the model's translation and every baseline's, all on the source's grid."""
    from medgan.formats import read_volume
    from medgan.inference.bundle import ModelBundle
    from medgan.volume import Quantity, Volume
    from medgan.volume.resample import resample

    path = study.folder / "translations" / f"{acquired.case_id}_sct.nii.gz"
    yield MODEL, read_volume(path, quantity=Quantity.HOUNSFIELD)
    prepared = ModelBundle.load(study.folder / "run" / "bundle").recipe(acquired)
    image, body = prepared.image, prepared.label("body").mask()
    for name, baseline in baselines.items():
        working = Volume(
            baseline(image.array, body), image.grid, Quantity.HOUNSFIELD, image.provenance.synthesized(name)
        )
        yield name, resample(working, acquired.image.grid)


def _write_tables(folder: Path, measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    from medgan.evaluation.cohort_table import write_csv

    for name, rows in measures.items():
        write_csv(cohort_table(rows), folder / f"{name}.csv", overwrite=True)


def cohort_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the cases of one method as a :class:`~medgan.evaluation.cohort_table.CohortTable`."""
    from medgan.evaluation.cohort_table import CaseRow, CohortTable

    units = {name: measure["unit"] for name, measure in rows[0]["measures"].items()}
    cases = [
        CaseRow(row["case_id"], row["subject_id"], {name: m["value"] for name, m in row["measures"].items()})
        for row in rows
    ]
    return CohortTable(tuple(cases), units)
