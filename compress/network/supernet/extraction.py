"""Cut members out of a larger network of their family: first channels, middles of kernels.

Yu et al., Slimmable Neural Networks, arXiv:1812.08928 (the first channels of every layer), and Cai
et al., Once-for-All, arXiv:1908.09791, section 3.3 (the first blocks of a stage, the middle of a
kernel). A plan describes a slice: of every layer of the whole that it names, it takes that much.

Legend: O output channels, I input channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from compress.network.families.catalog import Architecture
from compress.network.families.network import FamilyNetwork
from compress.network.families.plans import checks
from compress.network.families.plans.plan import Conv, Layer, Linear, Norm, Pad, Plan, Size
from compress.network.network import Network
from compress.values.errors import InvalidCandidate

_SHOWN = 3


def check(whole: Plan, part: Plan) -> None:
    """Raise InvalidCandidate, naming layers, if ``part`` is not a slice of ``whole``."""
    problems = list(_problems(whole, part))
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InvalidCandidate(
            f"the member is no part of the larger network: {', '.join(problems[:_SHOWN])}{more}"
        )


def extract(network: Network, member: Architecture) -> Network:
    """Return the member with its slices of the network's weights, BatchNorm included.

    Raises InvalidCandidate if the network has no family, or if the member is no part of it.
    """
    whole = of_family(network)
    part = FamilyNetwork(
        member, in_channels=network.input_shape[0], num_classes=network.num_classes
    )
    check(whole.plan, part.plan)
    with torch.no_grad():
        for layer in part.plan.layers:
            _inherit(whole.get_submodule(layer.name), part.get_submodule(layer.name))
            if isinstance(layer, Conv) and layer.norm is not None:
                _inherit(whole.get_submodule(layer.norm), part.get_submodule(layer.norm))
    return replace(network, module=part.eval())


def of_family(network: Network) -> FamilyNetwork:
    """Return the network's module. Raises InvalidCandidate if it is not one of a family."""
    if not isinstance(network.module, FamilyNetwork):
        raise InvalidCandidate(
            f"only a network of a family has members, not {type(network.module).__name__}"
        )
    return network.module


def check_depends(network: Network) -> None:
    """Raise InvalidCandidate for a network of a family with the same answer whatever the image."""
    checks.check_depends(of_family(network).plan)


def cut(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a view of that shape: the first channels, the middle of the kernel."""
    for axis, size in enumerate(shape):
        start = (tensor.shape[axis] - size) // 2 if axis >= 2 else 0
        tensor = tensor.narrow(axis, start, size)
    return tensor


def _inherit(source: nn.Module, target: nn.Module) -> None:
    given = dict(source.named_parameters()) | dict(source.named_buffers())
    for name, tensor in (*target.named_parameters(), *target.named_buffers()):
        tensor.copy_(cut(given[name], tuple(tensor.shape)))


def _problems(whole: Plan, part: Plan) -> Iterator[str]:
    for layer in part.layers:
        owner = whole.by_name.get(layer.name)
        if owner is None:
            yield f"it has no layer {layer.name}"
        elif not _fits(owner, layer):
            yield f"{layer.name} is {_dimensions(layer)}, there {_dimensions(owner)}"


def _fits(owner: Layer, layer: Layer) -> bool:
    if type(owner) is not type(layer):
        return False
    if isinstance(owner, Conv) and isinstance(layer, Conv):
        is_alike = (owner.stride, owner.bias) == (layer.stride, layer.bias)
        if not is_alike or (owner.norm is None) != (layer.norm is None):
            return False
        if not _fits_kernel(owner.kernel, layer.kernel) or not _fits_groups(owner, layer):
            return False
    return layer.inputs <= owner.inputs and layer.outputs <= owner.outputs


def _fits_kernel(owner: Size, kernel: Size) -> bool:
    return all(k <= o and (o - k) % 2 == 0 for o, k in zip(owner, kernel, strict=True))


def _fits_groups(owner: Conv, layer: Conv) -> bool:
    """Whether each has one group, or one group per channel."""
    return (owner.groups == layer.groups == 1) or (
        owner.groups == owner.inputs and layer.groups == layer.inputs
    )


def _dimensions(layer: Layer) -> str:
    match layer:
        case Conv():
            kernel = "x".join(str(side) for side in layer.kernel)
            return f"{kernel} from {layer.inputs} to {layer.outputs} channels"
        case Pad() | Norm() | Linear():
            return f"from {layer.inputs} to {layer.outputs} channels"
