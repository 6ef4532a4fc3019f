"""Small classifiers for tests: sound ones, and one for each rule that a preflight has to find broken."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.explanation.scored_classifier import ScoredClassifier


class SmallNet(nn.Module):
    """Two convolutions with ReLU modules, global mean, one linear layer."""

    def __init__(self, *, spatial: int = 2, outputs: int = 2, seed: int = 0, inplace: bool = False) -> None:
        super().__init__()
        conv = nn.Conv2d if spatial == 2 else nn.Conv3d
        self.first, self.first_relu = conv(1, 4, 3, padding=1), nn.ReLU(inplace=inplace)
        self.second, self.second_relu = conv(4, 6, 3, stride=2, padding=1), nn.ReLU(inplace=inplace)
        self.head = nn.Linear(6, outputs)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                spread = 0.6 if parameter.ndim > 1 else 0.1
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)

    def features(self, x: Tensor) -> Tensor:
        return self.second_relu(self.second(self.first_relu(self.first(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(2).mean(2)) * 4


class FunctionalRelu(SmallNet):
    def features(self, x: Tensor) -> Tensor:
        return self.second_relu(self.second(F.relu(self.first(x))))


class ReusedRelu(SmallNet):
    def features(self, x: Tensor) -> Tensor:
        return self.second_relu(self.first_relu(self.second(self.first_relu(self.first(x)))))


class ClampedRelu(SmallNet):
    def features(self, x: Tensor) -> Tensor:
        return self.second_relu(self.second(self.first(x).clamp(min=0)))


class Probabilities(SmallNet):
    """Give softmax probabilities of large logits."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x) * 500, dim=1)


class Constant(SmallNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1e-4


class BatchMean(SmallNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=0, keepdim=True))


class Rounded(SmallNet):
    """Steps have a gradient of zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 4).round() / 4)


class NanGradient(SmallNet):
    """The square root of zero has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (x * 0).square().sum(dim=(1, 2, 3)).sqrt()[:, None]


class Detached(SmallNet):
    """What an exported model without gradients looks like."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class PooledNet(SmallNet):
    """Max pooling makes Captum's DeepLift incomplete."""

    def __init__(self) -> None:
        super().__init__(seed=3)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)

    def features(self, x: Tensor) -> Tensor:
        return self.pool(super().features(x))


class RegionMean(nn.Module):
    """A planted classifier: its logit is a multiple of the mean gray value in a region."""

    def __init__(self, region: Tensor, *, gain: float = 20.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(region.float()[None, None] * gain / region.sum())
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).flatten(1).sum(1, keepdim=True) + self.bias


def scored(module: nn.Module, *, layer: str = "second_relu", space: str = "logit") -> ScoredClassifier:
    return ScoredClassifier(module.eval(), layer, space, ("no", "yes"))


def balanced(module: SmallNet, images: Tensor) -> ScoredClassifier:
    """Shift the last layer so that half of the images get each class, and widen the scores."""
    classifier = scored(module)
    with torch.no_grad():
        scores = module(images)
        middle = (scores[:, 1] - scores[:, 0]).median() + 1e-3
        module.head.bias[1] -= middle / 4
    return classifier


def present_or_absent(module: nn.Module) -> ScoredClassifier:
    return ScoredClassifier(module.eval(), "", "logit", ("absent", "present"), output=0)


def pictures(count: int = 6, side: int = 16, *, spatial: int = 2, seed: int = 1) -> Tensor:
    """Smooth images (N, 1, ...) that fill [-1, 1] and differ from one another."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((count, 1, *[side] * spatial), generator=generator)
    pool = F.avg_pool2d if spatial == 2 else F.avg_pool3d
    smooth = pool(noise, 3, 1, 1) * torch.linspace(0.6, 2.4, count).reshape(-1, *[1] * (spatial + 1))
    images = torch.tanh(smooth + torch.linspace(-0.4, 0.4, count).reshape(-1, *[1] * (spatial + 1)))
    images.flatten(1)[:, 0], images.flatten(1)[:, 1] = -1, 1
    return images
