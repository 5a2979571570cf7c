"""Files in the form of another target answer as they did, and say what they are."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.conversion import convert, decoding, packing
from compress.conversion.grids import Grid
from compress.evaluation import runtime
from compress.export import parity, writer
from compress.network.stored_weight import StoredWeight
from compress.targets import registry, rules
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.values.errors import InvalidNetwork, TargetParityError
from tests.compress import contract
from tests.compress.applying import applied
from tests.compress.networks import Normalised, Separable, imported, seeded

CHANGES = {
    "2 bits": {"technique": "quantization", "weight_bits": 2},
    "4 bits in float": {"technique": "quantization", "weight_bits": 4, "activations": "float"},
    "zeros": {"technique": "sparsity", "sparsity": 0.8},
}


@pytest.fixture(scope="module")
def five(digits):
    return contract.five_classes(digits)


def written(network, data, folder, **config):
    changed = CompressedModel(network=network)
    changed = applied(changed, data, **config) if config else changed
    return writer.write(changed, folder, data=data, task=IMAGE_CLASSIFICATION).path.read_bytes()


@pytest.fixture(scope="module")
def pairs(trained, digits, tmp_path_factory):
    """Files as they were measured, and their plain forms."""
    folder = tmp_path_factory.mktemp("pairs")
    measured = {name: written(trained, digits, folder, **CHANGES[name]) for name in CHANGES}
    return {name: (file, convert.convert(file, PLAIN)) for name, file in measured.items()}


@pytest.mark.parametrize("changes", CHANGES)
def test_a_plain_file_answers_to_the_bit_as_the_measured_one(pairs, digits, changes):
    model = onnx.load_from_string(pairs[changes][1])
    rules.check(model, PLAIN)
    assert (model.opset_import[0].version, model.ir_version) == (13, 7)
    x_NCHW = parity.images(digits.validation)
    answers = [runtime.answers(runtime.session(file), x_NCHW) for file in pairs[changes]]
    np.testing.assert_array_equal(*answers)


@pytest.fixture(scope="module")
def portable(pairs):
    """The portable forms of the same files."""
    return {name: convert.convert(file, PORTABLE) for name, (file, _) in pairs.items()}


@pytest.mark.parametrize("changes", CHANGES)
def test_a_portable_file_answers_to_the_bit_in_hardly_more_bytes(pairs, portable, digits, changes):
    measured, plain = pairs[changes]
    made = portable[changes]
    model = onnx.load_from_string(made)
    rules.check(model, PORTABLE)
    assert (model.opset_import[0].version, model.ir_version) == (13, 7)
    x_NCHW = parity.images(digits.validation)
    answers = [runtime.answers(runtime.session(file), x_NCHW) for file in (measured, made)]
    np.testing.assert_array_equal(*answers)
    assert len(made) < 1.1 * len(measured) + 600
    assert len(made) < 0.8 * len(plain)


@pytest.mark.parametrize("changes", CHANGES)
def test_no_scale_meets_integers_that_are_cast_only(portable, changes):
    """OpenVINO takes int8, Cast and Mul for a layer whose input it may round to 8 bits."""
    graph = onnx.load_from_string(portable[changes]).graph
    cast = {name for node in graph.node if node.op_type == "Cast" for name in node.output}
    tensors = {tensor.name for tensor in graph.initializer}
    halves = {n.output[0] for n in graph.node if n.op_type == "Cast" and n.input[0] in tensors}
    read = {name for node in graph.node if node.op_type == "Mul" for name in node.input}
    assert read & (cast - halves) == set()


def test_a_portable_file_is_always_the_same_and_made_of_any_form(pairs, portable):
    measured, plain = pairs["2 bits"]
    assert convert.convert(measured, PORTABLE) == portable["2 bits"]
    again = convert.convert(plain, PORTABLE)
    assert len(portable["2 bits"]) <= len(again) < len(plain)
    said = {each.key: each.value for each in onnx.load_from_string(again).metadata_props}
    assert said["featherweight.target"] == "portable"


def test_a_constant_that_is_not_decoded_to_the_bit_is_refused(pairs):
    model = onnx.load_from_string(pairs["4 bits in float"][1])
    name = next(t.name for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array({t.name: t for t in model.graph.initializer}[name])
    other = StoredWeight(integers_OI=np.ones(values.shape, np.int8), scale=np.float32(1))
    with pytest.raises(TargetParityError, match=r"decoded to the bit in onnxruntime \d"):
        packing.packed(model, {name: Grid(stored=other)}, most_bytes=2**29)


def test_values_that_no_form_holds_stay_as_they_are():
    """-128 has no opposite, -0 is no zero of a mask, and infinity fits no table."""
    kept = {
        "a": np.full((4, 16), -128, np.int8),
        "b": np.where(np.eye(16) > 0, 1, -0.0).astype(np.float32),
        "c": np.full((4, 16), np.inf, np.float32),
        "d": np.float32([np.nan] * 16),
    }
    nodes = [
        helper.make_node("Cast", ["a"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["x", "f", "c", "d"], ["g"]),
        helper.make_node("MatMul", ["g", "b"], ["y"]),
    ]
    model = model_of(nodes, ["N", 16], ["N", 16], **kept)
    made = packing.packed(model, {}, most_bytes=2**29)
    assert {t.name: t for t in made.graph.initializer} == {
        t.name: t for t in model.graph.initializer
    }


def test_integer_layers_stay_integer_layers(pairs, portable, tmp_path):
    kinds = []
    for number, file in enumerate([*pairs["2 bits"], portable["2 bits"]]):
        dump = tmp_path / f"{number}.onnx"
        runtime.session(file, dump=dump)
        kinds.append(Counter(node.op_type for node in onnx.load(dump).graph.node))
    assert kinds[0] == kinds[1] == kinds[2]
    assert kinds[0]["QLinearConv"] > 3


def test_a_converted_file_says_what_it_is_of_and_is_always_the_same(pairs):
    measured, plain = pairs["zeros"]
    said = {each.key: each.value for each in onnx.load_from_string(plain).metadata_props}
    assert said["featherweight.target"] == "plain"
    assert said["featherweight.source_sha256"] == hashlib.sha256(measured).hexdigest()
    assert said["featherweight.largest_error"].startswith("0 of the spread")
    assert convert.convert(measured, PLAIN) == plain
    assert convert.convert(measured, registry.AS_MADE) == measured


@pytest.mark.parametrize("kind", [Separable, Normalised])
def test_operators_that_opset_13_lacks_are_composed(five, tmp_path, kind):
    network = replace(imported(seeded(kind)), normalisation=contract.NORMALISATION)
    measured = written(network, five, tmp_path, **CHANGES["2 bits"])
    model = onnx.load_from_string(convert.convert(measured, PLAIN))
    rules.check(model, PLAIN)
    assert "LayerNormalization" not in {node.op_type for node in model.graph.node}
    x_NCHW = parity.images(five.validation)
    one, other = (
        runtime.answers(runtime.session(file), x_NCHW)
        for file in (measured, model.SerializeToString())
    )
    assert (one.argmax(1) == other.argmax(1)).mean() > 0.99


def test_float_biases_of_older_files_become_int32_on_their_grid():
    """As files before revision 4 hold them: float, on the grid of the kernel already."""
    random = np.random.default_rng(0)
    integers, scale_w = random.integers(-99, 99, 3), np.float32([0.5, 0.25, 2.0])
    bias = (integers * scale_w * np.float32(0.125)).astype(np.float32)
    constants = {
        "s": np.float32(0.125),
        "z": np.uint8(128),
        "w": random.integers(-127, 127, (3, 2, 1, 1)).astype(np.int8),
        "t": scale_w,
        "b": bias,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "t"], ["v"], axis=0),
        helper.make_node("Conv", ["a", "v", "b"], ["y"]),
    ]
    model = model_of(nodes, ["N", 2, 4, 4], ["N", 3, 4, 4], **constants)
    decoding.with_integer_biases(model)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert [node.op_type for node in model.graph.node][-2:] == ["DequantizeLinear", "Conv"]
    np.testing.assert_array_equal(tensors["y_bias_integers"], integers)
    rules.check(model, PLAIN)


def model_of(nodes, given, made, **constants):
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, given),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, made),
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def test_an_operator_without_an_older_spelling_is_refused_by_name():
    nodes = [helper.make_node("Trilu", ["x"], ["y"], name="triangle")]
    model = model_of(nodes, ["N", 4, 4], ["N", 4, 4])
    model.opset_import[0].version = 14
    with pytest.raises(InvalidNetwork, match=r"Trilu \(node 'triangle'\) cannot be written for"):
        convert.convert(model.SerializeToString(), PLAIN)


def test_tensors_in_other_files_are_not_opened():
    nodes = [helper.make_node("Add", ["x", "c"], ["y"])]
    model = model_of(nodes, ["N", 4], ["N", 4], c=np.zeros(4, np.float32))
    held = model.graph.initializer[0]
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(InvalidNetwork, match="keeps tensors elsewhere"):
        convert.convert(model.SerializeToString(), PLAIN)


def test_what_onnx_runtime_cannot_compute_is_refused_in_its_words():
    nodes = [
        helper.make_node("Reshape", ["c", "shape"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    constants = {"c": np.zeros(4, np.float32), "shape": np.array([3])}
    model = model_of(nodes, ["N", 4], ["N", 4], **constants)
    with pytest.raises(TargetParityError, match="does not run the file"):
        convert.convert(model.SerializeToString(), PLAIN)


def test_the_process_ends_with_words_for_what_has_no_form():
    command = [sys.executable, "-m", convert.__name__, "plain", "1"]
    ended = subprocess.run(command, input=b"no model", capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (convert.REFUSED, b"")
    assert ended.stderr == b"the file is not an ONNX model"
