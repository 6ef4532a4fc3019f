"""What a study's model is measured beside: translators without a network, an unfair bound, a phantom's own truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.study import Part, Study, truth_and_mask

if TYPE_CHECKING:
    from medgan.cohort import Case, CaseEntry, Manifest
    from medgan.evaluation.baselines import Baseline, MedianPerBin
    from medgan.volume import Volume

MODEL, PRIOR, IDEAL, PAIRED_BOUND = "model", "prior", "ideal", "paired_bins"
TITLES = {
    MODEL: "model",
    "body_median": "(a) body filled with the training median",
    "quantiles_increasing": "(b) quantile matching, increasing",
    "quantiles_decreasing": "(b) quantile matching, decreasing",
    "t1_table": "(c) T1 table of bulk densities",
    PRIOR: "the training's own prior alone, without a network",
    PAIRED_BOUND: "(d) median HU per MR bin, on pairs of others: an unfair bound",
    IDEAL: "ideal translator: the phantom's tissues, without the CT's noise",
}
"""Methods by name, in the order of the tables."""


def fitted_baselines(part: Part) -> Iterator[tuple[str, Baseline]]:
    """Yield translators without a network, fitted on a training's own images only: no pair takes part."""
    from medgan.cohort.case_store import CaseStore
    from medgan.commands.cohort_data import key_of
    from medgan.evaluation.baselines import BodyMedian, QuantileMatch, T1Table

    sources, targets = part.training_entries()
    source_recipe, target_recipe = part.recipes()
    root = part.study.folder / "prepared"
    mr = [_inside(CaseStore(root, source_recipe.digest).read(key_of(entry))) for entry in sources]
    target_map = target_recipe.intensity_map
    inverse: Callable[[Any], Any] = target_map.inverse if target_map else np.asarray
    hu = [inverse(_inside(CaseStore(root, target_recipe.digest).read(key_of(entry)))) for entry in targets]
    yield "body_median", BodyMedian.fit(hu)
    yield "quantiles_increasing", QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=False)
    yield "quantiles_decreasing", QuantileMatch.fit(mr_values=mr, hu_values=hu, decreasing=True)
    yield "t1_table", T1Table.fit(mr)


@dataclass(frozen=True)
class PairedVoxels:
    """MR and HU of the same body voxels of every subject that has both, for the bound that no unpaired method gets.

    Filled as it is asked for; one recipe's values are not used for another's. ``manifest`` is the one without folds: it
    has the pairs of the training subjects as well, if there are any.
    """

    study: Study
    manifest: Manifest
    _found: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def bound_without(self, subject_id: str, part: Part) -> MedianPerBin | None:
        """Return the median HU of each MR bin over all other subjects; None if no other has both images."""
        from medgan.evaluation.baselines import MedianPerBin

        data = part.experiment.data
        targets = {e.case_id: e for e in self.manifest.select(domain=data.target)}
        others = [
            entry
            for entry in self.manifest.select(domain=data.source)
            if entry.case_id in targets and entry.subject_id != subject_id
        ]
        values = [self._voxels(source, targets[source.case_id], part) for source in others]
        if not values:
            return None
        return MedianPerBin.fit(mr_values=[mr for mr, _ in values], hu_values=[hu for _, hu in values])

    def _voxels(self, source: CaseEntry, target: CaseEntry, part: Part) -> tuple[np.ndarray, np.ndarray]:
        from medgan.commands.cohort_data import prepared_cases, read_case
        from medgan.volume.resample import resample, resample_labels

        recipe, _ = part.recipes()
        key = (source.case_id, recipe.digest)
        if key not in self._found:
            root, store = part.cohort.root, self.study.folder / "prepared"
            console = self.study.console
            (prepared,) = prepared_cases([source], root, recipe=recipe, store_root=store, console=console)
            truth, mask = truth_and_mask(read_case(source, root).image, read_case(target, root).image)
            grid = prepared.image.grid
            inside = resample_labels(mask, grid).mask() & prepared.label("body").mask()
            self._found[key] = (prepared.image.array[inside], resample(truth, grid).array[inside])
        return self._found[key]


def ideal_translation(part: Part, case_id: str) -> Volume | None:
    """Return what the ideal translator makes of a phantom: its tissues' HU, as sharp as its CT and without noise.

    None where the data are no phantoms.
    """
    phantoms = part.experiment.data.phantoms
    if phantoms is None:
        return None
    from medgan.commands.phantom_cohort import ideal_ct

    return ideal_ct(phantoms, int(case_id.rpartition("_")[2]))


def baseline_results(
    acquired: Case, part: Part, baselines: Mapping[str, Baseline], bound: MedianPerBin | None
) -> Iterator[tuple[str, Volume]]:
    """Yield the result of every baseline, the prior, the bound and a phantom's ideal translator, on the source's grid.

    The prior is what the training was told: a model that is no better has learned nothing that helps.
    """
    from medgan.commands.choose_judge import expected_hu
    from medgan.volume import Quantity, Volume
    from medgan.volume.resample import resample

    prepared = part.bundle().recipe(acquired)
    image, body = prepared.image, prepared.label("body").mask()
    all_of_them = dict(baselines) if bound is None else {**baselines, PAIRED_BOUND: bound}
    found = {name: baseline(image.array, body) for name, baseline in all_of_them.items()}
    if (prior := expected_hu(part, prepared)) is not None:
        found[PRIOR] = prior
    for name, values in found.items():
        working = Volume(values, image.grid, Quantity.HOUNSFIELD, image.provenance.synthesized(name))
        yield name, resample(working, acquired.image.grid)
    ideal = ideal_translation(part, acquired.case_id)
    if ideal is not None:
        yield IDEAL, resample(ideal, acquired.image.grid)


def _inside(case: Case) -> np.ndarray:
    return case.image.array[case.label("body").mask()]
