"""One slice as its header describes it: place, meaning and labels; a classic file has one, a multi-frame file many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_file import DicomFile
from medgan.formats.dicom_header import Header
from medgan.formats.dicom_labels import Label, labels_of

Six = tuple[float, float, float, float, float, float]
Three = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class FrameView:
    """Attributes of one frame: its own functional groups, then those that all frames share, then the file's.

    Parameters
    ----------
    own, shared : Header or None
        Items of the functional group sequences; None in a classic file.
    top : Header
    """

    own: Header | None
    shared: Header | None
    top: Header

    def holder(self, tag: int, group: int | None = None) -> Header | None:
        """Return the data set that holds an attribute: the item of a functional group, or the file's own."""
        if group is not None:
            for groups in (self.own, self.shared):
                items = groups.items(group) if groups is not None else ()
                if items and items[0].data(tag) is not None:
                    return items[0]
        return self.top if self.top.data(tag) is not None else None

    def numbers(self, tag: int, group: int | None = None, count: int | None = None) -> tuple[float, ...] | None:
        """Return the numbers of an attribute."""
        holder = self.holder(tag, group)
        return None if holder is None else holder.numbers(tag, count)

    def number(self, tag: int, group: int | None = None) -> float | None:
        """Return the first number of an attribute."""
        holder = self.holder(tag, group)
        return None if holder is None else holder.number(tag)

    def text(self, tag: int, group: int | None = None) -> str:
        """Return the text of an attribute."""
        holder = self.holder(tag, group)
        return "" if holder is None else holder.text(tag)


@dataclass(frozen=True, eq=False)
class DicomFrame:
    """One slice.

    Parameters
    ----------
    file : DicomFile
    index : int
        Frame within the file, from 0.
    rows, columns : int or None
        Of the slice, which may be a tile of a mosaic.
    tile : (row, column) or None
        First pixel of the slice within a mosaic.
    orientation : six float or None
        Unit vectors along a row and down a column, LPS.
    position : three float or None
        Center of the first pixel in mm, LPS.
    pixel_spacing : (row, column) or None
        Distance in mm between rows, and between columns.
    slope, intercept : float or None
        None where the file has none, NaN where it has one that is no number.
    has_other_unit : bool
        The rescaled values are said to be something else than HU.
    labels : mapping of str to Label
        What the slice shares with the others of its stack.
    """

    file: DicomFile
    index: int
    rows: int | None
    columns: int | None
    tile: tuple[int, int] | None
    orientation: Six | None
    position: Three | None
    pixel_spacing: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    has_other_unit: bool
    labels: Mapping[str, Label]


def frame_of(file: DicomFile, view: FrameView, index: int) -> DicomFrame:
    """Return one slice of a file, without judging it."""
    unit = view.text(tags.RESCALE_TYPE, tags.PIXEL_TRANSFORMATION).upper()
    return DicomFrame(
        file=file,
        index=index,
        rows=file.pixels.rows,
        columns=file.pixels.columns,
        tile=None,
        orientation=view.numbers(tags.IMAGE_ORIENTATION, tags.PLANE_ORIENTATION, 6),  # type: ignore[arg-type]
        position=view.numbers(tags.IMAGE_POSITION, tags.PLANE_POSITION, 3),  # type: ignore[arg-type]
        pixel_spacing=view.numbers(tags.PIXEL_SPACING, tags.PIXEL_MEASURES, 2),  # type: ignore[arg-type]
        slope=_scale(view, tags.RESCALE_SLOPE),
        intercept=_scale(view, tags.RESCALE_INTERCEPT),
        # US means unspecified, which is what many converters write for HU.
        has_other_unit=not (unit.startswith(("HU", "HOUNS")) or unit in ("", "US")),
        labels=labels_of(view, folder=file.stored.folder),
    )


def _scale(view: FrameView, tag: int) -> float | None:
    if view.holder(tag, tags.PIXEL_TRANSFORMATION) is None:
        return None
    value = view.number(tag, tags.PIXEL_TRANSFORMATION)
    return nan if value is None else value
