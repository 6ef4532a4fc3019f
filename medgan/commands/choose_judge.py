"""What one checkpoint of a training is judged by; see :mod:`medgan.commands.choose`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.study import Part, truth_and_mask
from medgan.errors import TrainingError

if TYPE_CHECKING:
    from medgan.cohort import Case
    from medgan.evaluation.unpaired_score import HuDistribution
    from medgan.preprocessing.intensity import IntensityMap
    from medgan.preprocessing.recipe import Recipe
    from medgan.volume import LabelMap, Volume


@dataclass(frozen=True)
class Translators:
    """Both generators of a checkpoint, averaged weights where it has them, and how they are run."""

    source_to_target: Any
    target_to_source: Any
    patch: tuple[int, int, int]
    overlap: float
    device: str
    precision: str

    def run(self, network: Any, prepared: Case) -> np.ndarray:
        """Return the normalized translation of a prepared case."""
        from medgan.inference.patchwise import run_patchwise

        return run_patchwise(
            network, prepared, patch=self.patch, overlap=self.overlap, device=self.device, precision=self.precision
        ).normalized


def translators_at(part: Part, step: int) -> Translators:
    """Return the generators of the checkpoint of a step."""
    from medgan.commands.devices import resolve_device
    from medgan.training.precision import resolve_precision

    experiment = part.experiment
    device = resolve_device(part.study.device)
    precision = resolve_precision(part.study.precision, device=device).precision
    state = state_at(part, step, device=device, precision=precision)
    networks = {}
    for name in ("source_to_target", "target_to_source"):
        network, average = getattr(state, name), state.averages.get(name)
        if average is not None:
            network.load_state_dict(average.weights())
        networks[name] = network.eval()
    patch = experiment.patch
    return Translators(
        **networks,
        patch=patch.inference_shape or patch.shape,
        overlap=patch.overlap,
        device=device,
        precision=precision,
    )


def state_at(part: Part, step: int, *, device: str, precision: str) -> Any:
    """Return the state of a training at a step, with everything that its checkpoint holds."""
    from medgan.methods.table import METHODS
    from medgan.networks.form import preferred_form
    from medgan.training.checkpoint import checkpoint_path, load

    settings = part.experiment.method_settings()
    state = METHODS[part.experiment.method].build(
        settings, seed=0, device=device, form=preferred_form(device, precision)
    )
    state.load_state_dict(load(checkpoint_path(part.run / "checkpoints", step))["state"])
    return state


@dataclass(frozen=True)
class _Seen:
    """One validation subject: its source image as acquired and as prepared, and the truth on the acquired grid.

    ``expected_hu`` is what the training's prior makes of the prepared image, None without a prior.
    """

    acquired: Case
    prepared: Case
    expected_hu: np.ndarray | None
    truth: Volume
    mask: LabelMap


@dataclass(frozen=True)
class Judge:
    """What all checkpoints of a training are judged on."""

    cases: tuple[_Seen, ...]
    training: HuDistribution
    target_map: IntensityMap

    @classmethod
    def of(cls, part: Part) -> Judge:
        """Read what the checkpoints of a training are judged on.

        Raises
        ------
        TrainingError
            If the target's recipe has no intensity map.
        """
        from medgan.commands.cohort_data import prepared_cases, read_case
        from medgan.evaluation.unpaired_score import HuDistribution

        recipe, target_recipe = part.recipes()
        store, root, console = part.study.folder / "prepared", part.cohort.root, part.study.console

        def prepared(entries: Sequence[Any], with_recipe: Recipe) -> list[Case]:
            return prepared_cases(entries, root, recipe=with_recipe, store_root=store, console=console)

        target_map = target_recipe.intensity_map
        if target_map is None:
            raise TrainingError("A checkpoint is chosen by its HU: the target's recipe has no intensity map.")
        _, targets = part.training_entries()
        bodies = [target_map.inverse(_inside(case)) for case in prepared(targets, target_recipe)]
        pairs = part.pairs("validation")
        cases = []
        for (source, target), case in zip(pairs, prepared([source for source, _ in pairs], recipe)):
            acquired = read_case(source, root)
            truth, mask = truth_and_mask(acquired.image, read_case(target, root).image)
            cases.append(_Seen(acquired, case, expected_hu(part, case), truth, mask))
        return cls(tuple(cases), HuDistribution.of(bodies), target_map)

    def verdict_on(self, translators: Translators) -> dict[str, Any]:
        """Return the score of a checkpoint, and its paired error, which takes no part in the choice."""
        from medgan.evaluation.unpaired_score import cycle_error, in_eight_bits, tissue_disagreement, unpaired_score

        cycles, bodies, disagreements, errors = [], [], [], []
        for seen in self.cases:
            image, body = seen.prepared.image, seen.prepared.label("body").mask()
            translated = translators.run(translators.source_to_target, seen.prepared)
            returned = translators.run(
                translators.target_to_source, _with_image(seen.prepared, in_eight_bits(translated))
            )
            cycles.append(cycle_error(original=image.array, returned=returned, body=body))
            hu = self.target_map.inverse(translated)
            bodies.append(hu[body])
            if seen.expected_hu is not None:
                expected = seen.expected_hu[body]
                disagreements.append(tissue_disagreement(translated_hu=hu[body], expected_hu=expected))
            errors.append(_paired_error(seen, hu))
        known = [value for value in disagreements if value is not None]
        score = unpaired_score(
            cycle=float(np.mean(cycles)),
            translated_hu=bodies,
            training=self.training,
            disagreement=float(np.mean(known)) if known else None,
        )
        return {
            "score": asdict(score),
            "paired_mae_hu": float(np.mean(errors)),
            "paired_mae_hu_by_case": {s.acquired.case_id: e for s, e in zip(self.cases, errors)},
        }


def _with_image(prepared: Case, normalized: np.ndarray) -> Case:
    """Return a prepared case with another image in the place of its own."""
    (name,) = prepared.images
    return prepared.with_image(name, prepared.image.mapped(lambda _: normalized, step="eight_bits"))


def expected_hu(part: Part, prepared: Case) -> np.ndarray | None:
    """Return what the training's own prior expects of a prepared image; None where it has none."""
    from medgan.preprocessing.contrast_prior import ContrastPrior

    experiment = part.experiment
    if experiment.prior_table is None:
        return None
    prior = experiment.contrast_prior() or ContrastPrior(experiment.prior_table)
    return prior.expected_hu(prepared.image, prepared.label("body"))


def _paired_error(seen: _Seen, hu: np.ndarray) -> float:
    """Return the MAE of the preset ``corrected`` on the acquired grid."""
    from medgan.evaluation.intensity import mean_absolute_error
    from medgan.evaluation.presets import preset_named
    from medgan.volume import Quantity, Volume
    from medgan.volume.resample import resample

    image, preset = seen.prepared.image, preset_named("corrected")
    working = Volume(hu, image.grid, Quantity.HOUNSFIELD, image.provenance.synthesized("checkpoint"))
    result = resample(working, seen.acquired.image.grid)
    clipped = [np.clip(volume.array, preset.low, preset.high) for volume in (result, seen.truth)]
    return mean_absolute_error(result=clipped[0], reference=clipped[1], mask=seen.mask.mask())


def _inside(case: Case) -> np.ndarray:
    return case.image.array[case.label("body").mask()]
