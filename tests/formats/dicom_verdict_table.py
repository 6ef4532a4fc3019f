"""What is planted in a series and the verdict on it, written down before a reader was run on any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from dicom_phantoms import (
    AXIAL,
    CORONAL,
    OBLIQUE,
    SAGITTAL,
    affine_of,
    coded,
    mr,
)

from medgan.phantoms import dicom_header_faults as header_faults
from medgan.phantoms.dicom_baggage import IconImage, LongPrivate, LostVr, OpenSequences, TrailingPadding
from medgan.phantoms.dicom_companions import JunkFiles, Localizer, OtherObject, SecondaryCapture, SecondSeries
from medgan.phantoms.dicom_geometry_faults import (
    ConflictingSlice,
    Drift,
    DuplicateSlice,
    GantryTilt,
    MissingSlice,
    MixedPixelSpacing,
    OnePosition,
    Positioned,
    TwoOrientations,
    TwoSpacings,
    UnevenSpacing,
)
from medgan.phantoms.dicom_header_faults import (
    AlteredElement,
    EmptyClassInMeta,
    ImagerSpacing,
    LongDecimals,
    OtherEncoding,
    OtherNames,
    ShuffledOrder,
    UnknownSyntax,
    WithoutElements,
    WithoutPreamble,
)
from medgan.phantoms.dicom_mosaic import SiemensMosaic
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import (
    Compressed,
    GarbageHighBits,
    MixedMatrix,
    PaddingOutsideCircle,
    PerSliceRescale,
    RgbPixels,
    TruncatedPixels,
)
from medgan.phantoms.dicom_slices import PixelForm
from medgan.phantoms.dicom_stacks import (
    SeveralAcquisitions,
    SeveralBValues,
    SeveralEchoes,
    SeveralImageTypes,
    TemporalPositions,
    UnlabeledRepeats,
)
from medgan.volume import Quantity, Volume


def ct() -> Volume:
    return coded()


def low_ct() -> Volume:
    return coded(most=4000)


def long_ct() -> Volume:
    return coded(shape=(4, 3, 101))


def cube_mr() -> Volume:
    return coded(Quantity.MR_SIGNAL, shape=(6, 6, 6), affine=affine_of(spacing=(2, 2, 2)))


@dataclass(frozen=True)
class Right:
    """The truth comes back, voxel by voxel.

    ``verdict`` is the inventory's; ``words`` stand in the reasons or in the notices of reading; ``items`` is how many
    of the series' stacks the inventory lists (all of the truth).
    """

    faults: tuple
    volume: Callable[[], Volume] = ct
    verdict: str = "accepted"
    words: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """Refused, by the inventory or at the latest on reading, in words; the touched files are named."""

    faults: tuple
    volume: Callable[[], Volume] = ct
    words: tuple[str, ...] = ()
    named: type | None = None
    when: str = "inventory"
    options: dict = field(default_factory=dict)


RIGHT = {
    "clean CT": Right(()),
    "clean MR": Right((), mr),
    "signed pixels": Right((), options={"pixel_form": PixelForm(16, True, 1.0, 0.0)}),
    "signed 12 bits": Right((), low_ct, options={"pixel_form": PixelForm(12, True, 1.0, 1024.0)}),
    "8 bits": Right((), lambda: coded(Quantity.MR_SIGNAL, most=250), options={"pixel_form": PixelForm(8)}),
    "shuffled": Right((ShuffledOrder(),)),
    "per-slice rescale": Right((PerSliceRescale(),)),
    "per-slice rescale of MR": Right((PerSliceRescale(),), mr),
    "implicit VR": Right((OtherEncoding("implicit"),)),
    "big-endian": Right((OtherEncoding("big-endian"),)),
    "big-endian, signed": Right((OtherEncoding("big-endian"),), options={"pixel_form": PixelForm(16, True, 1.0, 0.0)}),
    "deflated": Right((OtherEncoding("deflated"),)),
    "long decimals": Right((LongDecimals(),), lambda: coded(affine=affine_of(turn=OBLIQUE))),
    "empty class": Right((EmptyClassInMeta(),)),
    "no preamble": Right((WithoutPreamble(),)),
    "RLE": Right((Compressed("rle"),)),
    "JPEG lossless": Right((Compressed("jpeg-lossless"),)),
    "JPEG lossless, first order": Right((Compressed("jpeg-lossless-first-order"),)),
    "JPEG-LS": Right((Compressed("jpeg-ls"),)),
    "JPEG 2000": Right((Compressed("jpeg-2000"),)),
    "JPEG 2000, signed": Right((Compressed("jpeg-2000"),), options={"pixel_form": PixelForm(16, True, 1.0, 0.0)}),
    "JPEG-LS, signed": Right((Compressed("jpeg-ls"),), options={"pixel_form": PixelForm(16, True, 1.0, 0.0)}),
    "JPEG lossless, signed": Right(
        (Compressed("jpeg-lossless"),), options={"pixel_form": PixelForm(16, True, 1.0, 0.0)}
    ),
    "RLE, signed": Right((Compressed("rle"),), options={"pixel_form": PixelForm(16, True, 1.0, 0.0)}),
    **{
        f"{code}, signed 12 bits": Right(
            (Compressed(code),), low_ct, options={"pixel_form": PixelForm(12, True, 1.0, 1024.0)}
        )
        for code in ("rle", "jpeg-ls", "jpeg-lossless", "jpeg-lossless-first-order")
    },
    **{
        f"{code}, 12 bits": Right(
            (Compressed(code),), low_ct, options={"pixel_form": PixelForm(12, False, 1.0, -1024.0)}
        )
        for code in ("rle", "jpeg-ls", "jpeg-lossless", "jpeg-lossless-first-order")
    },
    "icons": Right((IconImage(),)),
    "icons, open sequences": Right((IconImage(), OpenSequences())),
    "long private element": Right((LongPrivate(),)),
    "lost VRs": Right((LostVr(),)),
    "lost VRs, big-endian": Right((LostVr(), OtherEncoding("big-endian"))),
    "trailing padding": Right((TrailingPadding(),)),
    "all baggage": Right((LongPrivate(), IconImage(), OpenSequences(), TrailingPadding(), ShuffledOrder())),
    "all baggage, implicit VR": Right((LongPrivate(), IconImage(), OpenSequences(), OtherEncoding("implicit"))),
    "all baggage, RLE": Right((LongPrivate(), IconImage(), OpenSequences(), Compressed("rle"))),
    "enhanced, open sequences": Right((Enhanced(is_shuffled=True), OpenSequences(), IconImage())),
    "enhanced, open, implicit": Right((Enhanced(is_shuffled=True), OpenSequences(), OtherEncoding("implicit"))),
    "garbage above the bits": Right((GarbageHighBits(),), low_ct),
    "garbage above signed bits": Right(
        (GarbageHighBits(),), lambda: coded(most=2000), options={"pixel_form": PixelForm(16, True, 1.0, 1024.0)}
    ),
    "garbage, big-endian": Right((GarbageHighBits(), OtherEncoding("big-endian")), low_ct),
    "garbage, RLE": Right((GarbageHighBits(), Compressed("rle")), low_ct),
    "tilt": Right((GantryTilt(),), verdict="corrected", words=("tilt", "15")),
    "tilt without its tag": Right((GantryTilt(is_tagged=False),), verdict="corrected", words=("tilt", "15")),
    "tilt the other way, oblique": Right(
        (GantryTilt(-22.0), ShuffledOrder()),
        lambda: coded(affine=affine_of(turn=OBLIQUE)),
        verdict="corrected",
        words=("tilt", "22"),
    ),
    "padding": Right((PaddingOutsideCircle(),), words=("-1024", "24")),
    "padding without its tag": Right((PaddingOutsideCircle(is_tagged=False),), words=("-1024", "24")),
    "padding with a range": Right((PaddingOutsideCircle(range_limit=-1990),), words=("-1024", "24")),
    "duplicate": Right((DuplicateSlice(),), verdict="corrected", words=("twice|duplicate|identical|same",)),
    "duplicate of a file": Right(
        (DuplicateSlice(is_same_instance=True),), verdict="corrected", words=("twice|duplicate|identical|same",)
    ),
    "small drift": Right((Drift(0.03),), long_ct),
    "oblique": Right((), lambda: coded(affine=affine_of(turn=OBLIQUE))),
    "sagittal": Right((), lambda: coded(affine=affine_of(turn=SAGITTAL))),
    "coronal": Right((), lambda: coded(affine=affine_of(turn=CORONAL))),
    "mirrored": Right((), lambda: coded(affine=affine_of())),
    "slices against the normal": Right((), lambda: coded(affine=affine_of(turn=AXIAL @ np.diag([1, 1, -1])))),
    "pixels of 2.5 x 0.4 mm": Right((), lambda: coded(affine=affine_of(turn=AXIAL, spacing=(2.5, 0.4, 7)))),
    "larger at the detector": Right((ImagerSpacing(),)),
    **{p: Right((Positioned(p),)) for p in ("HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL")},
    "turned and tilted": Right((Positioned("FFDR"), GantryTilt(11.0)), verdict="corrected", words=("tilt",)),
    "two orientations": Right((TwoOrientations(),), words=("axial", "sagittal")),
    "two orientations, shuffled": Right((TwoOrientations(), ShuffledOrder())),
    "echoes": Right((SeveralEchoes(),), mr, words=("10 ms|echo 1", "80 ms|echo 2")),
    "interleaved echoes": Right((SeveralEchoes(is_interleaved=True), ShuffledOrder()), mr),
    **{
        f"b-values, {place}": Right(
            (SeveralBValues((0, 50, 1000), place),), mr, words=("b-value 0 ", "b-value 50 ", "b-value 1000 ")
        )
        for place in ("standard", "siemens", "siemens-bytes", "sequence-name", "ge", "philips")
    },
    "b-values, implicit VR": Right(
        (SeveralBValues(place="siemens"), OtherEncoding("implicit")), mr, words=("b-value 400",)
    ),
    "b-values, philips, implicit VR": Right(
        (SeveralBValues(place="philips"), OtherEncoding("implicit")), mr, words=("b-value 400",)
    ),
    "b-values, shuffled": Right((SeveralBValues(is_interleaved=True), ShuffledOrder()), mr),
    "times": Right((TemporalPositions(),), mr, words=("temporal position",)),
    "times, interleaved": Right((TemporalPositions(is_interleaved=True), ShuffledOrder()), mr),
    "trigger times": Right((TemporalPositions(tag="trigger"),), mr),
    "acquisition times": Right((TemporalPositions(tag="time"),), mr),
    "acquisitions": Right((SeveralAcquisitions(),)),
    "image types": Right((SeveralImageTypes(),), mr, words=("image type M", "image type P")),
    "echoes of b-values": Right((SeveralBValues((0, 50), step=1000), SeveralEchoes()), mr),
    "second series": Right((SecondSeries(),)),
    "second series, shuffled": Right((SecondSeries(), ShuffledOrder())),
    "localizer beside": Right((Localizer(),), other=("localizer",)),
    "screenshot beside": Right((SecondaryCapture(),), other=("",)),
    **{f"{kind} beside": Right((OtherObject(kind),), other=("",)) for kind in ("report", "structures", "document")},
    "presentation beside": Right((OtherObject("presentation"),), other=("presentation",)),
    "junk beside": Right((JunkFiles(),)),
    "all beside": Right(
        (Localizer(), SecondaryCapture(), OtherObject(), JunkFiles(), ShuffledOrder()),
        other=("localizer", "", "report"),
    ),
    "no extension": Right((OtherNames(),)),
    "enhanced CT": Right((Enhanced(),)),
    "enhanced MR": Right((Enhanced(),), mr),
    "enhanced, shuffled": Right((Enhanced(is_shuffled=True),)),
    "enhanced, nothing shared": Right((Enhanced(is_shared=False, is_shuffled=True),), mr),
    "enhanced, per-frame rescale": Right((PerSliceRescale(), Enhanced(is_shuffled=True))),
    "enhanced, tilted": Right((GantryTilt(), Enhanced(is_shuffled=True)), verdict="corrected", words=("tilt",)),
    "enhanced, two stacks": Right((TwoOrientations(), Enhanced(is_shuffled=True)), cube_mr),
    "enhanced, echoes": Right((SeveralEchoes(), Enhanced(is_shuffled=True)), mr),
    "enhanced, b-values": Right((SeveralBValues(), Enhanced(is_shuffled=True)), mr, words=("b-value 400",)),
    "enhanced, times": Right((TemporalPositions(), Enhanced(is_shuffled=True)), mr),
    "enhanced, RLE": Right((Enhanced(is_shuffled=True), Compressed("rle"))),
    "enhanced, JPEG 2000": Right((Enhanced(is_shuffled=True), Compressed("jpeg-2000"))),
    "enhanced, big-endian": Right((Enhanced(), OtherEncoding("big-endian"))),
    "enhanced, duplicate": Right(
        (DuplicateSlice(), Enhanced()), verdict="corrected", words=("twice|duplicate|identical|same",)
    ),
    "mosaic": Right((SiemensMosaic(),), mr, words=("mosaic",)),
    "mosaic, oblique": Right(
        (SiemensMosaic(),), lambda: coded(Quantity.MR_SIGNAL, affine=affine_of(turn=OBLIQUE)), words=("mosaic",)
    ),
    "mosaic, against the normal": Right(
        (SiemensMosaic(),),
        lambda: coded(Quantity.MR_SIGNAL, affine=affine_of(turn=AXIAL @ np.diag([1, 1, -1]))),
        words=("mosaic",),
    ),
    # How an image is displayed does not change what its values mean.
    "shown inverted": Right((AlteredElement("PhotometricInterpretation", "MONOCHROME1"),)),
}

REFUSED = {
    "different pixels at one position": Refused(
        (ConflictingSlice(),), named=ConflictingSlice, when="read", words=("differ",)
    ),
    "one displaced slice": Refused((UnevenSpacing(),), named=UnevenSpacing, words=("evenly spaced", "mm between")),
    "slightly displaced slice": Refused((UnevenSpacing(0.03),), named=UnevenSpacing, words=("evenly spaced",)),
    "two spacings": Refused((TwoSpacings(),), words=("evenly spaced",)),
    "two spacings that are no multiples": Refused((TwoSpacings(1.4),), words=("evenly spaced",)),
    "drift": Refused((Drift(0.2),), long_ct, words=("0.2", "limit 0.05", "evenly spaced")),
    "drift just beyond": Refused((Drift(0.07),), long_ct, words=("limit 0.05",)),
    "missing slice": Refused(
        (MissingSlice(),), named=MissingSlice, words=("3 mm everywhere except 6 mm", "missing", "--allow-gap")
    ),
    "missing slice of a tilted stack": Refused((GantryTilt(), MissingSlice()), named=MissingSlice, words=("missing",)),
    "missing frame": Refused((MissingSlice(), Enhanced()), words=("missing",)),
    "repeats": Refused((UnlabeledRepeats(),), mr, when="read", words=("differ",)),
    "frames that repeat": Refused((ConflictingSlice(), Enhanced()), when="read", words=("differ",)),
    "one slice": Refused((OnePosition(),), named=OnePosition, words=("position",)),
    "one position": Refused((OnePosition(3),), named=OnePosition, words=("position",)),
    "color": Refused((RgbPixels(),), words=("color|RGB",)),
    "truncated file": Refused(
        (TruncatedPixels("file"),), named=TruncatedPixels, words=("truncated|short|missing|ends",)
    ),
    "truncated pixels": Refused((TruncatedPixels("element"),), named=TruncatedPixels, words=("bytes",)),
    "truncated RLE": Refused((TruncatedPixels("element"), Compressed("rle")), named=TruncatedPixels, when="read"),
    "truncated JPEG-LS": Refused(
        (TruncatedPixels("element"), Compressed("jpeg-ls")), named=TruncatedPixels, when="read", words=("truncated",)
    ),
    "truncated JPEG 2000": Refused(
        (TruncatedPixels("element"), Compressed("jpeg-2000")), named=TruncatedPixels, when="read"
    ),
    "truncated JPEG lossless": Refused(
        (TruncatedPixels("element"), Compressed("jpeg-lossless")), named=TruncatedPixels, when="read"
    ),
    "truncated enhanced": Refused((Enhanced(), TruncatedPixels("file")), named=TruncatedPixels),
    "truncated deflated": Refused(
        (OtherEncoding("deflated"), TruncatedPixels("file")), named=TruncatedPixels, when="read"
    ),
    "no Rows": Refused((header_faults.NO_ROWS,), named=WithoutElements, words=("Rows",)),
    "no Rows in one": Refused((WithoutElements(("Rows",), only_one=True),), named=WithoutElements, words=("Rows",)),
    "CT without rescale": Refused((header_faults.NO_RESCALE,), named=WithoutElements, words=("rescale|Rescale",)),
    "CT without rescale in one": Refused(
        (WithoutElements(("RescaleSlope", "RescaleIntercept"), only_one=True),),
        named=WithoutElements,
        words=("rescale|Rescale",),
    ),
    "two patients": Refused(
        (AlteredElement("PatientID", "SOMEBODY ELSE", only_one=True),),
        named=AlteredElement,
        words=("one patient", "PatientID"),
    ),
    "no position": Refused((header_faults.NO_POSITION,), words=("ImagePositionPatient|position",)),
    "no position in one": Refused(
        (WithoutElements(("ImagePositionPatient",), only_one=True),),
        named=WithoutElements,
        words=("position|Position",),
    ),
    "no orientation": Refused((header_faults.NO_ORIENTATION,), words=("orientation|Orientation",)),
    "no pixel spacing": Refused((header_faults.NO_SPACING,), words=("PixelSpacing|pixel spacing|spacing",)),
    "only the detector's spacing": Refused((ImagerSpacing(only=True),), words=("PixelSpacing",)),
    "mixed matrix": Refused((MixedMatrix(),), named=MixedMatrix, words=("size|Rows|rows",)),
    "mixed pixel spacing": Refused((MixedPixelSpacing(),), named=MixedPixelSpacing, words=("spacing|Spacing",)),
    "mosaic without its private elements": Refused((SiemensMosaic(is_private_kept=False),), mr, words=("mosaic",)),
    "unknown transfer syntax": Refused((UnknownSyntax(),), words=("unknown transfer syntax",)),
    "JPEG of 12 bits": Refused(
        (Compressed("jpeg-12-bit"),),
        lambda: coded(Quantity.MR_SIGNAL, shape=(32, 32, 2), most=4000),
        words=("more than 8 bits", "JPEG Extended", "no library"),
        options={"pixel_form": PixelForm(12)},
    ),
    "slope of zero": Refused((AlteredElement("RescaleSlope", "0"),), words=("slope|Slope",)),
    "slope of one slice no number": Refused(
        (AlteredElement("RescaleSlope", "nan", only_one=True),), named=AlteredElement, words=("rescale|Rescale",)
    ),
    "pixel spacing of zero": Refused((AlteredElement("PixelSpacing", ("0", "0")),), words=("spacing|Spacing",)),
    "negative pixel spacing": Refused((AlteredElement("PixelSpacing", ("-1", "1")),), words=("spacing|Spacing",)),
    "position no number": Refused(
        (AlteredElement("ImagePositionPatient", ("nan", "0", "0"), only_one=True),),
        named=AlteredElement,
        words=("position|Position",),
    ),
    "directions not at right angles": Refused(
        (AlteredElement("ImageOrientationPatient", ("1", "0", "0", "0.6", "0.8", "0")),), words=("right angles",)
    ),
    "directions of zero": Refused(
        (AlteredElement("ImageOrientationPatient", ("0", "0", "0", "0", "0", "0")),), words=("right angles|unit",)
    ),
    "other frame of reference": Refused(
        (AlteredElement("FrameOfReferenceUID", "1.2.3", only_one=True),), words=("missing|evenly spaced|position",)
    ),
    "palette": Refused((AlteredElement("PhotometricInterpretation", "PALETTE COLOR"),), words=("PALETTE|color",)),
    "no bits stored": Refused((AlteredElement("BitsStored", 0),), words=("BitsStored|bits",)),
    "more bits stored than allocated": Refused((AlteredElement("BitsStored", 17),), words=("BitsStored|bits",)),
    "frames without functional groups": Refused((AlteredElement("NumberOfFrames", "2"),), when="read"),
}
