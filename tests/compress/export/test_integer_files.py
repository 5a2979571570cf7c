"""Files with 8-bit activations: what runs in integers, and what must not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from compress.evaluation import runtime
from compress.export import parity, writer
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from tests.compress import contract
from tests.compress.applying import quantized
from tests.compress.networks import Normalised, Transposed, seeded


@pytest.fixture(scope="module")
def five(digits):
    return contract.five_classes(digits)


def written(network, data, folder, **config):
    changed = quantized(CompressedModel(network=network), data, **config)
    return writer.write(changed, folder, data=data, task=IMAGE_CLASSIFICATION).path


def executed(path, folder):
    runtime.session(path, dump=folder / "executed.onnx")
    return onnx.load(folder / "executed.onnx").graph


def kinds(path, folder):
    return Counter(node.op_type for node in executed(path, folder).node)


def test_a_spared_convolution_between_integer_layers_runs_in_float(trained, digits, tmp_path):
    spared = kinds(written(trained, digits, tmp_path, exclude="blocks.1.first"), tmp_path)
    everything = kinds(written(trained, digits, tmp_path), tmp_path)
    assert spared["QLinearConv"] == everything["QLinearConv"] - 1
    assert (spared["Conv"], everything["Conv"]) == (1, 0)
    # What keeps it float is part of its own kernel.
    assert spared["LeakyRelu"] == spared["Relu"] == 0


def test_a_spared_layer_multiplies_by_its_own_weights(trained, digits, tmp_path):
    path = written(trained, digits, tmp_path, exclude="blocks.1.first")
    model = onnx.load(path)
    (shield,) = [node for node in model.graph.node if node.op_type == "LeakyRelu"]
    assert shield.attribute[0].f == 1.0
    (node,) = [node for node in model.graph.node if shield.input[0] in node.output]
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    block = trained.module.blocks[1]
    factor_O = block.first_norm.weight / torch.sqrt(block.first_norm.running_var + 1e-5)
    folded = (block.first.weight * factor_O[:, None, None, None]).detach().numpy()
    np.testing.assert_allclose(tensors[node.input[1]], folded, rtol=1e-5)


def test_a_transposed_convolution_keeps_its_float_weights(five, tmp_path):
    network = replace(seeded(Transposed), normalisation=contract.NORMALISATION)
    path = written(network, five, tmp_path)
    graph = executed(path, tmp_path)
    (node,) = [node for node in graph.node if node.op_type == "ConvTranspose"]
    floats = [tensor for tensor in graph.initializer if tensor.name == node.input[1]]
    np.testing.assert_array_equal(
        numpy_helper.to_array(floats[0]), network.module.get_parameter("up.weight").detach()
    )


def test_logits_in_front_of_a_softmax_do_not_tie(five, tmp_path):
    network = replace(seeded(Normalised), normalisation=contract.NORMALISATION)
    path = written(network, five, tmp_path)
    assert kinds(path, tmp_path)["Gemm"] == 1
    x_NCHW = parity.images(five.validation)
    answers_NK = np.sort(runtime.answers(runtime.session(path), x_NCHW), axis=1)
    assert ((answers_NK[:, -1] - answers_NK[:, -2]) > 0).all()


def test_one_layer_and_a_softmax_need_no_grid_for_the_logits(five, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.LogSoftmax(1))
    network = replace(seeded(Normalised), module=module.eval())
    answers_NK, reference_NK = (
        runtime.answers(runtime.session(path), five.validation.x_NCHW)
        for path in (
            written(network, five, tmp_path),
            writer.write(
                CompressedModel(network=network),
                tmp_path,
                data=five,
                name="whole",
                task=IMAGE_CLASSIFICATION,
            ).path,
        )
    )
    assert np.abs(answers_NK - reference_NK).max() < 0.1


@pytest.mark.parametrize(
    "observer",
    [{"activation_observer": "percentile", "percentile": 98.0}, {"activation_observer": "mse"}],
)
def test_the_observer_of_activations_sets_the_grids_of_the_file(
    trained, digits, tmp_path, observer
):
    widest, chosen = (
        activation_scales(written(trained, digits, tmp_path, short_scales=False, **config))
        for config in ({"activation_observer": "minmax"}, observer)
    )
    assert len(widest) == len(chosen) > 5
    assert all(scale <= most * 1.0001 for scale, most in zip(chosen, widest, strict=True))
    assert sum(chosen) < 0.98 * sum(widest)


def activation_scales(path):
    model = onnx.load(path)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return [float(tensors[node.input[1]]) for node in nodes]


def test_biases_are_int32_on_the_grid_of_their_kernel(trained, digits, tmp_path):
    model = onnx.load(written(trained, digits, tmp_path))
    values, made = decoded(model), {n: node for node in model.graph.node for n in node.output}
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(layers) > 3
    for node in layers:
        x, weight, bias = (made[name] for name in node.input)
        assert {each.op_type for each in (x, weight, bias)} == {"DequantizeLinear"}
        assert values[bias.input[0]].dtype == np.int32
        step_O = values[weight.input[1]] * values[x.input[1]]
        np.testing.assert_array_equal(values[bias.input[1]], step_O)


def decoded(model):
    """Every tensor that a file decodes as it is loaded, before it is dequantized."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" and {*values, *made_by(kept)} >= {*node.input}:
            kept.append(node)
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    for field in ("node", "input", "output", "value_info"):
        alone.graph.ClearField(field)
    alone.graph.node.extend(kept)
    names = made_by(kept)
    alone.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    opened = runtime.session(alone.SerializeToString())
    return values | dict(zip(names, opened.run(names, {}), strict=True))


def made_by(nodes):
    return [name for node in nodes for name in node.output]


@pytest.mark.parametrize("config", [{}, {"weight_bits": 4}, {"weight_bits": 2}])
def test_files_need_no_newer_runtime_than_their_operators_do(trained, digits, tmp_path, config):
    model = onnx.load(written(trained, digits, tmp_path, **config))
    assert {entry.version for entry in model.opset_import if not entry.domain} == {13}
    assert model.ir_version <= 8
