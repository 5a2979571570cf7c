"""An outline of a graph has the layers, names and numbers that torch's view of it has."""

import pytest
import torch

from compress.export import onnx_trace
from compress.network.graph.outline import outline
from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.view.module import GraphModule
from compress.network.signature import Port
from compress.network.sources.source import FamilySource
from compress.network.structure import channels
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.compress.network.graph.coupling.graphs import graph, node
from tests.compress.networks import Separable, imported, seeded
from tests.compress.onnx_networks import NETWORKS, example, exported

COVER = frozenset({"residual, padded", "mobilenet_v3", "efficientnet, lite", "vgg_bn"})
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in SAMPLES]


def outlined(name, **form):
    whole = read(exported(name, **form))
    sizes = zip(whole.inputs[0].shape, example(name, 1)["input"].shape, strict=True)
    bound = {axis: size for axis, size in sizes if isinstance(axis, str)}
    return whole, bound, outline(whole, bind(whole, bound))


@pytest.mark.parametrize("name", ROWS)
def test_a_graph_says_what_the_plan_of_its_family_says(name):
    network = tiny.network(SAMPLES[name])
    traced = onnx_trace.traced(network.module, tiny.images(2)).SerializeToString()
    ours = outline(read(traced), bind(read(traced), {"N": 1})).layers
    source = FamilySource(SAMPLES[name])
    shape = (1, tiny.SIDE, tiny.SIDE)
    theirs = source.outline(input_shape=shape, num_classes=tiny.NUM_CLASSES).layers
    for one, other in zip(ours, theirs, strict=True):
        assert (one.name, one.weight_shape, one.macs) == (
            other.name,
            other.weight_shape,
            other.macs,
        )
        # A pad is a convolution of zeros and ones, of which a graph cannot tell that it is one.
        if other.kind != "pad":
            assert (one.kind, one.parameters) == (other.kind, other.parameters)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_modules_of_the_torch_view(name):
    whole, sizes, found = outlined(name)
    modules = dict(GraphModule(whole, bind(whole, sizes)).named_modules())
    assert {layer.name for layer in found.layers} <= set(modules)
    for layer in found.layers:
        weight = getattr(modules[layer.name], "weight", None)
        if layer.kind in {"conv", "linear", "norm", "embedding"}:
            assert tuple(weight.shape) == layer.weight_shape


def test_weights_have_the_shapes_of_torch_whichever_way_the_file_multiplies():
    whole = graph(
        node("Gemm", ("x", "one"), "first"),
        node("Gemm", ("first", "two"), "second", transB=1),
        node("MatMul", ("second", "three"), "answer"),
        x=("N", 4),
        one=(4, 6),
        two=(5, 6),
        three=(5, 2),
    )
    found = outline(whole, bind(whole, {"N": 1})).layers
    assert [(one.kind, one.weight_shape) for one in found] == [
        ("linear", (6, 4)),
        ("linear", (5, 6)),
        ("linear", (2, 5)),
    ]


def test_recurrent_layers_and_tables_are_layers():
    _, _, found = outlined("lstm")
    assert [(one.kind, one.weight_shape) for one in found.layers] == [
        ("embedding", (6, 20)),
        ("recurrent", (64, 14)),
        ("recurrent", (64, 24)),
        ("linear", (4, 16)),
    ]


def test_a_norm_counts_with_the_layer_that_it_has_to_itself_and_else_by_itself():
    whole = graph(
        node("Conv", ("x", "w"), "alone"),
        node("BatchNormalization", ("alone", "s", "t", "m", "v"), "normed"),
        node("Conv", ("normed", "u"), "shared"),
        node("BatchNormalization", ("shared", "s2", "t2", "m2", "v2"), "other"),
        node("Add", ("shared", "other"), "answer"),
        w=(6, 3, 1, 1),
        u=(6, 6, 1, 1),
        **{f"{name}{number}": (6,) for name in "stmv" for number in ("", "2")},
    )
    found = outline(whole, bind(whole, {"N": 1})).layers
    assert [(one.name, one.kind, one.parameters) for one in found] == [
        ("alone", "conv", 18 + 12),
        ("shared", "conv", 36),
        ("other", "norm", 12),
    ]


def test_layers_of_one_resolution_are_a_stage_as_in_any_network_of_no_family():
    network = seeded(Separable)
    x = torch.zeros(2, *network.input_shape)
    whole = read(onnx_trace.traced(network.module, x).SerializeToString())
    stages = {layer.name: layer.stage for layer in outline(whole, bind(whole, {"N": 1})).layers}
    assert stages == {"stem": 0, "depthwise": 0, "pointwise": 1, "head": 1}
    groups = {group.root: group.stage for group in channels.find(imported(network)).groups}
    assert groups
    assert groups.items() <= stages.items()


def test_ports_have_names_types_and_free_axes():
    _, _, found = outlined("unet")
    assert found.signature.inputs == (Port(name="input", shape=(1, 3, 16, 16), dynamic=(0, 2, 3)),)
    _, _, words = outlined("text_cnn")
    (port,) = words.signature.inputs
    assert (port.dtype, port.shape, port.dynamic) == ("int64", (1, 9), (0, 1))
