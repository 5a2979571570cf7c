"""The groups of a graph are those that torch-pruning finds in the network, set for set."""

import functools

import pytest

from compress.export import onnx_trace
from compress.network.graph.coupling import proof
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.read import read
from compress.network.structure import channels
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.compress.network.graph.coupling.graphs import bound, runner

COVER = frozenset({"residual, padded", "mobilenet_v3", "shufflenet_v2", "vgg_bn"})
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in SAMPLES]


@functools.cache
def exported(name):
    """The network of a family, and its graph with every BatchNorm."""
    network = tiny.network(SAMPLES[name])
    return network, read(onnx_trace.traced(network.module, tiny.images(2)).SerializeToString())


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
    found = {}
    for group in channels.find(network).groups:
        owned = [set() for _ in range(group.num_channels)]
        for member in group.members:
            for channel, place in zip(member.channel_S, member.slice_S, strict=True):
                owned[channel].add((member.tensor, member.kind == "reader", int(place)))
        found[group.root] = {frozenset(one) for one in owned}
    return found


@pytest.mark.parametrize("name", ROWS)
def test_groups_are_those_of_torch_pruning(name):
    network, graph = exported(name)
    ours, theirs = sets_of_graph(graph), sets_of_torch_pruning(network)
    theirs = {root: owned for root, owned in theirs.items() if len(owned) > 1}
    if name == "shufflenet_v2":
        # It cannot follow channels through a shuffle and fixes those that meet one.
        assert theirs.items() < ours.items()
    else:
        assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("name", ROWS)
def test_channels_of_every_family_leave_as_their_groups_say(name):
    _, graph = exported(name)
    shapes = bound(graph)
    couplings = couple(graph, shapes)
    assert all(group.exact for group in couplings.groups)
    assert proof.prove(graph, shapes, couplings, runner(shapes), seed=0) is couplings
