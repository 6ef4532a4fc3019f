"""The channels of one study for a segmentation model: found in DICOM, or named one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgan.cohort import Case
from medgan.commands.console import Console
from medgan.commands.prostate_channels import chosen_series, facts_of
from medgan.errors import FormatError, InferenceError, SettingsError
from medgan.formats import Inventory, InventoryItem
from medgan.volume import LabelMap, Quantity, Volume

if TYPE_CHECKING:
    from medgan.inference.segmentation_facts import ChannelFacts, SegmentationFacts

ALIGN_LEVELS_MM = (4.0, 2.0)
MOST_SHIFT_MM, MOST_DEGREES = 12.0, 6.0
"""What patients move between two series; free choices."""


@dataclass(frozen=True, eq=False)
class FoundChannels:
    """The images of one study.

    Attributes
    ----------
    case : Case
        One image a channel.
    choices : dict of channel to words
        Which image was taken, and why.
    name : str
        What outputs are named after.
    """

    case: Case
    choices: dict[str, str]
    name: str


def named_channels(given: Sequence[str], facts: SegmentationFacts) -> dict[str, str]:
    """Return the ``name=value`` options as a mapping.

    Raises
    ------
    SettingsError
        If one is not of that form, names no channel of the model, or names one twice.
    """
    known = [channel.name for channel in facts.channels]
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not value or name not in known:
            raise SettingsError(
                f"A channel is given as NAME=INDEX or NAME=FILE with a name of {', '.join(known)}: found {text!r}."
            )
        if name in found:
            raise SettingsError(f"Channel {name} is given twice.")
        found[name] = value
    return found


def found_channels(
    study: Path | None,
    named: Mapping[str, str],
    facts: SegmentationFacts,
    *,
    allow_gap: bool,
    assume_axes: bool,
    console: Console,
) -> FoundChannels:
    """Find, check and read the channels of one study.

    Parameters
    ----------
    study : Path or None
        DICOM as folder, zip or DICOMDIR; an image file for a model with one channel; None if all channels are named.
    named : mapping of channel to an index of the study's images, or a path
    facts : SegmentationFacts
    allow_gap, assume_axes : bool
    console : Console

    Raises
    ------
    MedganError
        If an image is absent or refused, if channels are of different patients, or if a channel is missing that the
        model cannot do without.
    """
    inventory = None if study is None else _inventory(study, console)
    items: dict[str, InventoryItem] = {}
    choices: dict[str, str] = {}
    for channel in facts.channels:
        if channel.name not in named:
            continue
        item = _named_item(channel.name, named[channel.name], inventory, allow_gap)
        items[channel.name], choices[channel.name] = item, f"{channel.name} is {_place(item)}, as given"
    if inventory is not None:
        for channel in facts.channels:
            if channel.name not in items and (found := _recognized(channel, inventory, facts, allow_gap)) is not None:
                items[channel.name], choices[channel.name] = found
    if not items:
        wanted = ", ".join(channel.name for channel in facts.channels)
        raise InferenceError(
            f"Model {facts.name} takes {wanted}: none was recognized. Name them with --channel {wanted.split(', ')[0]}="
            "INDEX (as medgan inspect numbers them) or FILE."
        )
    _require_one_patient(items)
    for words in choices.values():
        console.notice(words)
    case = Case("study", "study")
    for name, item in items.items():
        channel = next(c for c in facts.channels if c.name == name)
        file = item.read(quantity=Quantity.named(channel.quantity), allow_gap=allow_gap, assume_axes=assume_axes)
        if file.modality_hint is not None and file.modality_hint.upper() != channel.modality:
            raise FormatError(
                f"Channel {name} takes {channel.modality}: {item.label} says that it is another modality."
            )
        case = case.with_image(name, file.volume)
        for notice in file.notices:
            case = case.with_notice(f"{name}: {notice}")
    first = items.get(facts.channels[0].name)
    return FoundChannels(case, choices, first.name if first is not None else "study")


def aligned(case: Case, facts: SegmentationFacts) -> Case:
    """Return the case with every channel moved rigidly onto the first; those on one grid move together.

    Raises
    ------
    InferenceError
        If images hardly overlap, or are moved further than patients move between two series of one study.

    Notes
    -----
    Mutual information within the model's field, started where the headers put the images: a correction, no search. The
    whole pelvis has several maxima, tens of millimeters apart.
    """
    from medgan.inference.segmenter_channels import coverage_mask, working_grid
    from medgan.preprocessing.rigid_search import moved_grid, rigid_fit, rotation_degrees

    first = facts.channels[0].name
    if first not in case.images:
        return case
    fixed = case.images[first]
    working = working_grid(fixed, facts.working)
    region = LabelMap(coverage_mask(working, fixed.grid), fixed.grid)
    for names in _by_grid(case, [c.name for c in facts.channels[1:] if c.name in case.images]):
        # The last of a group is the diffusion-weighted image, which shows the body; a map of ADC is noise outside.
        leader = case.images[names[-1]]
        fit = rigid_fit(fixed=fixed, moving=leader, region=region, start=np.eye(4), levels_mm=ALIGN_LEVELS_MM)
        center = working.world((np.asarray(working.shape) - 1) / 2)
        shift = np.inf if fit is None else np.linalg.norm(fit.to_fixed[:3, :3] @ center + fit.to_fixed[:3, 3] - center)
        angle = 0.0 if fit is None else rotation_degrees(fit.to_fixed)
        if fit is None or shift > MOST_SHIFT_MM or angle > MOST_DEGREES:
            found = "hardly any overlap" if fit is None else f"{shift:.0f} mm and {angle:.0f} degrees"
            raise InferenceError(
                f"--align corrects at most {MOST_SHIFT_MM:g} mm and {MOST_DEGREES:g} degrees: found {found} for "
                f"{', '.join(names)}. The search went astray or the images are of different places; leave --align out."
            )
        for name in names:
            volume: Volume = case.images[name]
            grid = moved_grid(volume.grid, fit.to_fixed)
            provenance = volume.provenance.then("align", to_fixed=fit.to_fixed.round(9).tolist())
            case = case.with_image(name, replace(volume, grid=grid, provenance=provenance))
        case = case.with_notice(f"{', '.join(names)} moved onto {first}: {shift:.1f} mm and {angle:.1f} degrees.")
    return case


def _by_grid(case: Case, names: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = []
    for name in names:
        grid = case.images[name].grid
        group = next((g for g in groups if case.images[g[0]].grid.same_as(grid)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return groups


def _inventory(study: Path, console: Console) -> Inventory:
    from medgan.formats import take_inventory

    with console.progress("reading headers") as advance:
        return take_inventory([study], progress=advance)


def _named_item(name: str, value: str, inventory: Inventory | None, allow_gap: bool) -> InventoryItem:
    from medgan.formats import find_image

    if value.isdigit():
        if inventory is None:
            raise SettingsError(
                f"--channel {name}={value} names an image of a study by its index: give the study, too."
            )
        return inventory.one(int(value), where="The study")
    return find_image(Path(value), allow_gap=allow_gap)


def _recognized(
    channel: ChannelFacts, inventory: Inventory, facts: SegmentationFacts, allow_gap: bool
) -> tuple[InventoryItem, str] | None:
    usable = [item for item in inventory.usable(allow_gap=allow_gap) if not item.is_radiograph]
    if channel.kind in ("mr", "ct"):
        of_modality = [item for item in usable if item.modality in (channel.modality, None)]
        if len(of_modality) == 1:
            return of_modality[0], f"{channel.name} is {_place(of_modality[0])}, the only {channel.modality}"
        return None
    if len(facts.channels) == 1 and len(usable) == 1:
        return usable[0], f"{channel.name} is {_place(usable[0])}, the only image"
    known = [found for item in usable if (found := facts_of(item)) is not None]
    choice = {str(kind): found for kind, found in chosen_series(known).items()}.get(channel.kind)
    if choice is None:
        return None
    return next(item for item in usable if item.index == choice.index), choice.words


def _place(item: InventoryItem) -> str:
    return f"image {item.index}" if item.kind.startswith("dicom") else item.label


def _require_one_patient(items: Mapping[str, InventoryItem]) -> None:
    """Refuse channels of different patients; whose they are is compared hashed, and never said."""
    from medgan.formats.pseudonym import PseudonymKey

    key = PseudonymKey.of_this_run()
    subjects = {name: item.pseudonyms(key)["subject_id"] for name, item in items.items()}
    known = {name: subject for name, subject in subjects.items() if subject is not None}
    if len(set(known.values())) > 1:
        first = next(iter(known))
        others = [name for name, subject in known.items() if subject != known[first]]
        raise InferenceError(
            f"All channels must be of one patient: {', '.join(others)} is of another patient than {first}, by the "
            "headers. Check which images were named."
        )
