"""Several stacks in one series: echoes, b-values, times, acquisitions, image types, or unlabeled repeats.

Stack ``n`` holds the values of the first one plus ``n`` times a step, so that a test sees which stack it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medgan.errors import VolumeError
from medgan.phantoms.dicom_file import DicomFile, decimal
from medgan.phantoms.dicom_series import DicomSeries
from medgan.phantoms.dicom_slices import new_uid

Label = Callable[[DicomFile], DicomFile]


@dataclass(frozen=True)
class SeveralEchoes:
    """Several echoes of one excitation.

    Parameters
    ----------
    times_ms : tuple of float
    step : int
        Difference of the stored values between two stacks.
    is_interleaved : bool
        Whether InstanceNumber runs through the echoes of a slice first.
    """

    times_ms: tuple[float, ...] = (10.0, 80.0)
    step: int = 100
    is_interleaved: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one stack an echo."""

        def label(number: int) -> Label:
            return lambda file: file.with_elements(EchoTime=decimal(self.times_ms[number]), EchoNumbers=str(number + 1))

        labels = [label(n) for n in range(len(self.times_ms))]
        return _stacked(series, labels, self, generator, step=self.step, is_interleaved=self.is_interleaved)


Place = Literal["standard", "siemens", "siemens-bytes", "sequence-name", "ge", "philips"]


@dataclass(frozen=True)
class SeveralBValues:
    """Diffusion weightings at the same positions.

    Parameters
    ----------
    b_values : tuple of int
        In s/mm2.
    place : str
        Where the b-value stands, and nowhere else: DiffusionBValue (``standard``), a private element of a vendor
        (``siemens-bytes``: with the VR lost on the way, as archives leave it), or SequenceName.
    step : int
    is_interleaved : bool
    """

    b_values: tuple[int, ...] = (50, 400, 800)
    place: Place = "standard"
    step: int = 100
    is_interleaved: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one stack a b-value."""
        labels = [lambda file, b=b: weighted(file, b, self.place) for b in self.b_values]
        return _stacked(series, labels, self, generator, step=self.step, is_interleaved=self.is_interleaved)


def weighted(file: DicomFile, b_value: int, place: Place) -> DicomFile:
    """Return a slice whose b-value stands in one place."""
    if place == "standard":
        return file.with_elements(DiffusionBValue=float(b_value))
    if place == "siemens":
        return file.with_private(0x0019, "SIEMENS MR HEADER", {0x0C: ("IS", str(b_value))})
    if place == "siemens-bytes":
        text = f"{b_value}".encode()
        return file.with_private(0x0019, "SIEMENS MR HEADER", {0x0C: ("OB", text + b" " * (len(text) % 2))})
    if place == "ge":
        # GE adds a billion in some versions of its software.
        value = ["1000000000" if b_value == 0 else str(1_000_000_000 + b_value), "8", "0", "0"]
        return file.with_private(0x0043, "GEMS_PARM_01", {0x39: ("IS", value)})
    if place == "philips":
        return file.with_private(0x2001, "Philips Imaging DD 001", {0x03: ("FL", float(b_value))})
    return file.with_elements(SequenceName=f"*ep_b{b_value}t")


@dataclass(frozen=True)
class TemporalPositions:
    """One volume after the other, as in perfusion imaging.

    Parameters
    ----------
    count : int
    tag : {"identifier", "trigger", "time"}
        TemporalPositionIdentifier, TriggerTime or AcquisitionTime alone tells them apart.
    step : int
    is_interleaved : bool
    """

    count: int = 3
    tag: Literal["identifier", "trigger", "time"] = "identifier"
    step: int = 100
    is_interleaved: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one stack a time."""

        def label(number: int) -> Label:
            if self.tag == "identifier":
                count = str(self.count)
                return lambda f: f.with_elements(
                    TemporalPositionIdentifier=str(number + 1), NumberOfTemporalPositions=count
                )
            if self.tag == "trigger":
                return lambda f: f.with_elements(TriggerTime=decimal(40.0 * number))
            return lambda f: f.with_elements(AcquisitionTime=f"10{11 + number // 60:02d}{number % 60:02d}.500000")

        labels = [label(n) for n in range(self.count)]
        return _stacked(series, labels, self, generator, step=self.step, is_interleaved=self.is_interleaved)


@dataclass(frozen=True)
class SeveralAcquisitions:
    """The same positions acquired again, told apart by AcquisitionNumber alone."""

    count: int = 2
    step: int = 100

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one stack an acquisition."""
        labels = [lambda file, n=n: file.with_elements(AcquisitionNumber=str(n + 1)) for n in range(self.count)]
        return _stacked(series, labels, self, generator, step=self.step)


@dataclass(frozen=True)
class SeveralImageTypes:
    """Images computed from one acquisition, told apart by ImageType alone, such as magnitude and phase."""

    types: tuple[tuple[str, ...], ...] = (("ORIGINAL", "PRIMARY", "M"), ("ORIGINAL", "PRIMARY", "P"))
    step: int = 100

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with one stack an image type."""
        labels = [lambda file, kind=kind: file.with_elements(ImageType=list(kind)) for kind in self.types]
        return _stacked(series, labels, self, generator, step=self.step)


@dataclass(frozen=True)
class UnlabeledRepeats:
    """Every position several times, with nothing but InstanceNumber to tell the stacks apart."""

    count: int = 2
    step: int = 100

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with its stacks."""
        return _stacked(series, [lambda file: file] * self.count, self, generator, step=self.step)


def _stacked(
    series: DicomSeries,
    labels: Sequence[Label],
    fault: object,
    generator: np.random.Generator,
    *,
    step: int,
    is_interleaved: bool = False,
) -> DicomSeries:
    count = len(series.slices)
    form = series.header.pixel_form
    files, truth = [], []
    for n, label in enumerate(labels):
        for at, file in enumerate(series.slices):
            number = at * len(labels) + n + 1 if is_interleaved else n * count + at + 1
            changed = file.with_elements(SOPInstanceUID=new_uid(generator), InstanceNumber=str(number))
            changed = replace(changed, pixels=_raised(file, n * step), name=f"IM_{number:04d}.dcm")
            files.append(label(changed.touched(fault)))
        for volume in series.truth:
            # Stored integers in double precision: what a rescale gives back.
            values = volume.array.astype(np.float64) + n * step * (form.slope or 1.0)
            truth.append(replace(volume, array=values.astype(np.float32)))
    return replace(series, slices=tuple(files), truth=tuple(truth))


def _raised(file: DicomFile, step: int) -> np.ndarray:
    if file.pixels is None:
        raise VolumeError(f"{file.name}: a stack needs images.")
    raised = file.pixels.astype(np.int64) + step
    if raised.max() > np.iinfo(file.pixels.dtype).max:
        raise VolumeError(f"Stored values up to {raised.max()} do not fit into {file.pixels.dtype}.")
    return raised.astype(file.pixels.dtype)
