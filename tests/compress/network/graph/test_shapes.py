"""Shapes are what ONNX Runtime makes, and what the arithmetic of shapes leaves is constant."""

import numpy as np
import onnx
import onnxruntime
import pytest

from compress.network.graph.read import read
from compress.network.graph.reading.settle import settle
from compress.network.graph.shapes import bind, bound
from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.graph.write import write
from compress.values.errors import InvalidNetwork
from tests.compress.onnx_networks import NETWORKS, example, exported


def sizes_of(graph, given):
    """The sizes that these inputs give to free axes."""
    return {
        axis: size
        for port in graph.inputs
        for axis, size in zip(port.shape, given[port.name].shape, strict=True)
        if isinstance(axis, str)
    }


def all_tensors(graph, given):
    """What ONNX Runtime makes of every tensor."""
    model = write(graph)
    del model.graph.output[:]
    names = [name for node in graph.nodes for name in node.outputs if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = onnx.shape_inference.infer_shapes(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(None, given), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_shape_is_that_of_the_runtime(name):
    graph, given = read(exported(name)), example(name, 3)
    shapes = bind(graph, sizes_of(graph, given))
    made = {key: value.shape for key, value in all_tensors(graph, given).items()}
    assert {key: shapes[key] for key in made} == made


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"vit"}))
def test_a_graph_that_is_read_holds_no_arithmetic_on_shapes(name):
    assert "Shape" not in {node.op for node in read(exported(name)).nodes}


def test_an_expand_target_holds_no_number_of_channels():
    graph = read(exported("vit"))
    (expand,) = (node for node in graph.nodes if node.op == "Expand")
    (target,) = (node for node in graph.nodes if node.output == expand.inputs[1])
    literal = [graph.tensors[name].tolist() for name in target.inputs if name in graph.tensors]
    assert literal == [[1], [1]]


def chain(*nodes, shape=("N", 8, 6, 6), outputs=("y",), **tensors):
    """A graph of these nodes over one input ``x``."""
    return Graph(
        inputs=(GraphPort(name="x", dtype="float32", shape=shape),),
        outputs=tuple(GraphPort(name=name, dtype="float32", shape=()) for name in outputs),
        nodes=nodes,
        tensors={name: np.asarray(value) for name, value in tensors.items()},
    )


def test_a_resize_to_computed_sizes_is_one_by_scales():
    graph = chain(
        Node(op="Shape", name="s", inputs=("x",), outputs=("s",)),
        Node(op="Mul", name="m", inputs=("s", "twice"), outputs=("m",)),
        Node(op="Resize", name="r", inputs=("x", "", "", "m"), outputs=("y",)),
        shape=("N", 8, "h", "w"),
        twice=[1, 1, 2, 2],
    )
    done = settle(graph, {"N": 2, "h": 6, "w": 8}, {"N": 3, "h": 10, "w": 12})
    assert [node.op for node in done.nodes] == ["Resize"]
    assert done.tensors[done.nodes[0].inputs[2]].tolist() == [1, 1, 2, 2]


def test_sizes_that_several_axes_follow_stay_computed_beside_constants():
    graph = chain(
        Node(op="Shape", name="s", inputs=("x",), outputs=("s",)),
        Node(op="Gather", name="g", inputs=("s", "order"), outputs=("g",)),
        Node(op="Reshape", name="r", inputs=("x", "g"), outputs=("y",)),
        shape=("N", 8, "h", "w"),
        order=[2, 1, 3, 0],
    )
    done = settle(graph, {"N": 2, "h": 5, "w": 7}, {"N": 3, "h": 11, "w": 13})
    target = next(node for node in done.nodes if node.op == "Concat")
    assert [done.tensors[n].tolist() for n in target.inputs if n in done.tensors] == [[8]]
    for sizes in ({"N": 4, "h": 3, "w": 9}, {"N": 1, "h": 2, "w": 2}):
        assert bind(done, sizes)["y"] == (sizes["h"], 8, sizes["w"], sizes["N"])


def test_what_is_picked_of_a_long_table_by_sizes_is_known():
    """ONNX's reference picks of tables of at most 32 entries only."""
    graph = chain(
        Node(op="Shape", name="s", inputs=("x",), outputs=("s",)),
        Node(op="GatherElements", name="g", inputs=("table", "s"), outputs=("y",)),
        shape=("N", 8, "h", 70),
        table=np.arange(100) * 2,
    )
    assert bound(graph, {"N": 2, "h": 5}).values["y"].tolist() == [4, 16, 10, 140]


def test_parts_of_a_split_have_their_sizes():
    graph = chain(
        Node(
            op="Split",
            name="s",
            inputs=("x",),
            outputs=("y", "z"),
            attributes={"axis": 1, "num_outputs": 2},
        ),
        outputs=("y", "z"),
    )
    (split,) = settle(graph, {"N": 2}, {"N": 3}).nodes
    assert split.inputs == ("x", "s_sizes")
    uneven = chain(
        Node(
            op="Split",
            name="s",
            inputs=("x",),
            outputs=("y", "z", "last"),
            attributes={"axis": 1, "num_outputs": 3},
        ),
        outputs=("y", "z", "last"),
    )
    done = settle(uneven, {"N": 2}, {"N": 3})
    assert done.tensors["s_sizes"].tolist() == [3, 3, 2]
    assert "num_outputs" not in done.nodes[0].attributes


def test_what_does_not_fit_is_named():
    lying = chain(
        Node(op="Conv", name="first", inputs=("x", "w"), outputs=("y",)),
        w=np.zeros((4, 7, 1, 1), np.float32),
    )
    with pytest.raises(
        InvalidNetwork, match=r"Conv \(node 'first'\) does not fit.* 7 channels.* has 8"
    ):
        bind(lying, {"N": 2})
    flat = chain(Node(op="Reshape", name="f", inputs=("x", "to"), outputs=("y",)), to=[1, 288])
    assert bind(flat, {"N": 1})["y"] == (1, 288)
    with pytest.raises(InvalidNetwork, match=r"Reshape \(node 'f'\) does not fit: \[1, 288\]"):
        bind(flat, {"N": 2})
    with pytest.raises(InvalidNetwork, match="axis 'N'"):
        bind(flat, {})


@pytest.mark.parametrize("op", ["GroupNormalization", "MeanVarianceNormalization"])
def test_what_onnx_has_no_rule_for_keeps_its_shape(op):
    operands = ("x", "s", "s") if op == "GroupNormalization" else ("x",)
    attributes = {"num_groups": 2} if op == "GroupNormalization" else {}
    made = Node(op=op, name="n", inputs=operands, outputs=("y",), attributes=attributes)
    port = GraphPort(name="x", dtype="float32", shape=("N", 4, 6))
    graph = Graph(inputs=(port,), outputs=(), nodes=(made,), tensors={"s": np.ones(4, np.float32)})
    assert bind(graph, {"N": 3})["y"] == (3, 4, 6)


def recurrent(op, states, **attributes):
    """A layer of two directions that leaves out its first output, on sequences of five."""
    names = tuple(f"state{place}" for place in range(len(states)))
    made = Node(
        op=op,
        name="r",
        inputs=("x", "w", "r", "", "", *names),
        outputs=("", "last"),
        attributes={"hidden_size": 3, "direction": "bidirectional", **attributes},
    )
    gates = 4 if op == "LSTM" else 3
    held = {"w": (2, gates * 3, 4), "r": (2, gates * 3, 3)}
    tensors = {name: np.ones(shape, np.float32) for name, shape in held.items()}
    ports = [("x", (5, "N", 4)), *zip(names, states, strict=True)]
    inputs = tuple(GraphPort(name=name, dtype="float32", shape=shape) for name, shape in ports)
    return Graph(inputs=inputs, outputs=(), nodes=(made,), tensors=tensors)


def test_an_output_that_is_left_out_has_no_shape():
    shapes = bind(recurrent("LSTM", []), {"N": 2})
    assert shapes["last"] == (2, 2, 3)
    assert "" not in shapes


@pytest.mark.parametrize(("op", "count"), [("LSTM", 2), ("GRU", 1)])
def test_states_of_recurrent_layers_have_the_batch(op, count):
    fitting = recurrent(op, [(2, "N", 3)] * count)
    assert bind(fitting, {"N": 4})["last"] == (2, 4, 3)
    fixed = recurrent(op, [(2, "N", 3)] * (count - 1) + [(2, 1, 3)])
    assert bind(fixed, {"N": 1})["last"] == (2, 1, 3)
    with pytest.raises(InvalidNetwork, match=rf"{op} \(node 'r'\) .* initial state \[2, 1, 3\]"):
        bind(fixed, {"N": 4})
