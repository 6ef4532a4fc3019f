from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from medgan.errors import ReportError
from medgan.reporting.explanation_pixels import (
    SYNTHETIC,
    gray_uri,
    scale_uri,
    shared_limit,
    signed_table,
    signed_uri,
)


def opened(uri: str) -> Image.Image:
    prefix = "data:image/png;base64,"
    assert uri.startswith(prefix)
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(prefix))))


def test_a_gray_panel_has_one_window_whatever_it_holds() -> None:
    dark = np.full((3, 4), -1.0)
    dark[0, 0] = 0.0
    levels = np.asarray(opened(gray_uri(dark)))
    assert levels.shape == (3, 4)
    assert levels[0, 0] == 128
    assert levels[1, 1] == 0


def test_values_outside_the_window_are_black_or_white() -> None:
    assert np.asarray(opened(gray_uri([[-3.0, 3.0]]))).tolist() == [[0, 255]]


def test_a_signed_panel_is_black_at_zero_and_opposite_at_opposite_values() -> None:
    panel = np.asarray(opened(signed_uri([[0.0, 0.2, -0.2, 9.0]], limit=0.2)).convert("RGB"))
    assert panel[0, 0].tolist() == [0, 0, 0]
    assert panel[0, 1].tolist() == signed_table()[-1].tolist()
    assert panel[0, 2].tolist() == signed_table()[0].tolist()
    assert panel[0, 3].tolist() == panel[0, 1].tolist()


def test_the_two_ends_of_the_signed_scale_differ_in_blue_against_red() -> None:
    low, high = signed_table()[0].astype(int), signed_table()[-1].astype(int)
    assert low[2] - low[0] > 60
    assert high[0] - high[2] > 60


def test_a_synthetic_panel_says_so_in_its_own_file_and_a_real_one_does_not() -> None:
    assert opened(gray_uri(np.zeros((2, 2)), synthetic=True)).info["Comment"] == SYNTHETIC
    assert "Comment" not in opened(gray_uri(np.zeros((2, 2)))).info


def test_large_panels_are_averaged_not_thinned() -> None:
    lines = np.full((600, 600), -1.0)
    lines[::3] = 1.0
    levels = np.asarray(opened(gray_uri(lines)))
    assert levels.shape == (200, 200)
    assert (levels == 85).all()


def test_color_bars_run_from_low_to_high() -> None:
    gray = np.asarray(opened(scale_uri(signed=False)))
    assert gray[0, 0] == 0
    assert gray[0, -1] == 255
    assert np.asarray(opened(scale_uri(signed=True)).convert("RGB"))[0, 127].tolist() == [0, 0, 0]


def test_one_limit_serves_all_images_and_zero_images_still_have_one() -> None:
    assert shared_limit([np.full(9, 0.1), np.full(9, -0.512)]) == pytest.approx(0.52)
    assert shared_limit([np.zeros(4)]) == 1.0
    assert shared_limit([]) == 1.0


def test_a_limit_that_is_not_positive_and_a_volume_are_refused() -> None:
    with pytest.raises(ReportError, match="positive limit"):
        signed_uri(np.zeros((2, 2)), limit=0)
    with pytest.raises(ReportError, match="plane"):
        gray_uri(np.zeros((2, 2, 2)))
