"""What is in a folder, archive or file: every image with a verdict, from headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medgan.errors import FormatError
from medgan.formats.files import ImageFile, is_supported, kind_of, stem_of
from medgan.formats.finding import Finding, OtherObject, Progress
from medgan.formats.inventory_item import InventoryItem
from medgan.volume import Quantity


@dataclass(frozen=True, eq=False)
class Inventory:
    """Everything that was found.

    Parameters
    ----------
    items : tuple of InventoryItem
        The images, in an order that does not depend on the order of reading.
    other : tuple of OtherObject
        What is no image to work on; it counts neither as usable nor as refused.
    """

    items: tuple[InventoryItem, ...]
    other: tuple[OtherObject, ...] = ()

    @classmethod
    def of(cls, findings: Sequence[Finding], other: Sequence[OtherObject] = ()) -> Inventory:
        """Number and name the findings in their order; a stem that occurs twice gets the index appended."""
        stems = Counter(each.stem for each in findings)
        items = []
        for index, each in enumerate(findings, start=1):
            name = f"{(each.modality or 'image').lower()}_series{index:02d}"
            if each.stem is not None:
                name = each.stem if stems[each.stem] == 1 else f"{each.stem}_{index:02d}"
            items.append(InventoryItem(index, name, each))
        return cls(tuple(items), tuple(other))

    def usable(self, *, allow_gap: bool = False) -> tuple[InventoryItem, ...]:
        """Return the items that may be read."""
        return tuple(item for item in self.items if item.is_usable(allow_gap=allow_gap))

    def one(
        self,
        series: int | None = None,
        *,
        allow_gap: bool = False,
        wants_radiograph: bool = False,
        where: str = "The input",
        option: str = "--series N",
    ) -> InventoryItem:
        """Return the item of this index, or the only usable one.

        Parameters
        ----------
        series : int, optional
        allow_gap : bool
        wants_radiograph : bool
            Choose among radiographs; else among volumes.
        where : str
            Name of the input for messages.
        option : str
            How one of several is named, for messages.

        Raises
        ------
        FormatError
            If there is none, it is refused, or several are usable and none was named; the message lists them.
        """
        if series is not None:
            chosen = next((item for item in self.items if item.index == series), None)
            if chosen is None:
                raise FormatError(f"{where} has no series {series}: it has {self._choices(self.items) or 'none'}.")
            if chosen.is_radiograph is not wants_radiograph and chosen.verdict != "refused":
                found, needed = ("radiograph", "volume") if chosen.is_radiograph else ("volume", "radiograph")
                raise FormatError(f"{chosen.label}: a {needed} is needed, and this is a {found}.")
            return chosen
        wanted = [item for item in self.items if item.is_radiograph is wants_radiograph]
        usable = [item for item in wanted if item.is_usable(allow_gap=allow_gap)]
        if len(usable) == 1:
            refused = sum(not item.is_usable(allow_gap=allow_gap) for item in self.items)
            # What is refused may be a slice of what is taken.
            words = f"{_counted(refused, 'other image')} refused beside it: medgan inspect says why."
            return replace(usable[0], notices=(words,)) if refused else usable[0]
        if usable:
            raise FormatError(
                f"{where} holds {len(usable)} usable images, and one is needed: choose it with {option}: "
                f"{self._choices(usable)}."
            )
        if len(wanted) == 1:
            return wanted[0]
        if wanted:
            raise FormatError(
                f"{where} holds {len(wanted)} images, all of them refused. {wanted[0].refusal} See medgan inspect for "
                "the others."
            )
        if self.items:
            kinds = ("volume", "radiographs") if not wants_radiograph else ("radiograph", "volumes")
            raise FormatError(f"{where} holds no {kinds[0]}, only {kinds[1]}. See medgan inspect for what it holds.")
        raise FormatError(f"{where} holds no image that medgan reads. See medgan inspect for what it holds.")

    def _choices(self, items: Sequence[InventoryItem]) -> str:
        return ", ".join(f"{item.index} ({_described(item)})" for item in items)


def _counted(number: int, what: str) -> str:
    """Return a number of things with its verb.

    Examples
    --------
    >>> _counted(1, "other image"), _counted(2, "other image")
    ('1 other image is', '2 other images are')
    """
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


def _described(item: InventoryItem) -> str:
    shape = "x".join(map(str, item.shape)) if item.shape else "unknown shape"
    label = next((reason for reason in item.reasons if reason.startswith("Stack ")), "")
    words = f"{item.modality or item.name}, {shape}"
    return f"{words}, {label.split(': ', 1)[1].rstrip('.')}" if ": " in label else words


def take_inventory(paths: Sequence[str | Path], *, progress: Progress | None = None) -> Inventory:
    """Find every image in files, folders, archives and DICOM directories, and judge each from its headers.

    Parameters
    ----------
    paths : sequence of paths
        Folders are searched to the bottom. A zip is read in place. A DICOMDIR stands for the files it lists.
    progress : callable, optional
        Told how many files are done, from the thread that called.

    Returns
    -------
    Inventory
        What voxels alone can show (duplicates, padding, damage of compressed data) is judged on reading.

    Raises
    ------
    FormatError
        If a path does not exist.
    """
    from medgan.formats.findings import found_in

    findings, other = found_in([Path(path) for path in paths], progress)
    return Inventory.of(findings, other)


def find_image(
    path: str | Path,
    *,
    series: int | None = None,
    allow_gap: bool = False,
    progress: Progress | None = None,
    option: str = "--series N",
) -> InventoryItem:
    """Return the one image at a path, without reading its voxels.

    Parameters
    ----------
    path : path
        An image file, a DICOM file, a folder, a zip or a DICOMDIR.
    series : int, optional
        Index as :func:`take_inventory` gives it; needed where there are several usable images.
    allow_gap : bool
        Count a stack that misses one slice as usable.
    progress : callable, optional
        As for :func:`take_inventory`.
    option : str
        How one of several is named, for messages.

    Returns
    -------
    InventoryItem
        An image file (NIfTI, MetaImage, NRRD) is not judged yet: reading it does that.

    Raises
    ------
    FormatError
        If there is no image, or several and none is chosen; the message lists them.
    """
    path = Path(path)
    if is_supported(path) and not path.is_dir():
        from medgan.formats.image_findings import ImageFileSource

        source = ImageFileSource(path)
        finding = Finding(kind_of(path), None, None, "accepted", (), 1, source, stem=stem_of(path), label=path.name)
        return Inventory.of([finding]).one(series, where=path.name)
    where = "The folder" if path.is_dir() else "The file"
    return take_inventory([path], progress=progress).one(series, allow_gap=allow_gap, where=where, option=option)


def open_image(
    path: str | Path,
    *,
    series: int | None = None,
    quantity: Quantity | None = None,
    assume_axes: bool = False,
    allow_gap: bool = False,
) -> ImageFile:
    """Read the one image at a path: :func:`find_image`, then :meth:`InventoryItem.read`.

    Raises
    ------
    FormatError
        If there is no image or several, if it is refused, or if what its values mean is neither said nor known.
    """
    item = find_image(path, series=series, allow_gap=allow_gap)
    return item.read(quantity=quantity, allow_gap=allow_gap, assume_axes=assume_axes)
