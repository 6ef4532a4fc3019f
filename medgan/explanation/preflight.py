"""Refuse to explain a classifier where explanations would not be valid, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.attribution import AttributionSettings, leaf_of
from medgan.explanation.class_activation import layer_activations
from medgan.explanation.discriminative import BASELINES, METHODS, PUBLISHED, PairBatch, pair_attribution
from medgan.explanation.explanation import Preflight, RuleFinding
from medgan.explanation.rectifiers import rectifier_faults
from medgan.explanation.scored_classifier import ScoredClassifier

RULES = (
    "train mode",
    "output form",
    "value range",
    "constant output",
    "saturated scores",
    "batch dependence",
    "gradient",
    "target layer",
    "rectifiers",
    "map",
)
"""In the order in which they are looked at."""

_FLAT = 0.05
"""A classifier whose scores differ by less over all probe images has not learned to tell them apart."""
_HALF_RANGE = 0.55
"""Images that use less of the declared range were probably scaled to another one."""


def preflight(
    classifier: ScoredClassifier,
    images: Tensor,
    *,
    value_range: tuple[float, float] = (-1.0, 1.0),
    methods: Sequence[str] = PUBLISHED,
    batch: int = 16,
) -> Preflight:
    """Look at a classifier with a few real images.

    Parameters
    ----------
    classifier : ScoredClassifier
    images : (N, 1, ...) float32
        At least four real images as the classifier will see them, of different classes.
    value_range : tuple of float
        Gray values that the classifier was trained on.
    methods : sequence of str
        Attribution methods that will be asked for.
    batch : int

    Returns
    -------
    Preflight
        One finding a rule (one a method for rectifiers and maps). Nothing of the classifier is changed: in train mode
        it is not even run, because that would move its running statistics.

    Raises
    ------
    ExplanationError
        If there are fewer than four images or a method is unknown.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ExplanationError(f"{', '.join(unknown)}: not an attribution method. Known: {', '.join(METHODS)}.")
    if len(images) < 4:
        raise ExplanationError(
            f"A preflight needs at least four real images of different classes: found {len(images)}."
        )
    images = images[:32].detach().float().cpu()
    training = _training(classifier)
    if training is not None:
        return Preflight((training, *(_skipped(rule, "the classifier is in train mode") for rule in RULES[1:])))
    form = _output_form(classifier, images, batch)
    if form.status == "failed":
        return Preflight((_passed("train mode", "every module is in evaluation mode"), form, *_rest(2)))
    findings = [
        _passed("train mode", "every module is in evaluation mode"),
        form,
        _value_range(images, value_range),
        _constant(classifier, images, batch),
        _saturated(classifier, images, batch),
        _batch_dependence(classifier, images, batch),
    ]
    gradient = _gradient(classifier, images, methods)
    findings += [gradient, _target_layer(classifier, images, methods)]
    findings += _rectifiers(classifier, images, methods) if gradient.status == "passed" else [_skipped("rectifiers")]
    refused = {name for one in findings for name in one.refuses}
    if any(one.fatal for one in findings if one.status == "failed"):
        findings.append(_skipped("map", "the classifier failed before"))
    else:
        findings += _maps(classifier, images, [m for m in methods if m not in refused], batch)
    return Preflight(tuple(findings))


def _training(classifier: ScoredClassifier) -> RuleFinding | None:
    names = [name or "the whole module" for name, one in classifier.module.named_modules() if one.training]
    if not names:
        return None
    return _failed("train mode", f"{names[0]} is in train mode ({len(names)} modules are): call eval() before.")


def _output_form(classifier: ScoredClassifier, images: Tensor, batch: int) -> RuleFinding:
    try:
        scores = classifier.batched_logits(images, batch=batch)
    except ExplanationError as error:
        return _failed("output form", str(error))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        first = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        return _failed("output form", f"the classifier cannot read images of shape {tuple(images.shape[1:])}: {first}")
    if not bool(torch.isfinite(scores).all()):
        return _failed("output form", "scores are not finite for real images: weights or input scaling are wrong.")
    return _passed("output form", f"{scores.shape[1]} finite scores an image ({', '.join(classifier.class_names)})")


def _value_range(images: Tensor, value_range: tuple[float, float]) -> RuleFinding:
    low, high = value_range
    span = high - low
    least, most = float(images.min()), float(images.max())
    found = f"images hold values from {least:.4g} to {most:.4g}, declared are {low:g} to {high:g}"
    if least < low - 0.001 * span or most > high + 0.001 * span:
        return _failed(
            "value range", f"{found}: values lie outside. Scale images as in training, or correct the range."
        )
    if most - least < _HALF_RANGE * span:
        return _failed(
            "value range", f"{found}: only {(most - least) / span:.0%} is used. They were probably scaled twice or not."
        )
    return _passed("value range", found)


def _constant(classifier: ScoredClassifier, images: Tensor, batch: int) -> RuleFinding:
    scores = classifier.batched_logits(images, batch=batch)
    spread = float((scores.amax(0) - scores.amin(0)).max())
    found = f"scores differ by {spread:.3g} over {len(images)} images"
    if spread < _FLAT:
        return _failed(
            "constant output", f"{found} (at least {_FLAT}): the classifier is untrained or ignores its input."
        )
    return _passed("constant output", found)


def _saturated(classifier: ScoredClassifier, images: Tensor, batch: int) -> RuleFinding:
    # A logit stays explainable when its probability is nearly 1, until float32 cannot tell the two apart.
    limit = 1e-7 if classifier.score_space == "logit" else 1e-6
    probabilities = classifier.probabilities(images, batch=batch).double()
    distance = torch.minimum(probabilities, 1 - probabilities).amax(1)
    share = float((distance < limit).double().mean())
    found = f"{share:.0%} of probabilities lie within {limit:g} of 0 or 1 (score space: {classifier.score_space})"
    if share >= 0.5:
        return _failed(
            "saturated scores", f"{found}: gradients vanish and curves are steps. Give logits, or calibrate them."
        )
    return _passed("saturated scores", found)


def _batch_dependence(classifier: ScoredClassifier, images: Tensor, batch: int) -> RuleFinding:
    together = classifier.batched_logits(images[:8], batch=8)
    alone = classifier.batched_logits(images[:8], batch=1)
    deviation = float((together - alone).abs().max())
    limit = 1e-3 * max(1.0, float(together.max() - together.min()))
    found = f"scores of an image differ by {deviation:.2g} between a batch of {len(together)} and alone"
    if not deviation <= limit:
        return _failed(
            "batch dependence", f"{found} (limit {limit:.2g}): the result depends on its neighbors in the batch."
        )
    return _passed("batch dependence", found)


def _gradient(classifier: ScoredClassifier, images: Tensor, methods: Sequence[str]) -> RuleFinding:
    asked = tuple(m for m in methods if METHODS[m].gradient)
    leaf = leaf_of(images[:1], classifier.device)
    try:
        with torch.enable_grad():
            scores = classifier.logits(leaf)
    except RuntimeError:
        scores = None
    if scores is None or not scores.requires_grad:
        return _failed(
            "gradient",
            "scores have no gradient with respect to the image (an exported or ONNX model, or a detached tensor): only "
            f"methods without gradients can run ({', '.join(n for n, t in METHODS.items() if not t.gradient)}).",
            asked,
        )
    gradient = torch.autograd.grad(scores[:, -1].sum(), leaf, allow_unused=True)[0]
    if gradient is None or not bool(torch.isfinite(gradient).all()):
        return _failed("gradient", "the gradient with respect to the image is missing or not finite.", asked)
    return _passed("gradient", f"the largest gradient is {float(gradient.abs().max()):.3g} per gray value")


def _target_layer(classifier: ScoredClassifier, images: Tensor, methods: Sequence[str]) -> RuleFinding:
    asked = tuple(m for m in methods if METHODS[m].layer)
    if not asked:
        return _skipped("target layer", "no method that uses it is asked for")
    try:
        shape = tuple(layer_activations(classifier, images[:1]).shape)
    except ExplanationError as error:
        return _failed("target layer", str(error), asked)
    extent = " x ".join(str(n) for n in shape[2:])
    return _passed("target layer", f"{classifier.target_layer} has {shape[1]} channels of {extent}")


def _rectifiers(classifier: ScoredClassifier, images: Tensor, methods: Sequence[str]) -> list[RuleFinding]:
    findings = []
    for kind in ("guided_backprop", "deconvolution", "deeplift"):
        asked = tuple(m for m in methods if METHODS[m].rectifiers == kind)
        if not asked:
            continue
        faults = rectifier_faults(classifier, images[:1], method=kind)
        if faults:
            findings.append(_failed("rectifiers", f"{kind}: {'; '.join(faults)}.", asked))
        else:
            findings.append(_passed("rectifiers", f"{kind}: every nonlinearity is a module used once"))
    return findings or [_skipped("rectifiers", "no method that rewrites gradients is asked for")]


def _maps(classifier: ScoredClassifier, images: Tensor, methods: Sequence[str], batch: int) -> list[RuleFinding]:
    # Two images that the classifier scores differently stand in for a pair.
    scores = classifier.batched_logits(images, batch=batch)[:, 0]
    one, other = int(scores.argmax()), int(scores.argmin())
    pair = PairBatch(real=images[one : one + 1], fake=images[other : other + 1], source=0, target=1)
    findings = []
    for name in methods:
        if name in BASELINES:
            continue
        attempt = _attempt(
            lambda name=name: pair_attribution(  # type: ignore[misc]
                name, classifier, pair, settings=AttributionSettings(steps=16), batch=batch
            )
        )
        findings.append(
            _failed("map", f"{name}: {attempt}", (name,)) if attempt else _passed("map", f"{name}: finite and not zero")
        )
    return findings or [_skipped("map", "no method is left")]


def _attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except (ExplanationError, RuntimeError, NotImplementedError) as error:
        return str(error).splitlines()[0]
    return ""


def _passed(rule: str, reason: str) -> RuleFinding:
    return RuleFinding(rule, "passed", f"{reason}.")


def _failed(rule: str, reason: str, refuses: tuple[str, ...] | None = None) -> RuleFinding:
    sentence = reason if reason.endswith(".") else f"{reason}."
    if refuses is None:
        return RuleFinding(rule, "failed", sentence, tuple(METHODS), fatal=True)
    return RuleFinding(rule, "failed", sentence, refuses)


def _skipped(rule: str, why: str = "the classifier failed before") -> RuleFinding:
    return RuleFinding(rule, "not checked", f"Not checked: {why}.")


def _rest(start: int) -> tuple[RuleFinding, ...]:
    return tuple(_skipped(rule) for rule in RULES[start:])
