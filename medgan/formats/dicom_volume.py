"""Read the voxels of a judged stack, slice by slice and in parallel, into one float32 volume."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.decoder_process import DecoderPool
from medgan.formats.dicom_file import DicomFile
from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_gate import Judgement
from medgan.formats.dicom_pixels import FramePixels
from medgan.formats.dicom_placement import Placement
from medgan.formats.dicom_requirements import listed, name_of_frame
from medgan.formats.files import ImageFile
from medgan.formats.stored_image import says_synthetic
from medgan.volume import Provenance, Quantity, Volume

_THREADS = 4
_SLICES_A_THREAD = 8
LEAST_TISSUE_HU, MOST_TISSUE_HU = -500.0, 3000.0
"""Padding that would mean HU in this range is not believed: it would erase measurements."""
OUTSIDE_SHARE = 1e-3
"""Share of voxels that must have exactly the lowest value below -1024 HU for it to count as padding."""

Give = Callable[[DicomFrame, npt.NDArray[np.float32]], None]
"""Takes the values of one slice."""


@dataclass(frozen=True, eq=False)
class DicomStackSource:
    """The voxels of a stack, still in its files.

    Parameters
    ----------
    judgement : Judgement
        With a placement.
    modality : str or None
    """

    judgement: Judgement
    modality: str | None
    notices: tuple[str, ...] = ()

    def read(self, *, name: str, quantity: Quantity, allow_gap: bool, assume_axes: bool) -> ImageFile:
        """Read, rescale and pad.

        Parameters
        ----------
        name : str
            Name of the image for messages and outputs.
        quantity : Quantity
        allow_gap : bool
            Interpolate one missing slice.
        assume_axes : bool
            Of no effect: DICOM says where its axes point.

        Raises
        ------
        FormatError
            If pixels are damaged, or different slices share a position.
        """
        found = self.judgement.placement
        if found is None or (found.gap and not allow_gap):
            raise FormatError(f"{name}: {self.judgement.refusal}")
        try:
            with warnings.catch_warnings():
                # pydicom and its decoders warn about what was judged here already.
                warnings.simplefilter("ignore")
                decoded = _decoded(self.judgement.slices, found, quantity)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from None
        array = decoded.array
        notices = [*self.notices, *self.judgement.corrections]
        if decoded.dropped:
            notices.append(
                f"{len(decoded.dropped)} slices were dropped, identical to others: {listed(decoded.dropped)}."
            )
        provenance = Provenance(decoded.digests, is_synthetic=self._is_marked_synthetic())
        if found.missing is not None:
            array[found.missing] = quantity.outside
        # Before a slice is made of its neighbors: no value lies between tissue and padding.
        padded = decoded.padded + lowest_as_padding(array, quantity)
        if found.missing is not None:
            array[found.missing] = (array[found.missing - 1] + array[found.missing + 1]) * np.float32(0.5)
            provenance = provenance.then("interpolate_missing_slice", index=found.missing)
            notices.append(f"Slice {found.missing + 1} of {len(array)} is missing: it was interpolated.")
        if padded:
            notices.append(f"{padded} voxels are padding, not measured: they were set to {quantity.outside:g}.")
        notices += _doubtful_padding(self.judgement.slices[0][0], quantity)
        volume = Volume(array.transpose(2, 1, 0), found.grid, quantity, provenance)
        return ImageFile(volume, tuple(notices), provenance.is_synthetic, self.modality, name)

    def _is_marked_synthetic(self) -> bool:
        files = {id(group[0].file): group[0].file for group in self.judgement.slices}
        return any(_says_synthetic(file) for file in files.values())


@dataclass(frozen=True, eq=False)
class _Decoded:
    """(slice, row, column) values, how many are padding, names of dropped copies, and digests of the files."""

    array: npt.NDArray[np.float32]
    padded: int
    dropped: list[str]
    digests: tuple[str, ...]


def _decoded(slices: Sequence[Sequence[DicomFrame]], placement: Placement, quantity: Quantity) -> _Decoded:
    columns, rows, count = placement.grid.shape
    try:
        array = np.empty((count, rows, columns), np.float32)
    except MemoryError:
        gigabytes = count * rows * columns * 4 / 2**30
        raise FormatError(f"The image needs {gigabytes:.1f} GiB of memory, more than there is.") from None
    place_of = {id(group[0]): place for place, group in zip(placement.places, slices)}
    by_file: dict[int, list[DicomFrame]] = defaultdict(list)
    for group in slices:
        by_file[id(group[0].file)].append(group[0])

    def keep(frame: DicomFrame, values: npt.NDArray[np.float32]) -> None:
        array[place_of[id(frame)]] = values

    threads = max(1, min(_THREADS, os.cpu_count() or 1, len(slices) // _SLICES_A_THREAD))
    with ThreadPoolExecutor(threads) as pool, DecoderPool(threads) as decoders:

        def read(frames: Sequence[DicomFrame], give: Give, mapped: Callable[..., Iterable[int]]) -> tuple[str, int]:
            return _read_file(frames, quantity, decoders, give, mapped)

        if len(by_file) == 1:
            (frames,) = by_file.values()
            outcomes = [read(frames, keep, pool.map)]
        else:
            outcomes = list(pool.map(lambda frames: read(frames, keep, map), by_file.values()))
        digests = [digest for digest, _ in outcomes]
        dropped = []

        def compare(frame: DicomFrame, values: npt.NDArray[np.float32]) -> None:
            first, place = original[id(frame)]
            if not np.array_equal(values, array[place]):
                raise FormatError(
                    f"Two different slices lie at one position: {name_of_frame(first)} and {name_of_frame(frame)}. "
                    "Remove the one that does not belong to this volume."
                )

        original = {id(copy): (group[0], place) for place, group in zip(placement.places, slices) for copy in group[1:]}
        for copy in (copy for group in slices for copy in group[1:]):
            digests.append(read([copy], compare, map)[0])
            dropped.append(name_of_frame(copy))
    return _Decoded(array, sum(padded for _, padded in outcomes), dropped, tuple(dict.fromkeys(digests)))


def _read_file(
    frames: Sequence[DicomFrame],
    quantity: Quantity,
    decoders: DecoderPool,
    give: Give,
    mapped: Callable[..., Iterable[int]],
) -> tuple[str, int]:
    """Decode slices of one file, give each away, and return the file's digest and how many pixels were padding."""
    data = frames[0].file.stored.content()
    pixels = FramePixels(frames[0].file, data, decoders)
    by_index: dict[int, list[DicomFrame]] = defaultdict(list)
    for frame in frames:
        by_index[frame.index].append(frame)

    def decode(index: int) -> int:
        plane, padded = pixels.frame(index), 0
        for frame in by_index[index]:
            row, column = frame.tile or (0, 0)
            tile = plane[row : row + (frame.rows or 0), column : column + (frame.columns or 0)]
            values, count = rescaled(tile, frame, quantity)
            give(frame, values)
            padded += count
        return padded

    return hashlib.sha256(data).hexdigest(), sum(mapped(decode, by_index))


def rescaled(
    plane: npt.NDArray[np.integer[Any]], frame: DicomFrame, quantity: Quantity
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the values of a slice, and how many of them stand for no measurement and were set outside."""
    slope = 1.0 if frame.slope is None else frame.slope
    intercept = 0.0 if frame.intercept is None else frame.intercept
    # One slice in float64 is exact for any slope, and small.
    values = (plane * slope + intercept).astype(np.float32)
    padding = frame.file.pixels.padding
    if padding is None or _doubtful_padding(frame, quantity):
        return values, 0
    is_padding = (plane >= padding[0]) & (plane <= padding[1])
    values[is_padding] = quantity.outside
    return values, int(np.count_nonzero(is_padding))


def _doubtful_padding(frame: DicomFrame, quantity: Quantity) -> list[str]:
    """Return a notice where the padding value is one that tissue has as well."""
    padding = frame.file.pixels.padding
    if padding is None or quantity is not Quantity.HOUNSFIELD:
        return []
    hounsfield = padding[1] * (frame.slope or 1.0) + (frame.intercept or 0.0)
    if hounsfield <= LEAST_TISSUE_HU or hounsfield > MOST_TISSUE_HU:
        return []
    return [f"The padding value of the header means {hounsfield:g} HU, which tissue has as well: it was ignored."]


def lowest_as_padding(array: npt.NDArray[np.float32], quantity: Quantity) -> int:
    """Raise what lies below -1024 HU all at one value, as scanners fill outside their circle; return how many."""
    if quantity is not Quantity.HOUNSFIELD:
        return 0
    lowest = array.min()
    if not lowest < quantity.outside:
        return 0
    is_lowest = array == lowest
    count = int(np.count_nonzero(is_lowest))
    if count < OUTSIDE_SHARE * array.size:
        return 0
    array[is_lowest] = quantity.outside
    return count


def _says_synthetic(file: DicomFile) -> bool:
    header = file.header
    texts = [header.text(tag) for tag in (tags.SERIES_DESCRIPTION, tags.DERIVATION_DESCRIPTION, tags.IMAGE_COMMENTS)]
    return header.text(tags.SYNTHETIC_DATA).upper() == "YES" or says_synthetic(*texts)
