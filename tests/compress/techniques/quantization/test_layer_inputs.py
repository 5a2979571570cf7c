from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from compress.network import layers
from compress.network.layers import WeightedLayer
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.quantization import layer_inputs
from compress.training.context import TrialContext
from compress.values.errors import InvalidData, NumericalError
from tests.devices import DEVICE


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_moments_are_means_over_all_images_in_batches_of_any_size():
    module = nn.Linear(3, 2)
    x = images(70, 3)
    found = [WeightedLayer(name="layer", module=module, norm=None)]
    moments = layer_inputs.second_moments(module, found, x)
    torch.testing.assert_close(moments["layer"], (x.T @ x / 70)[None])


def test_moments_of_many_columns_are_taken_at_equal_distances():
    module = nn.Conv2d(1, 2, 1)
    x = images(40, 1, 32, 32)
    found = [WeightedLayer(name="layer", module=module, norm=None)]
    moment = layer_inputs.second_moments(module, found, x)["layer"]
    assert float(moment) == pytest.approx(float(x.square().mean()), rel=0.05)


def test_an_input_that_is_not_finite_is_refused():
    module = nn.Linear(3, 2)
    found = [WeightedLayer(name="fc", module=module, norm=None)]
    with pytest.raises(NumericalError, match="layer fc is not finite"):
        layer_inputs.second_moments(module, found, torch.full((2, 3), torch.inf))


def test_images_are_prepared_and_of_the_networks_shape(trained, digits):
    context = TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    x = layer_inputs.calibration_images(trained, context, num_images=32)
    assert x.shape == (32, 1, 8, 8)
    mean, std = trained.normalisation.mean[0], trained.normalisation.std[0]
    first = (digits.train.x_NCHW[0].float() / 16 - mean) / std
    torch.testing.assert_close(x[0].cpu(), first)
    assert layers.weighted(trained)


def test_images_of_another_shape_are_refused(trained, digits):
    wrong = Images(x_NCHW=torch.zeros(5, 3, 8, 8), y_N=torch.zeros(5).long())
    context = TrialContext(
        data=replace(digits, train=wrong), device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    with pytest.raises(InvalidData, match=r"shape \(1, 8, 8\), got 5 of shape \(3, 8, 8\)"):
        layer_inputs.calibration_images(trained, context, num_images=32)


def test_no_images_are_refused(trained, digits):
    nothing = Images(x_NCHW=torch.zeros(0, 1, 8, 8), y_N=torch.zeros(0).long())
    context = TrialContext(
        data=replace(digits, train=nothing), device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    with pytest.raises(InvalidData, match="at least one"):
        layer_inputs.calibration_images(trained, context, num_images=32)
