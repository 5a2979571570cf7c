"""Files with ports of any kind: several, of sequences, maps, single numbers, whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from compress import pipeline
from compress.evaluation import metering, peak_memory, runtime
from compress.export import writer
from compress.export.ports import file_ports
from compress.network.sources import onnx, onnx_inspection
from compress.network.sources.onnx_info import InspectedNetwork
from compress.tasks.images import ImageData, Images
from compress.tasks.registry import TASKS
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.mirroring.config import THE_IMAGE
from compress.techniques.quantization.config import Quantization
from tests.compress.applying import context_of
from tests.compress.export.ports.port_networks import (
    CASES,
    examples,
    exported,
    network_of,
    parts_of,
    shape_of,
)

ANSWERS = {
    "pair": ("rows", 3),
    "encoder": ("packed", 4 * 9 + 4),
    "attention": ("rows", 3),
    "mixed": ("packed", 2 * 36 + 8 + 1 + 1),
    "tagger": ("sequence", 4),
    "unmasked": ("rows", 3),
    "detector": ("packed", 64),
    "regressor": ("rows", 1),
    "pixels": ("rows", 3),
}
KINDS = list(CASES)


def delivered(network):
    """The file of a network as it is."""
    model = writer._file_form(
        writer.Shipping.of(network, {}).in_float(), THE_IMAGE, network.signature
    )
    file_ports.declare(model, network.signature)
    return model.SerializeToString()


def ports(session):
    every = (*session.get_inputs(), *session.get_outputs())
    return {port.name: (port.type, port.shape) for port in every}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_takes_and_answers_what_its_upload_did(name):
    info = onnx_inspection.verdict(exported(name), input_shape=CASES[name].input_shape).found
    assert isinstance(info, InspectedNetwork), info
    assert info.info.input_shape == shape_of(name)
    assert (info.info.answer, info.info.num_classes) == ANSWERS[name]
    network, x = network_of(name), examples(name, 7)
    upload, file = (runtime.session(each) for each in (exported(name), delivered(network)))
    assert ports(file) == ports(upload)
    expected = runtime.answers(upload, x, signature=network.signature)
    found = runtime.answers(file, x, signature=network.signature)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with torch.no_grad():
        inside = network.module(x)
        said = torch.log_softmax(inside, -1) if name == "tagger" else inside
    np.testing.assert_allclose(said, expected, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_file_is_fed_is_what_its_module_takes(name):
    network, x = network_of(name), examples(name, 5)
    fed = runtime.feed(runtime.session(exported(name)), x.numpy(), network.signature)
    assert list(fed) == list(CASES[name].inputs)
    for one, other in zip(fed.values(), parts_of(name, x), strict=True):
        np.testing.assert_array_equal(one, other.numpy())


@pytest.mark.parametrize("name", KINDS)
def test_memory_and_random_inputs_know_every_port(name, tmp_path):
    path = tmp_path / "file.onnx"
    path.write_bytes(exported(name))
    shapes = [port.shape for port in network_of(name).signature.inputs]
    assert peak_memory.measure_here(path, threads=1, shapes=shapes).load_ms > 0
    given = metering.inputs(metering.RUNTIMES["onnxruntime"]().load(path, 1).ports, shape_of(name))
    assert [values.shape for values in given.values()] == shapes


def test_what_reads_a_whole_example_gets_its_parts_packed():
    """As where activations of integers are put on a grid before they are parted."""
    network, x = network_of("mixed"), examples("mixed", 4)
    model = writer.Shipping.of(network, {}).in_float()
    for node in model.graph.node:
        node.input[:] = ["double" if name == "input" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Add", ["input", "input"], ["double"]))
    content = writer._file_form(model, THE_IMAGE, network.signature).SerializeToString()
    found = runtime.answers(runtime.session(content), x, signature=network.signature)
    expected = runtime.answers(
        runtime.session(exported("mixed")), 2 * x, signature=network.signature
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_mask_of_a_file_is_its_own_input():
    """A user may hide words: the mask is made of ids only where nobody says it."""
    session = onnxruntime.InferenceSession(
        delivered(network_of("encoder")), providers=["CPUExecutionProvider"]
    )
    ids = np.asarray([[3, 4, 5, 6]])
    given = {"input_ids": ids, "token_type_ids": 0 * ids}
    whole = session.run(["sentence"], {**given, "attention_mask": 0 * ids + 1})[0]
    less = session.run(["sentence"], {**given, "attention_mask": np.asarray([[1, 1, 0, 0]])})[0]
    upload = onnxruntime.InferenceSession(exported("encoder"), providers=["CPUExecutionProvider"])
    other = upload.run(["sentence"], {**given, "attention_mask": np.asarray([[1, 1, 0, 0]])})[0]
    assert np.abs(whole - less).max() > 1e-3
    np.testing.assert_allclose(less, other, atol=1e-6)


STEPS = {
    "narrow": FilterPruning(scope="uniform", ratio=0.5, round_to=1),
    "integers": Quantization(),
    "integer kernels": Quantization(activations="int8", calibration_images=16),
}


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("pair", "narrow"),
        ("pair", "integers"),
        ("mixed", "integers"),
        ("mixed", "integer kernels"),
        ("detector", "integer kernels"),
        ("detector", "narrow"),
        ("pixels", "narrow"),
    ],
)
def test_networks_are_compressed_behind_their_ports(name, step, tmp_path):
    x = examples(name, 64)
    split = Images(x_NCHW=x, y_N=torch.arange(len(x)) % 3)
    network = network_of(name)
    data = ImageData(train=split, validation=split, test=None, num_classes=network.num_classes)
    candidate = Candidate(steps=(STEPS[step],))
    task = TASKS["classification"]
    made = pipeline.start(network, candidate, replace(context_of(data), task=task))
    file = writer.write(made, tmp_path, data=data, task=task)
    assert ports(runtime.session(file.path)) == ports(runtime.session(exported(name)))
    assert file.agreement >= 0.98
    whole = runtime.answers(runtime.session(exported(name)), x, signature=network.signature)
    found = runtime.answers(runtime.session(file.path), x, signature=file.signature)
    assert found.shape == whole.shape
    assert np.abs(found - whole).max() > 1e-6


def test_scores_that_a_mask_hides_stay_float(tmp_path):
    """On a grid that reaches down to the least float nothing is left of the others."""
    x = examples("attention", 64)
    network = network_of("attention")
    split = Images(x_NCHW=x, y_N=torch.arange(len(x)) % 3)
    data = ImageData(train=split, validation=split, test=None, num_classes=3)
    candidate = Candidate(steps=(STEPS["integer kernels"],))
    task = TASKS["classification"]
    made = pipeline.start(network, candidate, replace(context_of(data), task=task))
    file = writer.write(made, tmp_path, data=data, task=task)
    assert not any("padding" in note for note in file.notes)
    whole = runtime.answers(runtime.session(exported("attention")), x, signature=network.signature)
    found = runtime.answers(runtime.session(file.path), x, signature=file.signature)
    assert np.sqrt(np.square(found - whole).mean()) < 0.05 * whole.std()


def test_halves_and_flags_stay_what_they_are():
    """Two inputs of 16 bits and a flag, and an output of 16 bits that a flag switches."""
    random, half = np.random.default_rng(0), TensorProto.FLOAT16
    weight = random.normal(size=(7, 8)).astype(np.float16)
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("Cast", ["flag"], ["f"], to=half),
        helper.make_node("Mul", ["d", "f"], ["z"]),
    ]
    types = {"a": (half, 4), "b": (half, 3), "flag": (TensorProto.BOOL, 1)}
    taken = [helper.make_tensor_value_info(n, t, ["N", size]) for n, (t, size) in types.items()]
    answered = [helper.make_tensor_value_info(n, half, ["N", 8]) for n in ("d", "z")]
    graph = helper.make_graph(nodes, "g", taken, answered, [numpy_helper.from_array(weight, "w")])
    opset = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    network = onnx.load(content, input_shape=(8,), num_classes=None)
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    x[:, 7] = (x[:, 7] > 0).float()
    upload, file = (runtime.session(each) for each in (content, delivered(network)))
    assert ports(file) == ports(upload)
    found, expected = (runtime.answers(s, x, signature=network.signature) for s in (file, upload))
    np.testing.assert_allclose(found, expected, atol=5e-3)
