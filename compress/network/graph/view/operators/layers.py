"""Nodes with weights as layers of torch: convolutions, linear layers, norms, embeddings.

Legend: O output channels, I input channels, C channels of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compress.network.graph.values import Array
from compress.network.graph.view.operators import functions, recurrent, windows
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.site import Built, Site, unsupported
from compress.network.graph.view.operators.transposed import Sliding, TransposedConvolution, turned
from compress.network.graph.view.operators.windows import Window

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE_NORMS = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


def fill_(module: nn.Module, **tensors: Array | None) -> nn.Module:
    """Give a module the values of these parameters and buffers; the module itself."""
    with torch.no_grad():
        for name, values in tensors.items():
            if values is not None:
                getattr(module, name).copy_(tensor(values).reshape(getattr(module, name).shape))
    return module


def tensor(values: Array) -> Tensor:
    """A copy as a tensor: what a graph holds is never changed."""
    return torch.from_numpy(np.array(values, order="C", copy=True))


def _made(kind: Callable[..., nn.Module], *sizes: Any, **options: Any) -> Any:
    """A layer without the time that its first values take; they are replaced anyway."""
    return nn.utils.skip_init(kind, *sizes, **options)


def _weight(site: Site) -> Array:
    found = site.constant(1)
    if found is None:
        raise unsupported(site.node, "computes its weight in every run: it cannot be a layer")
    return found


def _optional(site: Site, place: int) -> Array | None:
    if site.has(place) and site.constant(place) is None:
        raise unsupported(site.node, f"computes its input {place} in every run")
    return site.constant(place)


def convolution(site: Site) -> Built:
    """A convolution of one to three dimensions; uneven padding goes in front of it."""
    weight, bias = _weight(site), _optional(site, 2)
    axes = weight.ndim - 2
    if axes not in _CONVOLUTIONS:
        raise unsupported(site.node, f"convolves {axes} dimensions, not 1 to 3")
    window, groups = Window(site, weight.shape[2:]), site.attribute("group", 1)
    layer = _made(
        _CONVOLUTIONS[axes],
        weight.shape[1] * groups,
        weight.shape[0],
        window.kernel,
        stride=window.strides,
        padding=window.before if window.is_even else 0,
        dilation=window.dilations,
        groups=groups,
        bias=bias is not None,
    )
    pads = () if window.is_even else window.pads
    return Built(fill_(layer, weight=weight, bias=bias), reads=(0,), pads=pads)


def transposed_convolution(site: Site) -> Built:
    """A transposed convolution of one to three dimensions."""
    weight, bias = _weight(site), _optional(site, 2)
    axes, groups = weight.ndim - 2, site.attribute("group", 1)
    if axes not in _CONVOLUTIONS or site.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise unsupported(site.node, "pads by itself, or convolves other than 1 to 3 dimensions")
    if "output_shape" in site.node.attributes:
        raise unsupported(site.node, "names the shape of its output: let it name pads")
    window = Window(site, weight.shape[2:])
    sliding = Sliding(
        strides=window.strides,
        dilations=window.dilations,
        before=window.before,
        after=window.after,
        more=tuple(site.attribute("output_padding", (0,) * axes)),
    )
    layer = TransposedConvolution(
        turned(tensor(weight), groups).contiguous(),
        None if bias is None else tensor(bias),
        sliding,
        groups=groups,
    )
    return Built(layer, reads=(0,))


def gemm(site: Site) -> Built:
    """A linear layer, if that is what the node is."""
    weight, bias = site.constant(1), site.constant(2)
    scaled = site.attribute("alpha", 1.0) != 1 or site.attribute("beta", 1.0) != 1
    outputs_last = not site.attribute("transB", 0)
    is_plain = weight is not None and not scaled and not site.attribute("transA", 0)
    if not is_plain or (site.has(2) and bias is None) or weight is None:
        return functions.of_all(site)
    weight_OI = weight.T if outputs_last else weight
    if bias is not None:
        if bias.size not in (1, len(weight_OI)) or bias.reshape(-1).shape != bias.shape[-1:]:
            return functions.of_all(site)
        bias = np.broadcast_to(bias.reshape(-1), (len(weight_OI),))
    return Built(_linear(weight_OI, bias), reads=(0,))


def matmul(site: Site) -> Built:
    """A linear layer if the second factor is a constant matrix, else a product of activations."""
    weight = site.constant(1)
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return functions.of_all(site)
    return Built(_linear(weight.T, None), reads=(0,))


def _linear(weight_OI: Array, bias: Array | None) -> nn.Module:
    layer = _made(nn.Linear, *weight_OI.shape[::-1], bias=bias is not None)
    return fill_(layer, weight=weight_OI, bias=bias)


def embedding(site: Site) -> Built:
    """A table of rows, if a constant matrix is what the node picks from."""
    table = site.constant(0)
    is_table = table is not None and table.ndim == 2 and table.dtype == np.float32
    if table is None or not is_table or site.axis(0) != 0 or site.constant(1) is not None:
        return functions.of_all(site)
    readers = [name for node in site.graph.nodes for name in node.inputs]
    if readers.count(site.node.inputs[0]) > 1:
        # It is also the weight of a layer that wants it as it is, and stays one parameter.
        return Built(nn.Embedding.from_pretrained(tensor(table), freeze=False), reads=(1,))
    return Built(EmbeddingTable(tensor(table.T)), reads=(1,))


def batch_norm(site: Site) -> Built:
    """A BatchNorm with its statistics, which train and are measured anew like any other."""
    scale, shift, mean, variance = (_optional(site, place) for place in range(1, 5))
    rank = site.rank()
    if scale is None or rank not in _BATCH_NORMS:
        raise unsupported(site.node, f"normalises {rank} axes")
    norm = _BATCH_NORMS[rank](
        len(scale),
        eps=site.attribute("epsilon", 1e-5),
        momentum=1 - site.attribute("momentum", 0.9),
    )
    fill_(norm, weight=scale, bias=shift, running_mean=mean, running_var=variance)
    return Built(norm, reads=(0,))


def instance_norm(site: Site) -> Built:
    """A norm over the places of every channel of every example."""
    scale, shift = _optional(site, 1), _optional(site, 2)
    if scale is None or site.rank() not in _INSTANCE_NORMS:
        raise unsupported(site.node, f"normalises {site.rank()} axes")
    epsilon = site.attribute("epsilon", 1e-5)
    norm = _INSTANCE_NORMS[site.rank()](len(scale), eps=epsilon, affine=True)
    return Built(fill_(norm, weight=scale, bias=shift), reads=(0,))


def group_norm(site: Site) -> Built:
    """A norm over groups of channels; scale and shift are per channel, as from opset 21 on."""
    scale, shift = _optional(site, 1), _optional(site, 2)
    if scale is None or len(scale) != site.shape(0)[1]:
        raise unsupported(site.node, "does not have a scale for every channel")
    groups, epsilon = site.attribute("num_groups", 1), site.attribute("epsilon", 1e-5)
    norm = nn.GroupNorm(groups, len(scale), eps=epsilon)
    return Built(fill_(norm, weight=scale, bias=shift), reads=(0,))


def layer_norm(site: Site) -> Built:
    """A norm over the last axes."""
    scale, shift = _optional(site, 1), _optional(site, 2)
    sizes = site.shape(0)[site.axis(-1) :]
    if scale is None or scale.shape != sizes or len([n for n in site.node.outputs if n]) > 1:
        raise unsupported(site.node, "has no scale of its own shape, or several outputs")
    epsilon = site.attribute("epsilon", 1e-5)
    norm = nn.LayerNorm(list(sizes), eps=epsilon, bias=shift is not None)
    return Built(fill_(norm, weight=scale, bias=shift), reads=(0,))


def prelu(site: Site) -> Built:
    """A ReLU with a trained slope per channel, or one for all."""
    slope = site.constant(1)
    rank = site.rank()
    is_channels = slope is not None and slope.ndim == rank - 1 and slope.size == len(slope)
    if slope is None or not (slope.size == 1 or is_channels):
        return functions.of_all(site)
    return Built(fill_(nn.PReLU(slope.size), weight=slope), reads=(0,))


LAYERS: Mapping[str, Callable[[Site], Built]] = {
    "AveragePool": windows.average_pool,
    "BatchNormalization": batch_norm,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Dropout": lambda _: Built(nn.Identity(), reads=(0,)),
    "GRU": recurrent.gru,
    "Gather": embedding,
    "Gemm": gemm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LSTM": recurrent.lstm,
    "LayerNormalization": layer_norm,
    "MatMul": matmul,
    "MaxPool": windows.max_pool,
    "PRelu": prelu,
    "Relu": lambda _: Built(nn.ReLU(), reads=(0,)),
    "Resize": windows.resize,
}
"""What is built of a node by its operator."""
