"""The channels of one study for a segmentation model: found in DICOM, or named one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medgan.cohort import Case
from medgan.commands.console import Console
from medgan.commands.prostate_channels import chosen_series, facts_of, kind_of
from medgan.errors import FormatError, InferenceError, SettingsError
from medgan.formats import Inventory, InventoryItem
from medgan.volume import Quantity

if TYPE_CHECKING:
    from medgan.formats.pseudonym import PseudonymKey
    from medgan.inference.segmentation_facts import ChannelFacts, SegmentationFacts


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
                "A channel is given as NAME=INDEX, NAME=FILE or NAME=FOLDER#INDEX with a name of "
                f"{', '.join(known)}: found {text!r}."
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
    named : mapping of channel to an index of the study's images, a path, or a path, # and the index of an image in it
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
        items[channel.name], choices[channel.name] = item, f"{channel.name} is {_place(item)}{_stated(item)}, as given"
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
    studies = _require_one_patient(items, inventory if len(items) > len(named) else None)
    for words in choices.values():
        console.notice(words)
    case = Case("study", "study")
    if studies is not None:
        case = case.with_notice(studies)
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
    path, series = Path(value), None
    folder, mark, index = value.rpartition("#")
    if mark and index.isdigit() and not path.exists():
        path, series = Path(folder), int(index)
    return find_image(path, series=series, allow_gap=allow_gap, option=f"--channel {name}={path.name}#N")


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


def _stated(item: InventoryItem) -> str:
    """Return what the headers of a named image say that it is, in words; it is shown, not judged."""
    facts = facts_of(item)
    known = None if facts is None else kind_of(facts)
    if facts is None or known is None:
        return ""
    b = f", b {facts.b_value:g} s/mm2" if known[0] == "dwi" and facts.b_value is not None else ""
    return f" ({known[0]}{b}, by its {known[1]})"


def _require_one_patient(items: Mapping[str, InventoryItem], searched: Inventory | None) -> str | None:
    """Refuse channels of different patients, and return what is to be said of different studies of one.

    Whose they are is compared hashed, and never said. Where channels were searched for, everything that could have been
    chosen must be of one patient, too.
    """
    from medgan.formats.pseudonym import PseudonymKey

    key = PseudonymKey.of_this_run()
    if searched is not None:
        patients = {item.pseudonyms(key)["subject_id"] for item in searched.items} - {None}
        if len(patients) > 1:
            raise InferenceError(
                f"A study of one patient is needed to find channels in: it holds images of {len(patients)} patients. "
                "Pass the folder of one of them, or name every image with --channel."
            )
    if (others := _apart(items, key, "subject_id")) is not None:
        raise InferenceError(
            f"All channels must be of one patient: {', '.join(others[1])} is of another patient than {others[0]}, by "
            "the headers. Check which images were named."
        )
    if (others := _apart(items, key, "case_id")) is not None:
        return (
            f"{', '.join(others[1])} is of another study than {others[0]}, by the headers: the patient may have moved "
            "in between."
        )
    return None


def _apart(items: Mapping[str, InventoryItem], key: PseudonymKey, name: str) -> tuple[str, list[str]] | None:
    """Return the first channel whose owner is known and those of another owner; None where there is but one."""
    owners = {channel: item.pseudonyms(key)[name] for channel, item in items.items()}
    known = {channel: owner for channel, owner in owners.items() if owner is not None}
    first = next(iter(known), None)
    others = [channel for channel, owner in known.items() if first is not None and owner != known[first]]
    return None if first is None or not others else (first, others)
