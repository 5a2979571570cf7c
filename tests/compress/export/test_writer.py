from __future__ import annotations

import hashlib
import json
import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compress.evaluation import measure, runtime
from compress.export import onnx_graph, parity, writer
from compress.network import folding
from compress.network.preprocessing import Normalisation
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.values.errors import ExportParityError, InvalidData, NumericalError
from tests.compress.applying import quantized


def test_the_file_takes_raw_values_of_any_batch(compressed, digits, tmp_path):
    artifact = writer.write(compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    opened = runtime.session(artifact.path)
    (taken,), (given,) = opened.get_inputs(), opened.get_outputs()
    assert (taken.name, taken.type, taken.shape) == ("input", "tensor(float)", ["N", 1, 8, 8])
    assert (given.name, given.type, given.shape) == ("logits", "tensor(float)", ["N", 10])
    for batch in (1, 7):
        x = digits.validation.x_NCHW[:batch].float()
        normalised = (x / 16 - 0.3053) / 0.3760
        expected = compressed.network.module(normalised).detach().numpy()
        np.testing.assert_allclose(runtime.answers(opened, x), expected, atol=1e-4)


def test_the_artifact_describes_the_very_file_on_disk(compressed, digits, tmp_path):
    artifact = writer.write(compressed, tmp_path, data=digits, name="a", task=IMAGE_CLASSIFICATION)
    content = (tmp_path / "a.onnx").read_bytes()
    assert artifact.path == tmp_path / "a.onnx"
    assert artifact.size_bytes == len(content)
    assert artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert artifact.parity_images == 256
    assert artifact.agreement == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.onnx"]


def test_the_file_names_its_classes_if_the_data_does(compressed, digits, tmp_path):
    names = tuple(f"digit {label}" for label in range(10))
    plain = writer.write(compressed, tmp_path, data=digits, name="plain")
    named = writer.write(
        compressed, tmp_path, data=replace(digits, class_names=names), name="named"
    )
    said = runtime.session(named.path).get_modelmeta().custom_metadata_map
    assert json.loads(said["featherweight.class_names"]) == list(names)
    assert named.size_bytes > plain.size_bytes
    model = onnx.load(named.path)
    model.ClearField("metadata_props")
    assert model.SerializeToString(deterministic=True) == plain.path.read_bytes()


def test_the_same_network_gives_the_same_bytes(compressed, digits, tmp_path):
    changed = quantized(compressed, digits, weight_bits=4)
    digests = {
        writer.write(changed, tmp_path, data=digits, name=name, task=IMAGE_CLASSIFICATION).sha256
        for name in ("a", "b")
    }
    assert len(digests) == 1


def test_exporting_leaves_the_network_as_it_was(trained, digits, tmp_path):
    module = deepcopy(trained.module).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    network = replace(trained, module=module)
    writer.write(CompressedModel(network=network), tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_names_and_documents_cost_little(compressed, digits, tmp_path):
    artifact = writer.write(compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    model = onnx.load(artifact.path)
    numbers = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    assert artifact.size_bytes - numbers < 1200
    names = {name for node in model.graph.node for name in [*node.input, *node.output]}
    inner = names - {"input", "logits"}
    assert max(map(len, inner)) <= 2
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in inner)
    assert [opset.domain for opset in model.opset_import] == [""]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_equal_constants_are_stored_once_and_answers_stay(compressed, digits):
    graph = writer.float_graph(folding.fold(compressed.network, {})[0])
    x = digits.validation.x_NCHW[:50]
    before = runtime.answers(runtime.session(graph.SerializeToString()), x)
    twin = onnx.TensorProto()
    twin.CopyFrom(graph.graph.initializer[0])
    twin.name = "twin"
    graph.graph.initializer.append(twin)
    stored = len(graph.graph.initializer)
    size = graph.ByteSize()
    onnx_graph.compact(graph)
    assert len(graph.graph.initializer) == stored - 1
    assert graph.ByteSize() < size
    after = runtime.answers(runtime.session(graph.SerializeToString()), x)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("weight_bits", [8, 4])
def test_no_convolution_repeats_the_shape_of_its_weight(compressed, digits, tmp_path, weight_bits):
    changed = quantized(compressed, digits, weight_bits=weight_bits)
    model = onnx.load(writer.write(changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION).path)
    onnx.checker.check_model(model, full_check=True)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 5
    assert not [n for n in convolutions if any(a.name == "kernel_shape" for a in n.attribute)]


def test_no_node_writes_down_that_its_domain_is_the_usual_one(compressed, digits, tmp_path):
    model = onnx.load(
        writer.write(
            quantized(compressed, digits), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
        ).path
    )
    assert not [node for node in model.graph.node if node.HasField("domain") and not node.domain]


def test_a_network_on_raw_values_needs_no_normalisation_nodes(trained, digits, tmp_path):
    raw = Normalisation(mean=(0.0,), std=(1.0,))
    network = replace(trained, normalisation=raw)
    artifact = writer.write(
        CompressedModel(network=network), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
    )
    assert "Mul" not in {node.op_type for node in onnx.load(artifact.path).graph.node}


class OddShapes(nn.Module):
    """A pad shortcut (whose paddings are computed by nodes), dropout, a reshape and a mean."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, dilation=1)
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Linear(8, 10)

    def forward(self, x):
        x = torch.relu(self.drop(self.first(x)))
        x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.classifier(x.mean((2, 3)).reshape(-1, 8))


def test_paddings_are_constants_in_the_file(trained, digits, tmp_path):
    torch.manual_seed(0)
    network = replace(trained, module=OddShapes())
    artifact = writer.write(
        CompressedModel(network=network), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
    )
    kinds = {node.op_type for node in onnx.load(artifact.path).graph.node}
    assert kinds <= {"Mul", "Add", "Conv", "Relu", "Slice", "Pad", "ReduceMean", "Reshape", "Gemm"}


def test_a_network_that_gives_nan_is_refused_and_leaves_no_file(trained, digits, tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        module[1].bias[2] = torch.nan
    network = replace(trained, module=module)
    with pytest.raises(NumericalError, match="NaN"):
        writer.write(
            CompressedModel(network=network), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
        )
    assert list(tmp_path.iterdir()) == []


class ForgetsItsTrace(nn.Module):
    """Answers depend on a Python number of the batch, which a trace freezes."""

    def forward(self, x):
        return x.flatten(1)[:, :10] * float(len(x))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_network_that_cannot_be_traced_is_refused_and_leaves_no_file(trained, digits, tmp_path):
    network = replace(trained, module=ForgetsItsTrace())
    with pytest.raises(ExportParityError, match="float file against torch"):
        writer.write(
            CompressedModel(network=network), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
        )
    assert list(tmp_path.iterdir()) == []


def test_data_that_does_not_fit_the_network_is_refused(trained, digits, tmp_path):
    network = replace(trained, num_classes=7)
    with pytest.raises(InvalidData, match="7 classes"):
        writer.write(
            CompressedModel(network=network), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
        )


def test_a_quantized_file_notes_how_often_it_agrees_with_the_float_network(
    compressed, digits, tmp_path
):
    changed = quantized(compressed.evolve(notes=("before",)), digits)
    artifact = writer.write(changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    before, note = artifact.notes
    assert before == "before"
    share = float(re.search(r"agree on ([\d.]+)% of 256 images", note)[1])
    logits = runtime.answers(runtime.session(artifact.path), parity.images(digits.validation))
    reference = parity.torch_logits(compressed.network, parity.images(digits.validation))
    same = (logits.argmax(1) == reference.argmax(1)).mean()
    assert share == pytest.approx(100 * same, abs=0.06)
    assert measure.accuracy_of_file(artifact.path, digits.test, task=IMAGE_CLASSIFICATION) > 0.93
