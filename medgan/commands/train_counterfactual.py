"""Training of a translator between two classes of radiographs (``method: counterfactual``)."""

from __future__ import annotations

import hashlib
import json
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
from medgan.errors import SettingsError
from medgan.runs import Run

if TYPE_CHECKING:
    from medgan.commands.chest_data import ChestData
    from medgan.commands.counterfactual_settings import CounterfactualExperiment
    from medgan.inference.classifier import Classifier
    from medgan.methods.cyclegan import CycleGANState

EVALUATION = "evaluation.json"


def train_counterfactual(request: TrainingRequest) -> dict[str, Any]:
    """Train a translator, or continue the training in the run folder; see :func:`medgan.commands.train.train`.

    Raises
    ------
    MedganError
        If data, classifier or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.chest_data import chest_data
    from medgan.commands.train_classification import plane_set
    from medgan.commands.training_observers import ProgressObserver, TensorBoardObserver
    from medgan.methods.counterfactual import counterfactual_method
    from medgan.networks.form import preferred_form
    from medgan.patches.planes import unpaired_plane_batches
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop

    experiment: CounterfactualExperiment = request.experiment
    console = request.console
    data = chest_data(experiment.data, base=request.config.parent, data_root=request.data_root)
    for notice in data.notices:
        console.notice(notice)
    classifier = judging_classifier(experiment.classifier, data, base=request.config.parent)
    digest = hashlib.sha256(f"{data.digest}{classifier.weights_sha256}".encode()).hexdigest()
    run = opened_run(request, digest)
    finished = finished_result(run, console)
    if finished is not None:
        return finished
    began = run.environment
    with status_kept(run):
        settings, rhythm = experiment.counterfactual, experiment.rhythm
        precise, device = began["precision"]["precision"], began["device"]
        classifier.module.to(device)
        judge = classifier.probabilities_of if settings.classifier_weight else None
        run.set_status("training")
        console.notice(f"training {experiment.model.name} on {device} in {precise}")
        with console.progress("training") as advance:
            state = run_loop(
                counterfactual_method(judge),
                settings,
                batches=unpaired_plane_batches(
                    source=plane_set(data.source),
                    target=plane_set(data.target),
                    seed=experiment.seed,
                    size=experiment.sampling.batch,
                    augment=experiment.sampling.augment,
                ),
                folder=request.folder,
                loop=LoopSettings(
                    steps=settings.cyclegan.steps,
                    save_every=rhythm.save_every,
                    observe_every=rhythm.observe_every,
                    keep_last=rhythm.keep_last,
                    prefetch=rhythm.prefetch,
                ),
                seed=experiment.seed,
                device=device,
                precision=precise,
                form=preferred_form(device, precise),
                observers=[
                    ProgressObserver(advance, settings.cyclegan.steps),
                    TensorBoardObserver(run.part("tensorboard")),
                ],
            )
        result = _finish(run, request, state, data, classifier, digest)
    run.set_status("finished", steps=state.step)
    return result


def judging_classifier(name: str, data: ChestData, *, base: Path) -> Classifier:
    """Return the classifier that a configuration names; its classes and input size must be those of the data.

    Raises
    ------
    SettingsError
        If it tells other classes apart, takes another size, or gives no gradients.
    BundleError, InferenceError
        If there is none, or it is damaged.
    """
    from medgan.inference.classifier import open_classifier

    beside = base / name
    classifier = open_classifier(beside if beside.is_dir() else name)
    if classifier.class_names != data.classes or classifier.domain.input_size != data.size:
        raise SettingsError(
            f"A translator's classifier must tell {data.classes[0]} from {data.classes[1]} on images of {data.size}: "
            f"{classifier.name} tells {' from '.join(classifier.class_names)} on images of "
            f"{classifier.domain.input_size}."
        )
    if not classifier.has_gradients:
        raise SettingsError(f"A translator's classifier must give gradients: {classifier.name} is an exported model.")
    return classifier


def _finish(
    run: Run, request: TrainingRequest, state: CycleGANState, data: ChestData, classifier: Classifier, digest: str
) -> dict[str, Any]:
    """Write the bundle, look at the test images once, and write the result."""
    from medgan.inference.bundle import ModelBundle

    experiment: CounterfactualExperiment = request.experiment
    bundle_folder = run.folder / "bundle"
    if not bundle_folder.is_dir():
        run.set_status("evaluating")
        weights = pair_weights(state, half=experiment.model.half_precision_weights)
        second = None
        if experiment.second_classifier is not None:
            second = judging_classifier(experiment.second_classifier, data, base=request.config.parent)
        results = _evaluated(experiment, weights, data, classifier, second, picture=run.folder / "pairs.png")
        (run.folder / EVALUATION).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        _write_bundle(bundle_folder, request, weights, results, data, classifier, digest, steps=state.step)
    facts = ModelBundle.load(bundle_folder).facts
    for row in flip_rows(facts.results):
        request.console.notice(f"{row['measure']}: {row['value']} [{row['interval']}], {row['n']} images")
    result = written_result(run, model=facts.name, weights_sha256=facts.weights_sha256, steps=state.step)
    return {**result, "results": facts.results}


def pair_weights(state: CycleGANState, *, half: bool) -> dict[str, Any]:
    """Return the weights of both generators, averaged where the training averaged them."""
    weights = {}
    for name in ("source_to_target", "target_to_source"):
        average = state.averages.get(name)
        found = average.weights() if average is not None else getattr(state, name).state_dict()
        for key, tensor in found.items():
            weights[f"{name}.{key}"] = tensor.detach().cpu().half() if half else tensor.detach().cpu()
    return weights


def network_settings(experiment: CounterfactualExperiment) -> dict[str, Any]:
    """Return the arguments of the pair's constructor."""
    generator = experiment.counterfactual.cyclegan.generator
    return {
        "spatial_dims": 2,
        "width": generator.width,
        "blocks": generator.blocks,
        "normalization": generator.normalization,
        "skips": generator.skips,
        "residual": generator.residual,
    }


def _evaluated(
    experiment: CounterfactualExperiment,
    weights: dict[str, Any],
    data: ChestData,
    classifier: Classifier,
    second: Classifier | None,
    *,
    picture: Path,
) -> dict[str, Any]:
    from medgan.inference.classifier_facts import RadiographDomain
    from medgan.inference.plane_translator import PlaneTranslator
    from medgan.networks.counterfactual_pair import CounterfactualPair

    pair = CounterfactualPair(**network_settings(experiment))
    pair.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    domain = RadiographDomain(**experiment.use.model_dump(), input_size=data.size)
    translator = PlaneTranslator(
        experiment.model.name, pair.eval().requires_grad_(False), data.classes, domain, "0" * 64, None
    )
    classifier.module.to("cpu")
    return flips_of(translator, data, classifier, second=second, picture=picture)


def flips_of(
    translator: Any,
    data: ChestData,
    classifier: Classifier,
    *,
    split: str = "test",
    second: Classifier | None = None,
    picture: Path | None = None,
) -> dict[str, Any]:
    """Return how often correctly classified images flip, by direction, over all of them.

    Parameters
    ----------
    translator : PlaneTranslator
    data : ChestData
    classifier, second : Classifier
        The second one only says how often it follows.
    split : str
    picture : Path, optional
        Where to draw a few pairs.
    """
    from medgan.explanation.explanation import Rate

    images = data.splits[split]
    directions: dict[str, Any] = {}
    shown = []
    for source in (0, 1):
        target = 1 - source
        chosen = images.of_class(source)
        before = classifier.probabilities(chosen.images)
        right = before.argmax(1) == source
        fakes = translator.translated(chosen.images, toward=data.classes[target])
        after = classifier.probabilities(fakes)
        flipped = right & (after.argmax(1) == target)
        sure = flipped & (before[:, source] > 0.8) & (after[:, target] > 0.8)
        found: dict[str, Any] = {
            "queries": len(chosen),
            "correct": int(right.sum()),
            "flips": Rate(int(flipped.sum()), int(right.sum())).as_dict(),
            "sure": Rate(int(sure.sum()), int(right.sum())).as_dict(),
            "mean_absolute_change": float(np.abs(fakes - chosen.images)[right].mean()) if right.any() else None,
        }
        if second is not None:
            follows = flipped & (second.probabilities(fakes).argmax(1) == target)
            found["second_follows"] = Rate(int(follows.sum()), int(flipped.sum())).as_dict()
        if chosen.twins is not None and right.any():
            error = np.abs(fakes - chosen.twins)[right].mean()
            found["error_to_twin"] = float(error)
            found["error_of_no_change"] = float(np.abs(chosen.images - chosen.twins)[right].mean())
        directions[f"{data.classes[source]} -> {data.classes[target]}"] = found
        shown.append((chosen.images[:10], fakes[:10]))
    if picture is not None:
        _draw(picture, shown)
    return {"split": split, "classifier": classifier.name, "directions": directions}


def _draw(path: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw real, fake and difference rows of both directions, one gray window for all."""
    from PIL import Image

    rows = []
    for real, fake in pairs:
        rows += [np.concatenate(list(real), 1), np.concatenate(list(fake), 1), np.concatenate(list(fake - real), 1)]
    sheet = np.clip(np.concatenate(rows, 0), -1, 1)
    factor = max(1, round(96 / pairs[0][0].shape[1]))
    gray = Image.fromarray(np.round((sheet + 1) * 127.5).astype(np.uint8))
    gray.resize((gray.width * factor, gray.height * factor), Image.Resampling.NEAREST).save(path)


def flip_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the measured shares as rows of a model card."""
    rows = []
    for direction, found in results["directions"].items():
        for key, words in (("flips", "share of flips"), ("second_follows", "flips that a second classifier follows")):
            share = found.get(key)
            if share and share["value"] is not None:
                rows.append(
                    {
                        "method": "translator",
                        "measure": f"{words}, {direction}",
                        "value": f"{share['value']:.3f}",
                        "interval": f"{share['low']:.3f} to {share['high']:.3f}",
                        "n": share["total"],
                        "data": results["split"],
                    }
                )
    return rows


def _write_bundle(
    folder: Path,
    request: TrainingRequest,
    weights: dict[str, Any],
    results: dict[str, Any],
    data: ChestData,
    classifier: Classifier,
    digest: str,
    *,
    steps: int,
) -> None:
    from medgan.commands.train_classification import card_facts
    from medgan.inference.bundle import ModelBundle
    from medgan.reporting.model_card import render_model_card

    experiment: CounterfactualExperiment = request.experiment
    model, settings = experiment.model, experiment.counterfactual
    weight = settings.classifier_weight
    asked = {"name": classifier.name, "weights_sha256": classifier.weights_sha256, "weight": weight} if weight else None
    facts: dict[str, Any] = {
        "name": model.name,
        "task": "counterfactual",
        "trained_anatomy": model.trained_anatomy,
        "classes": list(data.classes),
        "domain": {**experiment.use.model_dump(), "input_size": list(data.size)},
        "classifier": asked,
        "results": results,
        "network": {"name": "counterfactual_pair", "settings": network_settings(experiment)},
        "training": {
            "method": experiment.method,
            "config_sha256": request.config_sha256,
            "manifest_sha256": digest,
            "steps": steps,
            "seed": experiment.seed,
            "data": model.data,
            "data_license": model.data_license,
        },
        "license": model.license,
        "intended_use": model.intended_use,
    }
    cyclegan = settings.cyclegan
    apart = "disjoint subjects" if data.knows_subjects else "subjects that are not known"
    recipe = [
        f"CycleGAN, 2-D, {steps} steps of {experiment.sampling.batch} images of each class, seed {experiment.seed}; "
        f"{len(data.source)} images without and {len(data.target)} with the target class, of {apart}.",
        f"Generators of width {cyclegan.generator.width} with {cyclegan.generator.blocks} blocks, result "
        f"{'image + 2 tanh' if cyclegan.generator.residual else 'tanh'}; cycle {cyclegan.weights.cycle:g}, identity "
        f"{cyclegan.weights.identity:g}; averaged weights: {'yes' if cyclegan.average_decay else 'no'}.",
        f"Classifier term: {'weight ' + format(weight, 'g') + ', ' + classifier.name if weight else 'none'}.",
    ]
    card = card_facts(
        experiment,
        task=f"Counterfactual translation: {data.classes[0]} to {data.classes[1]} and back",
        recipe=recipe,
        data=data,
        cases=len(data.source) + len(data.target),
        rows=flip_rows(results),
    )
    ModelBundle.write(folder, facts=facts, weights=weights, card=render_model_card(card))
