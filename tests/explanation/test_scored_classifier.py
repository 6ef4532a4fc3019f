"""What a classifier's outputs mean."""

from __future__ import annotations

import pytest
import torch
from explained_networks import RegionMean, SmallNet, pictures, present_or_absent, scored
from torch import nn

from medgan.errors import ExplanationError
from medgan.explanation.scored_classifier import ScoredClassifier, activations_kept, rectifiers_out_of_place


class Fixed(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.outputs = torch.tensor(outputs)

    def forward(self, x):
        return self.outputs.expand(len(x), -1)


X = torch.zeros(2, 1, 4, 4)


def test_one_logit_has_two_classes():
    classifier = ScoredClassifier(Fixed([[2.0]]), "", "logit", ("absent", "present"), output=0)
    assert classifier.logits(X)[0].tolist() == [-2.0, 2.0]
    p = torch.sigmoid(torch.tensor(2.0)).item()
    assert classifier.probabilities(X)[0].tolist() == pytest.approx([1 - p, p])


def test_one_output_of_many_labels_is_told_apart_by_a_sigmoid():
    classifier = ScoredClassifier(Fixed([[5.0, -1.0, 3.0]]), "", "logit", ("no effusion", "effusion"), output=1)
    assert classifier.probabilities(X)[0, 1].item() == pytest.approx(torch.sigmoid(torch.tensor(-1.0)).item())
    given = ScoredClassifier(Fixed([[0.2, 0.7]]), "", "sigmoid", ("no", "yes"), output=1)
    assert given.probabilities(X)[0].tolist() == pytest.approx([0.3, 0.7], abs=1e-6)


def test_softmax_outputs_come_back_as_they_are():
    classifier = ScoredClassifier(Fixed([[0.2, 0.5, 0.3]]), "", "softmax", ("a", "b", "c"))
    assert classifier.probabilities(X)[0].tolist() == pytest.approx([0.2, 0.5, 0.3], abs=1e-6)
    assert classifier.predicted(classifier.probabilities(X)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_space": "odds"}, "logit, sigmoid or softmax: found 'odds'"),
        ({"class_names": ("a",)}, "at least two different class names"),
        ({"class_names": ("a", "a")}, "at least two different class names"),
        ({"class_names": ("a", "b", "c"), "output": 0}, "found 3 names for output 0"),
        ({"score_space": "sigmoid"}, "belongs to one output"),
        ({"score_space": "softmax", "output": 0}, "leave the output out"),
        ({"target_layer": "features.norm9"}, "'features.norm9' is not in the classifier.*head"),
    ],
)
def test_contradictions_are_refused(changes, message):
    facts = {"module": SmallNet(), "target_layer": "", "score_space": "logit", "class_names": ("a", "b")} | changes
    with pytest.raises(ExplanationError, match=message):
        ScoredClassifier(**facts)


def test_outputs_that_do_not_fit_the_names_are_refused():
    with pytest.raises(ExplanationError, match="3 outputs for 2 class names"):
        ScoredClassifier(Fixed([[1.0, 2.0, 3.0]]), "", "logit", ("a", "b")).logits(X)
    with pytest.raises(ExplanationError, match="Output 4 is asked for"):
        ScoredClassifier(Fixed([[1.0]]), "", "logit", ("a", "b"), output=4).logits(X)
    with pytest.raises(ExplanationError, match="found shape"):
        ScoredClassifier(nn.Identity(), "", "logit", ("a", "b")).logits(X)
    with pytest.raises(ExplanationError, match="needs a target layer"):
        _ = present_or_absent(RegionMean(torch.ones(4, 4))).layer


def test_batches_bound_what_the_module_sees_and_do_not_change_scores():
    classifier, images, seen = scored(SmallNet()), pictures(7), []
    classifier.module.register_forward_hook(lambda _m, i, _o: seen.append(len(i[0])))
    found = classifier.probabilities(images, batch=3)
    assert seen == [3, 3, 1]
    torch.testing.assert_close(found, classifier.probabilities(images, batch=7))


def test_kept_activations_are_not_overwritten_in_place():
    net = SmallNet(inplace=True)
    classifier = scored(net, layer="second")
    with activations_kept(classifier) as kept:
        classifier.module(pictures(2))
    assert float(kept[0].detach().min()) < 0  # the ReLU behind it works in place
    assert not net.second._forward_hooks


def test_rectifiers_are_in_place_again_afterwards():
    net = SmallNet(inplace=True)

    def fail() -> None:
        with rectifiers_out_of_place(net):
            assert not net.first_relu.inplace
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert net.first_relu.inplace
