"""One image of an inventory: what its header says, and its voxels when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from medgan.errors import FormatError
from medgan.formats.files import ImageFile
from medgan.formats.finding import RADIOGRAPH, Finding, Verdict
from medgan.formats.pseudonym import PseudonymKey
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
    def shape(self) -> tuple[int, int, int] | tuple[int, int] | None:
        """Number of voxels along each axis; rows and columns of a radiograph."""
        return self.finding.shape if self.grid is None else self.grid.shape

    @property
    def spacing(self) -> tuple[float, float, float] | tuple[float, float] | None:
        """Distance between neighboring voxels along each axis; between rows and columns of a radiograph."""
        return self.finding.spacing if self.grid is None else self.grid.spacing

    @property
    def spacing_unit(self) -> str | None:
        """Unit of :attr:`spacing`."""
        if self.grid is None:
            return None if self.finding.spacing is None else "mm"
        return self.grid.unit

    @property
    def orientation(self) -> str | None:
        """Where the array axes point, such as ``LPS``; None of a specimen."""
        return None if self.grid is None or self.grid.frame == "specimen" else axis_codes(self.grid)

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

    @property
    def is_radiograph(self) -> bool:
        """Whether it is one projection, no volume."""
        return self.kind == RADIOGRAPH

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

    def pseudonyms(self, key: PseudonymKey) -> dict[str, str | None]:
        """Return ``subject_id`` and ``case_id``: pseudonyms of patient and study, None where the format names none."""
        identity = self.finding.identity
        if identity is None:
            return {"subject_id": None, "case_id": None}
        return {"subject_id": key.subject_of(identity), "case_id": key.case_of(identity)}

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
