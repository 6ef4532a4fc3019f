"""A series is split by what never varies within a volume; by what may vary, only where positions repeat."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_labels import ALWAYS, WHERE_POSITIONS_REPEAT, shown
from medgan.formats.dicom_stack import position_groups, stacks_of

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def frame(z, *, orientation=AXIAL, x=0.0, **labels) -> DicomFrame:
    names = {name.replace("_", " "): value for name, value in labels.items()}
    position = None if z is None else (x, 0.0, float(z))
    file = SimpleNamespace(stored=SimpleNamespace(name="x", folder="f"), label="x")
    return DicomFrame(file, 0, 4, 4, None, orientation, position, (1.0, 1.0), None, None, False, names)


def sizes(frames) -> list[int]:
    return [len(stack.frames) for stack in stacks_of(frames)]


def words(frames) -> list[tuple[str, ...]]:
    return [stack.words for stack in stacks_of(frames)]


def test_one_stack_needs_no_words():
    assert words([frame(z) for z in range(4)]) == [()]


@pytest.mark.parametrize("name", ["image_type", "component", "stack", "echo", "sequence"])
def test_what_never_varies_splits_even_where_no_position_repeats(name):
    assert name.replace("_", " ") in ALWAYS
    frames = [frame(z, **{name: "A" if z < 4 else "B"}) for z in range(8)]
    assert sizes(frames) == [4, 4]


def test_a_label_of_its_own_in_every_slice_is_a_property_of_slices():
    assert sizes([frame(z, echo_time=10.0 + z) for z in range(5)]) == [5]
    assert sizes([frame(z // 2, echo_time=10.0 + z % 2) for z in range(10)]) == [5, 5]


@pytest.mark.parametrize("name", WHERE_POSITIONS_REPEAT)
def test_what_may_vary_splits_repeated_positions_only(name):
    key = name.replace(" ", "_")
    once = [frame(z, **{key: z % 2}) for z in range(8)]
    assert sizes(once) == [8]
    twice = [frame(z, **{key: time}) for time in (1, 2) for z in range(8)]
    assert sizes(twice) == [8, 8]
    assert words(twice)[0][0].startswith(name)


def test_a_rescanned_slice_is_no_volume_of_its_own():
    frames = [frame(z, acquisition=1) for z in range(8)] + [frame(3, acquisition=2)]
    assert sizes(frames) == [9]


def test_several_labels_are_needed_where_one_does_not_separate_all():
    frames = [
        frame(z, inversion_time=ti, temporal_position=t) for ti in (100, 200) for t in (1, 2, 3) for z in range(4)
    ]
    assert sizes(frames) == [4] * 6
    assert words(frames)[0] == ("temporal position 1 of 3", "inversion time 100 ms")


def test_repeats_without_a_label_stay_together_for_the_gate():
    assert sizes([frame(z) for z in range(4)] * 2) == [8]


def test_copies_in_another_folder_are_stacks_of_their_own():
    assert sizes([frame(z, folder=f) for f in "ab" for z in range(4)]) == [4, 4]
    assert sizes([frame(z, folder="ab"[z % 2]) for z in range(4)]) == [4]


def test_orientations_are_named_by_their_plane():
    frames = [frame(z) for z in range(3)] + [frame(0, orientation=SAGITTAL, x=float(x)) for x in range(4)]
    assert sizes(frames) == [3, 4]
    assert words(frames) == [("axial",), ("sagittal",)]


def test_orientations_of_one_plane_are_numbered():
    tilted = (1.0, 0.0, 0.0, 0.0, 0.99, 0.141)
    frames = [frame(z) for z in range(3)] + [frame(z, orientation=tilted) for z in range(3)]
    assert words(frames) == [("axial 1 of 2",), ("axial 2 of 2",)]


def test_rounding_of_a_direction_makes_no_other_orientation():
    rounded = (1.0, 0.0005, 0.0, 0.0, 1.0, 0.0)
    assert sizes([frame(z, orientation=AXIAL if z % 2 else rounded) for z in range(4)]) == [4]


def test_slices_without_place_or_orientation_stay_for_the_gate_to_name():
    assert sizes([frame(z) for z in range(3)] + [frame(None)]) == [4]
    assert words([frame(z) for z in range(3)] + [frame(3, orientation=None)]) == [("axial",), ("no orientation",)]


def test_positions_beside_each_other_in_one_plane_are_different():
    groups = position_groups([frame(0), frame(0, x=5.0), frame(1), frame(1)])
    assert [len(group) for group in groups] == [1, 1, 2]


def test_only_numbers_and_known_words_are_shown():
    assert shown("b-value", 50.0, [50.0]) == "b-value 50 s/mm2"
    assert (
        shown("image type", ("ORIGINAL", "M", "DOE"), [("ORIGINAL", "M", "DOE"), ("ORIGINAL", "P")]) == "image type M"
    )
    assert shown("image type", ("DOE",), [("DOE",), ("P",)]) == "image type 1 of 2"
    assert shown("sequence", "doe", ["abc", "doe"]) == "sequence 2 of 2"
    assert shown("acquisition time", "19030717", ["19030717", "x"]) == "acquisition time 1 of 2"
