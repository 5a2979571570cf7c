"""The groups of a graph are those that torch-pruning finds in the network, set for set."""

import functools
import warnings

import pytest
import torch
import torch_pruning
from torch import nn

from compress.network import layers
from compress.network.graph.coupling import proof
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.read import read
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.compress.network.graph.coupling.graphs import bound, runner
from tests.compress.networks import exported

COVER = frozenset({"residual, padded", "mobilenet_v3", "shufflenet_v2", "vgg_bn"})
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in SAMPLES]


UNFOLLOWED = "shufflenet_v2"
"""It cannot follow channels through a shuffle."""


@functools.cache
def network_and_graph(name):
    """The network of a family, and its graph with every BatchNorm."""
    network = tiny.network(SAMPLES[name])
    return network, read(exported(network.module, network.input_shape))


def sets_of_graph(graph):
    """What each channel of each group owns of weights: tensor, whether it reads, slice."""
    found = {}
    for group in couple(graph, bound(graph)).groups:
        owned = [set() for _ in range(group.num_channels)]
        for held in (one for one in group.slices if one.tensor.endswith(".weight")):
            for channel, place in zip(held.channel_S, held.slice_S, strict=True):
                owned[channel].add((held.tensor, held.part == "reader", int(place)))
        found[group.root] = {frozenset(one) for one in owned}
    return found


def sets_of_torch_pruning(network):
    """The same by torch-pruning, in the groups of which a layer makes the channels."""
    names = {part: name for name, part in network.module.named_modules()}
    graph = dependencies_of(network.module)
    answering = layers.weighted(network)[-1].module
    found = []
    for group in graph.get_all_groups(ignored_layers=[answering]):
        items = [item for item in group.items if item.dep.target.module in names]
        owned = [set() for _ in group.items[0].idxs]
        for item in items:
            tensor = f"{names[item.dep.target.module]}.weight"
            for channel, place in zip(item.root_idxs, item.idxs, strict=True):
                owned[channel].add((tensor, reads(graph, item), place))
        if any(makes(graph, item) for item in items) and len(owned) > 1:
            found.append({frozenset(one) for one in owned})
    return found


def dependencies_of(module):
    # With a gradient of the input, layers with frozen weights are seen too.
    example = tiny.images(1).requires_grad_()
    with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
        return torch_pruning.DependencyGraph().build_dependency(
            module, example, forward_fn=lambda network, x: network(x), verbose=False
        )


def makes(graph, item):
    return graph.is_out_channel_pruning_fn(item.dep.handler) and not (
        graph.is_in_channel_pruning_fn(item.dep.handler)
    )


def reads(graph, item):
    """Whether it reads the channels; a depthwise convolution and a norm pass them on."""
    part = item.dep.target.module
    is_one = isinstance(part, nn.BatchNorm2d) or getattr(part, "groups", 1) > 1
    return graph.is_in_channel_pruning_fn(item.dep.handler) and not is_one


@pytest.mark.parametrize("name", [row for row in ROWS if UNFOLLOWED not in row.values])
def test_groups_are_those_of_torch_pruning(name):
    network, graph = network_and_graph(name)
    ours, theirs = [*sets_of_graph(graph).values()], sets_of_torch_pruning(network)
    assert len(ours) == len(theirs)
    assert all(owned in theirs for owned in ours)


@pytest.mark.parametrize("name", ROWS)
def test_channels_of_every_family_leave_as_their_groups_say(name):
    _, graph = network_and_graph(name)
    shapes = bound(graph)
    couplings = couple(graph, shapes)
    assert all(group.exact for group in couplings.groups)
    assert proof.prove(graph, shapes, couplings, runner(shapes), seed=0) is couplings
