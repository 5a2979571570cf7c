"""What a file says of itself is read without ONNX, as ONNX reads it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compress.values.errors import InvalidNetwork
from compress.values.file_formats import onnx_header
from tests import onnx_files
from tests.featherweight.cards import hostile


def read(data: bytes) -> onnx_header.OnnxHeader:
    return onnx_header.read(BytesIO(data))


@pytest.mark.parametrize("nhwc", [False, True])
def test_a_header_is_what_onnx_reads(nhwc):
    data = onnx_files.network(image=(8, 9, 3) if nhwc else (3, 8, 9), nhwc=nhwc)
    model, found = onnx.load_from_string(data), read(data)
    [given], [answer] = model.graph.input, model.graph.output
    dims = given.type.tensor_type.shape.dim
    assert found.ir_version == model.ir_version
    assert found.opset == model.opset_import[0].version
    assert found.inputs[0].name == given.name
    assert found.inputs[0].shape == tuple(d.dim_param or d.dim_value for d in dims)
    assert (found.inputs[0].dtype, found.outputs[0].name) == ("float32", answer.name)
    assert not found.has_functions


def test_metadata_functions_and_the_operator_behind_a_cast_are_found():
    model = hostile.network()
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.append(helper.make_node("Cast", ["inner"], [hostile.OUTPUT], to=11))
    function = helper.make_function("own", "f", ["x"], ["y"], [], [helper.make_opsetid("", 13)])
    model.functions.append(function)
    found = read(model.SerializeToString())
    assert found.made_by == {hostile.OUTPUT: "Softmax"}
    assert found.has_functions
    assert found.metadata == {entry.key: entry.value for entry in model.metadata_props}


def test_large_weights_are_stepped_over_and_fields_may_stand_in_any_order():
    model = hostile.network()
    weight = numpy_helper.from_array(np.zeros(2**20, dtype=np.float32), "large")
    model.graph.initializer.append(weight)
    model.graph.node.append(helper.make_node("Constant", [], ["huge"], value=weight))
    props = onnx.ModelProto(metadata_props=model.metadata_props)
    model.ClearField("metadata_props")
    ends = read(props.SerializeToString() + model.SerializeToString())
    assert ends == read(model.SerializeToString() + props.SerializeToString())
    assert ends.metadata["featherweight.class_names"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no file",
        b"\x80" * 20,
        b"\x08\x07",
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x0b",
        helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString(),
        b"\x72\x04\x0a\x02\xff\xff" + hostile.network().SerializeToString(),
        b"\x72\x84\x80\x40" + bytes(2**20 + 4),
        b"\x72\x00" * 1001,
        (b"\x72\xfc\xff\x3f\x0a\xf8\xff\x3f" + bytes(2**20 - 8)) * 34,
        b"\x10\x00" * 500_001,
    ],
)
def test_what_is_no_file_or_beyond_the_limits_is_refused(data):
    with pytest.raises(InvalidNetwork, match="not an ONNX model"):
        read(data)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data):
    whole = bytearray(hostile.network().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(0, len(whole))) :]
    try:
        found = read(bytes(whole))
    except InvalidNetwork:
        return
    assert found.inputs


def test_unknown_types_are_named_other():
    model = hostile.network()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX64
    assert read(model.SerializeToString()).inputs[0].dtype == "other"
