from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from compress.evaluation import runtime
from compress.export import parity, writer
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.tasks.kinds.unlabelled import OutputPart, Unlabelled
from compress.values.errors import ExportParityError, InvalidData, NumericalError
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
    content = writer.write(
        compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION
    ).path.read_bytes()
    gate = parity.check_float(content, reference_NK=reference, x_NCHW=x, task=IMAGE_CLASSIFICATION)
    assert gate.agreement == 1
    assert 0 < gate.max_abs_error < 1e-3
    assert gate.images == 256


def test_a_file_with_slightly_other_weights_is_refused(compressed, digits, tmp_path, x, reference):
    path = writer.write(compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION).path
    corrupted = edited(path, lambda value: value * np.float32(1.01))
    with pytest.raises(ExportParityError, match="largest error"):
        parity.check_float(corrupted, reference_NK=reference, x_NCHW=x, task=IMAGE_CLASSIFICATION)


def test_a_truncated_file_is_refused(compressed, digits, tmp_path, x, reference):
    content = writer.write(
        compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION
    ).path.read_bytes()
    with pytest.raises(ExportParityError, match="cannot load"):
        parity.check_float(
            content[: len(content) // 2],
            reference_NK=reference,
            x_NCHW=x,
            task=IMAGE_CLASSIFICATION,
        )


def test_a_file_that_gives_nan_is_refused(compressed, digits, tmp_path, x, reference):
    path = writer.write(compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION).path
    corrupted = edited(path, lambda value: value * np.float32(np.nan))
    with pytest.raises(NumericalError, match="256 of 256 images"):
        parity.check_float(corrupted, reference_NK=reference, x_NCHW=x, task=IMAGE_CLASSIFICATION)


def test_integer_kernels_do_what_the_quantized_file_says(compressed, digits, tmp_path, x):
    changed = quantized(compressed, digits)
    content = writer.write(
        changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION
    ).path.read_bytes()
    gate, logits = parity.check_integer(content, x_NCHW=x, task=IMAGE_CLASSIFICATION)
    assert gate.agreement >= 0.98
    assert logits.shape == (256, 10)


def test_a_quantized_file_whose_biases_overflow_the_kernels_is_refused(
    compressed, digits, tmp_path, x
):
    changed = quantized(compressed, digits)
    path = writer.write(changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION).path
    model = onnx.load(path)
    made = {name: node for node in model.graph.node for name in node.output}
    biases = [made[n.input[2]] for n in model.graph.node if n.op_type == "Conv"]
    assert len(biases) == 9
    # Added to the products, they do not fit the kernels' 32 bits.
    large = numpy_helper.from_array(np.int32(2**31 - 2**15), "large")
    model.graph.initializer.append(large)
    for place, bias in enumerate(biases):
        index = list(model.graph.node).index(bias)
        added = helper.make_node("Max", [bias.input[0], "large"], [f"large_{place}"])
        model.graph.node.insert(index, added)
        model.graph.node[index + 1].input[0] = f"large_{place}"
    with pytest.raises(ExportParityError, match="integer kernels"):
        parity.check_integer(model.SerializeToString(), x_NCHW=x, task=IMAGE_CLASSIFICATION)


def test_equal_logits_may_fall_either_way():
    reference = np.float32([[1.0, 0.9999, -1], [0, 1, -1]])
    swapped = np.float32([[0.9999, 1.0, -1], [0, 1, -1]])
    assert IMAGE_CLASSIFICATION.agreement(swapped, reference, tie=0.0) == 0.5
    assert (
        parity.check(
            swapped, reference_NK=reference, gate=parity.FLOAT, task=IMAGE_CLASSIFICATION
        ).agreement
        == 1
    )


def test_one_other_class_in_fifty_is_the_limit_for_integers():
    reference = np.eye(100, dtype=np.float32)
    two_wrong = reference.copy()
    two_wrong[:2] = np.roll(reference[:2], 1, axis=1)
    assert (
        parity.check(
            two_wrong, reference_NK=reference, gate=parity.INTEGER, task=IMAGE_CLASSIFICATION
        ).agreement
        == 0.98
    )
    three_wrong = reference.copy()
    three_wrong[:3] = np.roll(reference[:3], 1, axis=1)
    with pytest.raises(ExportParityError, match=r"97\.00%"):
        parity.check(
            three_wrong, reference_NK=reference, gate=parity.INTEGER, task=IMAGE_CLASSIFICATION
        )


def independent(images=256, classes=10, *, scale=1.0):
    """Two sets of answers that have nothing to do with each other."""
    random = np.random.default_rng(classes)
    return [scale * random.standard_normal((images, classes)) for _ in range(2)]


HUGE = {
    "nothing": (slice(0), 0),
    "one logit": (0, 0),
    "a logit of several images": (slice(0, None, 20), 0),
    "several images": (slice(0, None, 20), slice(None)),
    "a class": (slice(None), 0),
}


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("place", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("classes", [3, 10, 100])
@pytest.mark.parametrize("gate", [parity.FLOAT, parity.HALVED, parity.INTEGER])
def test_huge_logits_open_no_gate(gate, classes, place, size):
    reference, answers = independent(classes=classes)
    reference[place] += size
    answers[place] += size
    with pytest.raises(ExportParityError):
        parity.check(
            np.float32(answers),
            reference_NK=np.float32(reference),
            gate=gate,
            task=IMAGE_CLASSIFICATION,
        )


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("place", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("gate", [parity.FLOAT, parity.HALVED, parity.INTEGER])
def test_huge_logits_close_no_gate(gate, classes, place, size):
    reference, noise = independent(classes=classes)
    reference[place] += size
    answers = reference * (1 + 1e-6 * noise) + 1e-6 * noise
    found = parity.check(
        np.float32(answers),
        reference_NK=np.float32(reference),
        gate=gate,
        task=IMAGE_CLASSIFICATION,
    )
    assert found.agreement == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1, 1e6, 1e30])
@pytest.mark.parametrize("classes", [1, 2, 10])
def test_the_size_of_logits_does_not_matter(classes, scale):
    reference, other = (np.float32(x) for x in independent(classes=classes, scale=scale))
    close = np.float32(reference + 1e-5 * other)
    assert (
        parity.check(
            close, reference_NK=reference, gate=parity.FLOAT, task=IMAGE_CLASSIFICATION
        ).images
        == 256
    )
    with pytest.raises(ExportParityError):
        parity.check(other, reference_NK=reference, gate=parity.FLOAT, task=IMAGE_CLASSIFICATION)


def test_one_wrong_image_among_many_is_seen_beside_a_huge_one():
    reference, _ = independent()
    reference[0] *= 1e4
    answers = reference.copy()
    answers[7, 2] += 0.1
    with pytest.raises(ExportParityError, match=r"largest error 0\.1 "):
        parity.check(
            np.float32(answers),
            reference_NK=np.float32(reference),
            gate=parity.FLOAT,
            task=IMAGE_CLASSIFICATION,
        )


def test_images_with_nearly_equal_logits_raise_no_false_alarm():
    reference, noise = independent()
    reference[::4] *= 1e-5
    answers = reference + 1e-4 * noise
    found = parity.check(
        np.float32(answers),
        reference_NK=np.float32(reference),
        gate=parity.FLOAT,
        task=IMAGE_CLASSIFICATION,
    )
    assert found.agreement >= 0.99
    assert found.equal_classes < 0.9


def test_networks_that_say_the_same_of_every_image_raise_no_false_alarm():
    one, noise = independent()
    reference = one[:1] + 1e-6 * noise
    parity.check(
        np.float32(reference + 1e-6),
        reference_NK=np.float32(reference),
        gate=parity.FLOAT,
        task=IMAGE_CLASSIFICATION,
    )
    for silent in (np.zeros((9, 3)), np.full((9, 3), 0.5)):
        found = parity.check(
            np.float32(silent),
            reference_NK=np.float32(silent),
            gate=parity.FLOAT,
            task=IMAGE_CLASSIFICATION,
        )
        assert found.equal_classes == 1


def test_probabilities_of_many_classes_have_a_unit_of_their_own():
    logits, noise = independent(classes=100, scale=8)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    unit_N, _ = parity.units(shares)
    assert unit_N.min() > 1e-2
    answers = np.float32(shares * (1 + 1e-6 * noise))
    assert (
        parity.check(
            answers, reference_NK=np.float32(shares), gate=parity.FLOAT, task=IMAGE_CLASSIFICATION
        ).images
        == 256
    )


def test_the_plain_share_of_equal_classes_stands_beside_the_one_up_to_ties():
    reference = np.tile(np.float32([[1.0, 0.99, -1, -0.5, 0]]), (4, 1))
    answers = reference.copy()
    answers[0, :2] = 0.99, 1.0
    found = parity.check(
        answers, reference_NK=reference, gate=parity.INTEGER, task=IMAGE_CLASSIFICATION
    )
    assert (found.agreement, found.equal_classes) == (1, 0.75)
    (note,) = parity.note(found)
    assert "75.0% of 4 images, for 100.0% up to ties" in note
    same = parity.check(
        reference, reference_NK=reference, gate=parity.FLOAT, task=IMAGE_CLASSIFICATION
    )
    assert parity.note(same) == ()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_answers_that_are_not_finite_pass_no_gate(which, value):
    both = [np.eye(10, dtype=np.float32) for _ in range(2)]
    both[which][3, 3] = value
    with pytest.raises(NumericalError, match="NaN or infinity"):
        parity.check(both[0], reference_NK=both[1], gate=parity.INTEGER, task=IMAGE_CLASSIFICATION)


def test_answers_of_another_shape_are_refused():
    with pytest.raises(ExportParityError, match="shape"):
        parity.check(
            np.zeros((4, 9)),
            reference_NK=np.zeros((4, 10)),
            gate=parity.FLOAT,
            task=IMAGE_CLASSIFICATION,
        )


def test_a_gate_without_images_is_refused(digits):
    with pytest.raises(InvalidData, match="at least one"):
        parity.images(type(digits.validation)(x_NCHW=torch.zeros(0, 1, 8, 8), y_N=torch.zeros(0)))


def test_fused_kernels_and_the_graph_as_written_are_really_two_executions(
    compressed, digits, tmp_path, x
):
    changed = quantized(compressed, digits)
    path = writer.write(changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION).path
    for optimise, integer_convolutions in ((True, 9), (False, 0)):
        runtime.session(path, optimise=optimise, dump=tmp_path / "executed.onnx")
        nodes = onnx.load(tmp_path / "executed.onnx").graph.node
        assert sum(node.op_type == "QLinearConv" for node in nodes) == integer_convolutions


def test_a_map_that_is_zero_but_in_a_few_places_has_the_unit_of_these():
    """As of a detector: nine tenths of its chances lie within a hair of 0."""
    reference = np.full((4, 400), 1e-7, np.float32)
    reference[:, :20] = 1
    task = Unlabelled((OutputPart(size=400, width=400, kind="relative"),))
    near = reference.copy()
    near[:, :20] -= 1e-5
    found = parity.check(near, reference_NK=reference, gate=parity.FLOAT, task=task)
    assert found.max_abs_error == pytest.approx(1e-5, rel=0.01)
    near[:, :20] -= 1e-3
    with pytest.raises(ExportParityError, match=r"largest error 0\.001"):
        parity.check(near, reference_NK=reference, gate=parity.FLOAT, task=task)
