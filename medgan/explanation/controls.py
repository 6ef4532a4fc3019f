"""Controls of a cohort of counterfactuals: changes that should mean nothing, and how often they flip all the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.counterfactual import Counterfactuals
from medgan.explanation.explanation import Control, DosePath, Localization, Rate, RegionRestoration
from medgan.explanation.scored_classifier import ScoredClassifier, Translate


def same_class_control(
    classifier: ScoredClassifier, translate: Translate, images: Tensor, *, label: int, batch: int = 32
) -> Control:
    """Translate images into the class that they already have: a sham, which should change nothing.

    Parameters
    ----------
    translate : callable
        Into class ``label``.
    images : (N, 1, ...)
        Of the true class ``label``; those that the classifier gets right are counted.
    """
    correct = images[classifier.probabilities(images, batch=batch).argmax(1) == label].detach().float().cpu()
    name = f"{classifier.class_names[label]} to {classifier.class_names[label]}"
    if not len(correct):
        return Control("same-class translation", name, Rate(0, 0), 0.0, "No query is classified correctly.")
    with torch.inference_mode():
        fakes = torch.cat([translate(some).float().cpu() for some in correct.split(max(batch, 1))])
    changed = int((classifier.probabilities(fakes, batch=batch).argmax(1) != label).sum())
    rate = Rate(changed, len(correct))
    sentence = f"Translation into the class that an image has changes the class of {rate.text}."
    return Control("same-class translation", name, rate, float((fakes - correct).abs().mean()), sentence)


def generic_change_controls(
    classifier: ScoredClassifier,
    found: Counterfactuals,
    *,
    subjects: Sequence[str],
    generator: np.random.Generator,
    batch: int = 32,
) -> tuple[Control, ...]:
    """Add changes that were made for others to each query: how often do they flip it too?

    Parameters
    ----------
    found : Counterfactuals
        Of one direction; correctly classified queries are counted.
    subjects : sequence of str
        One a query; a change never comes from the same subject.
    generator : numpy.random.Generator
        Draws whose change is added.

    Returns
    -------
    tuple of Control
        ``class-mean residual``: the mean change over all other subjects; ``another subject's residual``: the change of
        one that is drawn. Sums are clipped to [-1, 1].

    Raises
    ------
    ExplanationError
        If subjects are not one a query.
    """
    if len(subjects) != len(found.reasons):
        raise ExplanationError(f"Controls need a subject a query: found {len(subjects)} for {len(found.reasons)}.")
    names = np.asarray(subjects, dtype=str)
    correct = torch.nonzero(found.correct).flatten().numpy()
    change = (found.fake - found.real)[correct]
    own, real = names[correct], found.real[correct]
    usable = [n for n in range(len(correct)) if bool((own != own[n]).any())]
    if not usable:
        sentence = "Not available: there is no other subject whose change could be added."
        return tuple(
            Control(name, found.direction, Rate(0, 0), 0.0, sentence)
            for name in ("class-mean residual", "another subject's residual")
        )
    total = change.double().sum(0)
    mean_changes, drawn_changes = [], []
    for n in usable:
        same = np.flatnonzero(own == own[n])
        others = np.flatnonzero(own != own[n])
        mean_changes.append(((total - change[same].double().sum(0)) / len(others)).float())
        drawn_changes.append(change[int(generator.choice(others))])
    query = real[usable]
    return (
        _added(classifier, found, "class-mean residual", query, torch.stack(mean_changes), batch),
        _added(classifier, found, "another subject's residual", query, torch.stack(drawn_changes), batch),
    )


def _added(
    classifier: ScoredClassifier, found: Counterfactuals, name: str, query: Tensor, change: Tensor, batch: int
) -> Control:
    after = (query + change).clamp(-1, 1)
    flips = int((classifier.probabilities(after, batch=batch).argmax(1) == found.target).sum())
    rate = Rate(flips, len(query))
    whose = "the mean change of the other subjects" if name.startswith("class") else "the change of another subject"
    sentence = f"Adding {whose} flips {rate.text}: that much is generic, not about this image."
    return Control(name, found.direction, rate, float((after - query).abs().mean()), sentence)


def localization(
    classifier: ScoredClassifier,
    found: Counterfactuals,
    regions: Sequence[dict[str, np.ndarray]],
    *,
    batch: int = 32,
) -> Localization:
    """Put each region of the real image back into the fake: does the class return?

    Parameters
    ----------
    found : Counterfactuals
        Of one direction; its flips are looked at.
    regions : sequence of dict
        One a query: region name to (H, W) bool. The same names for all.

    Raises
    ------
    ExplanationError
        If there are not as many regions as queries, or their names differ.

    Notes
    -----
    A region "undoes" a flip when the fake with this region of the real image is no longer of the wanted class. Names
    the region that undoes most; among equals, the smallest. Regions may overlap.
    """
    if len(regions) != len(found.reasons):
        raise ExplanationError(
            f"Localization needs regions of each query: found {len(regions)} for {len(found.reasons)}."
        )
    flips = torch.nonzero(found.flipped).flatten().tolist()
    names = list(regions[0]) if regions else []
    if any(list(one) != names for one in regions):
        raise ExplanationError(f"Localization needs the same regions for all queries: {', '.join(names)}.")
    if not flips:
        return Localization(found.direction, (), "No flip, so there is nothing to localize.")
    real, fake = found.real[flips], found.fake[flips]
    change = (fake - real).abs().flatten(1).double()
    rows = []
    for name in names:
        masks = torch.from_numpy(np.stack([np.asarray(regions[n][name], dtype=bool) for n in flips]))[:, None]
        flat = masks.flatten(1).double()
        back = classifier.probabilities(torch.where(masks, real, fake), batch=batch).argmax(1)
        share = (change * flat).sum(1) / change.sum(1).clamp_min(1e-12)
        undone = Rate(int((back != found.target).sum()), len(flips))
        rows.append(RegionRestoration(name, float(flat.mean()), float(share.mean()), undone))
    rows.sort(key=lambda row: (-row.undone.count, row.area))
    first = rows[0]
    if first.undone.count:
        sentence = (
            f"{first.region} undoes {first.undone.text} of the flips; it holds {first.share_of_change:.0%} of the "
            f"change on {first.area:.1%} of the image."
        )
    else:
        sentence = "No single region undoes a flip: the change is spread over several."
    return Localization(found.direction, tuple(rows), sentence)


def dose_path(
    classifier: ScoredClassifier,
    found: Counterfactuals,
    *,
    doses: int = 11,
    tolerance: float = 0.02,
    batch: int = 32,
) -> DosePath:
    """Return scores on the straight way from each correctly classified query to its fake.

    Parameters
    ----------
    found : Counterfactuals
    doses : int
        Equally spaced from 0 (real) to 1 (fake).
    tolerance : float
        A fall of the wanted class's probability by less does not break monotonicity (a free choice).

    Raises
    ------
    ExplanationError
        If no query is classified correctly.
    """
    correct = found.correct
    real, fake = found.real[correct], found.fake[correct]
    if not len(real):
        raise ExplanationError(f"A dose path of {found.direction} needs correctly classified queries: found none.")
    steps = np.linspace(0, 1, doses)
    columns, reached = [], []
    for dose in steps:
        p = classifier.probabilities(real + float(dose) * (fake - real), batch=batch)
        columns.append(p[:, found.target].double().numpy())
        reached.append((p.argmax(1) == found.target).numpy())
    scores, there = np.stack(columns, axis=1), np.stack(reached, axis=1)
    monotone = np.asarray((np.diff(scores, axis=1) >= -tolerance).all(axis=1))
    first = np.asarray(steps[there.argmax(axis=1)])[there.any(axis=1)]
    return DosePath(
        found.direction,
        steps,
        scores,
        Rate(int(monotone.sum()), len(monotone)),
        tolerance,
        float(np.median(first)) if len(first) else None,
    )
