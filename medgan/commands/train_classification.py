"""Training of a classifier of radiographs (``method: classification``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.training_session import (
    TrainingRequest,
    finished_result,
    opened_run,
    status_kept,
    written_result,
)
from medgan.runs import Run

if TYPE_CHECKING:
    from medgan.commands.chest_data import ChestData, ChestSplit
    from medgan.commands.classification_settings import ClassificationExperiment
    from medgan.methods.classification import ClassificationState
    from medgan.patches.planes import PlaneSet

EVALUATION = "evaluation.json"
"""What a finished run reports of validation and test images beside ``result.json``."""
VALIDATION = "validation.jsonl"


def train_classification(request: TrainingRequest) -> dict[str, Any]:
    """Train a classifier, or continue the training in the run folder; see :func:`medgan.commands.train.train`.

    Raises
    ------
    MedganError
        If data or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.chest_data import chest_data
    from medgan.commands.training_observers import ProgressObserver, TensorBoardObserver
    from medgan.methods.table import METHODS
    from medgan.patches.planes import labeled_batches
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop

    experiment: ClassificationExperiment = request.experiment
    console = request.console
    data = chest_data(experiment.data, base=request.config.parent, data_root=request.data_root)
    for notice in data.notices:
        console.notice(notice)
    run = opened_run(request, data.digest)
    finished = finished_result(run, console)
    if finished is not None:
        return finished
    began = run.environment
    with status_kept(run):
        settings, rhythm, sampling = experiment.method_settings(), experiment.rhythm, experiment.sampling
        precise = began["precision"]["precision"]
        run.set_status("training")
        console.notice(f"training {experiment.model.name} on {began['device']} in {precise}")
        with console.progress("training") as advance:
            state = run_loop(
                METHODS[experiment.method],
                settings,
                batches=labeled_batches(
                    plane_set(data.splits["train"]),
                    seed=experiment.seed,
                    size=sampling.batch,
                    augment=sampling.augment,
                    balanced=sampling.balanced,
                    with_twins=sampling.with_twins,
                ),
                folder=request.folder,
                loop=LoopSettings(
                    steps=settings.steps,
                    save_every=rhythm.save_every,
                    observe_every=rhythm.observe_every,
                    keep_last=rhythm.keep_last,
                    prefetch=rhythm.prefetch,
                ),
                seed=experiment.seed,
                device=began["device"],
                precision=precise,
                observers=[
                    ProgressObserver(advance, settings.steps),
                    TensorBoardObserver(run.part("tensorboard")),
                    ValidationObserver(run.folder / VALIDATION, data.splits["validation"], experiment),
                ],
            )
        result = _finish(run, request, state, data)
    run.set_status("finished", steps=state.step)
    return result


def plane_set(split: ChestSplit) -> PlaneSet:
    """Return the images of a split for a sampler."""
    from medgan.patches.planes import PlaneSet

    return PlaneSet(split.images, split.labels, split.case_ids, split.twins)


class ValidationObserver:
    """Write the area under the curve of the validation images while a classifier trains; it chooses nothing."""

    def __init__(self, path: Path, split: ChestSplit, experiment: ClassificationExperiment) -> None:
        self._path, self._split, self._experiment = path, split, experiment

    def __call__(self, seen: Any) -> None:
        """Measure at multiples of ``rhythm.validate_every`` and at the last step."""
        from medgan.evaluation.discrimination import roc_auc

        last = self._experiment.classification.steps
        if seen.step % self._experiment.rhythm.validate_every and seen.step != last:
            return
        logits = _logits(_network(self._experiment, seen.state.weights()), self._split.images)
        record = {"step": seen.step, "auc": roc_auc(logits[:, 1] - logits[:, 0], self._split.labels)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _network(experiment: ClassificationExperiment, weights: dict[str, Any]) -> Any:
    from medgan.networks.classifier import CLASSIFIERS

    network = CLASSIFIERS[experiment.classification.network](**experiment.classification.network_settings)
    network.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
    return network.eval().requires_grad_(False)


def _logits(network: Any, images: np.ndarray, batch: int = 128) -> np.ndarray:
    import torch

    with torch.inference_mode():
        parts = [network(part) for part in torch.from_numpy(images)[:, None].split(batch)]
    return np.asarray(torch.cat(parts).double().numpy())


def _finish(run: Run, request: TrainingRequest, state: ClassificationState, data: ChestData) -> dict[str, Any]:
    """Fit the temperature on validation images, look at the test images once, and write bundle and result."""
    from medgan.inference.bundle import ModelBundle

    experiment: ClassificationExperiment = request.experiment
    bundle_folder = run.folder / "bundle"
    if not bundle_folder.is_dir():
        run.set_status("evaluating")
        weights = state.weights()
        if experiment.model.half_precision_weights:
            # What is measured is what is written.
            weights = {n: t.half() if t.is_floating_point() else t for n, t in weights.items()}
        as_read = {n: t.float() if t.is_floating_point() else t for n, t in weights.items()}
        results = evaluated(_network(experiment, as_read), data, seed=experiment.seed)
        (run.folder / EVALUATION).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        _write_bundle(bundle_folder, request, weights, results, data, steps=state.step)
    facts = ModelBundle.load(bundle_folder).facts
    result = written_result(run, model=facts.name, weights_sha256=facts.weights_sha256, steps=state.step)
    for line in result_lines(facts.results):
        request.console.notice(line)
    return {**result, "results": facts.results}


def evaluated(network: Any, data: ChestData, *, seed: int) -> dict[str, Any]:
    """Return what a classifier reaches on validation and test images, with the temperature fitted on the former."""
    from scipy.special import softmax

    from medgan.evaluation.class_calibration import call_reliability, fitted_logit_temperature
    from medgan.evaluation.discrimination import auc_with_interval
    from medgan.seeding import numpy_generator

    results: dict[str, Any] = {"unit_of_intervals": "subject" if data.knows_subjects else "image"}
    temperature = 1.0
    for name in ("validation", "test"):
        split = data.splits[name]
        logits = _logits(network, split.images)
        if name == "validation":
            temperature = fitted_logit_temperature(logits, split.labels)
            results["temperature"] = temperature
        score = logits[:, 1] - logits[:, 0]
        area = auc_with_interval(
            score, split.labels, subject_ids=split.subject_ids, generator=numpy_generator(seed, "auc", name)
        )
        results[name] = {
            "images": len(split),
            "auc": area.as_dict(),
            "accuracy": float((logits.argmax(1) == split.labels).mean()),
            "ece_before": call_reliability(softmax(logits, axis=1), split.labels).error,
            "ece": call_reliability(softmax(logits / temperature, axis=1), split.labels).error,
        }
    return results


def result_lines(results: dict[str, Any]) -> list[str]:
    """Return the measured numbers as sentences."""
    lines = []
    for name in ("validation", "test"):
        if name in results:
            r = results[name]
            a = r["auc"]
            lines.append(
                f"{name}: AUC {a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}], accuracy {r['accuracy']:.3f}, "
                f"ECE {r['ece']:.3f} (before the temperature {r['ece_before']:.3f}), {r['images']} images"
            )
    return lines


def _write_bundle(
    folder: Path,
    request: TrainingRequest,
    weights: dict[str, Any],
    results: dict[str, Any],
    data: ChestData,
    *,
    steps: int,
) -> None:
    from medgan.inference.bundle import ModelBundle
    from medgan.networks.classifier import FEATURES
    from medgan.reporting.model_card import render_model_card

    experiment: ClassificationExperiment = request.experiment
    model, settings = experiment.model, experiment.classification
    facts: dict[str, Any] = {
        "name": model.name,
        "task": "classification",
        "trained_anatomy": model.trained_anatomy,
        "labels": list(data.classes),
        "domain": {**experiment.use.model_dump(), "input_size": list(data.size)},
        "target_layer": FEATURES,
        "temperature": results["temperature"],
        "results": results,
        "network": {"name": settings.network, "settings": settings.network_settings},
        "training": {
            "method": experiment.method,
            "config_sha256": request.config_sha256,
            "manifest_sha256": data.digest,
            "steps": steps,
            "seed": experiment.seed,
            "data": model.data,
            "data_license": model.data_license,
        },
        "license": model.license,
        "intended_use": model.intended_use,
    }
    train = data.splits["train"]
    chosen = (experiment.sampling.balanced, experiment.sampling.with_twins, settings.average_decay is not None)
    balanced, twins, averaged = ("yes" if on else "no" for on in chosen)
    recipe = [
        f"{settings.network}, width {settings.width}, {settings.stages} stages, {steps} steps of "
        f"{experiment.sampling.batch} images, classes balanced: {balanced}, with twins: {twins}, seed "
        f"{experiment.seed}.",
        f"Cross-entropy, AdamW {settings.rate:g}, averaged weights: {averaged}; the last weights are kept, temperature "
        f"{results['temperature']:.3f} fitted on validation images.",
    ]
    ModelBundle.write(
        folder,
        facts=facts,
        weights=weights,
        card=render_model_card(
            card_facts(
                experiment,
                task=f"Classification: {data.classes[0]} or {data.classes[1]}",
                recipe=recipe,
                data=data,
                cases=len(train),
                rows=_rows(results),
            )
        ),
    )


def card_facts(
    experiment: Any, *, task: str, recipe: Sequence[str], data: ChestData, cases: int, rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return what a model card says of a model of radiographs."""
    model = experiment.model
    source = {"name": model.data, "license": model.data_license, "citation": model.data_citation, "cases": cases}
    return {
        "name": model.name,
        "task": task,
        "trained_anatomy": model.trained_anatomy,
        "intended_use": model.intended_use,
        "not_for": model.not_for,
        "license": model.license,
        "training_data": [source],
        "recipe": list(recipe),
        "results": list(rows),
        "limits": (*model.limits, *data.notices),
    }


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name in ("validation", "test"):
        r = results[name]
        a = r["auc"]
        rows.append(
            {
                "method": "classifier",
                "measure": "area under the ROC curve",
                "value": f"{a['value']:.3f}",
                "interval": f"{a['low']:.3f} to {a['high']:.3f} (bootstrap by {results['unit_of_intervals']})",
                "n": r["images"],
                "data": name,
            }
        )
        rows.append(
            {
                "method": "classifier",
                "measure": "expected calibration error",
                "value": f"{r['ece']:.3f}",
                "n": r["images"],
                "data": name,
            }
        )
    return rows
