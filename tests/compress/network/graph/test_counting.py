"""What a graph counts is what its file and torch count."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compress.export import counting as of_file
from compress.network.graph import counting
from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.write import write
from tests.compress.network.graph.coupling.graphs import graph, node
from tests.compress.onnx_networks import NETWORKS, example, exported, module_of

IN_FILES = sorted(name for name, case in NETWORKS.items() if not case.free)
"""Networks of which a file knows all sizes but the batch."""


def counted(name, **form):
    """The shared network as a graph, and what it counts for one example."""
    whole = read(exported(name, **form))
    sizes = zip(whole.inputs[0].shape, example(name, 1)["input"].shape, strict=True)
    shapes = bind(whole, {axis: size for axis, size in sizes if isinstance(axis, str)})
    return whole, counting.count(whole, shapes)


@pytest.mark.parametrize("folded", [False, True], ids=["norms", "folded"])
@pytest.mark.parametrize("name", IN_FILES)
def test_weights_and_macs_are_those_of_the_file(name, folded):
    whole, counts = counted(name, folded=folded)
    file = of_file.count(write(whole))
    assert (counts.weights, counts.macs) == (file.parameters, file.macs)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"two_answers"}))
def test_parameters_are_those_of_torch(name):
    _, counts = counted(name)
    assert counts.parameters == sum(each.numel() for each in module_of(name).parameters())


@pytest.mark.parametrize("name", ["cnn", "depthwise", "shuffle", "text_cnn", "unet", "vit"])
def test_macs_are_those_of_torch(name):
    _, counts = counted(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module_of(name)(torch.from_numpy(example(name, 1)["input"]))
    assert counts.macs == counter.get_total_flops() // 2


@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("gru", 3)])
def test_a_recurrent_layer_multiplies_inputs_and_state_at_every_step(name, gates):
    whole, counts = counted(name)
    layers = [counts.nodes[one.name] for one in whole.nodes if one.op in {"LSTM", "GRU"}]
    steps, hidden, directions = 9, 8, 2
    first, second = (steps * directions * gates * hidden * (i + hidden) for i in (6, 16))
    assert [one.macs for one in layers] == [first, second]


def test_a_weight_of_two_nodes_counts_once_and_its_work_twice():
    whole = graph(
        node("MatMul", ("x", "w"), "one"),
        node("MatMul", ("one", "w"), "two"),
        x=("N", 4),
        w=(4, 4),
    )
    counts = counting.count(whole, bind(whole, {"N": 1}))
    assert [(one.parameters, one.macs) for one in counts.nodes.values()] == [(16, 16), (0, 16)]


def test_statistics_sizes_and_numbers_of_operators_are_no_parameters():
    whole = graph(
        node("BatchNormalization", ("x", "s", "t", "m", "v"), "normed"),
        node("Mul", ("normed", "half"), "less"),
        node("Clip", ("less", "", "six"), "clipped"),
        node("Add", ("clipped", "free"), "moved"),
        node("Reshape", ("moved", "to"), "answer"),
        x=("N", 4),
        s=(4,),
        t=(4,),
        m=(4,),
        v=(4,),
        half=(1,),
        six=(),
        free=(4,),
        to=[0, 4],
    )
    counts = counting.count(whole, bind(whole, {"N": 1}))
    assert (counts.parameters, counts.weights, counts.macs) == (12, 0, 0)


def test_macs_are_for_the_batch_that_is_bound():
    whole = graph(node("Gemm", ("y", "x"), "answer", transA=1), x=(4, 5), y=(4, 3))
    assert counting.count(whole, bind(whole, {})).macs == 3 * 4 * 5
