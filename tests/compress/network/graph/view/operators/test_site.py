"""Every operator that runs is tried, and forms that torch does not have are refused."""

import numpy as np
import pytest

from compress.network.graph.roles import OPERATORS
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.graph.view.module import GraphModule
from compress.network.graph.view.operators import functions
from compress.network.graph.view.operators.layers import LAYERS
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.view.operators import (
    test_elementwise,
    test_layers,
    test_moving,
    test_recurrent,
    test_reducing,
    test_windows,
)
from tests.compress.network.graph.view.operators.cases import MAP, ROWS, floats, ints, tried

FILES = (test_elementwise, test_layers, test_moving, test_recurrent, test_reducing, test_windows)


def test_every_operator_that_runs_is_tried_and_may_be_in_a_graph():
    runs = {*LAYERS, *functions.OPERATORS}
    assert runs - set.union(*(tried(each.CASES) for each in FILES)) == set()
    assert runs - OPERATORS - {"Dropout"} == set()


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "reason"),
    [
        (
            "GRU",
            [floats(7, 2, 6), floats(1, 15, 6), floats(1, 15, 5)],
            {"hidden_size": 5},
            "resets",
        ),
        (
            "Resize",
            [MAP, None, np.asarray([1, 1, 1.5, 1.5], np.float32)],
            {"mode": "nearest"},
            "nearest",
        ),
        (
            "Resize",
            [MAP, None, None, ints(2, 6, 9, 9)],
            {"mode": "linear", "antialias": 1},
            "smooths",
        ),
        ("AveragePool", [MAP], {"kernel_shape": (2, 2), "dilations": (2, 2)}, "dilations"),
        (
            "ConvTranspose",
            [MAP, floats(6, 4, 2, 2)],
            {"output_shape": (9, 9)},
            "shape of its output",
        ),
        ("TopK", [ROWS, ints(2)], {}, "cannot be run here"),
    ],
)
def test_a_form_that_torch_does_not_have_is_refused_by_operator_and_node(
    op, inputs, attributes, reason
):
    names = tuple(f"x{i}" if value is not None else "" for i, value in enumerate(inputs))
    tensors = {n: v for n, v in zip(names, inputs, strict=True) if v is not None and n != "x0"}
    node = Node(op=op, name="the node", inputs=names, outputs=("y",), attributes=attributes)
    port = GraphPort(name="x0", dtype="float32", shape=inputs[0].shape)
    graph = Graph(inputs=(port,), outputs=(), nodes=(node,), tensors=tensors)
    with pytest.raises(InvalidNetwork, match=rf"{op} \(the node\).*{reason}"):
        GraphModule(graph, {"x0": inputs[0].shape})


def test_a_convolution_with_a_computed_weight_is_no_layer():
    ports = tuple(
        GraphPort(name=name, dtype="float32", shape=value.shape)
        for name, value in (("x", MAP), ("w", floats(4, 6, 3, 3)))
    )
    node = Node(op="Conv", name="mixed", inputs=("x", "w"), outputs=("y",))
    graph = Graph(inputs=ports, outputs=(), nodes=(node,), tensors={})
    with pytest.raises(InvalidNetwork, match=r"Conv \(mixed\) computes its weight"):
        GraphModule(graph, bind(graph, {}))
