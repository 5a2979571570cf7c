"""A graph gets the ports of the file that a network came from."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from compress.evaluation import runtime
from compress.export.ports import file_ports
from compress.network.signature import Port, Signature

RAW = np.random.default_rng(0).integers(0, 9, (3, 2, 4, 5)).astype(np.float32)
USUAL = Signature(
    inputs=(Port(name="input", shape=(1, 2, 4, 5), dynamic=(0,)),),
    outputs=(Port(name="logits", shape=(1, 2), dynamic=(0,)),),
)


def graph(*, detour=False):
    """The means of two channels, weighted; ``detour`` scales them with channels last."""
    nodes = [helper.make_node("GlobalAveragePool", ["input"], ["mean"])]
    if detour:
        nodes = [
            helper.make_node("Transpose", ["input"], ["last"], perm=(0, 2, 3, 1)),
            helper.make_node("ReduceMean", ["last", "axes"], ["mean"], keepdims=1),
        ]
    nodes += [
        helper.make_node("Flatten", ["mean"], ["rows"]),
        helper.make_node("Gemm", ["rows", "weight"], ["logits"]),
    ]
    constants = [numpy_helper.from_array(np.asarray([[1, 2], [3, -4]], np.float32), "weight")]
    if detour:
        constants.append(numpy_helper.from_array(np.asarray([1, 2]), "axes"))
    body = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 2, 4, 5])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
        constants,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def with_ports(model, signature):
    file_ports.put(model, signature)
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(model, signature):
    opened = runtime.session(model.SerializeToString())
    return runtime.answers(opened, torch.from_numpy(RAW), signature=signature)


def of(taken=None, answered=None, metadata=None):
    return Signature(
        inputs=(USUAL.inputs[0].model_copy(update=taken or {}),),
        outputs=(USUAL.outputs[0].model_copy(update=answered or {}),),
        metadata=metadata or {},
    )


LAST = {"layout": "NHWC", "shape": (1, 4, 5, 2)}


@pytest.mark.parametrize(
    "signature",
    [
        of({"name": "pixels"}, {"name": "classes"}),
        of(LAST | {"name": "pixels"}),
        of({"dtype": "uint8"}),
        of({"dtype": "float16"}, {"dtype": "float16"}),
        of(LAST | {"dtype": "uint8"}, {"softmax": True, "dtype": "float64"}),
    ],
)
def test_a_file_answers_alike_whatever_it_takes(signature):
    found = answers(with_ports(graph(), signature), signature)
    expected = answers(graph(), USUAL)
    if signature.outputs[0].softmax:
        expected = expected - np.log(np.exp(expected).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-4)


def test_probabilities_too_small_for_a_float_have_the_least_logarithm():
    signature = of(answered={"softmax": True})
    model = graph()
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.asarray([[900, 0], [0, 0]], np.float32), "weight")
    )
    found = answers(with_ports(model, signature), signature)
    assert found.min() == pytest.approx(runtime.LEAST_LOGIT)


def test_images_are_not_transposed_to_and_fro():
    signature = of(LAST)
    model = with_ports(graph(detour=True), signature)
    assert [node.op_type for node in model.graph.node] == ["ReduceMean", "Flatten", "Gemm"]
    np.testing.assert_allclose(answers(model, signature), answers(graph(), USUAL), rtol=1e-5)


def test_axes_and_metadata_are_said_as_the_upload_said_them():
    axes = {"dynamic": (0, 2, 3), "axes": ("batch", "height", "width")}
    signature = of(axes, {"axes": ("batch",)}, {"author": "someone"})
    model = with_ports(graph(), signature)
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in sizes] == ["batch", 2, 4, 5]
    file_ports.declare(model, signature)
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in sizes] == ["batch", 2, "height", "width"]
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("author", "someone")]


def test_what_an_upload_says_of_the_file_that_it_was_is_not_said_again():
    names = json.dumps(["a", "b"])
    own = {"featherweight.accuracy": "{}", "featherweight.target": "plain"}
    model = with_ports(graph(), USUAL)
    signature = of(metadata={**own, "author": "someone", file_ports.CLASS_NAMES: names})
    file_ports.declare(model, signature)
    assert metadata_of(model) == {"author": "someone", file_ports.CLASS_NAMES: names}
    model = with_ports(graph(), USUAL)
    file_ports.declare(model, of(metadata=own))
    assert metadata_of(model) == {}


def test_the_usual_ports_leave_a_graph_as_it_is():
    assert with_ports(graph(), USUAL) == graph()


def metadata_of(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def test_classes_are_named_beside_what_the_file_says_already():
    model = graph()
    helper.set_model_props(model, {"made by": "somebody"})
    assert file_ports.name_classes(model, ("cat", 'dog "é"')) == ()
    found = metadata_of(model)
    assert found.pop("made by") == "somebody"
    assert json.loads(found.pop("featherweight.class_names")) == ["cat", 'dog "é"']
    assert found == {}


def test_a_file_without_names_of_classes_keeps_its_bytes():
    model = graph()
    before = model.SerializeToString(deterministic=True)
    assert file_ports.name_classes(model, ()) == ()
    assert model.SerializeToString(deterministic=True) == before


def test_names_that_are_too_long_for_a_file_are_left_out_with_a_note():
    model = graph()
    names = [f"{number:06}" + "x" * 94 for number in range(700)]
    [note] = file_ports.name_classes(model, names)
    assert "72,101 bytes" in note
    assert file_ports.kept_names(names) == ()
    assert file_ports.kept_names(names[:3]) == tuple(names[:3])
    assert metadata_of(model) == {}
