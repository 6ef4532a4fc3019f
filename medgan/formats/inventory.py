"""What is in a folder, archive or file: every image with a verdict, from headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medgan.errors import FormatError
from medgan.formats.files import ImageFile, is_supported, kind_of, stem_of
from medgan.formats.finding import Finding, OtherObject, Progress, Verdict
from medgan.geometry import Grid, axis_codes
from medgan.volume import Quantity

QUANTITIES = {"CT": Quantity.HOUNSFIELD, "MR": Quantity.MR_SIGNAL}
"""What an image of a modality measures, where nothing else is said."""


@dataclass(frozen=True, eq=False)
class InventoryItem:
    """One image of an inventory.

    Parameters
    ----------
    index : int
        From 1; what ``--series N`` means everywhere.
    name : str
        ``mr_series01`` for DICOM, from modality and index; the file's stem for other formats. Never text of a header.
    finding : Finding
    notices : tuple of str
        What is to be said when it is read, about its surroundings.
    """

    index: int
    name: str
    finding: Finding = field(repr=False)
    notices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What kind of image it is, see :class:`Finding`."""
        return self.finding.kind

    @property
    def modality(self) -> str | None:
        """Modality code such as CT or MR, None where the format does not say."""
        return self.finding.modality

    @property
    def label(self) -> str:
        """Name in messages: that of the file where there is one, else :attr:`name`."""
        return self.finding.label or self.name

    @property
    def grid(self) -> Grid | None:
        """Where the voxels lie; None where the headers do not say."""
        return self.finding.grid

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Number of voxels along each axis."""
        return self.finding.shape if self.grid is None else self.grid.shape

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Distance between neighboring voxels along each axis."""
        return None if self.grid is None else self.grid.spacing

    @property
    def spacing_unit(self) -> str | None:
        """Unit of :attr:`spacing`."""
        return None if self.grid is None else self.grid.unit

    @property
    def orientation(self) -> str | None:
        """Where the array axes point, such as ``LPS``."""
        return None if self.grid is None else axis_codes(self.grid)

    @property
    def affine(self) -> list[list[float]] | None:
        """Four rows that map voxel indices to RAS+."""
        return None if self.grid is None else self.grid.affine.tolist()

    @property
    def verdict(self) -> Verdict:
        """``accepted``, ``corrected`` or ``refused``."""
        return self.finding.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why: one sentence for each thing that was corrected, or for which it is refused."""
        return self.finding.reasons

    @property
    def files(self) -> int:
        """Number of files that take part."""
        return self.finding.files

    def is_usable(self, *, allow_gap: bool = False) -> bool:
        """Tell whether :meth:`read` may be tried; ``allow_gap`` lets a stack in that misses one slice."""
        return self.verdict != "refused" or (allow_gap and self.finding.has_gap)

    def read(
        self, *, quantity: Quantity | None = None, allow_gap: bool = False, assume_axes: bool = False
    ) -> ImageFile:
        """Read the voxels.

        Parameters
        ----------
        quantity : Quantity, optional
            What the values mean; from the modality if not given (CT in HU, MR signal).
        allow_gap : bool
            Interpolate one missing slice, with a notice.
        assume_axes : bool
            Go on with a file that does not say where its axes point, with a notice.

        Raises
        ------
        FormatError
            If the image is refused, by its headers or by what only its voxels show.
        """
        source = self.finding.source
        if source is None or not (self.is_usable(allow_gap=allow_gap) or assume_axes):
            raise FormatError(self.refusal)
        meaning = quantity or QUANTITIES.get(self.modality or "")
        if meaning is None:
            raise FormatError(f"{self.label}: what the values of this image mean is not known: name the quantity.")
        file = source.read(name=self.name, quantity=meaning, allow_gap=allow_gap, assume_axes=assume_axes)
        return replace(file, notices=(*self.notices, *file.notices))

    @property
    def refusal(self) -> str:
        """All reasons in one message that begins with the item's label."""
        words = " ".join(self.reasons)
        return words if words.startswith(self.label) else f"{self.label}: {words}"

    def as_dict(self) -> dict[str, Any]:
        """Return what is known as JSON values; every key is always there."""
        return {
            "index": self.index,
            "name": self.name,
            "kind": self.kind,
            "modality": self.modality,
            "shape": None if self.shape is None else list(self.shape),
            "spacing": None if self.spacing is None else list(self.spacing),
            "spacing_unit": self.spacing_unit,
            "orientation": self.orientation,
            "affine": self.affine,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "files": self.files,
        }


@dataclass(frozen=True, eq=False)
class Inventory:
    """Everything that was found.

    Parameters
    ----------
    items : tuple of InventoryItem
        The images, in an order that does not depend on the order of reading.
    other : tuple of OtherObject
        What is no volume; it counts neither as usable nor as refused.
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

    def one(self, series: int | None = None, *, allow_gap: bool = False, where: str = "The input") -> InventoryItem:
        """Return the item of this index, or the only usable one.

        Parameters
        ----------
        series : int, optional
        allow_gap : bool
        where : str
            Name of the input for messages.

        Raises
        ------
        FormatError
            If there is none, it is refused, or several are usable and none was named; the message lists them.
        """
        if series is not None:
            chosen = next((item for item in self.items if item.index == series), None)
            if chosen is None:
                raise FormatError(f"{where} has no series {series}: it has {self._choices(self.items) or 'none'}.")
            return chosen
        usable = self.usable(allow_gap=allow_gap)
        if len(usable) == 1:
            refused = len(self.items) - 1
            # What is refused may be a slice of what is taken.
            words = f"{refused} other image(s) beside it are refused: medgan inspect says why."
            return replace(usable[0], notices=(words,)) if refused else usable[0]
        if usable:
            raise FormatError(
                f"{where} holds {len(usable)} usable images, and one is needed: choose it with --series N: "
                f"{self._choices(usable)}."
            )
        if len(self.items) == 1:
            return self.items[0]
        if self.items:
            first = self.items[0]
            raise FormatError(
                f"{where} holds {len(self.items)} images, all of them refused. {first.refusal} See medgan inspect for "
                "the others."
            )
        raise FormatError(f"{where} holds no image that medgan reads. See medgan inspect for what it holds.")

    def _choices(self, items: Sequence[InventoryItem]) -> str:
        return ", ".join(f"{item.index} ({_described(item)})" for item in items)


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
    path: str | Path, *, series: int | None = None, allow_gap: bool = False, progress: Progress | None = None
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
    return take_inventory([path], progress=progress).one(series, allow_gap=allow_gap, where=where)


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
