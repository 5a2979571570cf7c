"""The form in which an imported classifier is worked with."""

from dataclasses import replace

import numpy as np

from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.sources import onnx_form
from compress.network.sources.ports import onnx_ports
from tests.compress.uploads import tensorflow_like, uploaded


def inner_of(graph):
    ports = onnx_ports.example_ports(graph)
    return onnx_form.inner(graph, ports, bind(graph, ports.sizes()))


def node(op, inputs, output, **attributes):
    return Node(op=op, name=op, inputs=inputs, outputs=(output,), attributes=attributes)


def classifier(*nodes, shape=("N", 2, 4, 4), **tensors):
    """A graph from images to five classes."""
    held = {name: np.asarray(values, np.float32) for name, values in tensors.items()}
    return Graph(
        inputs=(GraphPort(name="x", dtype="float32", shape=shape),),
        outputs=(GraphPort(name=nodes[-1].output, dtype="float32", shape=("N", 5)),),
        nodes=nodes,
        tensors=held,
    )


def test_ports_have_the_names_of_this_program():
    for data in (uploaded(), tensorflow_like()):
        graph, _ = inner_of(read(data))
        assert [port.name for port in graph.inputs] == ["input"]
        assert [port.name for port in graph.outputs] == ["logits"]
        assert graph.inputs[0].shape == ("N", 3, 16, 16)
        assert graph.metadata == {}


def test_whoever_has_these_names_gets_others():
    graph = classifier(
        node("ReduceMean", ("x", "axes"), "logits", keepdims=0),
        node("Gemm", ("logits", "input"), "y"),
        input=np.ones((2, 5)),
    )
    graph = replace(graph, tensors={**graph.tensors, "axes": np.asarray([2, 3])})
    found, _ = inner_of(graph)
    assert [(n.inputs, n.outputs) for n in found.nodes] == [
        (("input", "axes"), ("logits_1",)),
        (("logits_1", "input_1"), ("logits",)),
    ]


def test_a_product_of_rows_and_its_bias_are_one_layer_under_the_name_of_the_product():
    graph = classifier(
        node("Flatten", ("x",), "rows"),
        node("MatMul", ("rows", "dense.weight"), "product"),
        node("Add", ("bias", "product"), "y"),
        bias=np.ones(5),
        **{"dense.weight": np.ones((32, 5))},
    )
    found, _ = inner_of(graph)
    assert [(n.op, n.name, n.inputs) for n in found.nodes][1:] == [
        ("Gemm", "dense", ("rows", "dense.weight", "bias"))
    ]


def test_a_sum_that_is_no_bias_stays():
    graph = classifier(
        node("Flatten", ("x",), "rows"),
        node("MatMul", ("rows", "w"), "product"),
        node("Add", ("product", "more"), "y"),
        w=np.ones((32, 5)),
        more=np.ones((1, 1)),
    )
    assert [n.op for n in inner_of(graph)[0].nodes] == ["Flatten", "MatMul", "Add"]


def test_a_softmax_over_something_else_or_of_the_input_stays():
    graph = classifier(
        node("ReduceMean", ("x", "axes"), "rows", keepdims=0),
        node("Gemm", ("rows", "w"), "scores"),
        node("Softmax", ("scores",), "y", axis=0),
        w=np.ones((2, 5)),
    )
    graph = replace(graph, tensors={**graph.tensors, "axes": np.asarray([2, 3])})
    found, signature = inner_of(graph)
    assert found.nodes[-1].op == "Softmax"
    assert not signature.outputs[0].softmax


def test_pixels_that_are_scaled_before_they_are_transposed_are_transposed_back_first():
    graph = classifier(
        node("Mul", ("x", "scale"), "scaled"),
        node("Transpose", ("scaled",), "first", perm=(0, 3, 1, 2)),
        node("Flatten", ("first",), "rows"),
        node("Gemm", ("rows", "w"), "y"),
        shape=("N", 4, 4, 2),
        scale=[1, 2],
        w=np.ones((32, 5)),
    )
    found, signature = inner_of(graph)
    assert signature.inputs[0].layout == "NHWC"
    assert [n.op for n in found.nodes] == ["Transpose", "Mul", "Transpose", "Flatten", "Gemm"]
    assert found.nodes[0].attributes["perm"] == (0, 2, 3, 1)
