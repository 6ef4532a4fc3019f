import pytest

from medgan.errors import ReportError
from medgan.reporting.model_card import REQUIRED, render_model_card

CARD = {
    "name": "limb-mr-to-ct",
    "task": "Synthetic CT from T1-weighted MR",
    "trained_anatomy": "limbs of adults with soft-tissue sarcoma",
    "intended_use": "Research on\nimage translation.",
    "not_for": ["diagnosis", "radiotherapy dose"],
    "license": "Apache-2.0",
    "training_data": [{"name": "STS", "license": "CC BY 3.0", "citation": "Vallières 2015", "cases": 10}],
    "recipe": ["1 mm isotropic", "body mask as input"],
    "results": [
        {"method": "model", "measure": "MAE", "value": 73.1, "unit": "HU", "interval": "64 to 82", "n": 10},
        {"method": "T1 table | bulk", "measure": "MAE", "value": 72.9, "unit": "HU", "n": 10, "data": "leave-one-out"},
    ],
    "limits": ["cortical bone is missing"],
}


def test_the_card_says_it_all():
    text = render_model_card(CARD)
    assert text.startswith("# limb-mr-to-ct\n\nSynthetic CT from T1-weighted MR. Trained on: limbs of adults")
    assert "not for diagnosis" in text
    for heading in ("Intended use", "Not for", "Training data", "Recipe", "Measured results, with baselines", "Limits"):
        assert f"\n## {heading}\n\n" in text
    assert "Research on image translation." in text
    assert "- diagnosis\n- radiotherapy dose\n" in text
    assert "| STS | CC BY 3.0 | Vallières 2015 | 10 |" in text
    assert "| model | MAE | 73.1 | HU | 64 to 82 | 10 | – |" in text
    assert "| T1 table \\| bulk | MAE | 72.9 | HU | – | 10 | leave-one-out |" in text
    assert text.endswith("- cortical bone is missing\n")


def test_nothing_measured_is_said():
    assert "Nothing has been measured yet." in render_model_card({**CARD, "results": []})


@pytest.mark.parametrize("key", REQUIRED)
def test_every_part_is_required(key):
    card = {k: v for k, v in CARD.items() if k != key}
    with pytest.raises(ReportError, match=f"A model card needs {key}"):
        render_model_card(card)


def test_refusals():
    with pytest.raises(ReportError, match="needs limits"):
        render_model_card({**CARD, "limits": []})
    with pytest.raises(ReportError, match="has no patient: known are name"):
        render_model_card({**CARD, "patient": "x"})
    with pytest.raises(ReportError, match="results of a model card has no column score: known are method"):
        render_model_card({**CARD, "results": [{"score": 1}]})
    with pytest.raises(ReportError, match="a sequence of texts: found one text, 'fails'"):
        render_model_card({**CARD, "limits": "fails"})
