"""From stored to displayed values: each formula of the standard, and the inversion about the right range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import FormatError
from medgan.formats.radiograph_file import normalized
from medgan.formats.radiograph_stages import GrayTable, inverted, looked_up, rescaled, stored, windowed

VALUES = np.array([[0, 100, 2048, 4000, 4095]], dtype=np.uint16)


def start(values=VALUES, bits=12, is_signed=False):
    return stored(values, bits=bits, is_signed=is_signed)


def literal_window(x: float, c: float, w: float, function: str) -> float:
    """PS3.3, C.11.2.1.2 and C.11.2.1.3, case by case, with an output range of 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (x - c) / w))
    if function == "LINEAR_EXACT":
        return 0.0 if x <= c - w / 2 else 1.0 if x > c + w / 2 else (x - c) / w + 0.5
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


@given(
    center=st.integers(-50, 4200),
    width=st.integers(1, 5000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_window_is_the_formula_of_the_standard(center, width, function):
    found = windowed(start(), center=center, width=width, function=function)
    with np.errstate(over="ignore"):
        expected = [literal_window(float(x), center, width, function) for x in VALUES.ravel()]
    np.testing.assert_allclose(found.values.ravel(), expected, atol=1e-12)
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.stages[-1]["function"] == function


@given(center=st.integers(1, 4000), width=st.integers(2, 4000), function=st.sampled_from(["LINEAR", "LINEAR_EXACT"]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_inverted_stored_values_give_the_same_radiograph(center, width, function):
    """MONOCHROME2 of v, and MONOCHROME1 of 4095 - v with the mirrored window, are one radiograph."""
    plain = windowed(start(), center=center, width=width, function=function)
    # LINEAR is centered on c - 0.5, which mirrors to 4095 - c + 0.5, that is c' = 4096 - c.
    mirrored = 4096 - center if function == "LINEAR" else 4095 - center
    other = inverted(windowed(start(4095 - VALUES), center=mirrored, width=width, function=function), reason="test")
    np.testing.assert_allclose(plain.values, other.values, atol=1e-12)


def test_the_inversion_turns_about_the_range_of_the_last_stage_and_not_of_the_values():
    image = start(np.array([[10, 200]], dtype=np.uint16))
    assert inverted(image, reason="x").values.tolist() == [[4085, 3895]]
    scaled = rescaled(image, slope=-2.0, intercept=100.0)
    assert (scaled.low, scaled.high) == (100 - 2 * 4095, 100.0)
    assert inverted(scaled, reason="x").values.tolist() == [[100 - 2 * 4095 + 100 - 80, 100 - 2 * 4095 + 100 + 300]]
    through = inverted(windowed(image, center=100, width=51, function="LINEAR"), reason="x")
    assert through.values.tolist() == [[1.0, 0.0]]


def test_signed_values_have_a_range_about_zero():
    image = start(np.array([[-2048, 0, 2047]], dtype=np.int16), is_signed=True)
    assert (image.low, image.high) == (-2048, 2047)
    assert inverted(image, reason="x").values.tolist() == [[2047, -1, -2048]]


def test_a_table_holds_its_ends_beyond_its_entries():
    table = GrayTable(first=10, bits=8, entries=np.array([5, 90, 200], dtype=np.uint16))
    image = start(np.array([[0, 10, 11, 12, 99]], dtype=np.uint16))
    found = looked_up(image, table, stage="modality table")
    assert found.values.tolist() == [[5, 5, 90, 200, 200]]
    assert (found.low, found.high) == (0, 255)
    assert inverted(found, reason="x").values.tolist() == [[250, 250, 165, 55, 55]]


@pytest.mark.parametrize(
    ("function", "width", "words"),
    [("LINEAR", 0, "at least 1"), ("LINEAR_EXACT", 0, "above 0"), ("SIGMOID", -3, "above 0"), ("CUBIC", 5, "'CUBIC'")],
)
def test_impossible_windows_are_refused(function, width, words):
    with pytest.raises(FormatError, match=words):
        windowed(start(), center=1, width=width, function=function)


def test_every_stage_is_recorded_in_order():
    image = inverted(
        windowed(rescaled(start(), slope=2, intercept=1), center=5, width=9, function="LINEAR"), reason="x"
    )
    assert [stage["stage"] for stage in image.stages] == ["stored", "rescale", "window", "inversion"]


def test_mirrored_values_become_negatives_bit_for_bit():
    values = np.arange(0, 1024)
    for low, high in ((0, 1023), (-37, 4000), (0.0, 1.0)):
        mirrored = low + high - values.astype(float)
        assert np.array_equal(normalized(values, low, high), -normalized(mirrored, low, high))
