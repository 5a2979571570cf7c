"""Trace the dependency graph of a network with torch-pruning, and read it into plain values.

Fang et al., DepGraph, arXiv:2301.12900. Nothing else of torch-pruning is used: its slicing puts
the scales of a LayerNorm in the wrong order (1.6.1 sorts the indices and drops the result).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from compress.network import layers
from compress.network.network import Network
from compress.network.running import foreign, readers
from compress.network.running.weight_views import find_view, is_weighted, view_of
from compress.network.structure import untraceable
from compress.network.structure.untraceable import Barrier
from compress.values.errors import InvalidCandidate

# What torch-pruning lets through when it meets a graph that it does not understand.
_UNTRACEABLE = foreign.ERRORS


@dataclass(frozen=True, kw_only=True)
class CoupledLayer:
    """One layer of a coupling: its slice ``slices[i]`` holds the channel ``channels[i]``.

    ``parameter_axis`` is the axis of a parameter that belongs to no layer, else None.
    """

    name: str
    produces: bool
    reads: bool
    channels: tuple[int, ...]
    slices: tuple[int, ...]
    parameter_axis: int | None = None


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """Layers whose channels must be removed together; ``root`` is the first that makes them.

    ``fixed`` says why they cannot be removed at all, if their way through the network does not
    allow it.
    """

    root: str
    num_channels: int
    items: tuple[CoupledLayer, ...]
    fixed: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The result of tracing a network.

    ``positions`` maps every weighted layer, first to last, to how often it applies its weight to
    one image: height times width of a convolution's output.
    """

    positions: Mapping[str, int]
    couplings: tuple[Coupling, ...]


def is_depthwise(part: nn.Module) -> bool:
    """Whether a layer handles every channel by itself."""
    view = find_view(part)
    return view is not None and 1 < view.groups(part) == view.sizes(part)[1]


def trace(network: Network) -> Trace:
    """Return the couplings of a network, except those of its logits and of its input.

    Raises InvalidCandidate if it cannot be traced, does not run, or runs a layer twice.
    """
    positions = output_positions(network)
    module = copy.deepcopy(network.module).eval()
    barred = untraceable.raise_(module, network.blank())
    graph = _graph(module, network.blank(), barred)
    closing = _closing_layers(graph)
    if not closing:
        raise _untraceable(ValueError("its logits do not depend on its layers differentiably"))
    names = {part: name for name, part in module.named_modules() if part not in set(barred)}
    names |= {parameter: name for name, parameter in module.named_parameters()}
    couplings: dict[str, Coupling] = {}
    for group in _groups(graph, list(closing)):
        items = tuple(_items(graph, group, names))
        size = len(group.items[0].idxs)
        root = _root(module, items, size, candidates=[n for n in positions if n not in couplings])
        if root is not None:
            couplings[root] = Coupling(
                root=root, num_channels=size, items=items, fixed=_barred(group)
            )
    in_order = [couplings[name] for name in positions if name in couplings]
    return Trace(positions=positions, couplings=tuple(in_order))


def _barred(group: torch_pruning.dependency.Group) -> str | None:
    """Say why the channels of a group that meets barriers stay."""
    met = (item.dep.target.module for item in group.items)
    reasons = dict.fromkeys(part.reason for part in met if isinstance(part, Barrier))
    return " and ".join(reasons) or None


def _root(
    module: nn.Module,
    items: Sequence[CoupledLayer],
    num_channels: int,
    *,
    candidates: Sequence[str],
) -> str | None:
    """Return the first layer that makes these channels, if possible these and no others.

    None if no weighted layer makes them: then they are those of the input.
    """
    makers = {item.name: item for item in items if item.produces and not item.reads}
    free = [name for name in candidates if name in makers]
    whole = [name for name in free if _is_whole(module, makers[name], num_channels)]
    return next(iter(whole or free), None)


def output_positions(network: Network) -> dict[str, int]:
    """Return how often each weighted layer, first to last, applies its weight to one image."""
    found: dict[str, int] = {}
    named = [(layer.name, layer.module) for layer in layers.weighted(network)]
    handles = [
        part.register_forward_hook(_recorder(name, found), with_kwargs=True) for name, part in named
    ]
    device = next(network.module.parameters(), torch.zeros(0)).device
    try:
        with torch.no_grad():
            foreign.run(network.module, network.blank(device=device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _recorder(
    name: str, found: dict[str, int]
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]:
    def record(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        found[name] = view_of(part).positions(readers.given(args, kwargs), output)

    return record


def _graph(
    module: nn.Module, x_1CHW: Tensor, barred: Sequence[Barrier]
) -> torch_pruning.DependencyGraph:
    # A gradient of the input keeps layers with frozen weights in the graph.
    example = x_1CHW.requires_grad_()
    try:
        with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
            return torch_pruning.DependencyGraph().build_dependency(
                module,
                example,
                forward_fn=partial(_answer, barred),  # pyright: ignore[reportArgumentType]
                verbose=False,
            )
    except _UNTRACEABLE as error:
        raise _untraceable(error) from error


def _answer(barred: Sequence[Barrier], module: nn.Module, example: Tensor) -> Tensor:
    """Run the module. Without this, torch-pruning first tries the batch as separate arguments."""
    with untraceable.behind(barred):
        return module(example)


def _groups(
    graph: torch_pruning.DependencyGraph, closing: list[nn.Module]
) -> Iterator[torch_pruning.dependency.Group]:
    try:
        yield from graph.get_all_groups(ignored_layers=closing)
    except _UNTRACEABLE as error:
        raise _untraceable(error) from error


def _untraceable(error: Exception) -> InvalidCandidate:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return InvalidCandidate(f"the network's graph cannot be traced for pruning: {reason}")


def _closing_layers(graph: torch_pruning.DependencyGraph) -> set[nn.Module]:
    """Return the layers that make the logits: no other weighted layer comes after them."""
    stack = [node for node in graph.module2node.values() if not node.outputs]
    seen = set(stack)
    found: set[nn.Module] = set()
    while stack:
        node = stack.pop()
        if is_weighted(node.module):
            found.add(node.module)
            if not is_depthwise(node.module):
                continue
        stack += [before for before in node.inputs if before not in seen]
        seen |= set(node.inputs)
    return found


def _is_whole(module: nn.Module, item: CoupledLayer, num_channels: int) -> bool:
    """Whether a layer makes the channels of the coupling and no others."""
    part = module.get_submodule(item.name)
    return is_weighted(part) and len(part.weight) == len(item.slices) == num_channels


def _items(
    graph: torch_pruning.DependencyGraph,
    group: torch_pruning.dependency.Group,
    names: Mapping[nn.Module | nn.Parameter, str],
) -> Iterator[CoupledLayer]:
    for item in group.items:
        part = item.dep.target.module
        shared_slope = isinstance(part, nn.PReLU) and part.num_parameters == 1
        if part not in names or shared_slope:
            continue
        yield CoupledLayer(
            name=names[part],
            produces=graph.is_out_channel_pruning_fn(item.dep.handler),
            reads=graph.is_in_channel_pruning_fn(item.dep.handler),
            channels=tuple(item.root_idxs or ()),
            slices=tuple(item.idxs),
            parameter_axis=(
                item.dep.target.pruning_dim % part.ndim if isinstance(part, nn.Parameter) else None
            ),
        )
