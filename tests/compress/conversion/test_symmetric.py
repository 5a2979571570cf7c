"""Files for TensorRT: the grids that it knows, by rule, and the same network in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compress import delivery
from compress.conversion import convert
from compress.evaluation import measure
from compress.targets import rules
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.plain import PLAIN
from compress.targets.tensorrt import TENSORRT
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.values.errors import InvalidNetwork, TargetRuleBroken
from tests.compress.applying import applied, quantized


@pytest.fixture(scope="module")
def made(trained, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    compressed = quantized(CompressedModel(network=trained), digits, weight_bits=8)
    return {
        target.name: delivery.write(
            compressed, folder, target=target, data=digits, name=target.name
        )
        for target in (ONNXRUNTIME, PLAIN, TENSORRT)
    }


def test_activations_lie_on_signed_grids_around_0_and_biases_are_floats(made):
    model = onnx.load(made["tensorrt"].path)
    rules.check(model, TENSORRT)
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    grids = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert grids
    assert all(held[node.input[2]].dtype == np.int8 for node in grids)
    assert not any(values.dtype in (np.uint8, np.int32) for values in held.values())
    assert any("as on unsigned grids" in note for note in made["tensorrt"].notes)
    assert made["tensorrt"].runtimes == ("unproven: never run in TensorRT",)


def grids(path):
    """The nodes that put activations on grids, in their order, and what makes each tensor."""
    model = onnx.load(path)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "QuantizeLinear"], makers, held


def test_nothing_negative_is_left_where_a_grid_began_at_0(made):
    before, _, held = grids(made["plain"].path)
    after, makers, _ = grids(made["tensorrt"].path)
    began_at_0 = [
        new for old, new in zip(before, after, strict=True) if not held[old.input[2]].any()
    ]
    assert len(began_at_0) > 2
    assert {makers[node.input[0]] for node in began_at_0} == {"Relu"}


def test_it_is_as_accurate_as_the_form_for_onnxruntime(made, digits):
    accuracy = {
        name: measure.accuracy_of_file(each.path, digits.validation, task=IMAGE_CLASSIFICATION)
        for name, each in made.items()
    }
    assert accuracy["tensorrt"] >= accuracy["onnxruntime"] - 0.01 > 0.9


def test_a_file_of_other_grids_is_not_turned_into_one(made, trained, digits, tmp_path):
    with pytest.raises(InvalidNetwork, match="post a job with that target"):
        convert.convert(made["onnxruntime"].path.read_bytes(), TENSORRT)
    few = applied(
        CompressedModel(network=trained), digits,
        technique="quantization", weight_bits=4, activations="float",
    )  # fmt: skip
    in_float = delivery.write(few, tmp_path, target=ONNXRUNTIME, data=digits)
    rules.check(
        onnx.load_from_string(convert.convert(in_float.path.read_bytes(), TENSORRT)), TENSORRT
    )


def test_unsigned_grids_break_its_rules(made):
    with pytest.raises(TargetRuleBroken, match=r"uint8|zero point|bias of integers"):
        rules.check(onnx.load(made["plain"].path), TENSORRT)
