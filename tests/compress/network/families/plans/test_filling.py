"""Layers of a torch network take what a narrower graph holds of them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from compress.network.families.plans.filling import fill_
from compress.network.graph.coupling.removal import remove
from compress.network.graph.values import Graph, Node
from compress.network.graph.view.absorbing import absorb
from compress.network.structure import coupled_graph
from compress.values.errors import InvalidNetwork
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES


@pytest.fixture
def network():
    return tiny.network(SAMPLES["residual, padded"])


def narrower(network):
    """The graph without a channel of every group, and the layers of its nodes."""
    whole = coupled_graph.coupled(network)
    gone = {group.root: [1] for group in whole.couplings.groups}
    return remove(whole.graph, whole.shapes, whole.couplings, gone)[0], whole.layers


def test_the_layers_hold_the_constants_of_the_graph_and_run(network):
    graph, layers = narrower(network)
    fill_(network.module, graph, layers)
    again = absorb(network.module, network.module.program_for(network.signature))
    assert again.tensors.keys() == graph.tensors.keys()
    assert all(np.array_equal(own, graph.tensors[name]) for name, own in again.tensors.items())
    assert network.module.conv1.out_channels == 7
    assert tiny.answers(network).shape == (3, tiny.NUM_CLASSES)


def test_what_is_frozen_stays_frozen_and_what_learns_learns(network):
    network.module.conv1.weight.requires_grad_(False)
    before = {name: p.requires_grad for name, p in network.module.named_parameters()}
    fill_(network.module, *narrower(network))
    assert {name: p.requires_grad for name, p in network.module.named_parameters()} == before


def test_a_copy_shares_nothing_with_the_graph(network):
    graph, layers = narrower(network)
    module = copy.deepcopy(network.module)
    fill_(module, graph, layers)
    with torch.no_grad():
        module.conv1.weight.zero_()
    assert graph.tensors["conv1.weight"].any()


def test_a_linear_layer_takes_the_weight_of_a_product_the_other_way_round():
    module = nn.Sequential(nn.Linear(3, 4, bias=False))
    weight_IO = np.arange(8, dtype=np.float32).reshape(2, 4)
    node = Node(op="MatMul", name="product", inputs=("x", "w"), outputs=("y",))
    graph = Graph(inputs=(), outputs=(), nodes=(node,), tensors={"w": weight_IO})
    fill_(module, graph, {"product": "0"})
    assert np.array_equal(module[0].weight.detach().numpy(), weight_IO.T)
    assert (module[0].in_features, module[0].out_features) == (2, 4)


def test_a_layer_of_another_kind_is_refused_by_its_node():
    node = Node(op="PRelu", name="slope", inputs=("x", "s"), outputs=("y",))
    graph = Graph(inputs=(), outputs=(), nodes=(node,), tensors={"s": np.ones(3, np.float32)})
    with pytest.raises(InvalidNetwork, match=r"PRelu \(slope\) is a PReLU, which cannot lose"):
        fill_(nn.Sequential(nn.PReLU(3)), graph, {"slope": "0"})
