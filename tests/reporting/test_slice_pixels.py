"""A pixel has the mean of what it covers, wherever the slice lies on the page."""

import numpy as np
import pytest

from medgan.reporting.slice_pixels import SlicePixels, colored


def painted(values, shape, *, rows_mm=None, columns_mm=None, shown_rows_mm=None, shown_columns_mm=None, **options):
    values = np.asarray(values, dtype=np.float32)
    whole = [(0.0, float(length)) for length in values.shape]
    rows_mm, columns_mm = rows_mm or whole[0], columns_mm or whole[1]
    slice_pixels = SlicePixels(
        values=values,
        rows_mm=rows_mm,
        columns_mm=columns_mm,
        shown_rows_mm=shown_rows_mm or rows_mm,
        shown_columns_mm=shown_columns_mm or columns_mm,
        **{"window": (0.0, 256.0), **options},
    )
    return slice_pixels(shape)


def test_enlarged_voxels_keep_their_edges():
    values = [[10, 20], [30, 40]]
    assert painted(values, (4, 6))[..., 0].tolist() == np.kron(values, np.ones((2, 3), int)).tolist()


def test_shrunk_voxels_are_averaged_and_none_is_left_out():
    values = np.zeros((6, 6))
    values[4, 1] = 90
    assert painted(values, (2, 2))[..., 0].tolist() == [[0, 0], [10, 0]]


def test_a_pixel_across_an_edge_has_shares_of_both():
    # Three pixels on two voxels: the middle one covers half of each.
    assert painted([[10, 30]], (1, 3))[0, :, 0].tolist() == [10, 20, 30]


def test_the_page_may_run_the_other_way():
    values = [[10, 20], [30, 40]]
    turned = painted(values, (2, 2), shown_rows_mm=(2, 0), shown_columns_mm=(2, 0))
    assert turned[..., 0].tolist() == [[40, 30], [20, 10]]


def test_what_lies_beyond_the_slice_is_black():
    # From -2 to 2 mm of a slice that begins at 0: the left half holds nothing; a pixel is shown from half on.
    assert painted([[100, 100]], (1, 4), shown_columns_mm=(-2, 2))[0, :, 0].tolist() == [0, 0, 100, 100]
    assert painted([[100, 100]], (1, 2), shown_columns_mm=(-1.4, 0.6))[0, :, 0].tolist() == [0, 100]
    assert painted([[100, 100]], (1, 2), shown_columns_mm=(-1.6, 0.4))[0, :, 0].tolist() == [0, 0]
    beyond = painted([[100, 100]], (2, 2), shown_columns_mm=(5, 9), window=(-100, 100), diverging=True)
    assert not beyond.any()


def test_a_voxel_that_is_no_number_is_black_and_its_neighbors_are_not():
    assert painted([[np.nan, 7], [np.inf, 9]], (2, 2))[..., 0].tolist() == [[0, 7], [0, 9]]
    assert painted([[np.nan, -50]], (1, 2), window=(-100, 156)).tolist() == [[[0] * 3, [50] * 3]]


def test_colors():
    assert colored(np.array([-9.0, 0.0, 5.0, 10.0, 99.0]), (0, 10)).tolist() == [[v] * 3 for v in (0, 0, 128, 255, 255)]
    low, zero, high = colored(np.array([-5.0, 0.0, 5.0]), (-5, 5), diverging=True).astype(int)
    assert low[2] - low[0] > 90, "negative is blue"
    assert high[0] - high[2] > 90, "positive is orange"
    assert not zero.any()


@pytest.mark.parametrize("shape", [(37, 53), (111, 90)])
def test_the_mean_of_the_page_is_the_mean_of_the_slice(shape):
    values = np.random.default_rng(3).uniform(40, 200, (71, 48))
    # Rounded down to whole levels: half a level is missing.
    assert painted(values, shape)[..., 0].mean() + 0.5 == pytest.approx(values.mean(), abs=0.3)
