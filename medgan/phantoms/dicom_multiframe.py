"""All slices of a series in one file: enhanced multi-frame CT and MR objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.errors import VolumeError
from medgan.phantoms.dicom_file import DicomFile, set_element
from medgan.phantoms.dicom_series import DicomSeries
from medgan.phantoms.dicom_slices import new_uid, orientation_of, position_of

if TYPE_CHECKING:
    from pydicom import Dataset

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"

_PER_FRAME = (
    "AcquisitionNumber",
    "DiffusionBValue",
    "EchoNumbers",
    "EchoTime",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "InstanceNumber",
    "KVP",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SliceLocation",
    "SliceThickness",
    "TemporalPositionIdentifier",
)
"""Elements of a slice that stand in functional groups of a multi-frame object, or nowhere."""


@dataclass(frozen=True)
class Enhanced:
    """One enhanced multi-frame object instead of a file a slice.

    Parameters
    ----------
    is_shuffled : bool
        Store the frames in random order.
    is_shared : bool
        Put what all frames have in common into the shared groups (as Philips does), else into each frame's (Siemens).

    Notes
    -----
    Plant it after everything that makes stacks, moves slices or changes their scaling, and before compression. Stacks
    are numbered by orientation; frames of one stack at one position differ in echo, b-value or time. Only the
    functional groups that say where a frame lies and what its values mean are written.
    """

    is_shuffled: bool = False
    is_shared: bool = True

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series as one file."""
        slices = list(series.slices)
        indices = _dimension_indices(slices)
        groups = [_frame_groups(file, index) for file, index in zip(slices, indices)]
        order = generator.permutation(len(slices)) if self.is_shuffled else np.arange(len(slices))
        shared = _shared_groups(groups) if self.is_shared else {}
        frames = []
        for n in order:
            own = {keyword: item for keyword, item in groups[n].items() if keyword not in shared}
            frames.append(_item({keyword: [item] for keyword, item in own.items()}))
        first = slices[0]
        multi = first.without(*_PER_FRAME).with_elements(
            SOPClassUID=ENHANCED_CT if series.header.modality == "CT" else ENHANCED_MR,
            SOPInstanceUID=new_uid(generator),
            InstanceNumber="1",
            NumberOfFrames=str(len(slices)),
            ImageType=[*list(first.dataset.ImageType)[:2], "VOLUME", "NONE"],
            AcquisitionDateTime="20200102101112",
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            BurnedInAnnotation="NO",
            LossyImageCompression="00",
            PresentationLUTShape="IDENTITY",
            SharedFunctionalGroupsSequence=[_item({keyword: [item] for keyword, item in shared.items()})],
            PerFrameFunctionalGroupsSequence=frames,
            **_dimensions(slices, generator),
        )
        pixels = [file.pixels for file in slices if file.pixels is not None]
        if len({frame.shape for frame in pixels}) != 1 or len(pixels) < len(slices):
            raise VolumeError("Frames of one file are images of one size: this series has others.")
        stacked = np.concatenate([pixels[n] for n in order])
        file = replace(multi, pixels=stacked, name="IM_0001.dcm").touched(self)
        return replace(series, slices=(file,))


_DIMENSIONS = {
    "StackID": (0x00209056, 0x00209111),
    "InStackPositionNumber": (0x00209057, 0x00209111),
    "TemporalPositionIndex": (0x00209128, 0x00209111),
    "EffectiveEchoTime": (0x00189082, 0x00189114),
    "DiffusionBValue": (0x00189087, 0x00189117),
}
"""What frames are ordered by: tag of the element and of the sequence that it stands in."""


def _dimensions(slices: Sequence[DicomFile], generator: np.random.Generator) -> dict[str, Any]:
    uid = new_uid(generator)
    third = "TemporalPositionIndex"
    for keyword, name in (("EchoTime", "EffectiveEchoTime"), ("DiffusionBValue", "DiffusionBValue")):
        if len({str(file.dataset.get(keyword)) for file in slices}) > 1:
            third = name
    indices = [
        _item(
            {
                "DimensionOrganizationUID": uid,
                "DimensionIndexPointer": _DIMENSIONS[name][0],
                "FunctionalGroupPointer": _DIMENSIONS[name][1],
                "DimensionDescriptionLabel": name,
            }
        )
        for name in ("StackID", "InStackPositionNumber", third)
    ]
    return {
        "DimensionOrganizationSequence": [_item({"DimensionOrganizationUID": uid})],
        "DimensionIndexSequence": indices,
    }


def _dimension_indices(slices: Sequence[DicomFile]) -> list[tuple[int, int, int]]:
    """Stack by orientation, position along its normal, and which of the frames there; each from 1."""
    stacks: list[tuple[float, ...]] = []
    placed: list[tuple[int, float]] = []
    for file in slices:
        axes = orientation_of(file)
        key = tuple(np.round(axes.ravel(), 4).tolist())
        if key not in stacks:
            stacks.append(key)
        placed.append((stacks.index(key) + 1, round(float(position_of(file) @ axes[2]), 3)))
    indices = []
    for n, (stack, place) in enumerate(placed):
        places = sorted({p for s, p in placed if s == stack})
        indices.append((stack, places.index(place) + 1, placed[: n + 1].count((stack, place))))
    return indices


def _frame_groups(file: DicomFile, index: tuple[int, int, int]) -> dict[str, Dataset]:
    source = file.dataset
    content = {
        "StackID": str(index[0]),
        "InStackPositionNumber": index[1],
        "TemporalPositionIndex": int(source.get("TemporalPositionIdentifier", 1)),
        "DimensionIndexValues": list(index),
        "FrameAcquisitionNumber": int(source.get("AcquisitionNumber", 1)),
        "FrameAcquisitionDateTime": "20200102101112",
    }
    groups = {
        "FrameContentSequence": _item(content),
        "PlanePositionSequence": _taken(source, "ImagePositionPatient"),
        "PlaneOrientationSequence": _taken(source, "ImageOrientationPatient"),
        "PixelMeasuresSequence": _taken(source, "PixelSpacing", "SliceThickness"),
    }
    frame_type = {
        "FrameType": [*list(source.ImageType)[:2], "VOLUME", "NONE"],
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
    }
    if "RescaleSlope" in source:
        groups["PixelValueTransformationSequence"] = _taken(source, "RescaleIntercept", "RescaleSlope", "RescaleType")
    if source.Modality == "CT":
        groups["CTImageFrameTypeSequence"] = _item(frame_type)
        return groups
    groups["MRImageFrameTypeSequence"] = _item(
        {**frame_type, "ComplexImageComponent": "MAGNITUDE", "AcquisitionContrast": "UNKNOWN"}
    )
    groups["MREchoSequence"] = _item({"EffectiveEchoTime": float(source.get("EchoTime", 10))})
    if "DiffusionBValue" in source:
        diffusion = {"DiffusionBValue": float(source.DiffusionBValue), "DiffusionDirectionality": "ISOTROPIC"}
        groups["MRDiffusionSequence"] = _item(diffusion)
    return groups


def _shared_groups(groups: Sequence[dict[str, Dataset]]) -> dict[str, Dataset]:
    return {
        keyword: item
        for keyword, item in groups[0].items()
        if all(keyword in other and other[keyword] == item for other in groups)
    }


def _taken(source: Dataset, *keywords: str) -> Dataset:
    return _item({keyword: source[keyword].value for keyword in keywords if keyword in source})


def _item(elements: dict[str, Any]) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    for keyword, value in elements.items():
        set_element(item, keyword, value)
    return item
