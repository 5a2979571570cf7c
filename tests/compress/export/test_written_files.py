from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from compress.evaluation import measure, runtime
from compress.export import parity, writer
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization import grid
from compress.values.errors import InvalidCandidate
from tests.compress import applying


def executed(path, folder):
    """How often ONNX Runtime runs which operator, once it has fused what it can."""
    runtime.session(path, dump=folder / "executed.onnx")
    return Counter(node.op_type for node in onnx.load(folder / "executed.onnx").graph.node)


def quantized(compressed, data, folder, **config):
    changed = applying.quantized(compressed, data, **config)
    return writer.write(changed, folder, data=data, name="quantized", task=IMAGE_CLASSIFICATION)


def untrained(module, input_shape=(1, 8, 8)):
    """A network with plausible BatchNorm statistics."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    identity = Normalisation(mean=(0.0,) * input_shape[0], std=(1.0,) * input_shape[0])
    return Network(
        module=module.eval(), normalisation=identity, input_shape=input_shape, num_classes=10
    )


@pytest.mark.parametrize("bits", [8, 4])
def test_every_convolution_and_residual_add_runs_in_integers(compressed, digits, tmp_path, bits):
    artifact = quantized(compressed, digits, tmp_path, weight_bits=bits)
    operators = executed(artifact.path, tmp_path)
    assert operators["QLinearConv"] == 9
    assert operators["QLinearAdd"] == 3
    assert operators["Conv"] == operators["Relu"] == operators["Cast"] == 0


def test_normalisation_stays_float_before_the_first_grid(compressed, digits, tmp_path):
    artifact = quantized(compressed, digits, tmp_path)
    nodes = list(onnx.load(artifact.path).graph.node)
    way = [next(node for node in nodes if "input" in node.input)]
    while way[-1].op_type != "Conv":
        way.append(next(node for node in nodes if node.input[:1] == way[-1].output[:1]))
    kinds = [node.op_type for node in way]
    assert kinds == ["Mul", "Add", "QuantizeLinear", "DequantizeLinear", "Conv"]
    assert "Relu" not in {node.op_type for node in nodes}


def weights_executed(path, tmp_path):
    """The integers that ONNX Runtime multiplies with, by shape."""
    runtime.session(path, dump=tmp_path / "dump.onnx")
    graph = onnx.load(tmp_path / "dump.onnx").graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "QLinearConv"]
    return [numpy_helper.to_array(tensors[node.input[3]]).astype(int) for node in convolutions]


def test_the_edges_have_four_bits_only_if_asked(compressed, digits, tmp_path):
    spared = quantized(compressed, digits, tmp_path, weight_bits=4)
    stem, *others = weights_executed(spared.path, tmp_path)
    assert np.abs(stem).max() > 7
    assert max(np.abs(weight).max() for weight in others) == 7
    changed = quantized(compressed, digits, tmp_path, weight_bits=4, edges_8bit=False)
    assert np.abs(weights_executed(changed.path, tmp_path)[0]).max() == 7
    assert changed.size_bytes < spared.size_bytes


def test_fewer_bits_make_a_smaller_file_at_nearly_the_same_accuracy(compressed, digits, tmp_path):
    float_file = writer.write(compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    eight = writer.write(
        applying.quantized(compressed, digits),
        tmp_path,
        data=digits,
        name="eight",
        task=IMAGE_CLASSIFICATION,
    )
    four = writer.write(
        applying.quantized(compressed, digits, weight_bits=4),
        tmp_path,
        data=digits,
        name="four",
        task=IMAGE_CLASSIFICATION,
    )
    assert eight.size_bytes < float_file.size_bytes * 0.28
    assert four.size_bytes < float_file.size_bytes * 0.15
    expected = measure.accuracy_of_file(
        float_file.path, digits.validation, task=IMAGE_CLASSIFICATION
    )
    assert expected > 0.95
    assert (
        measure.accuracy_of_file(eight.path, digits.validation, task=IMAGE_CLASSIFICATION)
        >= expected - 0.01
    )
    assert (
        measure.accuracy_of_file(four.path, digits.validation, task=IMAGE_CLASSIFICATION)
        >= expected - 0.03
    )


def test_the_stored_weights_are_the_folded_ones_on_their_grid(compressed, digits, tmp_path):
    artifact = quantized(compressed, digits, tmp_path)
    q = weights_executed(artifact.path, tmp_path)[0]
    norm, stem = compressed.network.module.stem_norm, compressed.network.module.stem
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = (stem.weight * factor[:, None, None, None]).detach().numpy()
    step = grid.best_scale(folded.reshape(16, 9), 8).reshape(-1, 1, 1, 1)
    expected = np.rint(folded / step).clip(-127, 127)
    assert np.abs(q.astype(int) - expected).max() <= 1
    assert (q == expected).mean() > 0.99


class Mixed(nn.Module):
    """Grouped and strided convolutions, both pools, a pad shortcut, two linear layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 16, 1, stride=2, bias=False)
        self.hidden = nn.Linear(16 * 4, 24)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x):
        x = functional.relu(self.norm(self.first(x)))
        x = functional.avg_pool2d(functional.relu(self.depthwise(x)), 2)
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        x = functional.max_pool2d(functional.relu(self.pointwise(x) + shortcut), 2)
        return self.classifier(functional.relu(self.hidden(x.flatten(1))))


def test_groups_pools_pads_and_hidden_linear_layers_run_in_integers(digits, tmp_path):
    torch.manual_seed(3)
    network = untrained(Mixed(), input_shape=(3, 16, 16))
    images = [
        replace(split, x_NCHW=torch.rand(len(split), 3, 16, 16) * 2 - 1)
        for split in (digits.train, digits.validation)
    ]
    data = replace(digits, train=images[0], validation=images[1])
    artifact = quantized(CompressedModel(network=network), data, tmp_path)
    operators = executed(artifact.path, tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QGemm"] == 1
    assert operators["QLinearAdd"] == operators["QLinearAveragePool"] == 1
    x = parity.images(data.validation)
    answers = runtime.answers(runtime.session(artifact.path), x)
    reference = parity.torch_logits(network, x)
    assert np.abs(answers - reference).max() < 0.05 * (reference.max() - reference.min())


class PreActivation(nn.Module):
    """The sum is read by a Relu and by the next sum, so that Relu cannot be absorbed twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.outer = nn.Conv2d(8, 8, 3, padding=1)
        self.classifier = nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.inner(functional.relu(x))
        x = x + self.outer(functional.relu(x))
        return self.classifier(x.mean((2, 3)))


def test_a_sum_that_is_read_twice_keeps_its_negative_values(digits, tmp_path):
    network = untrained(PreActivation())
    artifact = quantized(CompressedModel(network=network), digits, tmp_path)
    assert executed(artifact.path, tmp_path)["QLinearConv"] == 3
    x = parity.images(digits.validation)
    answers = runtime.answers(runtime.session(artifact.path), x)
    reference = parity.torch_logits(network, x)
    assert np.abs(answers - reference).max() < 0.05 * (reference.max() - reference.min())


def test_a_huge_bias_on_a_dead_channel_does_not_overflow_the_kernel(trained, digits, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )
    with torch.no_grad():
        module[0].weight[0] *= 1e-9
        module[0].bias[0] = 50.0
    network = replace(trained, module=module)
    artifact = quantized(CompressedModel(network=network), digits, tmp_path)
    assert executed(artifact.path, tmp_path)["QLinearConv"] == 1
    assert artifact.agreement >= 0.98
    assert artifact.max_abs_error < 0.5


def test_a_network_without_weights_cannot_be_quantized(trained, digits, tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Softmax(1))
    network = replace(trained, module=module, num_classes=64)
    data = replace(digits, num_classes=64)
    with pytest.raises(InvalidCandidate, match="no layer with a weight"):
        quantized(CompressedModel(network=network), data, tmp_path)
    assert list(tmp_path.iterdir()) == []
