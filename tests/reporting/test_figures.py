"""An asymmetric phantom must appear at the right place, from any axis order."""

import io
from itertools import permutations, product

import numpy as np
import pytest
from PIL import Image

from medgan.errors import GeometryError, ReportError
from medgan.geometry import AxisMap, Grid
from medgan.reporting.figures import SYNTHETIC_MARK, _default_point, three_planes, three_planes_sheet
from medgan.reporting.panel import Panel, error_panel, percentile_window
from medgan.reporting.sheet import Line, Pixels, Words
from medgan.reporting.slice_pixels import SlicePixels
from medgan.volume import LabelMap, Provenance, Quantity, Volume

# 60 x 48 x 45 mm around the world's origin: no two extents are equal, so a swap of axes shows.
GRID = Grid.axis_aligned((30, 24, 15), spacing=(2, 2, 3), origin=(-29, -23, -21))


def corner(right=True, anterior=True, superior=True, value=100.0):
    """Return a volume of zeros with a bright box in one octant, on a RAS+ grid."""
    array = np.zeros(GRID.shape, dtype=np.float32)
    sides = (right, anterior, superior)
    # Reaches from a third of the way out to nearly the border, on both sides of the center plane of no axis.
    box = tuple(slice(n // 2, n - 2) if side else slice(2, n // 2) for n, side in zip(GRID.shape, sides))
    array[box] = value
    return Volume(array, GRID, Quantity.DIFFERENCE)


def orange_center(png, rows):
    """Return (x, y) from 0 to 1 of the center of the orange pixels in each plane of a one-column figure."""
    import matplotlib.image

    pixels = matplotlib.image.imread(io.BytesIO(png))[:, :, :3]
    orange = pixels[:, :, 0] - pixels[:, :, 2] > 0.3
    height, width = orange.shape
    found = []
    for left, top, right, bottom in rows:
        part = orange[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
        assert part.sum() > 50
        y, x = np.nonzero(part)
        found.append((x.mean() / part.shape[1], y.mean() / part.shape[0]))
    return found


def planes_of(sheet):
    """Return the rectangles that show slices, without the color bars."""
    return [e for e in sheet.elements if isinstance(e, Pixels) and isinstance(e.paint, SlicePixels)]


def cells(sheet):
    """Return the rectangles of the first column's planes, in shares of the page."""
    size = (sheet.width, sheet.height) * 2
    return [tuple(edge / length for edge, length in zip(each.box, size)) for each in planes_of(sheet)[:3]]


def within(sheet, kind):
    """Return the elements of a kind that lie in each plane, and those that lie in none."""
    planes, found = planes_of(sheet), {}
    for element in sheet.elements:
        if not isinstance(element, kind):
            continue
        x, y = element.at if kind is Words else np.mean((element.start, element.end), axis=0)
        inside = [
            i
            for i, (left, top, right, bottom) in enumerate(p.box for p in planes)
            if left < x < right and top < y < bottom
        ]
        found.setdefault(inside[0] if inside else None, []).append(element)
    return [found.get(i, []) for i in range(len(planes))], found.get(None, [])


def shown_mm(plane, axis):
    return getattr(plane.paint, f"shown_{axis}_mm")


def panel(volume, **options):
    return Panel(volume, "phantom", (-100, 100), diverging=True, **options)


@pytest.mark.parametrize(("right", "anterior", "superior"), list(product((True, False), repeat=3)))
def test_every_octant_is_at_its_place(right, anterior, superior):
    panels = [panel(corner(right, anterior, superior))]
    point = [10 if s else -10 for s in (right, anterior, superior)]
    png = three_planes(panels, point_xyz=point)
    axial, coronal, sagittal = orange_center(png, cells(three_planes_sheet(panels, point_xyz=point)))
    # Radiological display: the patient's right is at the left, anterior and superior are up; sagittal: anterior left.
    assert (axial[0] < 0.5) == (coronal[0] < 0.5) == right
    assert (axial[1] < 0.5) == anterior == (sagittal[0] < 0.5)
    assert (coronal[1] < 0.5) == superior == (sagittal[1] < 0.5)
    assert all(abs(v - 0.5) > 0.1 for v in (*axial, *coronal, *sagittal))


ORDERS = [AxisMap(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]


@pytest.mark.parametrize("axis_map", ORDERS[5::9])
def test_axis_order_does_not_change_a_pixel(axis_map):
    volume = corner()
    stored = volume.reordered(axis_map)
    stored = Volume(np.ascontiguousarray(stored.array), stored.grid, stored.quantity)
    assert three_planes([panel(stored)], point_xyz=(10, 10, 10)) == three_planes(
        [panel(volume)], point_xyz=(10, 10, 10)
    )


def test_the_same_bytes_twice_and_small():
    noise = np.random.default_rng(0).normal(0, 300, (120, 110, 60)).astype(np.float32)
    volume = Volume(noise, Grid.axis_aligned(noise.shape, spacing=(1, 1, 3)), Quantity.HOUNSFIELD)
    panels = [Panel(volume, f"panel {i}", (-160, 240)) for i in range(4)]
    png = three_planes(panels, title="noise")
    assert png == three_planes(panels, title="noise")
    assert len(png) < 400_000
    assert b"matplotlib" not in png.lower()


def texts(sheet):
    """Return the words beside the planes, those that run upward, and one list for each plane."""
    planes, beside = within(sheet, Words)
    level, upward = ([w.text for w in beside if w.upward is value] for value in (False, True))
    return level, upward, [[w.text for w in words] for words in planes]


def test_labels():
    above, beside, planes = texts(three_planes_sheet([panel(corner())], point_xyz=(10, -5, 0), title="Case 7"))
    low, high = "\N{MINUS SIGN}100", "100"
    assert above == ["Case 7", "phantom", f"{low} to {high}", low, "0", high]
    assert planes == [["R", "L", "A", "P"], ["R", "L", "S", "I"], ["A", "P", "S", "I"]]
    assert beside == ["axial, S 0 mm", "coronal, P 5 mm", "sagittal, R 10 mm"]


def test_letters_stand_where_they_say():
    sheet = three_planes_sheet([panel(corner())], point_xyz=(0, 0, 0))
    axial = planes_of(sheet)[0]
    left, top, right, bottom = axial.box
    middle = ((left + right) / 2, (top + bottom) / 2)
    points = 3 / 72
    assert {w.text: w.at for w in within(sheet, Words)[0][0]} == {
        "R": pytest.approx((left + points, middle[1])),
        "L": pytest.approx((right - points, middle[1])),
        "A": pytest.approx((middle[0], top + points)),
        "P": pytest.approx((middle[0], bottom - points)),
    }
    # Coordinates are mm toward R and A: R is larger and must be at the left, A is larger and must be at the top.
    assert shown_mm(axial, "columns")[0] > shown_mm(axial, "columns")[1]
    assert shown_mm(axial, "rows")[0] > shown_mm(axial, "rows")[1]


def test_the_synthetic_mark_is_on_every_plane_of_a_synthetic_panel():
    real = corner()
    made = Volume(real.array, GRID, real.quantity, Provenance().synthesized("translate"))
    _, _, planes = texts(three_planes_sheet([panel(real), panel(made), panel(real, synthetic=True)]))
    assert [SYNTHETIC_MARK in labels for labels in planes] == [False] * 3 + [True] * 6
    assert panel(made, synthetic=False).is_synthetic


def test_voxels_keep_their_proportions_and_columns_their_scale():
    small = Volume(np.ones((10, 10, 10)), Grid.axis_aligned((10, 10, 10), spacing=(1, 2, 3)), Quantity.DIFFERENCE)
    sheet = three_planes_sheet([panel(corner()), panel(small)], point_xyz=(4, 4, 4))
    scales = []
    for plane in planes_of(sheet):
        left, top, right, bottom = plane.box
        scales += [
            (right - left) / np.ptp(shown_mm(plane, "columns")),
            (bottom - top) / np.ptp(shown_mm(plane, "rows")),
        ]
    assert scales == pytest.approx([scales[0]] * 12)
    assert shown_mm(planes_of(sheet)[0], "columns") == shown_mm(planes_of(sheet)[3], "columns")


def test_the_mask_sets_center_and_stretch():
    inside = np.zeros(GRID.shape, dtype=np.uint8)
    inside[4:6, 4:20, 3:12] = 1
    inside[24:26, 4:20, 3:12] = 1
    mask = LabelMap(inside, GRID)
    sheet = three_planes_sheet([panel(corner())], mask=mask)
    # The center of two legs lies between them: the nearest voxel of a leg is taken.
    _, beside, _ = texts(sheet)
    assert beside[2] in ("sagittal, L 19 mm", "sagittal, R 19 mm")
    whole = three_planes_sheet([panel(corner())])
    heights = [np.ptp(shown_mm(planes_of(each)[1], "rows")) for each in (sheet, whole)]
    assert heights == [9 * 3 + 2 * 8, 45]


def test_a_panel_that_does_not_reach_the_plane_says_so():
    far = Volume(
        np.ones((4, 4, 4)), Grid.axis_aligned((4, 4, 4), spacing=(1, 1, 1), origin=(0, 0, 40)), Quantity.DIFFERENCE
    )
    sheet = three_planes_sheet([panel(corner()), panel(far)], point_xyz=(2, 2, 0))
    _, _, planes = texts(sheet)
    assert not planes_of(sheet)[3].paint((20, 20)).any()
    assert "outside the\nfield of view" in planes[3]
    assert all("outside the\nfield of view" not in planes[i] for i in (0, 1, 2, 4, 5))


def test_marks_appear_in_their_planes_only():
    sheet = three_planes_sheet([panel(corner())], point_xyz=(0, 0, 0), marks=[(0, 20, 20), (0, 200, 20)])
    planes, _ = within(sheet, Line)
    assert [len(lines) for lines in planes] == [0, 0, 2]
    for line in planes[2]:
        # The plane shows 48 mm from anterior to posterior and 45 mm downward from superior, around (1, 1.5) mm.
        left, top, right, bottom = planes_of(sheet)[2].box
        x, y = np.mean((line.start, line.end), axis=0)
        across, down = shown_mm(planes_of(sheet)[2], "columns"), shown_mm(planes_of(sheet)[2], "rows")
        assert np.interp(x, (left, right), (0, 1)) * (across[1] - across[0]) + across[0] == pytest.approx(20)
        assert np.interp(y, (top, bottom), (0, 1)) * (down[1] - down[0]) + down[0] == pytest.approx(20)


def test_error_panel():
    ones = Volume(np.ones(GRID.shape), GRID, Quantity.HOUNSFIELD, Provenance().synthesized("translate"))
    fours = Volume(np.full(GRID.shape, 4.0), GRID, Quantity.HOUNSFIELD)
    inside = np.zeros(GRID.shape, dtype=np.uint8)
    inside[3] = 1
    shown = error_panel(result=ones, reference=fours, limit=200, mask=LabelMap(inside, GRID))
    assert np.unique(shown.volume.array[3]).tolist() == [-3]
    assert np.unique(shown.volume.array[4]).tolist() == [0]
    assert shown.label == "\N{MINUS SIGN}200 to 200 HU"
    assert shown.is_synthetic
    moved = Volume(np.ones(GRID.shape), GRID.respaced((2, 2, 3.001)), Quantity.HOUNSFIELD)
    error_panel(result=ones, reference=moved, limit=200)
    far = Volume(np.ones(GRID.shape), Grid.axis_aligned(GRID.shape, spacing=(2, 2, 3)), Quantity.HOUNSFIELD)
    with pytest.raises(GeometryError, match="'result' is displaced from 'reference'"):
        error_panel(result=ones, reference=far, limit=200)


def test_percentile_window():
    ramp = Volume(
        np.arange(1001, dtype=np.float32).reshape(7, 11, 13),
        Grid.axis_aligned((7, 11, 13), spacing=(1, 1, 1)),
        Quantity.MR_SIGNAL,
    )
    assert percentile_window(ramp, percentiles=(10, 90)) == (100, 900)
    first = LabelMap((ramp.array < 101).astype(np.uint8), ramp.grid)
    assert percentile_window(ramp, mask=first, percentiles=(0, 100)) == (0, 100)
    flat = Volume(np.ones((2, 2, 2)), Grid.axis_aligned((2, 2, 2), spacing=(1, 1, 1)), Quantity.MR_SIGNAL)
    with pytest.raises(ReportError, match="values that differ: found 1 at both"):
        percentile_window(flat)
    with pytest.raises(GeometryError, match="A window needs images on one grid"):
        percentile_window(flat, mask=first)


def test_refusals():
    with pytest.raises(ReportError, match="window of panel 'x' must rise: found 5 to 5"):
        Panel(corner(), "x", (5, 5))
    with pytest.raises(ReportError, match="centered at 0: panel 'x' has the window -5 to 6"):
        Panel(corner(), "x", (-5, 6), diverging=True)
    with pytest.raises(ReportError, match="at least one panel"):
        three_planes([])
    empty = LabelMap(np.zeros(GRID.shape, dtype=np.uint8), GRID)
    for point in (None, (0, 0, 0)):
        with pytest.raises(ReportError, match="needs a voxel in the mask"):
            three_planes([panel(corner())], mask=empty, point_xyz=point)
    far = LabelMap(
        np.ones((2, 2, 2), dtype=np.uint8), Grid.axis_aligned((2, 2, 2), spacing=(1, 1, 1), origin=(0, 0, 99))
    )
    with pytest.raises(ReportError, match="the mask lies outside all panels"):
        three_planes([panel(corner())], mask=far)
    specimen = Volume(np.ones((2, 2, 2)), Grid((2, 2, 2), np.eye(4), "nm", "specimen"), Quantity.EM_SIGNAL)
    with pytest.raises(GeometryError, match="specimen"):
        three_planes([Panel(specimen, "x", (0, 1))])


def test_pyplot_is_never_imported():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np\n"
        "import medgan.reporting\n"
        "assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules\n"
        "from medgan.geometry import Grid\n"
        "from medgan.volume import Quantity, Volume\n"
        "volume = Volume(np.ones((9, 9, 9)), Grid.axis_aligned((9, 9, 9), spacing=(1, 1, 1)), Quantity.HOUNSFIELD)\n"
        "medgan.reporting.three_planes([medgan.reporting.Panel(volume, 'x', (0, 2))])\n"
        "assert 'matplotlib' not in sys.modules\n"
        "medgan.reporting.error_strip({'a': [1.0, 2.0]}, label='HU')\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seed", range(12))
def test_the_center_of_a_mask_is_its_voxel_nearest_to_the_mean(seed):
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 24, 3))
    # Few voxels leave the mean far from any; oblique and sheared axes make near in voxels far in mm.
    inside = generator.random(shape) < generator.choice([0.001, 0.02, 0.6])
    inside[tuple(generator.integers(0, shape))] = True
    affine = np.eye(4)
    affine[:3, :3] = np.diag([0.5, 2.0, 6.0]) @ (np.eye(3) + 0.3 * generator.standard_normal((3, 3)))
    mask = LabelMap(inside.astype(np.uint8), Grid(shape, affine))
    places = mask.grid.world(np.argwhere(inside))
    distance = np.linalg.norm(places - places.mean(axis=0), axis=1)
    found = _default_point(corner(), mask)
    assert inside[tuple(np.rint(mask.grid.index(found)).astype(int))]
    assert np.linalg.norm(found - places.mean(axis=0)) == pytest.approx(distance.min(), abs=1e-6)


def test_the_mark_keeps_its_color_among_many_grays():
    # Every gray there is, evenly, as in a scan with noise: the few pixels of the mark must not be given up for them.
    values = np.random.default_rng(4).uniform(-300, 500, (60, 60, 60)).astype(np.float32)
    synthetic = Volume(
        values,
        Grid.axis_aligned((60, 60, 60), spacing=(2, 2, 2)),
        Quantity.HOUNSFIELD,
        Provenance(is_synthetic=True),
    )
    png = three_planes([Panel(synthetic, "Result", (-300, 500))])
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert (np.abs(pixels - (255, 176, 0)).max(axis=2) < 25).sum() > 50
