"""The images and labels of one acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from medgan.errors import CohortError
from medgan.volume import LabelMap, Volume


@dataclass(frozen=True, eq=False)
class Case:
    """Named volumes and label maps of one acquisition, each on its own grid, and what was noticed about them.

    Parameters
    ----------
    case_id, subject_id : str
        Pseudonyms. One subject may have several cases.
    images : mapping of str to Volume
        By name, such as ``"mr"``.
    labels : mapping of str to LabelMap
        By name, such as ``"body"``.
    notices : tuple of str
        One sentence each, for people: what a stage corrected or replaced.

    Examples
    --------
    A stage returns a changed copy and never touches its input:
    ``case.with_image("mr", flipped).with_notice("…")``.
    """

    case_id: str
    subject_id: str
    images: Mapping[str, Volume] = field(default_factory=dict)
    labels: Mapping[str, LabelMap] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", MappingProxyType(dict(self.images)))
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    @property
    def image(self) -> Volume:
        """The only image of a case that has one.

        Raises
        ------
        CohortError
            If there are none or several.
        """
        if len(self.images) != 1:
            names = ", ".join(sorted(self.images)) or "none"
            raise CohortError(f"Case {self.case_id} must have exactly one image here: found {names}.")
        return next(iter(self.images.values()))

    def with_image(self, name: str, volume: Volume) -> Case:
        """Return the case with one image added or replaced."""
        return replace(self, images={**self.images, name: volume})

    def with_label(self, name: str, labels: LabelMap) -> Case:
        """Return the case with one label map added or replaced."""
        return replace(self, labels={**self.labels, name: labels})

    def with_notice(self, sentence: str) -> Case:
        """Return the case with one more sentence for people."""
        return replace(self, notices=(*self.notices, sentence))

    def label(self, name: str) -> LabelMap:
        """Return a label map by name.

        Raises
        ------
        CohortError
            If the case has none of this name.
        """
        if name not in self.labels:
            have = ", ".join(sorted(self.labels)) or "none"
            raise CohortError(
                f"Case {self.case_id} must have the label map {name!r}: found {have}. Add the stage that makes it."
            )
        return self.labels[name]
