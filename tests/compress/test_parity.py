from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from compress import export, parity, runtime
from compress.errors import ExportParityError, InvalidData, NumericalError
from tests.compress.applying import quantized


@pytest.fixture
def x(digits):
    return parity.images(digits.validation)


@pytest.fixture
def reference(compressed, x):
    return parity.torch_logits(compressed.network, x)


def edited(path, change):
    """The file with one change made to each of its float constants."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(change(value.copy()), tensor.name))
    return model.SerializeToString()


def test_an_honest_file_passes(compressed, digits, tmp_path, x, reference):
    content = export.write(compressed, tmp_path, data=digits).path.read_bytes()
    gate = parity.check_float(content, reference_NK=reference, x_NCHW=x)
    assert gate.agreement == 1
    assert 0 < gate.max_abs_error < 1e-3
    assert gate.images == 256


def test_a_file_with_slightly_other_weights_is_refused(compressed, digits, tmp_path, x, reference):
    path = export.write(compressed, tmp_path, data=digits).path
    corrupted = edited(path, lambda value: value * np.float32(1.01))
    with pytest.raises(ExportParityError, match="largest error"):
        parity.check_float(corrupted, reference_NK=reference, x_NCHW=x)


def test_a_truncated_file_is_refused(compressed, digits, tmp_path, x, reference):
    content = export.write(compressed, tmp_path, data=digits).path.read_bytes()
    with pytest.raises(ExportParityError, match="cannot load"):
        parity.check_float(content[: len(content) // 2], reference_NK=reference, x_NCHW=x)


def test_a_file_that_gives_nan_is_refused(compressed, digits, tmp_path, x, reference):
    path = export.write(compressed, tmp_path, data=digits).path
    corrupted = edited(path, lambda value: value * np.float32(np.nan))
    with pytest.raises(NumericalError, match="256 of 256 images"):
        parity.check_float(corrupted, reference_NK=reference, x_NCHW=x)


def test_integer_kernels_do_what_the_quantized_file_says(compressed, digits, tmp_path, x):
    changed = quantized(compressed, digits)
    content = export.write(changed, tmp_path, data=digits).path.read_bytes()
    gate, logits = parity.check_integer(content, x_NCHW=x)
    assert gate.agreement >= 0.98
    assert logits.shape == (256, 10)


def test_a_quantized_file_whose_biases_overflow_the_kernels_is_refused(
    compressed, digits, tmp_path, x
):
    changed = quantized(compressed, digits)
    path = export.write(changed, tmp_path, data=digits).path
    model = onnx.load(path)
    # With tiny scales of weights the biases, float in the file, do not fit the kernels' 32 bits.
    pooled = {name for node in model.graph.node if node.op_type == "Split" for name in node.output}
    scales = {n.input[1] for n in model.graph.node if n.op_type == "DequantizeLinear"} & pooled
    assert len(scales) == 9
    pieces = next(n for n in model.graph.node if scales & set(n.output))
    for place, name in enumerate(pieces.output):
        if name in scales:
            pieces.output[place] = f"{name}_as_it_was"
            model.graph.node.append(helper.make_node("Mul", [f"{name}_as_it_was", "tiny"], [name]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1e-11), "tiny"))
    multiplications = [node for node in model.graph.node if "tiny" in node.input]
    others = [node for node in model.graph.node if "tiny" not in node.input]
    at = others.index(pieces) + 1
    ordered = [*others[:at], *multiplications, *others[at:]]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    with pytest.raises(ExportParityError, match="integer kernels"):
        parity.check_integer(model.SerializeToString(), x_NCHW=x)


def test_equal_logits_may_fall_either_way():
    reference = np.float32([[1.0, 0.9999, -1], [0, 1, -1]])
    swapped = np.float32([[0.9999, 1.0, -1], [0, 1, -1]])
    assert parity.agreement(swapped, reference_NK=reference) == 0.5
    assert parity.check(swapped, reference_NK=reference, gate=parity.FLOAT).agreement == 1


def test_one_other_class_in_fifty_is_the_limit_for_integers():
    reference = np.eye(100, dtype=np.float32)
    two_wrong = reference.copy()
    two_wrong[:2] = np.roll(reference[:2], 1, axis=1)
    assert parity.check(two_wrong, reference_NK=reference, gate=parity.INTEGER).agreement == 0.98
    three_wrong = reference.copy()
    three_wrong[:3] = np.roll(reference[:3], 1, axis=1)
    with pytest.raises(ExportParityError, match=r"97\.00%"):
        parity.check(three_wrong, reference_NK=reference, gate=parity.INTEGER)


def test_answers_of_another_shape_are_refused():
    with pytest.raises(ExportParityError, match="shape"):
        parity.check(np.zeros((4, 9)), reference_NK=np.zeros((4, 10)), gate=parity.FLOAT)


def test_a_gate_without_images_is_refused(digits):
    with pytest.raises(InvalidData, match="at least one"):
        parity.images(type(digits.validation)(x_NCHW=torch.zeros(0, 1, 8, 8), y_N=torch.zeros(0)))


def test_fused_kernels_and_the_graph_as_written_are_really_two_executions(
    compressed, digits, tmp_path, x
):
    changed = quantized(compressed, digits)
    path = export.write(changed, tmp_path, data=digits).path
    for optimise, integer_convolutions in ((True, 9), (False, 0)):
        runtime.session(path, optimise=optimise, dump=tmp_path / "executed.onnx")
        nodes = onnx.load(tmp_path / "executed.onnx").graph.node
        assert sum(node.op_type == "QLinearConv" for node in nodes) == integer_convolutions
