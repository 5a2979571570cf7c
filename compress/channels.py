"""Which channels must leave together, and how they leave.

The dependency graph is torch-pruning's (Fang et al., DepGraph, arXiv:2301.12900); what is
important and what stays is decided by the techniques. Every removal is tried out before it is
believed: forward, backward, output shape and achieved counts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch_pruning
from torch import Tensor, nn

from compress.errors import InvalidCandidate
from compress.families.residual.network import ResidualNetwork
from compress.model import Network

_DRY_RUN_BATCH = 2


@dataclass(frozen=True, kw_only=True)
class Member:
    """One tensor that loses slices along ``axis`` when its group loses channels."""

    weight: Tensor
    axis: Literal[0, 1]


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels of one stage that exist in several tensors at once.

    ``root`` names the first layer that produces them: the residual stream of a stage is one
    group, the channels inside each block are another.
    """

    root: str
    stage: int
    num_channels: int
    members: tuple[Member, ...]


Importance = Callable[[ChannelGroup], Tensor]
"""Importance of every channel of a group, ``(num_channels,)``."""


def groups(network: Network) -> list[ChannelGroup]:
    """All groups that may lose channels; logits and input channels belong to none."""
    module = _family_member(network)
    graph = _graph(network, module)
    names: dict[nn.Module, str] = {layer: name for name, layer in module.named_modules()}
    return [
        _channel_group(graph, group, names)
        for group in graph.get_all_groups(ignored_layers=[module.linear])
    ]


def keep(network: Network, counts: Mapping[str, int], importance: Importance) -> Network:
    """A copy in which each group named by its root keeps its most important channels.

    ``counts`` says how many, from 1 to all. Raises InvalidCandidate when the smaller network
    does not run.
    """
    removed = {
        group.root: _least_important(importance(group), counts[group.root])
        for group in groups(network)
        if counts[group.root] < group.num_channels
    }
    smaller = replace(network, module=copy.deepcopy(network.module))
    _remove_(smaller, removed)
    _check(smaller, counts)
    return smaller


def num_stages(network: Network) -> int:
    """Number of stages of the network."""
    return _family_member(network).num_stages


def _family_member(network: Network) -> ResidualNetwork:
    if not isinstance(network.module, ResidualNetwork):
        raise InvalidCandidate(
            f"channels can be removed from residual networks, not {type(network.module).__name__}"
        )
    return network.module


def _graph(network: Network, module: nn.Module) -> torch_pruning.DependencyGraph:
    example = torch.zeros(1, *network.input_shape)
    with torch.enable_grad():
        return torch_pruning.DependencyGraph().build_dependency(module, example, verbose=False)


def _channel_group(
    graph: torch_pruning.DependencyGraph,
    group: torch_pruning.dependency.Group,
    names: Mapping[nn.Module, str],
) -> ChannelGroup:
    members: list[Member] = []
    stages: set[int] = set()
    for dependency, _ in group.items:
        layer = dependency.target.module
        if layer not in names:
            continue
        produces = graph.is_out_channel_pruning_fn(dependency.handler)
        stage = ResidualNetwork.stage_of(names[layer])
        if produces and stage is not None:
            stages.add(stage)
        if layer.weight.requires_grad:
            members.append(Member(weight=layer.weight.detach(), axis=0 if produces else 1))
    assert len(stages) == 1, f"a group spans the stages {stages}"
    root = group[0].dep.target.module
    return ChannelGroup(
        root=names[root],
        stage=stages.pop(),
        num_channels=root.out_channels,
        members=tuple(members),
    )


def _least_important(importance_O: Tensor, count: int) -> list[int]:
    order_O = torch.argsort(importance_O, descending=True, stable=True)
    return sorted(order_O[count:].tolist())


def _remove_(network: Network, removed: Mapping[str, list[int]]) -> None:
    module = network.module
    frozen = [name for name, weight in module.named_parameters() if not weight.requires_grad]
    graph = _graph(network, module)
    for root, channels in removed.items():
        layer = module.get_submodule(root)
        prune = torch_pruning.prune_conv_out_channels
        graph.get_pruning_group(layer, prune, idxs=channels).prune()
    for name in frozen:
        module.get_parameter(name).requires_grad_(False)


def _check(network: Network, counts: Mapping[str, int]) -> None:
    achieved = {group.root: group.num_channels for group in groups(network)}
    if achieved != dict(counts):
        raise InvalidCandidate(f"expected channels {dict(counts)}, the network has {achieved}")
    trial = copy.deepcopy(network.module).eval()
    with torch.enable_grad():
        logits_BK = trial(torch.zeros(_DRY_RUN_BATCH, *network.input_shape))
        logits_BK.sum().backward()
    if logits_BK.shape != (_DRY_RUN_BATCH, network.num_classes):
        raise InvalidCandidate(
            f"expected logits of shape {(_DRY_RUN_BATCH, network.num_classes)}, the smaller "
            f"network gives {tuple(logits_BK.shape)}"
        )
