from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress.network import layers
from compress.network.stored_weight import SparseFloat, StoredWeight
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization import apply as quantization
from compress.techniques.quantization.config import Quantization
from compress.techniques.quantization.learned_step import LearnedStep
from compress.training import constraints, inference, loop
from compress.training.constraints import WeightConstraint
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, InvalidData, NumericalError
from tests.devices import DEVICE

WAYS = {
    "eight bits": {},
    "four bits": {"weight_bits": 4},
    "edges too": {"weight_bits": 4, "edges_8bit": False},
    "one bit": {"weight_bits": 1},
    "groups": {"weight_bits": 3, "granularity": "group", "activations": "float"},
    "tensors": {"weight_bits": 4, "granularity": "tensor"},
    "affine": {"weight_bits": 4, "scheme": "affine"},
    "affine tensors": {"weight_bits": 5, "scheme": "affine", "granularity": "tensor"},
    "percentile": {"weight_bits": 4, "observer": "percentile"},
    "gptq": {"weight_bits": 3, "rounding": "gptq"},
    "adaround": {"weight_bits": 3, "rounding": "adaround"},
    "one bit gptq": {"weight_bits": 1, "rounding": "gptq"},
    "affine gptq": {"weight_bits": 3, "rounding": "gptq", "scheme": "affine"},
    "learned": {"weight_bits": 3, "training": "lsq"},
    "noise": {"weight_bits": 3, "training": "noise"},
    "uniform noise": {"weight_bits": 3, "training": "uniform_noise"},
    "sensitivity": {"weight_bits": 3, "allocation": "sensitivity", "edges_8bit": False},
    "equalised": {"weight_bits": 4, "equalise": True},
    "named": {"layer_bits": "blocks.*=2, classifier=5"},
    "reduced": {"reduced_range": True},
    "float16": {"weight_bits": 16, "activations": "float"},
    "float16 and grids": {
        "weight_bits": 16,
        "activations": "float",
        "layer_bits": "classifier=4",
    },
    "one layer in float16": {"weight_bits": 3, "rounding": "gptq", "layer_bits": "blocks.1.*=16"},
}


class Mask(WeightConstraint):
    """Keeps the larger half of the weights."""

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("keep", (weight.abs() >= weight.abs().median()).detach())

    def forward(self, weight):
        return weight * self.keep

    def stored(self, weight):
        return SparseFloat(values_OI=self(weight).detach().cpu().numpy())


@pytest.fixture
def context(digits):
    return TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)


def quantized(network, context, **config):
    return quantization.apply(CompressedModel(network=network), Quantization(**config), context)


def accuracy(network, digits):
    return loop.evaluate(network, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION)


def levels(stored):
    return {name: len(np.unique(weight.integers_OI)) for name, weight in stored.items()}


@pytest.mark.parametrize("way", WAYS)
def test_the_network_computes_with_exactly_what_is_stored(way, trained, context, digits):
    before = copy.deepcopy(trained.module.state_dict())
    compressed = quantized(trained, context, **WAYS[way])
    baked, stored = constraints.bake(compressed.network)
    assert set(stored) == {layer.name for layer in layers.weighted(trained)}
    for name, weight in stored.items():
        held = baked.module.get_submodule(name).weight.detach().numpy()
        np.testing.assert_array_equal(weight.values(), held)
    x = context.data.validation.x_NCHW[:50].float() / 16
    assert torch.equal(compressed.network.module(x), baked.module(x))
    assert compressed.step(Quantization) == Quantization(**WAYS[way])
    after = trained.module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("way", ["gptq", "sensitivity", "noise"])
def test_the_same_seed_gives_the_same_network(way, trained, context):
    first, again = (quantized(trained, context, **WAYS[way]) for _ in range(2))
    states = first.network.module.state_dict(), again.network.module.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert first.notes == again.notes


@pytest.mark.parametrize(
    ("bits", "most"), [(1, 2), (2, 3), (3, 7), (4, 15), (5, 31), (6, 63), (7, 127)]
)
def test_a_width_has_its_documented_number_of_levels(bits, most, trained, context):
    _, stored = constraints.bake(quantized(trained, context, weight_bits=bits).network)
    found = levels(stored)
    inner = [name for name in found if name not in ("stem", "classifier")]
    assert all(found[name] <= most for name in inner)
    assert max(found[name] for name in inner) > most // 2
    assert found["classifier"] > 127


def test_eight_bits_keep_the_accuracy_and_four_nearly(trained, context, digits):
    wanted = accuracy(trained, digits)
    assert accuracy(quantized(trained, context).network, digits) > wanted - 0.01
    assert accuracy(quantized(trained, context, weight_bits=4).network, digits) > wanted - 0.03


def test_looking_at_the_inputs_beats_rounding_to_the_nearest_at_two_bits(trained, context, digits):
    x = digits.validation.x_NCHW
    wanted = inference.logits(trained, x, device=DEVICE)
    lost = {}
    for way in ("nearest", "gptq", "adaround"):
        network = quantized(trained, context, weight_bits=2, rounding=way).network
        lost[way] = float((inference.logits(network, x, device=DEVICE) - wanted).square().mean())
    assert lost["gptq"] < 0.7 * lost["nearest"]
    assert lost["adaround"] < 0.7 * lost["nearest"]


def test_correcting_the_biases_saves_a_network_of_two_bits(trained, context, digits):
    found = [
        accuracy(
            quantized(trained, context, weight_bits=2, bias_correction=correct).network, digits
        )
        for correct in (False, True)
    ]
    assert found[1] > found[0] + 0.05


def test_sensitivity_spends_the_same_bits_where_they_help(trained, context, digits):
    compressed = quantized(
        trained, context, weight_bits=2, extra_bits=0.5, allocation="sensitivity"
    )
    assert compressed.notes[-1].startswith("quantization: bits stem 8, blocks.0.first ")
    bits = dict(
        pair.rsplit(" ", 1)
        for pair in compressed.notes[-1][len("quantization: bits ") :].split(", ")
    )
    free = [layer for layer in layers.weighted(trained) if layer.name not in ("stem", "classifier")]
    spent = sum(layer.num_weights * int(bits[layer.name]) for layer in free)
    assert spent <= 2.5 * sum(layer.num_weights for layer in free)
    assert len({bits[layer.name] for layer in free}) > 1


def test_refreshing_does_not_undo_a_rounding_that_saw_the_inputs(trained, context):
    compressed = quantized(trained, context, weight_bits=3, rounding="gptq")
    _, before = constraints.bake(compressed.network)
    constraints.refresh(compressed.network.module)
    _, after = constraints.bake(compressed.network)
    for name in before:
        np.testing.assert_array_equal(before[name].integers_OI, after[name].integers_OI)


def test_a_grid_per_tensor_folds_to_one_scale(trained, context):
    compressed = quantized(trained, context, weight_bits=4, granularity="tensor")
    _, stored = constraints.bake(compressed.network)
    for layer in layers.weighted(compressed.network):
        scale = stored[layer.name].scale * layers.norm_factor(layer).abs().numpy()
        np.testing.assert_allclose(scale, scale[0], rtol=1e-5)


@pytest.mark.parametrize("way", ["four bits", "gptq", "affine", "one bit", "learned"])
def test_masked_weights_stay_zero(way, trained, context):
    module = copy.deepcopy(trained.module)
    layer = module.blocks[1].first
    constraints.constrain(layer, Mask(layer.weight))
    compressed = quantized(replace(trained, module=module), context, **WAYS[way])
    zero = module.blocks[1].first.weight == 0
    _, stored = constraints.bake(compressed.network)
    assert zero.float().mean() > 0.4
    assert (stored["blocks.1.first"].integers_OI[zero.numpy()] == 0).all()


def test_a_layer_that_holds_integers_already_is_left_alone(trained, context):
    first = quantized(trained, context, weight_bits=2)
    second = quantization.apply(first, Quantization(weight_bits=8), context)
    assert all(len(constraints.on(layer.module)) == 1 for layer in layers.weighted(second.network))
    assert second.notes[-1] == (
        "quantization: no layer is left to put on a grid, the weights stay as they are"
    )


def test_excluded_layers_stay_float_and_unknown_patterns_are_refused(trained, context):
    compressed = quantized(trained, context, exclude="stem, blocks.0.*")
    _, stored = constraints.bake(compressed.network)
    assert "stem" not in stored
    assert not [name for name in stored if name.startswith("blocks.0.")]
    assert all(isinstance(weight, StoredWeight) for weight in stored.values())
    with pytest.raises(InvalidCandidate, match="'missing' matches no layer"):
        quantized(trained, context, exclude="missing")


def test_an_affine_grid_that_no_layer_can_have_is_said(trained, context):
    compressed = quantized(trained, context, scheme="affine")
    assert compressed.notes == (
        "quantization: an affine grid needs 2 to 7 bits, every layer is symmetric",
    )


def test_only_layers_below_eight_bits_learn_their_steps(trained, context):
    compressed = quantized(trained, context, weight_bits=4, training="lsq")
    learned = {
        layer.name: isinstance(constraints.on(layer.module)[0], LearnedStep)
        for layer in layers.weighted(compressed.network)
    }
    assert not learned["stem"]
    assert not learned["classifier"]
    assert sum(learned.values()) == len(learned) - 2


def test_a_weight_that_is_nan_is_refused(trained, context):
    module = copy.deepcopy(trained.module)
    with torch.no_grad():
        module.stem.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(NumericalError, match="NaN"):
        quantized(replace(trained, module=module), context)


def test_calibration_images_of_another_shape_are_refused(trained, digits):
    wrong = Images(x_NCHW=torch.zeros(5, 1, 9, 9), y_N=torch.zeros(5).long())
    context = TrialContext(
        data=replace(digits, train=wrong), device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    with pytest.raises(InvalidData, match="calibration needs at least one training image of shape"):
        quantized(trained, context)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight_bits": 0}, "greater than or equal to 1"),
        ({"weight_bits": 9}, "less than or equal to 8"),
        ({"granularity": "group"}, "needs activations 'float'"),
        (
            {"granularity": "group", "activations": "float", "scheme": "affine"},
            "one zero point per channel",
        ),
        ({"layer_bits": "conv1"}, "pairs like"),
        ({"weight_bits": 16}, "needs activations 'float'"),
        (
            {"weight_bits": 16, "activations": "float", "allocation": "sensitivity"},
            "needs allocation 'uniform'",
        ),
        ({"layer_bits": "conv1=9"}, "1 to 8 bits"),
        ({"layer_bits": "conv1=3, =2"}, "got '=2'"),
        ({"extra_bits": 0.5}, "allocation 'sensitivity'"),
        ({"extra_bits": 0.5, "allocation": "sensitivity"}, "more than 8 bits"),
    ],
)
def test_what_does_not_go_together_says_why(fields, message):
    with pytest.raises(ValidationError, match=message):
        Quantization.model_validate(fields)


def test_the_defaults_are_what_they_were():
    config = Quantization()
    assert (config.weight_bits, config.edges_8bit, config.calibration_images) == (8, True, 256)
    assert (config.activations, config.granularity, config.scheme) == (
        "int8",
        "channel",
        "symmetric",
    )
    assert (config.observer, config.activation_observer, config.rounding) == (
        "mse",
        "mse",
        "nearest",
    )
    assert config.has_effect
    assert Quantization.model_validate_json(config.model_dump_json()) == config


def test_affine_grids_are_for_widths_whose_distances_fit_the_kernel():
    config = Quantization(scheme="affine")
    assert [bits for bits in range(1, 9) if config.scheme_of(bits) == "affine"] == [
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    reduced = Quantization(scheme="affine", reduced_range=True)
    assert reduced.scheme_of(7) == "symmetric"
    assert reduced.scheme_of(6) == "affine"


@pytest.mark.parametrize("way", ["straight_through", "lsq", "noise", "uniform_noise", "none"])
def test_every_way_of_training_ends_on_the_grid(way, trained, context):
    compressed = quantized(trained, context, weight_bits=2, training=way)
    plan = loop.TrainingPlan(epochs=1, seed=0, batch_size=64, learning_rate=0.02)
    network, _ = loop.fit(
        compressed.network, context.data.train, plan, device=DEVICE, task=IMAGE_CLASSIFICATION
    )
    baked, stored = constraints.bake(network)
    assert levels(stored)["blocks.1.first"] == 3
    held = baked.module.get_submodule("blocks.1.first").weight.detach().numpy()
    np.testing.assert_array_equal(stored["blocks.1.first"].values(), held)
