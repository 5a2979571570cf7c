"""What is read answers as the file does, speaks one opset, and keeps its layers."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest

from compress.network.graph.read import read
from compress.network.graph.roles import OPERATORS, roles
from compress.network.graph.write import write
from tests.compress.onnx_networks import NETWORKS, example, exported

SOME_OPSETS = (13, 17)
FORMS = [
    pytest.param(name, opset, marks=() if opset in SOME_OPSETS else pytest.mark.proof)
    for name, case in NETWORKS.items()
    for opset in (9, 11, 13, 14, 15, 16, 17, 18, 20)
    if opset >= case.least_opset
]


def answers(data, given):
    """What ONNX Runtime answers for a file, as it stands."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, given)


def written(graph):
    model = write(graph)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.mark.parametrize(("name", "opset"), FORMS)
def test_a_graph_answers_as_its_file(name, opset):
    data = exported(name, opset)
    graph = read(data)
    for ours, theirs in zip(
        answers(written(graph), example(name, 3)), answers(data, example(name, 3)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert {node.op for node in graph.nodes} <= OPERATORS
    assert all(len(roles(node)) == len(node.inputs) for node in graph.nodes)


def test_norms_stay_and_every_layer_has_tensors_of_its_own():
    graph = read(exported("residual"))
    assert [node.op for node in graph.nodes].count("BatchNormalization") == 3
    read_by = [name for node in graph.nodes for name in node.inputs if name in graph.tensors]
    assert len(read_by) == len(set(read_by))


def test_a_graph_cannot_be_changed():
    graph = read(exported("cnn"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.nodes = ()
    with pytest.raises(ValueError, match="read-only"):
        next(iter(graph.tensors.values()))[...] = 0
