"""Small networks of no family, each with a trap for whoever removes channels.

They come in as everybody's do: ``imported`` makes networks of their own ONNX files.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.signature import BATCH, INPUT, OUTPUT
from compress.network.sources import onnx


def wrapped(module: nn.Module, *, input_shape: tuple[int, int, int] = (1, 8, 8)) -> Network:
    """A network of five classes with random statistics and scales, so that no channel is alike."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            for tensor in (*part.parameters(), *(b for b in part.buffers() if b.ndim)):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return Network(
        module=module.eval(),
        normalisation=Normalisation(mean=(0.0,) * input_shape[0], std=(1.0,) * input_shape[0]),
        input_shape=input_shape,
        num_classes=5,
    )


def seeded(kind: Callable[[], nn.Module]) -> Network:
    """A network of this class with the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return wrapped(kind())


def exported(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """The file of a module that answers images of this shape, with BatchNorm and names kept."""
    buffer, fast = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            torch.onnx.export(
                module.eval(),
                (torch.zeros(2, *shape),),
                buffer,
                dynamo=False,
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=False,
                opset_version=17,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return buffer.getvalue()


def imported(network: Network) -> Network:
    """The network as its own file comes back; layers keep their names."""
    return onnx.load(
        exported(network.module, network.input_shape),
        input_shape=network.input_shape,
        num_classes=network.num_classes,
        normalisation=network.normalisation,
    )


class Separable(nn.Module):
    """Depthwise-separable; its logits come from a 1x1 convolution, then a mean."""

    def __init__(self, width: int = 8, wider: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(width)
        self.pointwise = nn.Conv2d(width, wider, 1, stride=2, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(wider)
        self.head = nn.Conv2d(wider, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = functional.relu(self.depthwise_norm(self.depthwise(x)))
        x = functional.relu(self.pointwise_norm(self.pointwise(x)))
        return self.head(x).mean((2, 3))


class Normalised(nn.Module):
    """Flattens, drops out, normalises by layer, and scales by a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.wide = nn.Linear(6 * 16, 24)
        self.norm = nn.LayerNorm(24)
        self.drop = nn.Dropout(0.5)
        self.narrow = nn.Linear(24, 10)
        self.scale = nn.Parameter(torch.rand(10) + 0.5)
        self.out = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv(x)), 2).flatten(1)
        x = self.drop(functional.relu(self.norm(self.wide(x))))
        x = functional.relu(self.narrow(x)) * self.scale
        return functional.log_softmax(self.out(x), 1)


class Grouped(nn.Module):
    """A grouped convolution and a GroupNorm, which share channels between sections."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, padding=1)
        self.grouped = nn.Conv2d(12, 8, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(4, 8)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.grouped(functional.relu(self.first(x))))
        return self.out(functional.relu(x).mean((2, 3)))


class Concatenated(nn.Module):
    """Two layers side by side, added to a third: three producers of the same channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 10, 3, padding=1)
        self.left = nn.Conv2d(10, 4, 3, padding=1)
        self.right = nn.Conv2d(10, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(10)
        self.last = nn.Conv2d(10, 8, 1)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = self.added(x, self.norm(torch.cat([self.left(x), self.right(x)], 1)))
        x = self.last(functional.relu(x))
        return self.out(functional.relu(x).mean((2, 3)))

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x


class ConcatenatedLast(Concatenated):
    """The same sum the other way round, which the tracer meets in another order."""

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Transposed(nn.Module):
    """Upsamples with a layer that cannot lose channels here."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.last = nn.Conv2d(4, 6, 3, padding=1)
        self.out = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.up(functional.relu(self.first(x))))
        return self.out(functional.relu(self.last(x)).mean((2, 3)))


class DepthwiseFirst(nn.Module):
    """Its first layer handles every input channel by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.second = nn.Conv2d(3, 8, 1)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.relu(self.second(self.first(x))).mean((2, 3)))


class HardCoded(nn.Module):
    """Reshapes to a number of channels that it will not give up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.other = nn.Conv2d(6, 8, 3, padding=1)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(x)).reshape(-1, 6, 64).reshape(-1, 6, 8, 8)
        return self.out(functional.relu(self.other(x)).mean((2, 3)))


class Untraceable(nn.Module):
    """Leaves the graph of automatic differentiation, and with it the tracer's sight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.out = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv(x).mean((2, 3))).detach()
