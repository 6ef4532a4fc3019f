"""What kind of flip a counterfactual is: robust, fragile, or specific to one classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medgan.explanation.counterfactual import MISCLASSIFIED, NOT_FLIPPED, Counterfactuals
from medgan.explanation.explanation import Kind, TransformOutcome, Verdict
from medgan.explanation.scored_classifier import ScoredClassifier
from medgan.explanation.transforms import Transform

NO_SECOND = "second classifier not available"


def verdicts(
    classifier: ScoredClassifier,
    found: Counterfactuals,
    *,
    transforms: Sequence[Transform],
    second: ScoredClassifier | None = None,
    batch: int = 32,
) -> tuple[Verdict, ...]:
    """Judge every query of one direction.

    Parameters
    ----------
    classifier : ScoredClassifier
        The one that is explained.
    found : Counterfactuals
    transforms : sequence of Transform
        Usable ones, by :func:`medgan.explanation.transforms.calibrated_transforms`.
    second : ScoredClassifier, optional
        Another seed and architecture, trained on the same data, with the same class order.
    batch : int

    Returns
    -------
    tuple of Verdict
        One a query. A flip below the threshold of pairs is ``"dropped"``; ``Verdict.flip`` says what it is.

    Notes
    -----
    A transform is *void* for a case where it changes the class of the real image; it is left out and counted. A flip
    whose transforms are all void is ``"undecided"``. The second classifier is void where it already gives the real
    image another class. "Classifier-specific" may be an adversarial code *or* a genuine shortcut of this classifier:
    the two cannot be told apart by it.
    """
    seen: dict[int, list[TransformOutcome]] = {n: [] for n in range(len(found.reasons))}
    flips = torch.nonzero(found.flipped).flatten()
    if len(flips):
        real, fake = found.real[flips], found.fake[flips]
        for transform in transforms:
            of_real = classifier.probabilities(transform(real), batch=batch)
            of_fake = classifier.probabilities(transform(fake), batch=batch)
            for place, p, q in zip(flips.tolist(), of_real, of_fake):
                void = int(p.argmax()) != found.source
                survives = None if void else int(q.argmax()) == found.target
                seen[place].append(TransformOutcome(transform.text, void, survives, float(q[found.target])))
    opinions = _opinions(second, found, flips, batch)
    return tuple(
        _verdict(found, n, tuple(seen[n]), opinions.get(n, "not available")) for n in range(len(found.reasons))
    )


def judged_images(
    classifier: ScoredClassifier,
    *,
    real: Tensor,
    fake: Tensor,
    source: int,
    target: int,
    transforms: Sequence[Transform],
    second: ScoredClassifier | None = None,
    threshold: float = 0.8,
    batch: int = 32,
) -> tuple[Verdict, ...]:
    """Judge pairs that come from another way, such as nearest neighbors or mutations."""
    from medgan.explanation.counterfactual import judged_pairs

    found = judged_pairs(
        classifier, real=real, fake=fake, source=source, target=target, threshold=threshold, batch=batch
    )
    return verdicts(classifier, found, transforms=transforms, second=second, batch=batch)


def _opinions(second: ScoredClassifier | None, found: Counterfactuals, flips: Tensor, batch: int) -> dict[int, str]:
    if second is None or not len(flips):
        return {}
    of_real = second.probabilities(found.real[flips], batch=batch).argmax(1)
    of_fake = second.probabilities(found.fake[flips], batch=batch).argmax(1)
    opinions = {}
    for place, before, after in zip(flips.tolist(), of_real.tolist(), of_fake.tolist()):
        if before != found.source:
            opinions[place] = "void"
        else:
            opinions[place] = "flips" if after == found.target else "keeps its class"
    return opinions


def _verdict(found: Counterfactuals, n: int, outcomes: tuple[TransformOutcome, ...], second: str) -> Verdict:
    reason = found.reasons[n]
    if reason == MISCLASSIFIED:
        return Verdict("dropped", f"Dropped: {reason}.", second=second, reason=reason)
    if reason == NOT_FLIPPED:
        return Verdict("not flipped", f"Not flipped: {reason}.", second=second, reason=reason)
    kind, sentence = _flip(outcomes, second)
    if reason:
        return Verdict(
            "dropped",
            f"Dropped from attribution: {reason} ({found.threshold:g}). {sentence}",
            outcomes,
            second,
            reason,
            kind,
        )
    return Verdict(kind, sentence, outcomes, second, "", kind)


def _flip(outcomes: tuple[TransformOutcome, ...], second: str) -> tuple[Kind, str]:
    counted = [one for one in outcomes if not one.void]
    void = len(outcomes) - len(counted)
    left_out = f" {void} void {'transform was' if void == 1 else 'transforms were'} left out." if void else ""
    undone = [one.transform for one in counted if not one.survives]
    if undone:
        return "fragile", f"Fragile: undone by {'; '.join(undone)}.{left_out}"
    if second == "keeps its class":
        return (
            "classifier-specific",
            "Classifier-specific: it survives every transform, but a second classifier keeps its class. This may be an "
            f"adversarial code or a genuine shortcut of this classifier.{left_out}",
        )
    if not counted:
        why = "every transform changes the class of the real image too" if outcomes else "no transform was usable"
        return "undecided", f"Undecided: {why}."
    survived = f"Robust: it survives {'; '.join(one.transform for one in counted)}"
    said = {
        "flips": "a second classifier flips too",
        "void": "the second classifier gives the real image another class and says nothing",
    }.get(second, NO_SECOND)
    return "robust", f"{survived}; {said}.{left_out}"
