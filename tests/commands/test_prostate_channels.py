"""Which image of a study is T2w, ADC and high-b DWI."""

from __future__ import annotations

import pytest

from medgan.commands.prostate_channels import SeriesFacts, chosen_series, facts_of, kind_of

T2 = SeriesFacts(
    1, ("ORIGINAL", "PRIMARY", "M"), scanning_sequence=("SE",), sequence_name="*tse2d1_25", echo_time_ms=104.0,
    repetition_time_ms=5660.0, is_axial=True, in_plane_mm=0.5,
)  # fmt: skip


def facts(index: int, **changes) -> SeriesFacts:
    return SeriesFacts(index, **changes)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (T2, ("t2w", "echo and repetition time")),
        (facts(1, image_type=("DERIVED", "DIFFUSION", "ADC"), b_value=800.0), ("adc", "image type")),
        (facts(1, image_type=("DERIVED", "PRIMARY", "APPARENT DIFFUSION COEFFICIENT")), ("adc", "image type")),
        (facts(1, image_type=("DERIVED", "DIFFUSION", "TRACEW"), b_value=800.0), ("dwi", "b-value")),
        (facts(1, b_value=1400.0), ("dwi", "b-value")),
        (facts(1, b_value=1400.0, description="dadc map"), ("dwi", "b-value")),
        (facts(1, b_value=1400.0, description="ax adc (10^-6)"), ("adc", "series description")),
        (
            facts(1, scanning_sequence=("EP",), description="apparent diffusion coefficient"),
            ("adc", "series description"),
        ),
        (facts(1, is_axial=True, description="t2_tse_tra"), ("t2w", "series description")),
        (facts(1, is_axial=True, description="ax t2 frfse"), ("t2w", "series description")),
    ],
)
def test_recognized(given, wanted):
    assert kind_of(given) == wanted


@pytest.mark.parametrize(
    "given",
    [
        facts(1, image_type=("DERIVED", "DIFFUSION", "FA"), b_value=800.0),
        facts(1, image_type=("DERIVED", "DIFFUSION", "TRACEW"), b_value=50.0),
        facts(1, scan_options=("DIFFUSION",), description="t2 like", is_axial=True),
        facts(1, scanning_sequence=("GR",), echo_time_ms=1.5, repetition_time_ms=800.0, is_axial=True),
        facts(1, scanning_sequence=("SE",), echo_time_ms=10.0, repetition_time_ms=600.0, is_axial=True),  # T1
        facts(1, scanning_sequence=("SE",), echo_time_ms=100.0, repetition_time_ms=5000.0, is_axial=False),  # sagittal
        facts(1, is_axial=True, description="t2* star"),
        facts(1, is_axial=True, description="localizer"),
        facts(1),
    ],
)
def test_not_recognized(given):
    assert kind_of(given) is None


def test_the_highest_b_value_is_taken_and_the_choice_is_said():
    low, high = (facts(n, image_type=("DIFFUSION",), b_value=b) for n, b in ((2, 800.0), (3, 1000.0)))
    calculated = facts(4, image_type=("DIFFUSION",), b_value=1000.0, sequence_name="*ep_b50_800")
    other = facts(5, image_type=("DIFFUSION",), b_value=50.0)
    found = chosen_series([T2, low, high, calculated, other])
    assert set(found) == {"t2w", "dwi"}
    assert (found["dwi"].index, found["dwi"].is_calculated, found["dwi"].alternatives) == (3, False, (2, 4))
    assert found["dwi"].words == "dwi is image 3, b 1000 s/mm2, by its b-value; also possible: 2, 4"
    only = chosen_series([low, calculated])["dwi"]
    assert "b 1000 s/mm2 (calculated)" in only.words


def test_the_finest_t2w_is_taken():
    coarse = SeriesFacts(**{**vars(T2), "index": 9, "in_plane_mm": 0.3})
    assert chosen_series([T2, coarse])["t2w"].index == 9


def test_a_real_study(shared_data):
    from medgan.formats import take_inventory

    folder = shared_data / "prostate" / "ProstateX_dicom"
    if not folder.is_dir():
        pytest.skip("the prostate study is absent")
    known = [found for item in take_inventory([folder]).usable() if (found := facts_of(item)) is not None]
    chosen = chosen_series(known)
    assert {kind: choice.index for kind, choice in chosen.items()} == {"t2w": 1, "adc": 5, "dwi": 6}
    assert chosen["dwi"].is_calculated
    assert chosen["dwi"].alternatives == (4,)
