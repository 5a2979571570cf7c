"""Forms in which exporters write one and the same: each is read as the plain one."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node, make_opsetid, make_tensor_value_info

from compress.evaluation import runtime
from compress.network.graph.read import read
from compress.network.graph.write import write
from compress.values.errors import InvalidNetwork
from tests.compress.onnx_networks import NETWORKS, example, exported

FLOAT = TensorProto.FLOAT
DRAW = np.random.default_rng(0)
W = numpy_helper.from_array(DRAW.standard_normal((4, 6)).astype(np.float32), "w")


def integers(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def file(nodes, *tensors, shape=("N", 4), opset=17, answer=("N", 6), imports=(), **more):
    """A linear layer from ``x`` to ``h``, then these nodes to ``y``."""
    graph = helper.make_graph(
        [make_node("Gemm", ["x", "w"], ["h"], name="head"), *nodes],
        "g",
        [make_tensor_value_info("x", FLOAT, shape)],
        [make_tensor_value_info("y", FLOAT, answer)],
        [W, *tensors],
    )
    imports = [make_opsetid("", opset), *imports]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more).SerializeToString()


def check(data, *, ops=None, batch=3, atol=1e-6, given=None):
    """What is read answers as the file; its operators are these."""
    graph = read(data)
    given = given or {"x": DRAW.standard_normal((batch, 4)).astype(np.float32)}
    model = write(graph)
    onnx.checker.check_model(model, full_check=True)
    ours = runtime.session(model.SerializeToString(), optimise=False).run(None, given)
    theirs = runtime.session(data, optimise=False).run(None, given)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=atol)
    if ops is not None:
        assert [node.op for node in graph.nodes] == ops
    return graph


def test_chunks_into_a_sequence_are_a_split():
    nodes = [
        make_node("SplitToSequence", ["h", "two"], ["s"], axis=1),
        make_node("SequenceAt", ["s", "i0"], ["a"]),
        make_node("SequenceAt", ["s", "i1"], ["b"]),
        make_node("Mul", ["a", "b"], ["y"]),
    ]
    scalars = [numpy_helper.from_array(np.array(v), n) for n, v in (("i0", 0), ("i1", -1))]
    two = numpy_helper.from_array(np.array(2), "two")
    graph = check(file(nodes, two, *scalars, answer=("N", 2)), ops=["Gemm", "Split", "Mul"])
    assert graph.tensors[graph.nodes[1].inputs[1]].tolist() == [2, 2, 2]


def test_a_function_of_the_file_is_inlined():
    own = helper.make_function(
        "own",
        "Half",
        ["a"],
        ["b"],
        [
            make_node("Constant", [], ["c"], value_float=0.5),
            make_node("Mul", ["a", "c"], ["b"]),
        ],
        [make_opsetid("", 17)],
    )
    nodes = [make_node("Half", ["h"], ["y"], domain="own")]
    data = file(nodes, functions=[own], imports=[make_opsetid("own", 1)])
    assert check(data, ops=["Gemm", "Mul"])


def test_a_branch_that_is_always_taken_is_taken():
    def branch(op):
        port = make_tensor_value_info(op, FLOAT, None)
        return helper.make_graph([make_node(op, ["h"], [op])], op, [], [port])

    yes = numpy_helper.from_array(np.array(True), "yes")
    node = make_node("If", ["yes"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg"))
    assert check(file([node], yes), ops=["Gemm", "Relu"])


def test_nodes_in_any_order_are_sorted():
    model = onnx.load_from_string(exported("residual"))
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert len(read(model.SerializeToString()).nodes) == len(read(exported("residual")).nodes)


def test_attention_of_a_newer_opset_is_composed_of_older_operators():
    x = make_tensor_value_info("x", FLOAT, ["N", 5, 4])
    y = make_tensor_value_info("y", FLOAT, ["N", 5, 6])
    heads = {"q_num_heads": 2, "kv_num_heads": 2}
    nodes = [
        make_node("MatMul", ["x", "w"], ["h"]),
        make_node("Attention", ["h", "h", "h"], ["y"], name="a", **heads),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], [W])
    made = helper.make_model(graph, opset_imports=[make_opsetid("", 23)], ir_version=10)
    given = {"x": DRAW.standard_normal((3, 5, 4)).astype(np.float32)}
    graph = check(made.SerializeToString(), given=given, atol=1e-5)
    assert "Softmax" in {node.op for node in graph.nodes}


def test_quantizers_around_float_operators_are_the_clips_of_their_grids():
    scalars = {"s": np.float32(0.02), "z": np.uint8(100), "ws": np.float32(0.05)}
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in scalars.items()]
    tensors.append(numpy_helper.from_array(np.arange(36, dtype=np.int8).reshape(6, 6), "q"))
    nodes = [
        make_node("QuantizeLinear", ["h", "s", "z"], ["hq"]),
        make_node("DequantizeLinear", ["hq", "s", "z"], ["hd"]),
        make_node("DequantizeLinear", ["q", "ws"], ["wd"]),
        make_node("MatMul", ["hd", "wd"], ["y"]),
    ]
    graph = check(file(nodes, *tensors), ops=["Gemm", "Clip", "MatMul"], atol=0.3)
    bounds = [graph.tensors[name].item() for name in graph.nodes[1].inputs[1:]]
    assert bounds == pytest.approx([-2.0, 3.1])
    assert graph.tensors["wd"][5, 5] == pytest.approx(35 * 0.05)


def test_weights_on_a_grid_per_channel_are_floats():
    scale = numpy_helper.from_array(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], np.float32), "s")
    whole = numpy_helper.from_array(np.full((6, 6), 10, np.int8), "q")
    nodes = [
        make_node("DequantizeLinear", ["q", "s"], ["wd"], axis=0),
        make_node("MatMul", ["h", "wd"], ["y"]),
    ]
    graph = check(file(nodes, whole, scale), ops=["Gemm", "MatMul"], atol=1e-5)
    assert graph.tensors["wd"][:, 0].tolist() == pytest.approx([1, 2, 3, 4, 5, 6])


def test_what_only_training_reads_is_left_out():
    ones = [numpy_helper.from_array(np.ones(6, np.float32), name) for name in "abcd"]
    more = [numpy_helper.from_array(np.array(v), n) for n, v in (("r", np.float32(0.5)),)]
    train = numpy_helper.from_array(np.array(True), "train")
    nodes = [
        make_node("BatchNormalization", ["h", *"abcd"], ["n", "m", "v"], training_mode=1),
        make_node("Dropout", ["n", "r", "train"], ["y", "mask"]),
    ]
    graph = read(file(nodes, *ones, *more, train))
    assert [node.op for node in graph.nodes] == ["Gemm", "BatchNormalization"]
    assert graph.nodes[1].outputs == ("y",)
    assert "training_mode" not in graph.nodes[1].attributes


def test_an_initial_state_of_zeros_is_none():
    (recurrent, *_) = (n for n in read(exported("gru")).nodes if n.op == "GRU")
    assert len(recurrent.inputs) == 4
    (recurrent, *_) = (n for n in read(exported("lstm")).nodes if n.op == "LSTM")
    assert len(recurrent.inputs) == 4


def test_equal_layers_have_tensors_of_their_own_and_a_tied_embedding_is_one():
    graph = read(exported("encoder"))
    for node in (n for n in graph.nodes if n.op in {"Gemm", "LayerNormalization", "MatMul"}):
        for name in node.inputs[1:]:
            readers = [n.name for n in graph.nodes if name in n.inputs]
            assert name not in graph.tensors or readers == [node.name]
    table = numpy_helper.from_array(DRAW.standard_normal((6, 6)).astype(np.float32), "t")
    nodes = [
        make_node("ArgMax", ["h"], ["i"], axis=1, keepdims=0),
        make_node("Gather", ["t", "i"], ["e"]),
        make_node("MatMul", ["e", "t"], ["y"]),
    ]
    tied = read(file(nodes, table))
    assert [node.inputs[place] for node, place in zip(tied.nodes[2:], (0, 1), strict=True)] == [
        "t",
        "t",
    ]


def test_a_batch_that_is_fixed_at_1_within_the_network_is_refused():
    with pytest.raises(InvalidNetwork, match=r"Reshape \(node '.*'\) does not fit") as caught:
        read(exported("encoder", 17, folded=True, batch=None))
    assert "the file fixes its batch at 1: export it with a dynamic batch" in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"encoder"}))
def test_a_batch_that_the_file_fixes_at_1_is_free(name):
    data = exported(name, 17, folded=True, batch=None)
    graph = read(data)
    assert graph.inputs[0].shape[0] == "batch"
    assert graph.outputs[0].shape[0] == "batch"
    given, session = example(name, 4), runtime.session(data, optimise=False)
    ours = runtime.session(write(graph).SerializeToString(), optimise=False).run(None, given)
    for number in range(4):
        one = session.run(None, {"input": given["input"][number : number + 1]})
        for answer, expected in zip(ours, one, strict=True):
            np.testing.assert_allclose(answer[number : number + 1], expected, atol=2e-6)


def test_a_literal_reshape_keeps_whatever_the_batch_is():
    nodes = [
        make_node("Reshape", ["h", "to"], ["r"]),
        make_node("Reshape", ["r", "flat"], ["y"]),
    ]
    data = file(
        nodes, integers("to", 1, 2, 3), integers("flat", 1, -1), shape=(1, 4), answer=(1, 6)
    )
    graph = read(data)
    targets = [graph.tensors[n.inputs[1]].tolist() for n in graph.nodes if n.op == "Reshape"]
    assert targets == [[-1, 2, 3], [0, -1]]
    assert graph.outputs[0].shape == ("batch", 6)


def test_casts_between_floats_of_16_and_32_bits_are_gone():
    half = TensorProto.FLOAT16
    small = numpy_helper.from_array(np.ones((6, 6), np.float16), "small")
    nodes = [
        make_node("Cast", ["h"], ["c"], to=half),
        make_node("MatMul", ["c", "small"], ["m"]),
        make_node("Cast", ["m"], ["y"], to=FLOAT),
    ]
    graph = check(file(nodes, small), ops=["Gemm", "MatMul"], atol=2e-2)
    assert graph.tensors["small"].dtype == np.float32


def test_a_constant_is_no_longer_an_input():
    model = onnx.load_from_string(file([make_node("Relu", ["h"], ["y"])]))
    model.graph.input.append(make_tensor_value_info("w", FLOAT, [4, 6]))
    graph = read(model.SerializeToString())
    assert [port.name for port in graph.inputs] == ["x"]


def test_shapes_that_a_file_claims_for_inner_tensors_are_not_believed():
    nodes = [
        make_node("Shape", ["h"], ["s"]),
        make_node("Reshape", ["h", "s"], ["y"]),
    ]
    model = onnx.load_from_string(file(nodes))
    model.graph.value_info.append(make_tensor_value_info("h", FLOAT, [1, 5]))
    assert check(model.SerializeToString())


def test_an_opset_that_no_graph_can_hold_says_so():
    x = make_tensor_value_info("x", FLOAT, ["N", 4])
    y = make_tensor_value_info("y", FLOAT, ["N", 6])
    nodes = [
        make_node("MatMul", ["x", "w"], ["h"]),
        make_node("BitCast", ["h"], ["i"], name="bits", to=TensorProto.INT32),
        make_node("BitCast", ["i"], ["y"], to=FLOAT),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], [W])
    made = helper.make_model(graph, opset_imports=[make_opsetid("", 26)], ir_version=10)
    with pytest.raises(InvalidNetwork, match=r"BitCast \(node 'bits'\) is not supported"):
        read(made.SerializeToString())
