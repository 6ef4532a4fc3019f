"""A classifier that a user brings: what its file says is what happens, and faults are named."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from radiograph_models import SETTINGS, classification_bundle, counterfactual_bundle, network, write_folder
from torch import nn

from medgan.errors import BundleError, InferenceError, SettingsError
from medgan.inference.classifier import CANNOT, open_classifier

IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 12, 12)).astype(np.float32)


def expected(images=IMAGES, **options) -> np.ndarray:
    with torch.inference_mode():
        return network(**options)(torch.from_numpy(images)[:, None]).double().numpy()


def test_exclusive_classes(tmp_path):
    classifier = open_classifier(write_folder(tmp_path / "c"))
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected(), rtol=1e-5)
    np.testing.assert_allclose(classifier.probabilities(IMAGES), torch.tensor(expected()).softmax(1).numpy(), rtol=1e-5)
    assert classifier.class_names == ("normal", "ill")
    assert classifier.output is None
    assert classifier.target_layer == "network.features"
    assert not classifier.module.training
    assert not any(p.requires_grad for p in classifier.module.parameters())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_in_either_form_are_the_same(tmp_path, suffix):
    classifier = open_classifier(write_folder(tmp_path / "c", weights=f"w{suffix}"))
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected(), rtol=1e-5)


def test_wrapped_and_prefixed_state_dicts_are_unwrapped(tmp_path):
    folder = write_folder(tmp_path / "c", weights="w.pt")
    state = {f"module.{name}": tensor for name, tensor in network().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "w.pt")
    classifier = open_classifier(folder)
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected(), rtol=1e-5)
    assert "'module.'" in classifier.notices[0]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (1, 0)])
def test_the_value_range_is_honored(tmp_path, low, high):
    classifier = open_classifier(write_folder(tmp_path / "c", value_range=[low, high]))
    mapped = (IMAGES + 1) / 2 * (high - low) + low
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected(mapped.astype(np.float32)), rtol=2e-4, atol=1e-4)


def test_three_channels_with_a_range_each(tmp_path):
    made = network(in_channels=3)
    ranges = [[-2.1, 2.2], [-2.0, 2.4], [-1.8, 2.6]]
    folder = write_folder(
        tmp_path / "c", made=made, settings={**SETTINGS, "in_channels": 3}, channels=3, value_range=ranges
    )
    stacked = np.stack([(IMAGES + 1) / 2 * (high - low) + low for low, high in ranges], 1).astype(np.float32)
    with torch.inference_mode():
        wanted = made(torch.from_numpy(stacked)).double().numpy()
    np.testing.assert_allclose(open_classifier(folder).outputs(IMAGES), wanted, rtol=1e-4, atol=1e-5)


def test_one_of_independent_labels(tmp_path):
    folder = write_folder(
        tmp_path / "c", made=network(classes=3), settings={**SETTINGS, "classes": 3}, labels=["a", "b", "c"], output="b"
    )
    classifier = open_classifier(folder)
    p = 1 / (1 + np.exp(-expected(classes=3)[:, 1]))
    np.testing.assert_allclose(classifier.probabilities(IMAGES), np.stack([1 - p, p], 1), rtol=1e-5)
    assert classifier.class_names == ("no b", "b")
    assert classifier.output == 1


def test_a_single_output_is_absent_or_present(tmp_path):
    folder = write_folder(
        tmp_path / "c", made=network(classes=1), settings={**SETTINGS, "classes": 1}, labels=["ill"], absent="well"
    )
    classifier = open_classifier(folder)
    assert classifier.class_names == ("well", "ill")
    p = 1 / (1 + np.exp(-expected(classes=1)[:, 0]))
    np.testing.assert_allclose(classifier.probabilities(IMAGES)[:, 1], p, rtol=1e-5)


def test_a_temperature_divides_the_logits(tmp_path):
    warm = open_classifier(write_folder(tmp_path / "c", temperature=2.0))
    np.testing.assert_allclose(warm.outputs(IMAGES), expected() / 2, rtol=1e-5)


def test_features_are_the_spatial_means_of_the_target_layer(tmp_path):
    classifier = open_classifier(write_folder(tmp_path / "c"))
    with torch.inference_mode():
        wanted = network().features(torch.from_numpy(IMAGES)[:, None]).mean((2, 3)).numpy()
    np.testing.assert_allclose(classifier.features(IMAGES, batch=2), wanted, rtol=1e-5)
    blind = open_classifier(write_folder(tmp_path / "d", target_layer=None))
    with pytest.raises(InferenceError, match="no inner activations"):
        blind.features(IMAGES)


@pytest.mark.parametrize(
    ("name", "settings", "layer"),
    [
        ("DenseNet121", {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}, "features.norm5"),
        ("resnet18", {"spatial_dims": 2, "n_input_channels": 1, "num_classes": 2}, "layer4"),
    ],
)
def test_networks_of_monai_by_name(tmp_path, name, settings, layer):
    nets = pytest.importorskip("monai.networks.nets")
    folder = write_folder(
        tmp_path / "c", made=getattr(nets, name)(**settings), network=name, settings=settings, input_size=[64, 64],
        target_layer=layer,
    )  # fmt: skip
    classifier = open_classifier(folder)
    assert classifier.probabilities(np.zeros((2, 64, 64), np.float32)).sum(1) == pytest.approx(1)


def test_nothing_is_downloaded(tmp_path):
    folder = write_folder(tmp_path / "c", network="DenseNet121", settings={"pretrained": True})
    with pytest.raises(InferenceError, match="sets pretrained: nothing is downloaded"):
        open_classifier(folder)


# The user's own code ---------------------------------------------------------------------------------------------


def my_network(width: int = 2) -> nn.Module:
    my_network.calls += 1
    return network(width=width)


my_network.calls = 0


def no_network() -> int:
    return 3


def failing() -> nn.Module:
    raise RuntimeError("/home/someone/secret")


def with_factory(folder, function: str, **changes):
    return write_folder(folder, network=None, factory=f"users_code:{function}", settings={}, **changes)


@pytest.fixture
def importable(monkeypatch):
    module = ModuleType("users_code")
    for function in (my_network, no_network, failing):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "users_code", module)


@pytest.mark.usefixtures("importable")
def test_a_factory_runs_only_where_it_is_trusted(tmp_path):
    folder = with_factory(tmp_path / "c", "my_network")
    before = my_network.calls
    with pytest.raises(InferenceError, match="only with --trust-code"):
        open_classifier(folder)
    assert my_network.calls == before
    np.testing.assert_allclose(open_classifier(folder, trust_code=True).outputs(IMAGES), expected(), rtol=1e-5)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("no_network", r"must return a torch.nn.Module: found int"),
        ("failing", "failed with RuntimeError"),
        ("absent", r"cannot be imported .AttributeError"),
    ],
)
def test_factories_that_fail_are_named_without_their_text(tmp_path, function, words):
    with pytest.raises(InferenceError, match=words) as refusal:
        open_classifier(with_factory(tmp_path / "c", function), trust_code=True)
    assert "/home" not in str(refusal.value)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("code was run",))


def test_pickled_code_is_never_run(tmp_path):
    folder = write_folder(tmp_path / "c", weights="w.pt")
    torch.save({"x": Evil()}, folder / "w.pt")
    with pytest.raises(InferenceError, match="more than tensors"):
        open_classifier(folder, trust_code=True)
    (folder / "w.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InferenceError, match=r"w\.pt"):
        open_classifier(folder)


# Models without gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 2])
def test_an_onnx_model_gives_scores_and_says_what_it_cannot(tmp_path, batch):
    pytest.importorskip("onnxruntime")
    folder = write_folder(tmp_path / "c", weights="w.onnx", network=None, settings={}, target_layer=None)
    write_onnx(folder / "w.onnx", batch)
    classifier = open_classifier(folder)
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected_linear(IMAGES), rtol=1e-4, atol=1e-5)
    assert not classifier.has_gradients
    assert any("Grad-CAM" in words for words in CANNOT)
    with pytest.raises(InferenceError, match="no inner activations"):
        classifier.features(IMAGES)


def linear_weights() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(144, 2)).astype(np.float32)


def expected_linear(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) @ linear_weights()


def write_onnx(path, batch) -> None:
    onnx = pytest.importorskip("onnx")
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["x"], ["f"]), onnx.helper.make_node("MatMul", ["f", "w"], ["y"])],
        "linear",
        [onnx.helper.make_tensor_value_info("x", kind, [batch or "N", 1, 12, 12])],
        [onnx.helper.make_tensor_value_info("y", kind, [batch or "N", 2])],
        [onnx.numpy_helper.from_array(linear_weights(), "w")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def test_damaged_onnx_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    folder = write_folder(tmp_path / "c", weights="w.onnx", network=None, settings={}, target_layer=None)
    (folder / "w.onnx").write_bytes(b"no model")
    with pytest.raises(InferenceError, match="no ONNX model that onnxruntime can load"):
        open_classifier(folder)


def test_an_exported_program_needs_trust(tmp_path):
    folder = write_folder(tmp_path / "c", weights="w.pt2", network=None, settings={}, target_layer=None)
    program = torch.export.export(
        network(), (torch.zeros(2, 1, 12, 12),), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=512)},)
    )
    torch.export.save(program, folder / "w.pt2")
    with pytest.raises(InferenceError, match="only with --trust-code"):
        open_classifier(folder)
    classifier = open_classifier(folder, trust_code=True)
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected(), rtol=1e-4, atol=1e-5)
    assert not classifier.has_gradients


# Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nmae": "x"}, "nmae is not a setting. Did you mean 'name'"),
        ({"labels": None}, "labels is missing"),
        ({"labels": ["a", "a"]}, "must be distinct"),
        ({"output": "c"}, "output must be one of the labels"),
        ({"output": "ill", "score_space": "softmax"}, "softmax scores belong to all labels"),
        ({"score_space": "sigmoid"}, "say by output which label"),
        ({"absent": "x"}, "it needs output"),
        ({"network": None}, "network .by name. or factory"),
        ({"factory": "a.b:c"}, "one of the two"),
        ({"factory": "a.b.c", "network": None}, "factory"),
        ({"weights": "../w.safetensors"}, "without a path"),
        ({"weights": "w.pkl"}, "end in .safetensors"),
        ({"weights": "w.onnx"}, "holds its own network"),
        ({"value_range": [1, 1]}, "value_range needs"),
        ({"value_range": [[0, 1], [0, 1]]}, "value_range needs"),
        ({"channels": 2}, "channels"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": 2, "output": "ill", "score_space": "sigmoid"}, "temperature divides logits"),
    ],
)
def test_a_wrong_file_is_refused_with_the_setting(tmp_path, changes, words):
    with pytest.raises(SettingsError, match=words):
        open_classifier(write_folder(tmp_path / "c", **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "DenseNet12"}, "Did you mean 'DenseNet121'"),
        ({"settings": {"wide": 3}}, "cannot be built"),
        ({"settings": {**SETTINGS, "width": 3}}, "do not fit its network: features.0.weight has shape"),
        ({"settings": {**SETTINGS, "depth": 2}}, "is missing"),
        ({"target_layer": "layer9"}, "'layer9' is not in the network.*features"),
        ({"labels": ["a", "b", "c"]}, r"shape \(1, 3\), one a label: found \(1, 2\)"),
        ({"channels": 3}, "fails on an image of 12 x 12 pixels"),
        ({"score_space": "softmax"}, "softmax probabilities"),
        ({"score_space": "sigmoid", "output": "ill"}, "sigmoid probabilities: found"),
        ({"weights": "absent.pt"}, "there is no absent.pt in c"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes, words):
    folder = write_folder(tmp_path / "c", made=network())
    with pytest.raises(InferenceError, match=words) as refusal:
        open_classifier(_rewritten(folder, changes))
    assert str(tmp_path) not in str(refusal.value)


def _rewritten(folder, changes):
    import yaml

    settings = yaml.safe_load((folder / "classifier.yaml").read_text())
    (folder / "classifier.yaml").write_text(yaml.safe_dump({**settings, **changes}))
    return folder


def test_weights_that_are_not_finite_are_refused(tmp_path):
    made = network()
    with torch.no_grad():
        made.verdict.bias[0] = float("nan")
    with pytest.raises(InferenceError, match="found NaN or infinity"):
        open_classifier(write_folder(tmp_path / "c", made=made))


# Bundles ---------------------------------------------------------------------------------------------------------


def test_a_bundle_is_a_classifier_too(tmp_path):
    bundle = classification_bundle(tmp_path / "b", temperature=1.5)
    classifier = open_classifier(tmp_path / "b")
    np.testing.assert_allclose(classifier.outputs(IMAGES), expected() / 1.5, rtol=1e-5)
    assert classifier.weights_sha256 == bundle.facts.weights_sha256
    assert bundle.facts.headline == "normal | ill"
    assert classifier.domain.input_size == (12, 12)


def test_a_bundle_for_another_task_and_an_empty_folder_are_refused(tmp_path):
    counterfactual_bundle(tmp_path / "t")
    with pytest.raises(BundleError, match="A model for classification is needed"):
        open_classifier(tmp_path / "t")
    with pytest.raises(BundleError, match=r"folder with classifier\.yaml: found 'nothing'"):
        open_classifier(tmp_path / "nothing")


def test_labels_of_a_bundle_must_differ(tmp_path):
    with pytest.raises(BundleError, match="labels must be distinct"):
        classification_bundle(tmp_path / "b", labels=["a", "a"])
