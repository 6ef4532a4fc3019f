"""Whether a method that rewrites the gradient of rectifiers can reach all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from medgan.errors import ExplanationError
from medgan.explanation.scored_classifier import ScoredClassifier

_DEEPLIFT_NODES: dict[type[nn.Module], str] = {
    nn.ReLU: "ReluBackward0",
    nn.ELU: "EluBackward0",
    nn.LeakyReLU: "LeakyReluBackward0",
    nn.Sigmoid: "SigmoidBackward0",
    nn.Tanh: "TanhBackward0",
    nn.Softplus: "SoftplusBackward0",
    nn.MaxPool2d: "MaxPool2DWithIndicesBackward0",
    nn.MaxPool3d: "MaxPool3DWithIndicesBackward0",
}
"""Modules whose multipliers Captum's DeepLift knows, and the graph node that a call of each leaves."""

_DISGUISED = {
    "ClampBackward0": "clamp",
    "ClampBackward1": "clamp",
    "ClampMinBackward0": "clamp",
    "ClampMinBackward1": "clamp",
    "MaximumBackward0": "maximum",
    "ThresholdBackward0": "threshold",
}
"""Nodes of functions that rectify without being called so."""

_UNKNOWN_TO_DEEPLIFT = {"GeluBackward0": "GELU", "SiluBackward0": "SiLU", "HardtanhBackward0": "hardtanh or ReLU6"}


def graph_nodes(output: Tensor) -> Iterator[str]:
    """Yield the name of every node of the graph behind a tensor, each node once."""
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node.name()
        waiting.extend(parent for parent, _ in node.next_functions)


def rectifier_faults(classifier: ScoredClassifier, image: Tensor, *, method: str) -> tuple[str, ...]:
    """Return a sentence for each reason why a method would silently be wrong for this network.

    Parameters
    ----------
    classifier : ScoredClassifier
    image : (1, 1, ...)
        Any image.
    method : {"guided_backprop", "deconvolution", "deeplift"}

    Notes
    -----
    The nodes that rectifiers leave in the autograd graph are counted against the calls of rectifier modules: a node
    more is a function that hooks cannot reach. A module that is called twice shares one hook between two places.
    """
    module = classifier.module
    scripted = [n or "the whole" for n, m in module.named_modules() if isinstance(m, torch.jit.ScriptModule)]
    if scripted:
        return (f"scripted modules cannot be hooked: {scripted[0]} is one. Use the module that it was made from",)
    wanted = {nn.ReLU: "ReluBackward0"} if method != "deeplift" else _DEEPLIFT_NODES
    calls, output = _module_calls(module, classifier.device, image, tuple(wanted))
    if not output.requires_grad:
        return ("the output has no gradient, so nothing can be propagated back",)
    names = {m: n for n, m in module.named_modules()}
    nodes = Counter(graph_nodes(output))
    faults = []
    for kind, node in wanted.items():
        called = sum(count for m, count in calls.items() if type(m) is kind)
        if nodes[node] > called:
            faults.append(
                f"{nodes[node] - called} of {nodes[node]} calls of {kind.__name__} are functional (or of a module that "
                f"cannot be hooked). Make each one an nn.{kind.__name__} module"
            )
        reused = [(names[m], count) for m, count in calls.items() if type(m) is kind and count > 1]
        faults += [
            f"the {kind.__name__} module {name!r} is used {count} times. Give every place a module of its own"
            for name, count in reused
        ]
    faults += [
        f"{function} may work as a rectifier that is no module. Make it an nn.ReLU"
        for function in sorted({_DISGUISED[n] for n in nodes if n in _DISGUISED})
    ]
    if method == "deeplift":
        faults += [
            f"{_UNKNOWN_TO_DEEPLIFT[n]} has no DeepLift rule in Captum"
            for n in sorted(nodes)
            if n in _UNKNOWN_TO_DEEPLIFT
        ]
    elif not nodes["ReluBackward0"] and not faults:
        faults.append("the network has no ReLU: the method would be the plain gradient")
    return tuple(faults)


def require_reachable_rectifiers(classifier: ScoredClassifier, image: Tensor, *, method: str) -> None:
    """Refuse a method whose hooks cannot reach all rectifiers.

    Raises
    ------
    ExplanationError
        With the reason.
    """
    faults = rectifier_faults(classifier, image, method=method)
    if faults:
        raise ExplanationError(f"{method} would silently be wrong for this classifier: {'; '.join(faults)}.")


def _module_calls(
    module: nn.Module, device: torch.device, image: Tensor, kinds: tuple[type[nn.Module], ...]
) -> tuple[Counter[nn.Module], Tensor]:
    calls: Counter[nn.Module] = Counter()

    def count(one: nn.Module, _inputs: object, _output: object) -> None:
        calls[one] += 1

    handles = [m.register_forward_hook(count) for m in module.modules() if type(m) in kinds]
    try:
        with torch.enable_grad():
            output = module(image[:1].detach().clone().to(device).requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return calls, output
