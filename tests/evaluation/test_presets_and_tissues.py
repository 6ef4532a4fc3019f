import math

import numpy as np
import pytest

from medgan.errors import EvaluationError
from medgan.evaluation.presets import PRESETS, preset_named
from medgan.evaluation.tissues import TISSUES, Tissue


def test_the_table_is_named_as_its_keys():
    assert (
        list(PRESETS) == [preset.name for preset in PRESETS.values()] == ["synthrad2023", "synthrad2025", "corrected"]
    )


def test_published_numbers():
    assert [PRESETS[n].peak for n in PRESETS] == [4024, 4095, 4095]
    assert [PRESETS[n].low for n in PRESETS] == [-1024] * 3
    assert [PRESETS[n].clip_errors for n in PRESETS] == [False, False, True]
    assert PRESETS["synthrad2023"].multi_scale is None
    challenge, corrected = PRESETS["synthrad2025"].multi_scale, PRESETS["corrected"].multi_scale
    assert challenge.weights == corrected.weights == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    assert (challenge.window, challenge.minimum_size) == (7, 97)
    assert challenge.luminance_at_every_scale
    assert not corrected.luminance_at_every_scale


def test_rules_are_told_apart_in_words():
    assert "luminance at every scale, power before the mean" in PRESETS["synthrad2025"].multi_scale.describe()
    assert "luminance at the coarsest scale only, power after" in PRESETS["corrected"].multi_scale.describe()
    assert PRESETS["synthrad2023"].range_text == "[-1024, 3000] HU"


def test_an_unknown_preset_is_refused():
    with pytest.raises(EvaluationError, match="must be one of synthrad2023, synthrad2025, corrected: found 'synthrad'"):
        preset_named("synthrad")
    assert preset_named("corrected") is PRESETS["corrected"]


def test_tissues_do_not_overlap():
    hu = np.arange(-1100, 3000, 0.5)
    assert np.sum([tissue.where(hu) for tissue in TISSUES], axis=0).max() == 1


def test_a_range_is_open_below_and_closed_above():
    fat = Tissue("fat", -150, -30)
    assert fat.where(np.array([-150.0, -149.0, -30.0, -29.0])).tolist() == [False, True, True, False]
    assert fat.range_text == "-150 < HU <= -30"
    assert Tissue("air", -math.inf, -300).range_text == "HU <= -300"
    assert Tissue("bone", 200, math.inf).range_text == "HU > 200"
