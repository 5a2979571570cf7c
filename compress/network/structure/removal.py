"""Remove slices from layers: what each type of layer loses with a channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import lcm

import torch
from torch import Tensor, nn

from compress.network.running.weight_views import Weighted, find_view, is_weighted, view_of
from compress.network.structure import dependencies
from compress.network.structure.channel_groups import Kind
from compress.values.errors import CompressError

_SIZE_NAMES = (
    (nn.GroupNorm, "num_channels"),
    (nn.PReLU, "num_parameters"),
    (nn.Module, "num_features"),
)


class Untouchable(CompressError):
    """A layer that cannot lose channels; its group keeps all of them."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The slices that a layer loses, group by group; ``axis`` is that of a bare parameter."""

    axis: int = 0
    outputs: list[Tensor] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)


def kind(part: nn.Module | None, item: dependencies.CoupledLayer) -> Kind:
    """Return the part that a layer plays in a coupling; None stands for a bare parameter.

    Raises Untouchable for types and shapes that cannot lose channels.
    """
    view = find_view(part)
    if part is not None and view is not None:
        return _weighted_kind(view.sizes(part), item, is_depthwise=dependencies.is_depthwise(part))
    match part:
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return "batchnorm"
        case nn.LayerNorm() if max(item.slices) >= part.normalized_shape[0]:
            raise Untouchable(f"{item.name} does not normalise over the channels first")
        case None | nn.LayerNorm() | nn.GroupNorm() | nn.InstanceNorm1d() | nn.InstanceNorm2d():
            return "other"
        case nn.PReLU():
            return "other"
        case _:
            raise Untouchable(f"{item.name} is a {type(part).__name__}, which keeps its channels")


def _weighted_kind(
    sizes: tuple[int, int], item: dependencies.CoupledLayer, *, is_depthwise: bool
) -> Kind:
    if not is_depthwise:
        return "filter" if item.produces else "reader"
    if sizes[0] != sizes[1]:
        raise Untouchable(f"{item.name} has fewer outputs than inputs in every group")
    return "depthwise"


def sections(module: nn.Module, coupling: dependencies.Coupling) -> int:
    """Return into how many equal sections the layers split the channels.

    Raises Untouchable if a layer splits other channels with them.
    """
    number = 1
    for item in coupling.items:
        split = _split(module, item)
        if split > 1 and item.slices != tuple(range(coupling.num_channels)):
            raise Untouchable(f"{item.name} splits the channels of several layers into groups")
        number = lcm(number, split)
    return number


def narrow_(module: nn.Module, name: str, cut: Cut) -> None:
    """Remove slices from the layer or the parameter of that name, in place."""
    if name in dict(module.named_parameters()):
        owner, _, own = name.rpartition(".")
        weight = module.get_parameter(name)
        kept = _kept(weight.shape[cut.axis], cut.outputs)
        setattr(module.get_submodule(owner), own, _sliced(weight, kept, axis=cut.axis))
        return
    part = module.get_submodule(name)
    if is_weighted(part):
        _narrow_weighted_(part, cut)
    else:
        _narrow_passing_(part, cut.outputs)


def reorder_(module: nn.Module, name: str, moves: tuple[Tensor, Tensor], kind: Kind) -> None:
    """Move slices of the layer of that name, in place; ``moves`` are targets and sources."""
    part = module.get_submodule(name)
    axis = 1 if kind == "reader" else 0
    tensors = [part.get_parameter("weight")] if axis else [*part.parameters(), *part.buffers()]
    with torch.no_grad():
        for tensor in (one for one in tensors if one.ndim):
            order = torch.arange(tensor.shape[axis])
            order[moves[0]] = moves[1]
            tensor.copy_(tensor.index_select(axis, order.to(tensor.device)))


def _split(module: nn.Module, item: dependencies.CoupledLayer) -> int:
    if item.parameter_axis is not None:
        return 1
    part = module.get_submodule(item.name)
    if isinstance(part, nn.GroupNorm):
        return part.num_groups
    view = find_view(part)
    return 1 if view is None or dependencies.is_depthwise(part) else view.groups(part)


def _narrow_weighted_(part: Weighted, cut: Cut) -> None:
    weight = part.weight
    depthwise = dependencies.is_depthwise(part)
    if cut.outputs:
        kept_O = _kept(len(weight), cut.outputs)
        weight = _sliced(weight, kept_O)
        if part.bias is not None:
            part.bias = _sliced(part.bias, kept_O)
    if cut.inputs:
        groups = view_of(part).groups(part)
        kept_I = _kept(weight.shape[1] * groups, cut.inputs)
        weight = _sliced(weight, kept_I[: len(kept_I) // groups], axis=1)
    part.weight = weight
    outputs, inputs = part.weight.shape[:2]
    groups = outputs if depthwise else view_of(part).groups(part)
    view_of(part).resize_(part, inputs=inputs * groups, outputs=outputs, groups=groups)


def _narrow_passing_(part: nn.Module, lost: list[Tensor]) -> None:
    """Narrow everything with one entry per channel: scales, shifts, running statistics, slopes."""
    kept_C = _kept(_num_channels(part), lost)
    for name, parameter in list(part.named_parameters(recurse=False)):
        setattr(part, name, _sliced(parameter, kept_C))
    for name, buffer in list(part.named_buffers(recurse=False)):
        if buffer.ndim:
            setattr(part, name, buffer[kept_C].clone())
    if isinstance(part, nn.LayerNorm):
        part.normalized_shape = (len(kept_C), *part.normalized_shape[1:])
    else:
        setattr(part, _size_name(part), len(kept_C))


def _num_channels(part: nn.Module) -> int:
    if isinstance(part, nn.LayerNorm):
        return part.normalized_shape[0]
    return int(getattr(part, _size_name(part)))


def _size_name(part: nn.Module) -> str:
    return next(name for types, name in _SIZE_NAMES if isinstance(part, types))


def _kept(size: int, lost: list[Tensor]) -> Tensor:
    stays = torch.ones(size, dtype=torch.bool)
    for lost_S in lost:
        stays[lost_S] = False
    return stays.nonzero().flatten()


def _sliced(parameter: Tensor, kept: Tensor, *, axis: int = 0) -> nn.Parameter:
    narrow = parameter.detach().index_select(axis, kept.to(parameter.device))
    return nn.Parameter(narrow, requires_grad=parameter.requires_grad)
