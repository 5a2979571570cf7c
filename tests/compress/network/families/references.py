"""Families written once more, straight from their papers, on the tensors of a published file.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Tensors: TypeAlias = Mapping[str, Tensor]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


def random_tensors(shapes: Shapes) -> dict[str, Tensor]:
    """A state dict as torch saves one, with the counters of its BatchNorms."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        values = torch.rand(shape, generator=generator)
        is_weight = len(shape) > 1
        scale = math.sqrt(6 / math.prod(shape[1:])) if is_weight else 1.0
        found[name] = (2 * values - 1) * scale if is_weight else values / 2 + 0.5
        if name.endswith("running_var"):
            found[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    return found


def conv_shapes(name: str, norm: str, shape: Sequence[int], *, bias: bool = False) -> Shapes:
    """A convolution and its BatchNorm."""
    found: Shapes = {f"{name}.weight": tuple(shape)}
    if bias:
        found[f"{name}.bias"] = (shape[0],)
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        found[f"{norm}.{tensor}"] = (shape[0],)
    return found


def linear_shapes(name: str, outputs: int, inputs: int) -> Shapes:
    """A linear layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(t: Tensors, name: str, x: Tensor) -> Tensor:
    mean, variance = t[f"{name}.running_mean"], t[f"{name}.running_var"]
    return functional.batch_norm(x, mean, variance, t[f"{name}.weight"], t[f"{name}.bias"])


def _linear(t: Tensors, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])


# He et al., arXiv:1512.03385, table 1, with the names of torchvision and timm.


def resnet_shapes(
    widths: Sequence[int], depths: Sequence[int], *, wider: int, inner: float = 1, classes: int
) -> Shapes:
    """``wider`` is 1 for basic blocks and 4 for bottlenecks."""
    found = conv_shapes("conv1", "bn1", (widths[0], 3, 7, 7))
    inputs = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for block in range(depth):
            prefix, mid, outputs = f"layer{stage}.{block}", int(width * inner), width * wider
            convs = [(mid, inputs, 3, 3), (outputs, mid, 3, 3)]
            if wider == 4:
                convs = [(mid, inputs, 1, 1), (mid, mid, 3, 3), (outputs, mid, 1, 1)]
            for number, shape in enumerate(convs, start=1):
                found |= conv_shapes(f"{prefix}.conv{number}", f"{prefix}.bn{number}", shape)
            if block == 0 and (stage > 1 or inputs != outputs):
                names = (f"{prefix}.downsample.0", f"{prefix}.downsample.1")
                found |= conv_shapes(*names, (outputs, inputs, 1, 1))
            inputs = outputs
    return found | linear_shapes("fc", classes, inputs)


def resnet(t: Tensors, x: Tensor, depths: Sequence[int], *, wider: int) -> Tensor:
    """Logits; a bottleneck strides in its 3x3 convolution."""
    x = _norm(t, "bn1", functional.conv2d(x, t["conv1.weight"], stride=2, padding=3))
    x = functional.max_pool2d(x.relu(), 3, stride=2, padding=1)
    last, strided = (2, 1) if wider == 1 else (3, 2)
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            prefix, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            y = x
            for number in range(1, last + 1):
                weight = t[f"{prefix}.conv{number}.weight"]
                step, zeros = stride if number == strided else 1, weight.shape[-1] // 2
                y = functional.conv2d(y, weight, stride=step, padding=zeros)
                y = _norm(t, f"{prefix}.bn{number}", y)
                y = y if number == last else y.relu()
            if f"{prefix}.downsample.0.weight" in t:
                x = functional.conv2d(x, t[f"{prefix}.downsample.0.weight"], stride=stride)
                x = _norm(t, f"{prefix}.downsample.1", x)
            x = (x + y).relu()
    return _linear(t, "fc", x.mean((2, 3)))


# Simonyan and Zisserman, arXiv:1409.1556, table 1, with the names of torchvision.


def vgg_shapes(
    widths: Sequence[int], depths: Sequence[int], *, side: int, hidden: int, classes: int
) -> Shapes:
    """``features`` counts convolution, BatchNorm, activation and pool, each as one."""
    found: Shapes = {}
    number, inputs = 0, 3
    for width, depth in zip(widths, depths, strict=True):
        for _ in range(depth):
            names = (f"features.{number}", f"features.{number + 1}")
            found |= conv_shapes(*names, (width, inputs, 3, 3), bias=True)
            number, inputs = number + 3, width
        number += 1
    found |= linear_shapes("classifier.0", hidden, inputs * side * side)
    found |= linear_shapes("classifier.3", hidden, hidden)
    return found | linear_shapes("classifier.6", classes, hidden)


def vgg(t: Tensors, x: Tensor, depths: Sequence[int], *, side: int) -> Tensor:
    """Logits."""
    number = 0
    for depth in depths:
        for _ in range(depth):
            weight, bias = t[f"features.{number}.weight"], t[f"features.{number}.bias"]
            x = functional.conv2d(x, weight, bias, padding=1)
            x = _norm(t, f"features.{number + 1}", x).relu()
            number += 3
        x, number = functional.max_pool2d(x, 2), number + 1
    x = functional.adaptive_avg_pool2d(x, side).flatten(1)
    x = _linear(t, "classifier.3", _linear(t, "classifier.0", x).relu()).relu()
    return _linear(t, "classifier.6", x)


# Zhang et al., arXiv:1711.07128, with zeros where TensorFlow's "same" puts them.


def ds_cnn(t: Tensors, x: Tensor, depth: int, *, steps: tuple[int, int]) -> Tensor:
    """Logits; the first layer takes ``steps`` rows and columns, the blocks one."""
    x = _norm(t, "conv_1_norm", _same(x, t["conv_1.weight"], steps)).relu()
    for block in range(1, depth + 1):
        for part in ("dw_conv", "pw_conv"):
            name = f"conv_ds_{block}.{part}"
            weight = t[f"{name}.weight"]
            groups = len(weight) if part == "dw_conv" else 1
            x = _norm(t, f"{name}_norm", _same(x, weight, (1, 1), groups=groups)).relu()
    return _linear(t, "fc1", x.mean((2, 3)))


def _same(x: Tensor, weight: Tensor, steps: tuple[int, int], *, groups: int = 1) -> Tensor:
    edges: list[int] = []
    for side, kernel, step in zip(x.shape[:1:-1], weight.shape[:1:-1], steps[::-1], strict=True):
        zeros = max((math.ceil(side / step) - 1) * step + kernel - side, 0)
        edges += [zeros // 2, zeros - zeros // 2]
    return functional.conv2d(functional.pad(x, edges), weight, stride=steps, groups=groups)


# Dong and Yang, arXiv:2001.00326, with the names of the published networks.


def nasbench201_shapes(cell: Sequence[str], channels: int, cells: int, *, classes: int) -> Shapes:
    """Three stages of ``cells`` cells, a residual block before the second and the third."""
    found = conv_shapes("stem.0", "stem.1", (channels, 3, 3, 3))
    for number, width, is_reduction in _blocks(channels, cells):
        prefix = f"cells.{number}"
        if is_reduction:
            half = width // 2
            convs = (("conv_a", (width, half, 3, 3)), ("conv_b", (width, width, 3, 3)))
            for part, shape in convs:
                found |= conv_shapes(f"{prefix}.{part}.op.1", f"{prefix}.{part}.op.2", shape)
            found[f"{prefix}.downsample.1.weight"] = (width, half, 1, 1)
            continue
        for edge, name in enumerate(cell):
            if name.startswith("nor_conv"):
                op, side = f"{prefix}.layers.{edge}.op", int(name[-1])
                found |= conv_shapes(f"{op}.1", f"{op}.2", (width, width, side, side))
    shapes = conv_shapes("", "lastact.0", (4 * channels,))
    found |= {name: shape for name, shape in shapes.items() if name.startswith("lastact")}
    return found | linear_shapes("classifier", classes, 4 * channels)


def nasbench201(t: Tensors, x: Tensor, cell: Sequence[str], channels: int, cells: int) -> Tensor:
    """Logits."""
    x = _norm(t, "stem.1", functional.conv2d(x, t["stem.0.weight"], padding=1))
    for number, _, is_reduction in _blocks(channels, cells):
        prefix = f"cells.{number}"
        if is_reduction:
            skip = functional.avg_pool2d(x, 2, stride=2)
            y = _relu_conv_norm(t, f"{prefix}.conv_a.op", x, stride=2)
            y = _relu_conv_norm(t, f"{prefix}.conv_b.op", y)
            x = y + functional.conv2d(skip, t[f"{prefix}.downsample.1.weight"])
            continue
        nodes, edge = [x], 0
        for node in range(1, 4):
            parts = []
            for source in range(node):
                parts.append(_operation(t, f"{prefix}.layers.{edge}.op", cell[edge], nodes[source]))
                edge += 1
            nodes.append(torch.stack(parts).sum(0))
        x = nodes[-1]
    return _linear(t, "classifier", _norm(t, "lastact.0", x).relu().mean((2, 3)))


def _operation(t: Tensors, name: str, operation: str, x: Tensor) -> Tensor:
    match operation:
        case "none":
            return torch.zeros_like(x)
        case "skip_connect":
            return x
        case "avg_pool_3x3":
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        case _:
            return _relu_conv_norm(t, name, x)


def _relu_conv_norm(t: Tensors, name: str, x: Tensor, *, stride: int = 1) -> Tensor:
    weight = t[f"{name}.1.weight"]
    y = functional.conv2d(x.relu(), weight, stride=stride, padding=weight.shape[-1] // 2)
    return _norm(t, f"{name}.2", y)


def _blocks(channels: int, cells: int) -> Iterator[tuple[int, int, bool]]:
    """Number, channels, and whether it halves the image, of every block."""
    number = 0
    for stage in range(3):
        kinds = [*([True] if stage else []), *[False] * cells]
        for is_reduction in kinds:
            yield number, channels * 2**stage, is_reduction
            number += 1
