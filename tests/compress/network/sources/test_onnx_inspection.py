"""What an inspection says of an ONNX file: what is in it, or why it cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compress.network.preprocessing import Normalisation
from compress.network.sources import onnx_inspection
from compress.network.sources.onnx_info import InspectedNetwork, RefusedNetwork
from tests import onnx_files

ODD = helper.make_node("Softmax", ["pixels"], ["seen"], name="odd", axis=7)


def found(content, **given):
    verdict = onnx_inspection.verdict(content, **given).found
    assert isinstance(verdict, InspectedNetwork), verdict
    return verdict


def reason(content, **given):
    verdict = onnx_inspection.verdict(content, **given).found
    assert isinstance(verdict, RefusedNetwork), verdict
    [words] = verdict.reasons
    return words


def test_what_is_in_a_file_is_told():
    verdict = found(onnx_files.network())
    info = verdict.info
    [port] = info.inputs
    assert (port.name, port.dtype, port.shape) == ("pixels", "float32", ("batch", 1, 8, 8))
    assert [one.name for one in info.outputs] == ["scores"]
    assert (info.layout, info.input_shape, info.num_classes) == ("NCHW", (1, 8, 8), 2)
    assert [layer.name for layer in info.layers] == ["first", "last"]
    assert info.macs == verdict.outline.macs == 8 * 9 * 64 + 2 * 8
    assert info.operators["Conv"] == 1
    assert info.notes[0].startswith("read, it answers as its file does")
    assert info.identity == Normalisation(mean=(0,), std=(1,))
    assert verdict.outline.signature.inputs[0].name == "pixels"


def test_an_operator_that_torch_would_not_compute_is_refused_here_already():
    lrn = helper.make_node("LRN", ["pixels"], ["seen"], name="old", size=3)
    assert "LRN (node 'old') cannot be computed" in reason(onnx_files.network(before=[lrn]))


def test_images_may_end_with_their_channels():
    info = found(onnx_files.network(image=(8, 8, 3), nhwc=True)).info
    assert (info.layout, info.input_shape) == ("NHWC", (3, 8, 8))


def test_a_file_that_leaves_the_size_of_its_images_open_asks_for_it():
    content = onnx_files.network(image=(1, "height", "width"))
    assert "upload it with an input_shape" in reason(content)
    assert found(content, input_shape=(1, 16, 8)).info.input_shape == (1, 16, 8)


def test_a_file_that_says_its_size_takes_no_other():
    said = reason(onnx_files.network(), input_shape=(1, 9, 9))
    assert "does not take examples of input_shape (1, 9, 9)" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08nonsense", "not an ONNX model"),
        (onnx_files.network(batch=4), "no input has a batch axis"),
        (onnx_files.network(before=[ODD]), "odd"),
    ],
    ids=["nonsense", "one image", "operator"],
)
def test_what_is_no_network_of_images_is_refused_with_words(content, words):
    assert words in reason(content)


def test_weights_that_are_not_finite_are_refused_by_name():
    model = onnx.load_from_string(onnx_files.network())
    weight = next(t for t in model.graph.initializer if t.name == "first.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[3] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "first.weight"))
    assert "'first.weight' holds 1 values that are not finite" in reason(model.SerializeToString())


def test_inputs_of_open_sizes_are_refused_beside_others():
    model = onnx.load_from_string(onnx_files.network(image=(1, "h", "w")))
    shape = ("batch", 8)
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, shape))
    said = reason(model.SerializeToString())
    assert said.startswith("inputs 'pixels', 'more': of several inputs only the lengths")


def test_one_number_is_an_answer_and_so_are_many_channels_an_example():
    assert found(onnx_files.network(classes=1)).info.num_classes == 1
    assert found(onnx_files.network(image=(40, 8, 8))).info.input_shape == (40, 8, 8)


def test_the_process_answers_a_verdict_and_loads_no_torch(tmp_path):
    code = (
        "import runpy, sys; "
        "runpy.run_module('compress.network.sources.onnx_inspection', run_name='__main__'); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    (tmp_path / "given").write_bytes(onnx_files.network(image=(1, "h", "w")))
    with (tmp_path / "given").open("rb") as given:
        done = subprocess.run(
            [sys.executable, "-c", code, "1x6x6"], stdin=given, capture_output=True, check=True
        )
    assert done.stderr.split()[-1:] == [b"False"]
    assert json.loads(done.stdout)["found"]["info"]["input_shape"] == [1, 6, 6]
