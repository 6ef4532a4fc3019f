"""Planted stacks, multi-frame objects and mosaics are there, as pydicom reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dicom_phantoms import (
    SHAPE,
    affine_of,
    assert_values,
    coded,
    datasets,
    mr,
    positions,
    series_of,
)

from medgan.errors import VolumeError
from medgan.phantoms.dicom_geometry_faults import (
    OnePosition,
    TwoOrientations,
)
from medgan.phantoms.dicom_mosaic import SiemensMosaic
from medgan.phantoms.dicom_multiframe import Enhanced
from medgan.phantoms.dicom_pixel_faults import (
    MixedMatrix,
    PerSliceRescale,
)
from medgan.phantoms.dicom_stacks import (
    SeveralAcquisitions,
    SeveralBValues,
    SeveralEchoes,
    SeveralImageTypes,
    TemporalPositions,
    UnlabeledRepeats,
)
from medgan.volume import Quantity


@pytest.mark.parametrize(
    ("fault", "labels"),
    [
        (SeveralEchoes(), [("10.0", "1"), ("80.0", "2")]),
        (SeveralBValues((0, 700)), [0.0, 700.0]),
        (SeveralBValues((0, 700), "siemens"), [0, 700]),
        (SeveralBValues((0, 700), "siemens-bytes"), [b"0 ", b"700 "]),
        (SeveralBValues((0, 700), "ge"), [1_000_000_000, 1_000_000_700]),
        (SeveralBValues((0, 700), "philips"), [0.0, 700.0]),
        (SeveralBValues((0, 700), "sequence-name"), ["*ep_b0t", "*ep_b700t"]),
        (TemporalPositions(2), ["1", "2"]),
        (TemporalPositions(2, "trigger"), ["0.0", "40.0"]),
        (TemporalPositions(2, "time"), ["101100.500000", "101101.500000"]),
        (SeveralAcquisitions(), ["1", "2"]),
        (SeveralImageTypes(), ["M", "P"]),
        (UnlabeledRepeats(), ["1", "1"]),
    ],
    ids=repr,
)
def test_stacks_are_labeled_in_one_place(fault, labels):
    def label(d):
        if isinstance(fault, SeveralEchoes):
            return (str(d.EchoTime), str(d.EchoNumbers))
        if isinstance(fault, SeveralBValues):
            block = {"siemens": (0x19, "SIEMENS MR HEADER", 0x0C), "ge": (0x43, "GEMS_PARM_01", 0x39)}
            block["philips"] = (0x2001, "Philips Imaging DD 001", 0x03)
            at = block.get(fault.place.split("-")[0])
            if at:
                value = d.private_block(*at[:2])[at[2]].value
                return value[0] if fault.place == "ge" else value
            return d.DiffusionBValue if fault.place == "standard" else d.SequenceName
        if isinstance(fault, TemporalPositions):
            names = {"identifier": "TemporalPositionIdentifier", "trigger": "TriggerTime", "time": "AcquisitionTime"}
            return str(d[names[fault.tag]].value)
        return d.ImageType[2] if isinstance(fault, SeveralImageTypes) else str(d.AcquisitionNumber)

    series = series_of(fault, volume=mr())
    d = datasets(series)
    assert [label(x) for x in d] == [labels[0]] * 6 + [labels[1]] * 6
    assert np.array_equal(positions(series)[:6], positions(series)[6:])
    assert len({x.SOPInstanceUID for x in d}) == 12
    assert np.array_equal(series.truth[1].array - series.truth[0].array, np.full(SHAPE, 100))
    assert_values(replace(series, slices=series.slices[6:]), series.truth[1])


def test_interleaved_stacks_number_the_images_of_a_slice_together():
    series = series_of(SeveralEchoes(is_interleaved=True), volume=mr())
    d = sorted(datasets(series), key=lambda x: int(x.InstanceNumber))
    assert [str(x.EchoNumbers) for x in d] == ["1", "2"] * 6


def test_enhanced_frames_carry_their_place_stack_and_scaling():
    volume = coded(Quantity.MR_SIGNAL, shape=(6, 6, 6), affine=affine_of(spacing=(2, 2, 2)))
    faults = (TwoOrientations(), PerSliceRescale(), Enhanced(is_shuffled=True))
    (d,) = datasets(series_of(*faults, volume=volume))
    assert d.NumberOfFrames == 12
    assert "PixelMeasuresSequence" in d.SharedFunctionalGroupsSequence[0]
    assert "ImagePositionPatient" not in d
    truth = series_of(TwoOrientations(), volume=volume).truth
    frames = d.PerFrameFunctionalGroupsSequence
    assert sorted(f.FrameContentSequence[0].StackID for f in frames) == ["1"] * 6 + ["2"] * 6
    for frame, stored in zip(frames, d.pixel_array):
        content = frame.FrameContentSequence[0]
        stack = truth[int(content.StackID) - 1]
        scale = frame.PixelValueTransformationSequence[0]
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float) * [-1, -1, 1]
        i, j, k = np.rint(stack.grid.index(place)).astype(int)
        assert (i, j) == (0, 0)
        assert np.allclose(stack.grid.world([0, 0, k]), place)
        assert np.array_equal(stored.T * float(scale.RescaleSlope) + float(scale.RescaleIntercept), stack.array[..., k])
    with pytest.raises(VolumeError, match="one size"):
        series_of(MixedMatrix(), Enhanced())


def test_enhanced_echoes_b_values_and_per_frame_groups():
    (d,) = datasets(series_of(SeveralEchoes(), Enhanced(is_shared=False), volume=mr()))
    assert len(d.SharedFunctionalGroupsSequence[0]) == 0
    assert {f.MREchoSequence[0].EffectiveEchoTime for f in d.PerFrameFunctionalGroupsSequence} == {10.0, 80.0}
    (d,) = datasets(series_of(SeveralBValues(), Enhanced(), volume=mr()))
    assert {f.MRDiffusionSequence[0].DiffusionBValue for f in d.PerFrameFunctionalGroupsSequence} == {
        50.0,
        400.0,
        800.0,
    }
    indices = [tuple(f.FrameContentSequence[0].DimensionIndexValues) for f in d.PerFrameFunctionalGroupsSequence]
    assert len(set(indices)) == 18


def test_a_mosaic_without_private_elements_keeps_only_its_name():
    (kept,) = datasets(series_of(SiemensMosaic(), volume=mr()))
    (bare,) = datasets(series_of(SiemensMosaic(is_private_kept=False), volume=mr()))
    assert "MOSAIC" in kept.ImageType
    assert "MOSAIC" in bare.ImageType
    assert (kept.Rows, kept.Columns) == (21, 27)
    assert kept.private_block(0x29, "SIEMENS CSA HEADER")[0x10].value.startswith(b"SV10")
    assert not [e for e in bare if e.tag.is_private]
    with pytest.raises(VolumeError, match="two slices"):
        series_of(OnePosition(), SiemensMosaic(), volume=mr())
