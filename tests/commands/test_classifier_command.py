"""``medgan classifier check``: what may be explained, and the reason where not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from radiograph_models import SETTINGS, counterfactual_bundle, network, write_folder
from safetensors.torch import save_file
from torch import nn

from medgan.commands.classifier import phantom_probes
from medgan.networks.classifier import ConvolutionalClassifier


def test_a_good_classifier_passes(medgan, tmp_path):
    outcome = medgan("classifier", "check", write_folder(tmp_path / "c"))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "mine: normal | ill, input 12 x 12 px" in outcome.out
    assert "8 phantom radiographs" in outcome.out
    facts = medgan("classifier", "check", tmp_path / "c", "--json").json
    assert facts["usable"] is True
    assert {"d_ig", "deeplift", "guided_backprop", "grad_cam"} <= set(facts["methods"])
    assert facts["target_layer"] == "features"
    assert facts["preflight"]["passed"] is True


def test_given_radiographs_are_looked_at(medgan, tmp_path):
    folder = write_folder(tmp_path / "c")
    options = []
    for i in range(4):
        array = np.random.default_rng(i).integers(0, 256, (24, 24)).astype(np.uint8)
        Image.fromarray(array).save(tmp_path / f"{i}.png")
        options += ["--image", tmp_path / f"{i}.png"]
    assert medgan("classifier", "check", folder, *options, "--json").json["looked_at_with"] == "4 radiographs"
    few = medgan("classifier", "check", folder, *options[:4])
    assert few.code == 2
    assert "at least four" in few.err


def test_an_untrained_output_refuses_everything(medgan, tmp_path):
    made = network()
    with torch.no_grad():
        made.verdict.weight.zero_()
    outcome = medgan("classifier", "check", write_folder(tmp_path / "c", made=made))
    assert outcome.code == 2
    assert "Nothing may be explained." in outcome.out
    assert "untrained" in outcome.out


def test_a_target_layer_without_extent_refuses_its_methods_alone(medgan, tmp_path):
    facts = medgan("classifier", "check", write_folder(tmp_path / "c", target_layer="verdict"), "--json").json
    assert facts["usable"] is True
    assert "grad_cam" not in facts["methods"]
    assert "d_ig" in facts["methods"]
    assert "grad_cam" in facts["preflight"]["refused"]


class Functional(nn.Module):
    """A network of the user's own that rectifies by a function."""

    def __init__(self) -> None:
        super().__init__()
        inner = ConvolutionalClassifier(**SETTINGS)
        self.features, self.verdict = (
            nn.Sequential(*[m for m in inner.features if not isinstance(m, nn.ReLU)]),
            inner.verdict,
        )

    def forward(self, image):
        hidden = image
        for layer in self.features:
            hidden = layer(hidden)
            hidden = torch.relu(hidden) if isinstance(layer, nn.BatchNorm2d) else hidden
        return self.verdict(hidden.mean((2, 3)))


@pytest.fixture
def users_code(monkeypatch):
    import sys
    from types import ModuleType

    module = ModuleType("users_functional")
    module.make = Functional
    monkeypatch.setitem(sys.modules, "users_functional", module)


@pytest.mark.usefixtures("users_code")
def test_own_code_needs_trust_and_a_functional_relu_is_found(medgan, tmp_path):
    folder = write_folder(
        tmp_path / "c", network=None, factory="users_functional:make", settings={}, target_layer="features"
    )
    torch.manual_seed(0)
    made = Functional()
    with torch.no_grad():
        made.verdict.weight.normal_(0, 9)
    save_file({k: v.contiguous() for k, v in made.state_dict().items()}, folder / "weights.safetensors")
    refused = medgan("classifier", "check", folder)
    assert refused.code == 2
    assert "--trust-code" in refused.err
    facts = medgan("classifier", "check", folder, "--trust-code", "--json").json
    assert facts["usable"] is True
    assert not {"guided_backprop", "deconvolution", "deeplift"} & set(facts["methods"])
    assert "d_ig" in facts["methods"]


def test_a_model_without_gradients_says_what_it_cannot(medgan, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = write_folder(tmp_path / "c", weights="w.onnx", network=None, settings={}, target_layer=None)
    weights = np.random.default_rng(3).normal(size=(144, 2)).astype(np.float32)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["x"], ["f"]), onnx.helper.make_node("MatMul", ["f", "w"], ["y"])],
        "linear",
        [onnx.helper.make_tensor_value_info("x", kind, ["N", 1, 12, 12])],
        [onnx.helper.make_tensor_value_info("y", kind, ["N", 2])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "w.onnx")
    outcome = medgan("classifier", "check", folder)
    assert outcome.code == 0, outcome.out + outcome.err
    assert "It cannot be given: saliency" in outcome.out
    facts = medgan("classifier", "check", folder, "--json").json
    assert set(facts["methods"]) == {"occlusion", "residual", "random"}
    assert facts["gives_gradients"] is False


def test_what_is_no_classifier_is_refused(medgan, tmp_path):
    counterfactual_bundle(tmp_path / "t")
    for folder, words in ((tmp_path / "t", "A model for classification"), (tmp_path / "nothing", "classifier.yaml")):
        outcome = medgan("classifier", "check", folder, "--json")
        assert outcome.code == 2
        assert words in outcome.json["error"]["message"]


@pytest.mark.parametrize("size", [(28, 28), (64, 48), (200, 200)])
def test_phantom_probes_use_the_range_of_radiographs(size):
    probes = phantom_probes(size)
    assert probes.shape == (8, *size)
    assert -1 <= probes.min() < -0.9
    assert 0.7 < probes.max() <= 1
    assert np.abs(probes[0] - probes[2]).mean() > 0.01
