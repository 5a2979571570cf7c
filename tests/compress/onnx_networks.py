"""Small networks of many kinds as ONNX files, made by torch's legacy exporter.

``NETWORKS`` has a row per kind. Every file has a batch axis ``N``; some have more free axes.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class OnnxCase:
    """A kind of network, what goes in, and which axes are free besides the batch."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: int | None = None
    free: Mapping[int, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("answer",)
    least_opset: int = 9


class Cnn(nn.Module):
    """Two convolutions with norms, a pool and a head behind ``view``."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 12, 3, stride=2), nn.BatchNorm2d(12)
        self.head = nn.Linear(12 * 7 * 7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first_norm(self.first(x)))
        x = functional.relu6(self.second_norm(self.second(x)))
        return self.head(x.view(x.size(0), -1))


class Residual(nn.Module):
    """A stem and a block whose shortcut is a convolution, then a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.one = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12))
        self.two = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12))
        self.short = nn.Conv2d(8, 12, 1, 2)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu(self.two(functional.relu(self.one(x))) + self.short(x))
        return self.head(x.mean((2, 3)))


class Depthwise(nn.Module):
    """Separable convolutions, hard swish and a squeeze-and-excitation gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.depth = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.point = nn.Sequential(nn.Conv2d(16, 12, 1, bias=False), nn.BatchNorm2d(12))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.depth(functional.hardswish(self.stem(x))))
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = self.point(x * functional.hardsigmoid(self.excite(gate)))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Shuffle(nn.Module):
    """A grouped convolution, a channel shuffle, a split and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 12, 1, groups=2)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.grouped(functional.relu(self.stem(x))))
        count, channels, height, width = x.shape
        x = x.view(count, 2, channels // 2, height, width).transpose(1, 2)
        x = x.reshape(count, channels, height, width)
        left, right = x.chunk(2, dim=1)
        return self.head(torch.cat((left, self.depth(right)), dim=1).mean((2, 3)))


class UNet(nn.Module):
    """Down, up by a transposed convolution and by a bilinear resize, and concatenations."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.three = nn.Conv2d(12, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 12, 2, stride=2)
        self.four, self.five = nn.Conv2d(24, 12, 3, padding=1), nn.Conv2d(20, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = functional.relu(self.one(x))
        two = functional.relu(self.two(functional.max_pool2d(one, 2)))
        x = functional.relu(self.three(functional.max_pool2d(two, 2)))
        x = functional.leaky_relu(self.four(torch.cat((self.up(x), two), 1)))
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.head(functional.relu(self.five(torch.cat((x, one), 1)))))


class Attention(nn.Module):
    """Two heads from one projection of queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        qkv = self.qkv(x).reshape(count, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(qkv[0] @ qkv[1].transpose(-2, -1) / (width // 2) ** 0.5, -1)
        return self.out((weights @ qkv[2]).transpose(1, 2).reshape(count, length, width))


class Vit(nn.Module):
    """Patches, a class token, positions, and one block of attention and a GELU."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 17, width))
        self.attention = Attention(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.wide, self.narrow = nn.Linear(width, 24), nn.Linear(24, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), 1) + self.positions
        x = x + self.attention(self.norms[0](x))
        x = x + self.narrow(functional.gelu(self.wide(self.norms[1](x))))
        return self.head(self.norms[2](x)[:, 0])


class Tagger(nn.Module):
    """Embeddings, two recurrent layers in both directions, and an answer per position."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 6)
        self.recurrent = kind(6, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.recurrent(self.table(words))[0])


class TextCnn(nn.Module):
    """Embeddings and convolutions of two widths over the positions, and their maxima."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 6)
        self.two, self.three = nn.Conv1d(6, 8, 2), nn.Conv1d(6, 8, 3)
        self.head = nn.Linear(16, 4)

    def forward(self, words: Tensor) -> Tensor:
        x = self.table(words).transpose(1, 2)
        maxima = [functional.relu(each(x)).amax(2) for each in (self.two, self.three)]
        return self.head(torch.cat(maxima, 1))


class Encoder(nn.Module):
    """Torch's own transformer encoder of two layers, which start equal."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(1))


class TwoAnswers(nn.Module):
    """A one-dimensional network with group and instance norms, PReLU and two answers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(2, 8, 5, padding=2), nn.Conv1d(8, 8, 3, dilation=2)
        self.group, self.instance = nn.GroupNorm(2, 8), nn.InstanceNorm1d(8, affine=True)
        self.slope, self.head = nn.PReLU(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.slope(self.group(self.one(x)))
        x = functional.elu(self.instance(self.two(x)))
        return self.head(x.mean(2)), torch.tanh(x)


IMAGES = (3, 16, 16)
NETWORKS: Mapping[str, OnnxCase] = {
    "cnn": OnnxCase(make=Cnn, shape=IMAGES),
    "residual": OnnxCase(make=Residual, shape=IMAGES),
    "depthwise": OnnxCase(make=Depthwise, shape=IMAGES),
    "shuffle": OnnxCase(make=Shuffle, shape=IMAGES),
    "unet": OnnxCase(make=UNet, shape=IMAGES, free={2: "height", 3: "width"}, least_opset=11),
    "vit": OnnxCase(make=Vit, shape=IMAGES),
    "lstm": OnnxCase(
        make=functools.partial(Tagger, nn.LSTM), shape=(9,), words=20, free={1: "length"}
    ),
    "gru": OnnxCase(
        make=functools.partial(Tagger, nn.GRU), shape=(9,), words=20, free={1: "length"}
    ),
    "text_cnn": OnnxCase(make=TextCnn, shape=(9,), words=20, free={1: "length"}),
    "encoder": OnnxCase(make=Encoder, shape=(7, 16), least_opset=14),
    "two_answers": OnnxCase(make=TwoAnswers, shape=(2, 32), outputs=("answer", "map")),
}


def module_of(name: str) -> nn.Module:
    """The network of that kind, in eval mode, with the same weights and statistics every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = NETWORKS[name].make().eval()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                    assert tensor is not None
                    tensor.data.copy_(torch.rand(tensor.shape) + 0.5)
    return module


def example(name: str, batch: int = 2, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """What the network takes: normal numbers, or words of its vocabulary."""
    case, random = NETWORKS[name], np.random.default_rng(seed)
    shape = (batch, *case.shape)
    if case.words is not None:
        return {"input": random.integers(0, case.words, shape).astype(np.int64)}
    return {"input": random.standard_normal(shape).astype(np.float32)}


@functools.cache
def exported(name: str, opset: int = 17, *, folded: bool = False, batch: str | None = "N") -> bytes:
    """The network as a file; ``folded`` folds BatchNorm into convolutions, as exporters do.

    Without a name for ``batch`` that axis is fixed at 1.
    """
    case, buffer = NETWORKS[name], io.BytesIO()
    axes = {**case.free} if batch is None else {0: batch, **case.free}
    outputs = {each: {0: batch} for each in case.outputs} if batch else {}
    training = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    given = torch.from_numpy(example(name, 2 if batch else 1)["input"])
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module_of(name),
                (given,),
                buffer,
                dynamo=False,
                training=training,
                do_constant_folding=folded,
                opset_version=opset,
                input_names=["input"],
                output_names=list(case.outputs),
                dynamic_axes={"input": axes, **outputs},
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return buffer.getvalue()
