"""Files of both opsets answer alike, keep their ports, and pass ONNX's own checker."""

import dataclasses
import functools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.evaluation import runtime
from compress.network.graph.read import read
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.graph.write import FORMS, write
from compress.network.graph.writing.spellings import OPSET_13
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.view.operators.cases import (
    FLAGS,
    MAP,
    case,
    floats,
    graph_of,
    ints,
)
from tests.compress.network.graph.view.operators.test_site import FILES
from tests.compress.onnx_networks import NETWORKS, example, exported

MORE = [
    case("GroupNormalization", [MAP, floats(6), floats(6)], num_groups=3),
    case("LayerNormalization", [MAP, floats(8, 10), floats(8, 10)], name="of two", axis=2),
    case("LayerNormalization", [MAP, floats(10)], name="without bias", epsilon=1e-3),
    case("Mish", [MAP]),
    case("LpPool", [MAP], kernel_shape=[2, 2], p=3),
    case("Pad", [MAP, ints(1, 2, 3, 4), None, ints(-1, 1)], name="some axes", mode="reflect"),
    case("Pad", [MAP, ints(1, 2), np.float32(7), ints(2)], name="a value"),
    case("ReduceL1", [MAP, ints(1, -1)], keepdims=0),
    case("ReduceLogSum", [np.abs(MAP), ints(1)]),
    case("ReduceLogSumExp", [MAP, ints(1)]),
    case("ReduceMean", [MAP], name="of nothing", noop_with_empty_axes=1),
    case("ReduceProd", [MAP, ints(3)]),
    case("ReduceSumSquare", [MAP], name="of all", keepdims=0),
    case("Reshape", [MAP, ints(2, -1)], name="without zeros", allowzero=1),
    case("Resize", [MAP, None, floats(2) * 0 + 2], name="two axes", axes=(2, 3)),
    case("RNN", [floats(7, 2, 6), floats(1, 5, 6), floats(1, 5, 5)], outputs=2, hidden_size=5),
    case("ScatterElements", [MAP, ints(0).reshape(1, 1, 1, 1), floats(1, 1, 1, 1)]),
    case("ScatterND", [MAP, ints(1).reshape(1, 1), floats(1, 6, 8, 10)]),
    case("Shape", [MAP], name="a part", start=1, end=-1),
    case("Shape", [MAP], name="the rest", start=-2),
    case("Where", [FLAGS, MAP, floats(1)], name="one", varies=2),
]
CASES = [each for file in FILES for each in file.CASES] + MORE
NOT_IN_13 = {"GridSample", "Trilu"}


def answers(model, given):
    onnx.checker.check_model(model, full_check=True)
    return runtime.session(model.SerializeToString(), optimise=False).run(None, given)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("opset", FORMS)
def test_a_network_is_written_in_both_opsets(name, opset):
    graph = read(exported(name, 20))
    model = write(graph, opset)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert model.ir_version == {13: 8, 21: 10}[opset]
    given = example(name, 3)
    expected = runtime.session(exported(name, 20), optimise=False).run(None, given)
    for ours, theirs in zip(answers(model, given), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("op", "inputs", "outputs", "varies", "attributes"), CASES)
def test_an_operator_says_the_same_in_opset_13(op, inputs, outputs, varies, attributes):
    graph, expected, given = graph_of(op, inputs, outputs, varies, attributes)
    try:
        model = write(graph, 13)
    except InvalidNetwork as error:
        refused = str(error)
    else:
        found = answers(model, {p.name: v for p, v in zip(graph.inputs, given, strict=True)})
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)
        return
    assert f"{op} (node 'node')" in refused
    assert "cannot be written for opset 13: write the file for opset 21" in refused


def test_every_spelling_is_tried():
    assert set(OPSET_13) - NOT_IN_13 <= {each.values[0] for each in CASES}


def one(op, *inputs, shape=("N", 6, 8, 10), attributes=None, **tensors):
    """A graph of one node over ``x``."""
    return Graph(
        inputs=(GraphPort(name="x", dtype="float32", shape=shape),),
        outputs=(GraphPort(name="y", dtype="float32", shape=shape),),
        nodes=(
            Node(op=op, name="node", inputs=inputs, outputs=("y",), attributes=attributes or {}),
        ),
        tensors={name: np.asarray(value) for name, value in tensors.items()},
    )


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (one("Trilu", "x"), r"Trilu \(node 'node'\) cannot be written for opset 13"),
        (one("AveragePool", "x", attributes={"dilations": (2, 2)}), "with dilations"),
        (one("Resize", "x", "", "s", attributes={"antialias": 1}, s=[1.0]), "with antialias 1"),
        (
            one("Split", "x", shape=("N", "C"), attributes={"axis": 1, "num_outputs": 1}),
            "parts whose sizes are not known",
        ),
        (one("Pad", "x", "p", attributes={"mode": "wrap"}, p=[0] * 8), "with mode 'wrap'"),
        (one("ReduceMean", "x", "x"), "with an input 1 that is computed"),
    ],
)
def test_what_an_opset_has_no_words_for_is_refused(graph, words):
    with pytest.raises(InvalidNetwork, match=words):
        write(graph, 13)
    assert write(graph, 21).graph.node[0].op_type == graph.nodes[0].op


def test_ports_axes_and_metadata_are_those_of_the_upload():
    model = onnx.load_from_string(exported("unet", 13))
    model.metadata_props.add(key="author", value="Zoë\n")
    graph = read(model.SerializeToString())
    for opset in FORMS:
        made = write(graph, opset)
        assert made.graph.input == model.graph.input
        assert made.graph.output == model.graph.output
        assert [(each.key, each.value) for each in made.metadata_props] == [("author", "Zoë\n")]


@functools.cache
def halved():
    """A linear layer whose file computes in 16 bits."""
    kind = TensorProto.FLOAT16
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "half",
        [helper.make_tensor_value_info("x", kind, ["N", 4])],
        [helper.make_tensor_value_info("y", kind, ["N", 3])],
        [numpy_helper.from_array(floats(4, 3).astype(np.float16), "w")],
    )
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


@pytest.mark.parametrize("opset", FORMS)
def test_ports_of_16_bits_are_of_16_bits_again(opset):
    graph = read(halved())
    assert [(port.dtype, port.file_dtype) for port in graph.inputs] == [("float32", "float16")]
    assert {tensor.dtype for tensor in graph.tensors.values()} == {np.dtype(np.float32)}
    given = {"x": floats(5, 4).astype(np.float16)}
    [ours] = answers(write(graph, opset), given)
    [theirs] = runtime.session(halved()).run(None, given)
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_names_that_a_spelling_invents_are_free():
    graph = one("Gelu", "x")
    taken = dataclasses.replace(graph, tensors={"node_root": floats(6, 8, 10)})
    add = Node(op="Add", name="add", inputs=("y", "node_root"), outputs=("z",))
    port = GraphPort(name="z", dtype="float32", shape=("N", 6, 8, 10))
    both = dataclasses.replace(taken, nodes=(*graph.nodes, add), outputs=(port,))
    [ours] = answers(write(both, 13), {"x": MAP})
    [theirs] = answers(write(both, 21), {"x": MAP})
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
