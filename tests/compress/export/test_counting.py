from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from compress.export import counting, writer
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from tests.compress.applying import quantized


def macs_of_torch(module, shape):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


def folded_parameters(module):
    """Weights of every layer and one bias per output channel: what is left once BN is folded."""
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sum(m.weight.numel() + m.weight.shape[0] for m in layers)


def test_counts_of_a_float_file_are_those_of_torch(compressed, digits, tmp_path):
    artifact = writer.write(compressed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    module = compressed.network.module
    assert artifact.macs == macs_of_torch(module, (1, 8, 8))
    assert artifact.parameters == folded_parameters(module)


@pytest.mark.parametrize("bits", [8, 4])
def test_quantization_changes_no_count(compressed, digits, tmp_path, bits):
    changed = quantized(compressed, digits, weight_bits=bits)
    artifact = writer.write(changed, tmp_path, data=digits, task=IMAGE_CLASSIFICATION)
    module = compressed.network.module
    assert artifact.macs == macs_of_torch(module, (1, 8, 8))
    assert artifact.parameters == folded_parameters(module)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, stride=2, padding=1), nn.Flatten()),
        nn.Sequential(nn.Conv2d(4, 6, (3, 1), dilation=2), nn.ReLU(), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(4 * 64, 5), nn.ReLU(), nn.Linear(5, 3)),
    ],
)
def test_groups_strides_dilations_and_linear_layers_are_counted(module):
    normalisation = Normalisation(mean=(0.0,) * 4, std=(1.0,) * 4)
    network = Network(
        module=module.eval(), normalisation=normalisation, input_shape=(4, 8, 8), num_classes=2
    )
    counts = counting.count(writer.float_graph(network))
    assert counts.macs == macs_of_torch(module, (4, 8, 8))
    assert counts.parameters == folded_parameters(module)


def test_a_matrix_product_without_weights_costs_macs_and_no_parameters():
    graph = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 3, 4] input) => (float[N, 3, 3] logits)
        { t = Transpose <perm = [0, 2, 1]> (input)  logits = MatMul (input, t) }
    """)
    assert counting.count(graph) == counting.FileCounts(parameters=0, macs=3 * 4 * 3)


def test_a_tensor_of_which_not_even_the_axes_are_known_is_looked_at():
    model = onnx.parser.parse_model(
        """
        <ir_version: 7, opset_import: ["" : 13]>
        network (float[N, 4, 2, 3] input) => (float[N, 4, 5] output)
        <int64[1] first = {0}, int64[2] rest = {4, 6}, float[6, 5] weight = {0.0}>
        {
            sizes = Shape(input)
            images = Gather(sizes, first)
            target = Concat <axis = 0> (images, rest)
            rows = Reshape(input, target)
            output = MatMul(rows, weight)
        }
        """
    )
    weight = numpy_helper.from_array(np.ones((6, 5), np.float32), "weight")
    [place] = [n for n, t in enumerate(model.graph.initializer) if t.name == "weight"]
    model.graph.initializer[place].CopyFrom(weight)
    counts = counting.count(model)
    assert (counts.macs, counts.parameters) == (4 * 6 * 5, 6 * 5)
