"""A graph is compared with its file by running both, and a proof may run graphs."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.proof import prove
from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.sources.onnx_trial import answering, check_parity, drawn, run
from compress.values.errors import InvalidNetwork
from tests.compress.onnx_networks import NETWORKS, exported

PUBLISHED = Path(__file__).parents[4].parent / "shared" / "data" / "onnx"


def sizes_of(graph, *, batch=3, other=32):
    batches = {port.shape[0] for port in graph.inputs}
    words = {axis for port in graph.inputs for axis in port.shape if isinstance(axis, str)}
    return {word: batch if word in batches else other for word in words}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_answers_as_its_file(name):
    data = exported(name)
    graph = read(data)
    assert check_parity(data, graph, drawn(graph, sizes_of(graph), seed=0)) < 1e-5


def test_a_file_that_takes_one_image_is_asked_image_by_image():
    data = exported("residual", folded=True, batch=None)
    graph = read(data)
    assert check_parity(data, graph, drawn(graph, sizes_of(graph), seed=0)) < 1e-5


def test_states_of_a_file_that_takes_one_sequence_are_asked_for_sequence_by_sequence():
    data = one_sequence_at_a_time()
    graph = read(data)
    assert [port.shape for port in graph.inputs] == [("batch", 5, 4), (1, "batch", 3)]
    assert [port.shape for port in graph.outputs] == [("batch", 5, 3), (1, "batch", 3)]
    assert check_parity(data, graph, drawn(graph, {"batch": 3}, seed=0)) < 1e-5


def one_sequence_at_a_time():
    """A GRU for one sequence whose state comes in and goes out, as streams need it."""
    random = np.random.default_rng(0)
    shapes = {"w": (1, 9, 4), "r": (1, 9, 3), "b": (1, 18)}
    held = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    held.append(numpy_helper.from_array(np.asarray([1], np.int64), "first"))
    nodes = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(
            "GRU",
            ["steps", "w", "r", "b", "", "state"],
            ["all", "new state"],
            "gru",
            hidden_size=3,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["all", "first"], ["each"]),
        helper.make_node("Transpose", ["each"], ["y"], perm=[1, 0, 2]),
    ]
    ports = {"x": [1, 5, 4], "state": [1, 1, 3], "y": [1, 5, 3], "new state": [1, 1, 3]}
    named = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in ports.items()
    ]
    made = helper.make_graph(nodes, "stream", named[:2], named[2:], held)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()


def test_words_are_drawn_from_the_table():
    graph = read(exported("lstm"))
    words = drawn(graph, {"N": 50, "length": 9}, seed=0)["input"]
    assert words.shape == (50, 9)
    assert (words.min(), words.max()) == (0, 19)
    assert words.dtype == np.int64


def test_a_graph_that_answers_otherwise_is_refused():
    data = exported("cnn")
    graph = read(data)
    bent = {n: t * 1.01 if t.ndim == 4 else t for n, t in graph.tensors.items()}
    other = dataclasses.replace(graph, tensors=bent)
    with pytest.raises(InvalidNetwork, match=r"output 'answer' differs from the file's by 0\.\d+"):
        check_parity(data, other, drawn(graph, {"N": 3}, seed=0))


def test_a_file_that_the_runtime_does_not_take_is_refused():
    model = onnx.load_from_string(exported("cnn"))
    model.graph.node[0].op_type = "Nothing"
    with pytest.raises(InvalidNetwork, match="ONNX Runtime does not run the file"):
        run(model.SerializeToString(), {})


def test_couplings_are_proven_with_what_runs_a_graph():
    graph = read(exported("residual"))
    shapes = bind(graph, {"N": 2})
    couplings = couple(graph, shapes)
    given = drawn(graph, {"N": 2}, seed=1)
    assert prove(graph, shapes, couplings, answering(given), seed=0) == couplings
    assert couplings.groups


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("name", "nodes", "tensors"),
    [
        ("ch_PP-OCRv4_det_infer", 330, 342),
        ("ch_ppocr_mobile_v2.0_cls_infer", 233, 286),
        ("cifar10_mlperf_tiny_resnet8", 23, 23),
    ],
)
def test_published_networks_are_read(name, nodes, tensors):
    data = (PUBLISHED / f"{name}.onnx").read_bytes()
    graph = read(data)
    assert (len(graph.nodes), len(graph.tensors)) == (nodes, tensors)
    assert (
        check_parity(data, graph, drawn(graph, sizes_of(graph, batch=2, other=64), seed=0)) < 1e-4
    )
