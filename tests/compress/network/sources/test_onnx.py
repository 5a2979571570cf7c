"""A file comes in as a network on images with channels first and logits, and knows its ports."""

import numpy as np
import pytest
import torch

from compress.evaluation import runtime
from compress.network.outline import Outline
from compress.network.preprocessing import Normalisation
from compress.network.signature import Signature
from compress.network.sources import onnx
from compress.values.errors import InvalidNetwork
from tests.compress import uploads
from tests.compress.onnx_networks import IMAGES, exported
from tests.compress.uploads import CLASSES, network_of, pictures, tensorflow_like, uploaded

KINDS = {"as torch": uploaded, "as TensorFlow": tensorflow_like}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["cnn", "depthwise", "residual", "shuffle"])
def test_a_network_answers_as_its_file(name, kind):
    data = KINDS[kind](name)
    network = network_of(data)
    x_NCHW = pictures(20).validation.x_NCHW
    expected_NK = runtime.answers(runtime.session(data), x_NCHW, signature=network.signature)
    with torch.no_grad():
        found_NK = network.module(x_NCHW)
    if network.signature.outputs[0].softmax:
        found_NK = torch.log_softmax(found_NK, 1)
    np.testing.assert_allclose(found_NK.numpy(), expected_NK, atol=1e-4 * np.ptp(expected_NK))


def test_ports_metadata_and_axes_of_the_file_are_known():
    signature = network_of(tensorflow_like()).signature
    [taken], [answered] = signature.inputs, signature.outputs
    assert (taken.name, taken.words, taken.layout) == (
        uploads.INPUT,
        (uploads.BATCH, 16, 16, 3),
        "NHWC",
    )
    assert (answered.name, answered.words, answered.softmax) == (
        uploads.OUTPUT,
        (uploads.BATCH, CLASSES),
        True,
    )
    assert signature.metadata == uploads.METADATA
    assert Signature.model_validate_json(signature.model_dump_json()) == signature


def test_a_transpose_to_channels_first_and_the_softmax_are_not_run():
    module = network_of(tensorflow_like()).module
    kinds = [call.node.op for call in module.program.calls]
    assert {"Transpose", "Softmax"}.isdisjoint(kinds)
    assert kinds == [call.node.op for call in network_of(uploaded()).module.program.calls]


def test_raw_values_stay_what_they_are_unless_the_caller_says_otherwise():
    assert network_of(uploaded()).normalisation == Normalisation(mean=(0, 0, 0), std=(1, 1, 1))
    own = Normalisation(mean=(1, 2, 3), std=(4, 5, 6))
    found = onnx.load(uploaded(), input_shape=IMAGES, num_classes=CLASSES, normalisation=own)
    assert found.normalisation == own


def test_a_file_is_read_from_a_path_too(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(uploaded())
    found = onnx.load(path, input_shape=IMAGES, num_classes=CLASSES)
    assert found.signature == network_of(uploaded()).signature


@pytest.mark.parametrize(
    ("shape", "classes", "reason"),
    [
        ((3, 16, 16), 6, "tells 5 classes apart, the data has 6"),
        ((1, 16, 16), 5, r"does not take examples of input_shape \(1, 16, 16\)"),
        ((3, 32, 32), 5, r"does not take examples of input_shape"),
    ],
)
def test_data_of_other_images_or_classes_is_refused(shape, classes, reason):
    with pytest.raises(InvalidNetwork, match=reason):
        onnx.load(uploaded(), input_shape=shape, num_classes=classes)


def test_a_network_with_two_answers_packs_them_and_one_may_answer_each_word():
    found = onnx.load(exported("two_answers"), input_shape=(2, 32), num_classes=None)
    assert (found.num_classes, found.signature.answer) == (3 + 8 * 28, "packed")
    found = onnx.load(exported("lstm"), input_shape=(9,), num_classes=4)
    assert (found.num_classes, found.signature.answer) == (4, "sequence")
    assert found.signature.open_axes == (1,)


def test_documents_of_usual_signatures_say_nothing_new():
    usual = Signature.of_examples((3, 8, 8), num_classes=2)
    assert usual.model_dump() == {
        "inputs": ({"name": "input", "dtype": "float32", "shape": (1, 3, 8, 8), "dynamic": (0,)},),
        "outputs": ({"name": "logits", "dtype": "float32", "shape": (1, 2), "dynamic": (0,)},),
    }
    assert (
        "layout"
        not in Outline(signature=usual, layers=(), blocks=(), elastic=None).model_dump_json()
    )
