"""Where a translation should not be believed: what flips and further models change, and what does not come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from medgan.errors import InferenceError
from medgan.inference.bundle import ModelBundle
from medgan.inference.bundle_facts import TranslationFacts
from medgan.inference.pieces import Progress
from medgan.inference.translator import Translation, Translator
from medgan.volume import Quantity, Volume
from medgan.volume.resample import resample

GRAY_LEVELS = 256
"""A translation is rounded to so many values before it is translated back: a code hidden in finer ones is lost."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Maps beside a translation, on its grid; both are 0 outside the body.

    Attributes
    ----------
    deviation : Volume or None
        Standard deviation of the results in the target's unit (HU for CT); None where there is one result only.
    cycle_residual : Volume or None
        Absolute difference of the source and its way there and back, in normalized source intensity, whose whole range
        is 2; None where the model has no way back.
    results : int
        Results that the deviation is taken over.
    flips : tuple of tuple of int
        Axes of the prepared image that were reversed for each result of a model.
    members : tuple of str
        SHA-256 of the weights of every model that took part.
    notices : tuple of str
        What is missing, and why.
    """

    deviation: Volume | None
    cycle_residual: Volume | None
    results: int
    flips: tuple[tuple[int, ...], ...]
    members: tuple[str, ...]
    notices: tuple[str, ...]


def uncertainty_of(
    translation: Translation,
    *,
    translator: Translator,
    members: Sequence[Translator] = (),
    progress: Progress | None = None,
) -> Uncertainty:
    """Return the maps of one translation.

    Parameters
    ----------
    translation : Translation
        By ``translator``.
    translator : Translator
    members : sequence of Translator
        Further models of the same task and preparation, such as those of other folds or seeds.
    progress : callable, optional
        Called after every patch of all runs.

    Raises
    ------
    InferenceError
        If a member translates something else or prepares images in another way.

    Notes
    -----
    Every model sees the image reversed along each set of the axes that *its* training reversed (``flip_axes``), so that
    what differs is no answer to a question it was never asked. The deviation is that of a sample (n - 1); with two
    results it is the half difference times the root of two. It is taken on the working grid and resampled as the result
    is. A systematic error that all models and flips share has none: low deviation is no proof.
    """
    for member in members:
        require_member(translator.bundle, member.bundle)
    results = _Spread(translation.prepared.label("body").mask())
    target_map = translator.bundle.target_map
    runs = [(each, axes) for each in (translator, *members) for axes in flips_of(each)]
    parts = len(runs) - 1 + (translator.bundle.facts.return_network is not None)
    with_part = _in_parts(progress, parts)
    for each, axes in runs:
        known = each is translator and not axes
        normalized = (
            translation.normalized
            if known
            else each.normalized(translation.prepared, flipped=axes, progress=next(with_part))
        )
        # All members have one target map: require_member.
        results.add(target_map.inverse(normalized))
    residual = cycle_residual(translation, translator=translator, progress=next(with_part, None))
    notices = []
    if results.count < 2:
        notices.append(
            f"No deviation: {translator.bundle.facts.name} was trained without flips, and no other model was named."
        )
    if residual is None:
        notices.append(f"No cycle residual: {translator.bundle.facts.name} holds no generator back to the source.")
    return Uncertainty(
        deviation=_on_result_grid(results.deviation, translation, "deviation", results=results.count),
        cycle_residual=_on_result_grid(residual, translation, "cycle_residual", gray_levels=GRAY_LEVELS),
        results=results.count,
        flips=tuple(flips_of(translator)),
        members=tuple(each.bundle.facts.weights_sha256 for each in (translator, *members)),
        notices=tuple(notices),
    )


def cycle_residual(
    translation: Translation, *, translator: Translator, progress: Progress | None = None
) -> npt.NDArray[np.float32] | None:
    """Return ``|F(round(G(x))) - x|`` in the body, on the working grid; None where the bundle has no generator back."""
    image = translation.prepared.image
    if translator.bundle.facts.return_network is None:
        return None
    half = (GRAY_LEVELS - 1) / 2
    rounded = np.round((translation.normalized + 1) * half) / half - 1
    ((name, _),) = translation.prepared.images.items()
    there = translation.prepared.with_image(
        name, Volume(rounded.astype(np.float32), image.grid, Quantity.NORMALIZED, image.provenance)
    )
    back = translator.returned(there, progress=progress)
    if back is None:
        return None
    body = translation.prepared.label("body").mask()
    return np.where(body, np.abs(back - image.array), np.float32(0))


def flips_of(translator: Translator) -> Iterator[tuple[int, ...]]:
    """Yield every set of the axes that a model's training reversed, none of them first."""
    axes = sorted(set(translator.bundle.facts.flip_axes))
    for count in range(len(axes) + 1):
        yield from combinations(axes, count)


def require_member(bundle: ModelBundle[TranslationFacts], member: ModelBundle[TranslationFacts]) -> None:
    """Refuse a model whose results cannot be compared with those of another, voxel by voxel.

    Raises
    ------
    InferenceError
    """
    ours, theirs = bundle.facts, member.facts
    same = {
        "source": (ours.source, theirs.source),
        "target": (ours.target, theirs.target),
        "recipe": (bundle.recipe.digest, member.recipe.digest),
        "target_knots": (ours.target_knots, theirs.target_knots),
    }
    differing = [name for name, (one, other) in same.items() if one != other]
    if differing:
        raise InferenceError(
            f"Models that judge each other need one preparation and one intensity map: {theirs.name} and {ours.name} "
            f"differ in {', '.join(differing)}. Name members of one configuration, such as its folds or seeds."
        )
    if ours.weights_sha256 == theirs.weights_sha256:
        raise InferenceError(
            f"A member must be another model: {theirs.name} has the weights of {ours.name}, and agreeing with oneself "
            "says nothing."
        )


class _Spread:
    """Mean and spread of images that come one by one, in the body only: two values a voxel, whatever their number.

    Welford 1962 (doi:10.1080/00401706.1962.10490022).
    """

    def __init__(self, body: npt.NDArray[np.bool_]) -> None:
        self._body = body
        voxels = int(np.count_nonzero(body))
        self._mean = np.zeros(voxels, dtype=np.float32)
        self._squares = np.zeros(voxels, dtype=np.float32)
        self.count = 0

    def add(self, image: npt.NDArray[np.float32]) -> None:
        values = image[self._body]
        self.count += 1
        before = values - self._mean
        self._mean += before / self.count
        self._squares += before * (values - self._mean)

    @property
    def deviation(self) -> npt.NDArray[np.float32] | None:
        if self.count < 2:
            return None
        full = np.zeros(self._body.shape, dtype=np.float32)
        full[self._body] = np.sqrt(self._squares / (self.count - 1))
        return full


def _on_result_grid(
    array: npt.NDArray[np.float32] | None, translation: Translation, name: str, **parameters: int
) -> Volume | None:
    if array is None:
        return None
    provenance = translation.volume.provenance.then(name, **parameters)
    working = Volume(array, translation.prepared.image.grid, Quantity.DIFFERENCE, provenance)
    return resample(working, translation.volume.grid)


def _in_parts(progress: Progress | None, parts: int) -> Iterator[Progress | None]:
    """Yield the progress of each of several runs as a part of the whole."""
    for part in range(parts):
        yield None if progress is None else _part_of(progress, part, parts)


def _part_of(progress: Progress, part: int, parts: int) -> Progress:
    return lambda done, total: progress(part * total + done, parts * total)
