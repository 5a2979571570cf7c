"""A larger network in which everything outside one of its slices does nothing."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from compress.network.families.network import FamilyNetwork
from compress.network.families.plans.plan import Conv, Norm, Plan
from compress.network.network import Network
from compress.network.supernet import extraction


def silenced(net: Network, part: Plan, *, passes: bool = False) -> Network:
    """A copy whose weights, biases and BatchNorms are zero where the member has none.

    With ``passes`` a convolution that the member lacks puts out what it reads, instead of zeros.
    """
    module = copy.deepcopy(net.module)
    assert isinstance(module, FamilyNetwork)
    for layer in module.plan.layers:
        if passes and isinstance(layer, Conv) and layer.name not in part.by_name:
            _pass(module, layer)
            continue
        for name in (layer.name, layer.norm if isinstance(layer, Conv) else None):
            if name is not None:
                _silence(module.get_submodule(name), _tensors(part, name))
    return replace(net, module=module)


def _tensors(part: Plan, name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the member's tensors of one layer or BatchNorm; none where it lacks it."""
    for layer in part.layers:
        is_norm = isinstance(layer, Norm) and layer.name == name
        if is_norm or (isinstance(layer, Conv) and layer.norm == name):
            return {"weight": (layer.outputs,), "bias": (layer.outputs,)}
        if layer.name == name:
            shape = layer.shape if isinstance(layer, Conv) else (layer.outputs, layer.inputs)
            return {"weight": shape, "bias": (layer.outputs,)}
    return {}


@torch.no_grad()
def _silence(module: nn.Module, shapes: dict[str, tuple[int, ...]]) -> None:
    for name, tensor in module.named_parameters():
        kept: Tensor = torch.zeros_like(tensor)
        if name in shapes:
            extraction.cut(kept, shapes[name]).copy_(extraction.cut(tensor, shapes[name]))
        tensor.copy_(kept)


@torch.no_grad()
def _pass(module: FamilyNetwork, layer: Conv) -> None:
    conv = module.get_submodule(layer.name)
    nn.init.dirac_(conv.get_parameter("weight"), groups=layer.groups)
    if layer.bias:
        nn.init.zeros_(conv.get_parameter("bias"))
    assert layer.norm is not None
    norm = module.get_submodule(layer.norm)
    assert isinstance(norm, nn.BatchNorm2d)
    norm.reset_parameters()
    assert norm.running_var is not None
    norm.running_var -= norm.eps
