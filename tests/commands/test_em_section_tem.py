"""Serial sections brought to cubes: what lies where, and what is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medgan.commands.em_section_tem import profiles_of, read_section_tem
from medgan.errors import GeometryError, SettingsError


@pytest.fixture
def stack(tmp_path):
    """Three sections of 40 x 30 pixels of 5 nm: a membrane down the middle, gray growing from section to section."""
    for name in ("raw", "labels"):
        (tmp_path / name).mkdir()
    for n in range(3):
        classes = np.full((30, 40), 255, np.uint8)
        classes[:, 20] = 64
        Image.fromarray(np.full((30, 40), 50 + 50 * n, np.uint8)).save(tmp_path / "raw" / f"{n:02d}.png")
        Image.fromarray(classes).save(tmp_path / "labels" / f"{n:02d}.png")
    return tmp_path


def read(folder, **changes):
    return read_section_tem(folder, **{"pixel_nm": 5, "section_nm": 50, "spacing_nm": (10.0, 10.0, 10.0), **changes})


def test_sections_keep_their_place_and_gray_is_linear_between(stack):
    found = read(stack)
    assert found.image.shape == (20, 15, 11)
    assert found.image.array.dtype == np.uint8
    assert found.sections == (0, 5, 10)
    assert np.allclose(found.image.array[5, 5], 50 + 10 * np.arange(11), atol=1)


def test_only_true_sections_are_known_and_profiles_are_their_own(stack):
    found = read(stack)
    known = [k for k in range(11) if found.instances.array[:, :, k].any()]
    assert known == [0, 5, 10]
    left = [found.instances.array[2, 7, k] for k in known]
    right = [found.instances.array[17, 7, k] for k in known]
    assert len({*left, *right}) == 6


def test_the_middle_is_one_place_of_image_and_instances(stack):
    found, part = read(stack), read(stack).middle(6)
    assert part.image.shape == part.instances.shape == (6, 6, 11)
    assert np.array_equal(part.instances.array, found.instances.array[7:13, 4:10])
    assert read(stack).middle(500).image.shape == found.image.shape


def test_refusals(stack):
    with pytest.raises(SettingsError, match="Sections of 45 nm must be a multiple of the labeled stack's 10 nm apart"):
        read(stack, section_nm=45)
    (stack / "labels" / "02.png").unlink()
    with pytest.raises(GeometryError, match="labels"):
        read(stack)


def test_membranes_part_profiles_and_nothing_else_does():
    classes = np.array([[255, 128, 159, 191, 0, 223]], np.uint8)[:, :, None]
    assert profiles_of(classes)[0, :, 0].tolist() == [1, 0, 2, 2, 0, 3]


def test_the_real_stack(shared_data):
    found = read_section_tem(
        shared_data / "em" / "vnc_sstem_stack1_z00-13", pixel_nm=4.6, section_nm=50, spacing_nm=(10.0, 10.0, 10.0)
    )
    assert found.image.shape == (471, 471, 66)
    assert len(found.sections) == 14
    inside, membrane = found.instances.array[:, :, 0] > 0, found.instances.array[:, :, 0] == 0
    assert found.image.array[:, :, 0][inside].mean() > found.image.array[:, :, 0][membrane].mean() + 30
