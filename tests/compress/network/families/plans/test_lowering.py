"""The graph of a plan computes what its torch network computes, and counts what the plan counts."""

import random
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from compress.evaluation import runtime
from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.plans.lowering import lower
from compress.network.families.plans.plan import Cell, Conv, Pad, layers_of
from compress.network.families.resnet.config import ResNet
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.families.vgg_bn.config import VggBn
from compress.network.graph.counting import count
from compress.network.graph.names import layer_names
from compress.network.graph.shapes import bind
from compress.network.graph.write import FORMS, write
from compress.network.member import Shape
from compress.network.signature import BATCH, Signature
from compress.network.sources import family_graph
from compress.network.sources.source import FamilySource
from compress.values.errors import InvalidCandidate
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES

DRAWS = 4
COVER = frozenset({"residual, padded", "mobilenet_v3", "shufflenet_v2", "nasbench201, one cell"})
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in SAMPLES]
MOST_SECONDS = 0.3


def drawn(name):
    """The network of that name, and members of every shape that it may have."""
    whole, chance = SAMPLES[name], random.Random(name)
    yield whole
    for _ in range(DRAWS):
        member = whole.member(shape(whole, chance))
        if not plan_of(member, in_channels=1, num_classes=2).is_constant:
            yield member


def shape(whole, chance):
    return Shape(
        width=chance.choice((0.3, 0.5, 0.75, 1.0)),
        depth=chance.choice((1, 2, 9)) + isinstance(whole, NasBench201),
        kernel=chance.choice((1, 3, 9)),
        expansion=chance.choice((0.4, 0.7, 1.0)),
        resolution=chance.choice((0, 16 if isinstance(whole, VggBn) else 12, 32)),
        excitation=chance.choice((True, False)),
        activation=chance.choice(("", "relu")) if "activation" in whole.elastic else "",
        cell=tuple(chance.choice(each) for each in whole.operations),
    )


def lowered(architecture, image=(tiny.SIDE, tiny.SIDE)):
    source = FamilySource(architecture)
    return family_graph.lowered(source, input_shape=(1, *image), num_classes=tiny.NUM_CLASSES)


def with_weights(graph, module):
    """The graph with the weights of a network, by their names."""
    held = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    for name in graph.tensors.keys() & held.keys():
        assert graph.tensors[name].shape == held[name].shape
    tensors = {name: held.get(name, own) for name, own in graph.tensors.items()}
    return replace(graph, tensors=tensors)


@pytest.mark.parametrize("opset", FORMS)
@pytest.mark.parametrize("name", ROWS)
def test_a_graph_answers_as_the_torch_network_does(name, opset):
    x_NCHW = tiny.images()
    for architecture in drawn(name):
        network = tiny.network(architecture)
        graph = with_weights(lowered(architecture), network.module)
        session = runtime.session(write(graph, opset).SerializeToString())
        ours_NK, theirs_NK = runtime.answers(session, x_NCHW), tiny.answers(network).numpy()
        assert np.abs(ours_NK - theirs_NK).max() <= 1e-4 * np.ptp(theirs_NK)


@pytest.mark.parametrize("name", ROWS)
def test_a_graph_counts_what_the_plan_counts(name):
    for architecture in drawn(name):
        graph = lowered(architecture)
        shapes = bind(graph, {BATCH: 1})
        assert {made for node in graph.nodes for made in node.outputs} <= shapes.keys()
        counts = count(graph, shapes)
        plan = plan_of(architecture, in_channels=1, num_classes=tiny.NUM_CLASSES)
        rows = layout.layers(
            architecture,
            in_channels=1,
            num_classes=tiny.NUM_CLASSES,
            image=(tiny.SIDE, tiny.SIDE),
        )
        dead = unreached(plan)
        pads = sum(np.prod(row.shape) for row in rows if row.kind == "pad")
        assert counts.macs == sum(row.macs for row in rows if row.name not in dead)
        kept = sum(row.parameters for row in rows if row.name not in dead)
        assert counts.parameters == kept + pads


def unreached(plan):
    """The layers of a plan that no path of their cell leads through."""
    cells = [node for chain in plan.chains for node in chain if isinstance(node, Cell)]
    every = {layer.name for cell in cells for layer in layers_of(cell)}
    live = [edge.chain for cell in cells for edges in cell.live for edge in edges]
    return every - {layer.name for chain in live for layer in layers_of(chain)}


@pytest.mark.parametrize("name", ROWS)
def test_nodes_are_called_what_the_torch_network_calls_its_layers(name):
    for architecture in drawn(name):
        plan = plan_of(architecture, in_channels=1, num_classes=tiny.NUM_CLASSES)
        live = [layer for layer in plan.layers if layer.name not in unreached(plan)]
        norms = {layer.norm for layer in live if isinstance(layer, Conv) and layer.norm}
        graph = lowered(architecture)
        weighted = [node for node in graph.nodes if any(n.endswith(".weight") for n in node.inputs)]
        names = layer_names(graph)
        assert {names[node.name] for node in weighted} == {layer.name for layer in live} | norms
        assert all(names[node.name] == node.name for node in weighted)


def test_a_pad_is_a_convolution_of_zeros_and_ones():
    name = "residual, padded"
    plan = plan_of(SAMPLES[name], in_channels=1, num_classes=tiny.NUM_CLASSES)
    graph, module = lowered(SAMPLES[name]), tiny.network(SAMPLES[name]).module
    pads = [layer.name for layer in plan.layers if isinstance(layer, Pad)]
    assert pads
    for pad in pads:
        theirs = module.get_parameter(f"{pad}.weight").detach().numpy()
        assert np.array_equal(graph.tensors[f"{pad}.weight"], theirs)


def test_images_may_be_wider_than_they_are_high():
    architecture, image = SAMPLES["shufflenet_v2"], (16, 24)
    graph = with_weights(lowered(architecture, image), tiny.network(architecture).module)
    x_NCHW = torch.randn(2, 1, *image, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = tiny.network(architecture).module(x_NCHW).numpy()
    ours = runtime.answers(runtime.session(write(graph).SerializeToString()), x_NCHW)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.ptp(theirs)


def test_a_cell_without_a_path_and_maps_that_do_not_divide_are_refused():
    nothing = NasBench201(channels=4, cells=(1, 1, 1), cell=("none",) * 6)
    with pytest.raises(InvalidCandidate, match="answers alike whatever the image"):
        lowered(nothing)
    with pytest.raises(InvalidCandidate, match="cannot be averaged to 2x2"):
        lowered(SAMPLES["vgg_bn"], (12, 12))


@pytest.mark.parametrize(
    "architecture",
    [
        ResNet(block="bottleneck", depths=(3, 8, 36, 3)),
        MobileNetV3(),
        ShuffleNetV2(),
        NasBench201(),
    ],
)
def test_lowering_takes_no_time_and_no_memory(architecture):
    plan = plan_of(architecture, in_channels=3, num_classes=1000)
    signature = Signature.of_examples((3, 224, 224), num_classes=1000)
    start = time.process_time()
    graph = lower(plan, signature)
    assert time.process_time() - start < MOST_SECONDS
    assert sum(map(memory, graph.tensors.values())) < 2**20


def memory(array):
    return array.nbytes if array.base is None else array.base.nbytes
