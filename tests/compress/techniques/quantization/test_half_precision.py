"""Weights of 16 bits: float16 in the file, in the simulation and in training."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, numpy_helper

from compress.evaluation import runtime
from compress.export import counting, writer
from compress.export.weight_encoding import encoder, half_floats, streams
from compress.export.weight_encoding.building import Building
from compress.network import folding, layers
from compress.network.stored_weight import HalfFloat, StoredWeight, is_half
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.training import constraints, loop
from compress.values.errors import NumericalError
from tests.compress.applying import applied, quantized
from tests.compress.contract import integers_executed
from tests.compress.export.weight_encoding.encoded_files import file_of
from tests.compress.export.weight_encoding.test_encoder import decoded
from tests.devices import DEVICE

HALVES = {"weight_bits": 16, "activations": "float"}
EVERY_HALF = np.arange(2**16, dtype=np.uint16).view(np.float16)
EVERY_FINITE_HALF = EVERY_HALF[np.isfinite(EVERY_HALF)].astype(np.float32)


def written(compressed, digits, folder, **config):
    return writer.write(
        quantized(compressed, digits, **config), folder, data=digits, task=IMAGE_CLASSIFICATION
    )


def with_weight(network, name, index, value):
    module = copy.deepcopy(network.module)
    with torch.no_grad():
        module.get_parameter(name)[index] = value
    return CompressedModel(network=replace(network, module=module))


def test_the_file_is_less_than_half_of_the_float_one_and_decodes_at_load(
    compressed, digits, tmp_path
):
    float_file = writer.write(
        compressed, tmp_path, data=digits, name="float", task=IMAGE_CLASSIFICATION
    )
    artifact = written(compressed, digits, tmp_path, **HALVES)
    assert artifact.size_bytes < 0.5 * float_file.size_bytes
    assert (artifact.parameters, artifact.macs) == (float_file.parameters, float_file.macs)
    assert artifact.agreement == 1.0
    runtime.session(artifact.path, dump=tmp_path / "executed.onnx")
    executed = onnx.load(tmp_path / "executed.onnx").graph
    assert not {"Cast", "Gather", "w.l"} & {node.op_type for node in executed.node}
    assert {t.data_type for t in executed.initializer} <= {TensorProto.FLOAT, TensorProto.INT64}


def test_what_the_file_holds_is_the_folded_weight_rounded_once(compressed, digits):
    network, stored = constraints.bake(quantized(compressed, digits, **HALVES).network)
    _, kept = folding.fold(network, stored)
    for layer in layers.weighted(compressed.network):
        weight = layer.module.weight.detach().double().numpy()
        factor = layers.norm_factor(layer).numpy().reshape(-1, *[1] * (weight.ndim - 1))
        held = kept[layer.name].values()
        assert is_half(held)
        # A tie may fall either way: the product was rounded to float32 before.
        step = np.spacing(np.abs(held).astype(np.float16)).astype(np.float64)
        assert (np.abs(held - weight * factor) <= 0.5001 * step).all()


def test_training_sees_the_rounded_weights_and_ends_on_them(compressed, digits):
    started = quantized(compressed, digits, **HALVES)
    plan = loop.TrainingPlan(epochs=1, seed=0, batch_size=64, learning_rate=0.02)
    network, _ = loop.fit(
        started.network, digits.train, plan, device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    before, after = (
        constraints.bake(each.network)[1] for each in (started, CompressedModel(network=network))
    )
    name = "blocks.1.first"
    assert not np.array_equal(before[name].values(), after[name].values())
    _, kept = folding.fold(*constraints.bake(network))
    assert all(isinstance(weight, HalfFloat) for weight in kept.values())
    assert all(is_half(weight.values()) for weight in kept.values())


def test_masked_weights_stay_zero_and_are_not_stored(compressed, digits, tmp_path):
    masked = applied(compressed, digits, technique="sparsity", sparsity=0.8)
    dense = written(compressed, digits, tmp_path, **HALVES)
    artifact = written(masked, digits, tmp_path, **HALVES)
    _, stored = constraints.bake(quantized(masked, digits, **HALVES).network)
    zeros = sum(int((weight.values() == 0).sum()) for weight in stored.values())
    assert zeros >= int(0.8 * sum(weight.values().size for weight in stored.values()))
    assert artifact.size_bytes < 0.5 * dense.size_bytes


def test_a_channel_that_its_norm_switches_off_is_zero_in_the_file(compressed, digits, tmp_path):
    off = with_weight(compressed.network, "stem_norm.weight", 3, 0.0)
    network, stored = constraints.bake(quantized(off, digits, **HALVES).network)
    _, kept = folding.fold(network, stored)
    assert (kept["stem"].values()[3] == 0).all()
    assert (kept["stem"].values()[2] != 0).any()
    assert written(off, digits, tmp_path, **HALVES).agreement == 1.0


def test_a_weight_beyond_float16_is_an_error_that_names_layer_value_and_way_out(compressed, digits):
    large = with_weight(compressed.network, "classifier.weight", (2, 1), -70_000.0)
    with pytest.raises(NumericalError, match=r"classifier.* 70000 .*65,504.*exclude"):
        quantized(large, digits, **HALVES)
    spared = quantized(large, digits, **HALVES, exclude="classifier")
    assert "classifier" not in constraints.bake(spared.network)[1]


def test_the_norm_counts_for_what_is_beyond_float16(compressed, digits):
    scaled = with_weight(compressed.network, "stem_norm.weight", 0, 1e7)
    with pytest.raises(NumericalError, match="a weight of stem, with BatchNorm folded in"):
        quantized(scaled, digits, **HALVES)


def test_biases_are_halved_where_16_bits_are_asked_for_them(compressed, digits, tmp_path):
    whole, halved = (
        written(compressed, digits, tmp_path, **HALVES, scale_bits=bits) for bits in (32, 16)
    )
    num_biases = sum(len(layers.latent(x.module)) for x in layers.weighted(compressed.network))
    assert whole.size_bytes - halved.size_bytes > 1.5 * num_biases
    large = with_weight(compressed.network, "classifier.bias", 0, 1e5)
    assert written(large, digits, tmp_path, **HALVES).agreement == 1.0
    with pytest.raises(NumericalError, match=r"a bias of classifier is 100000 .*scale_bits be 32"):
        written(large, digits, tmp_path, **HALVES, scale_bits=16)


def test_a_layer_of_16_bits_computes_in_float_between_integer_kernels(compressed, digits, tmp_path):
    name = "blocks.1.second"
    mixed = quantized(compressed, digits, layer_bits=f"{name}=16")
    stored = constraints.bake(mixed.network)[1]
    assert [n for n, weight in stored.items() if isinstance(weight, HalfFloat)] == [name]
    file = writer.write(mixed, tmp_path, data=digits, name="mixed", task=IMAGE_CLASSIFICATION)
    all_of_them = written(compressed, digits, tmp_path)
    counts = [len(integers_executed(each.path, tmp_path)) for each in (file, all_of_them)]
    assert counts[0] == counts[1] - 1


def test_grids_and_float16_share_a_network(compressed, digits, tmp_path):
    mixed = quantized(compressed, digits, **HALVES, layer_bits="blocks.2.*=4")
    stored = constraints.bake(mixed.network)[1]
    on_grids = {name for name, weight in stored.items() if isinstance(weight, StoredWeight)}
    assert on_grids == {name for name in stored if name.startswith("blocks.2.")}
    file = writer.write(mixed, tmp_path, data=digits, name="mixed", task=IMAGE_CLASSIFICATION)
    assert file.size_bytes < written(compressed, digits, tmp_path, **HALVES).size_bytes


@pytest.mark.parametrize("form", [half_floats.whole, half_floats.coded])
def test_a_form_decodes_to_exactly_the_values_it_was_given(form):
    values = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float16).astype(np.float32)
    values[:5] = (-0.0, 2.0**-24, -(2.0**-24), 65_504, -65_504)
    building = Building(prefix="w")
    stream = form(building, values)
    answer = answered(building, stream.name, len(values))
    np.testing.assert_array_equal(answer, values)


def answered(building, name, size):
    whole = streams.unpacked(building)
    flat = whole.reshape(name, [size])
    outputs = [(flat, TensorProto.FLOAT, [size])]
    model = file_of(whole.nodes, whole.tensors.values(), outputs, whole.functions.values())
    return runtime.session(model.SerializeToString()).run(None, {})[0]


def test_every_number_of_float16_comes_back_from_a_file():
    weight = HalfFloat(values_OI=EVERY_FINITE_HALF.reshape(8, -1))
    decoding = encoder.encode({"w": weight}, form={"w": "float"})
    (stored,) = decoding.tensors.values()
    assert numpy_helper.to_array(stored).dtype == np.float16
    answer = decoded({"w": weight}, decoding, {"w": "float"})["w"]
    np.testing.assert_array_equal(answer, weight.values())


@settings(max_examples=40, deadline=None)
@given(
    found=st.lists(
        arrays.arrays(
            np.uint16,
            st.tuples(st.integers(1, 40), st.integers(1, 20)),
            elements=st.integers(0, len(EVERY_FINITE_HALF) - 1),
        ),
        min_size=1,
        max_size=3,
    ),
    transposed=st.booleans(),
)
def test_any_weights_of_float16_come_back_in_the_axes_asked_for(found, transposed):
    weights = {
        f"w{i}": HalfFloat(values_OI=EVERY_FINITE_HALF[each]) for i, each in enumerate(found)
    }
    form, turned = dict.fromkeys(weights, "float"), list(weights) if transposed else []
    decoding = encoder.encode(weights, form=form, transposed=turned)
    for name, answer in decoded(weights, decoding, form, turned).items():
        values = weights[name].values()
        np.testing.assert_array_equal(answer, values.T if transposed else values)


def test_weights_of_a_network_take_less_than_two_bytes_each_and_no_code_where_memory_is_short():
    values = np.random.default_rng(0).normal(0, 0.05, (64, 64, 3, 3)).astype(np.float16)
    weights = {"w": HalfFloat(values_OI=values.astype(np.float32))}
    small = encoder.encode(weights, form={"w": "float"})
    plain = encoder.encode(weights, form={"w": "float"}, most_bytes=5 * values.size)
    sizes = [sum(tensor.ByteSize() for tensor in d.tensors.values()) for d in (small, plain)]
    assert sizes[0] < 1.8 * values.size < 2 * values.size < sizes[1] < 2 * values.size + 40
    assert plain.temporary_bytes <= 5 * values.size


def test_counts_are_those_of_the_float_file(compressed, digits, tmp_path):
    counts = [
        counting.count(
            onnx.load(writer.write(each, tmp_path, data=digits, task=IMAGE_CLASSIFICATION).path)
        )
        for each in (compressed, quantized(compressed, digits, **HALVES))
    ]
    assert counts[0] == counts[1]
