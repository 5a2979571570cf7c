"""Cross-layer equalisation: channel ranges balanced between layers that follow each other.

Nagel et al., arXiv:1906.04721, section 4.1. For two layers with a ReLU between them, channel ``i``
of the first may be divided by ``s_i`` and its weights in the second multiplied by it, without
changing the network's output. Equation 11 gives ``s_i = sqrt(r1_i / r2_i)`` with ``r`` the largest
magnitudes (their ``1/r2 sqrt(r1 r2)``); both are then equal. A BatchNorm after the first layer
takes the division in its scale and shift, and its factor counts in ``r1``.

Legend: O output channels of the first layer, which are the second's inputs; S groups; I inputs.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError
from torch.nn import functional

from compress.network import layers
from compress.network.layers import Norm, WeightedLayer
from compress.network.running.weight_views import Weighted, is_weighted, view_of
from compress.values.errors import InvalidCandidate

_SWEEPS = 10
_TOLERANCE = 1e-4
# More than this either way would only trade one overflow for another.
_MOST = 1e3
_RELUS = (functional.relu, torch.relu, torch.relu_)
# They multiply, pick or average within a channel, so a positive factor passes through.
_HOMOGENEOUS = (nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Pair:
    """Two layers, the second of which alone reads the first, through a ReLU."""

    first: WeightedLayer
    second: WeightedLayer


def pairs(module: nn.Module, found: Sequence[WeightedLayer]) -> tuple[Pair, ...]:
    """Return the pairs among these layers. Raises InvalidCandidate if tracing fails."""
    try:
        graph = _Tracer().trace(module)
    except (TraceError, TypeError, RuntimeError) as error:
        raise InvalidCandidate(
            f"quantization: equalise needs a graph that torch.fx can trace ({error}): set it to "
            "false"
        ) from error
    by_name = layers.by_name(found)
    pairs: list[Pair] = []
    for node in graph.nodes:
        first = by_name.get(str(node.target)) if node.op == "call_module" else None
        second = by_name.get(_reader(node, first, module)) if first else None
        if first and second and _are_affine(first, second):
            pairs.append(Pair(first, second))
    return tuple(pairs)


def _are_affine(first: WeightedLayer, second: WeightedLayer) -> bool:
    """Whether a factor passes through both, and neither is shared with other layers."""
    shared = first.is_shared or second.is_shared
    return first.view.is_affine and second.view.is_affine and not shared


@torch.no_grad()
def equalise_(found: Sequence[Pair]) -> int:
    """Balance all pairs in place until nothing changes, and return how many of them changed."""
    changed: set[int] = set()
    for _ in range(_SWEEPS):
        moved = {index for index, pair in enumerate(found) if _balance_(pair)}
        changed |= moved
        if not moved:
            break
    return len(changed)


def factors(first_O: Tensor, second_O: Tensor) -> Tensor:
    """Return ``sqrt(r1 / r2)``; 1 for an empty range."""
    factor_O = (first_O / second_O).sqrt().clamp(1 / _MOST, _MOST)
    return torch.where((first_O > 0) & (second_O > 0), factor_O, 1.0)


class _Tracer(fx.Tracer):
    """A tracer that keeps layers whole, whatever their class derives from."""

    def iter(self, obj: fx.Proxy) -> Iterator[fx.Proxy]:
        """Iterate over a split, which has as many parts as it was told to make."""
        node = obj.node
        if node.target == "chunk" and len(node.args) > 1 and isinstance(node.args[1], int):
            parts = range(node.args[1])
            return iter(
                [self.create_proxy("call_function", operator.getitem, (obj, i), {}) for i in parts]
            )
        return super().iter(obj)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_known = is_weighted(m) or isinstance(m, Norm)
        return is_known or super().is_leaf_module(m, module_qualified_name)


def _reader(node: fx.Node, layer: WeightedLayer, module: nn.Module) -> str:
    """Return the name of the only layer that reads this one, through a ReLU, or an empty string."""
    parts = dict(module.named_modules())
    rectified, at_norm = False, layer.norm is not None
    while len(node.users) == 1:
        node = next(iter(node.users))
        part = parts.get(str(node.target)) if node.op == "call_module" else None
        if is_weighted(part):
            return str(node.target) if rectified else ""
        rectified |= node.target in _RELUS or isinstance(part, nn.ReLU)
        passes = node.target in _RELUS or isinstance(part, _HOMOGENEOUS)
        if not passes and not (at_norm and part is layer.norm):
            return ""
        at_norm = False
    return ""


def _balance_(pair: Pair) -> bool:
    first, norm = pair.first.module, pair.first.norm
    fold_O = layers.norm_factor(pair.first).abs().to(first.weight)
    range_O = pair.first.view.matrix(first.weight).abs().amax(dim=1) * fold_O
    factor_O = factors(range_O, _input_range(pair.second.module))
    if bool(((factor_O - 1).abs() < _TOLERANCE).all()) or (norm and norm.weight is None):
        return False
    if norm is not None:
        norm.weight.div_(factor_O)
        norm.bias.div_(factor_O)
    else:
        _divide_outputs_(first, factor_O)
    _multiply_inputs_(pair.second.module, factor_O)
    return True


def _divide_outputs_(layer: Weighted, factor_O: Tensor) -> None:
    latent = layers.latent(layer)
    latent.div_(factor_O.view(-1, *[1] * (latent.ndim - 1)))
    if layer.bias is not None:
        layer.bias.div_(factor_O)


def _input_range(layer: Weighted) -> Tensor:
    """Return the largest magnitude of the weights that read each input channel, ``(O,)``."""
    size_OIK = (
        layer.weight.abs().flatten(2) if layer.weight.ndim > 2 else layer.weight.abs()[..., None]
    )
    groups = view_of(layer).groups(layer)
    return size_OIK.unflatten(0, (groups, -1)).amax(dim=(1, 3)).flatten()


def _multiply_inputs_(layer: Weighted, factor_O: Tensor) -> None:
    latent, groups = layers.latent(layer), view_of(layer).groups(layer)
    grouped = latent.unflatten(0, (groups, -1))
    grouped.mul_(factor_O.view(groups, 1, -1, *[1] * (latent.ndim - 2)))
