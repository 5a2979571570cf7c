from __future__ import annotations

import pytest
import torch

from compress.export import activation_calibration, writer
from compress.export.placement import quantized_tensors
from compress.network import folding
from compress.tasks.images import Images
from compress.training import calibration as observation
from compress.values.errors import InvalidData, NumericalError


def sample(images, *, num_images):
    return observation.sample(images, num_images=num_images, input_shape=(1, 8, 8))


def on_grids(graph):
    """Names of the activations on a grid when every layer multiplies integers."""
    weighted = [node.output[0] for node in graph.graph.node if node.op_type in ("Conv", "Gemm")]
    return quantized_tensors(graph, integer=frozenset(weighted))


def test_a_sample_is_spread_over_the_split_and_always_the_same(digits):
    first, again = (sample(digits.train, num_images=100) for _ in range(2))
    assert first.shape == (100, 1, 8, 8)
    assert torch.equal(first, again)
    assert torch.equal(first[0], digits.train.x_NCHW[0])
    assert torch.equal(first[-1], digits.train.x_NCHW[-1])


def test_a_sample_of_more_than_there_is_takes_every_image_once(digits):
    assert torch.equal(sample(digits.test, num_images=4096), digits.test.x_NCHW)


def test_ranges_are_those_of_the_torch_network(trained, digits):
    x = sample(digits.train, num_images=70)
    folded, _ = folding.fold(trained, {})
    graph = writer.float_graph(folded)
    names = on_grids(graph)
    ranges = activation_calibration.collect(graph, tensors=names, x_NCHW=x)

    mean, std = trained.normalisation.mean[0], trained.normalisation.std[0]
    normalised = (x.float() / 16 - mean) / std
    stem = torch.relu(trained.module.stem_norm(trained.module.stem(normalised))).detach()
    for name, expected in zip(names[:2], (normalised, stem), strict=True):
        assert ranges[name].low == pytest.approx(float(expected.min()), abs=1e-4)
        assert ranges[name].high == pytest.approx(float(expected.max()), abs=1e-4)


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (5, 3, 8, 8), (5, 1, 9, 8), (5, 64)])
def test_images_of_another_shape_are_refused(trained, shape):
    graph = writer.float_graph(trained)
    with pytest.raises(InvalidData, match="calibration needs images of shape"):
        activation_calibration.collect(graph, tensors=on_grids(graph), x_NCHW=torch.zeros(shape))


def test_no_training_images_are_refused(digits):
    with pytest.raises(InvalidData, match="at least one"):
        sample(Images(x_NCHW=digits.train.x_NCHW[:0], y_N=digits.train.y_N[:0]), num_images=16)


def test_an_image_with_nan_is_refused(trained, digits):
    x = digits.train.x_NCHW[:20].float()
    x[3, 0, 0, 0] = torch.nan
    graph = writer.float_graph(trained)
    with pytest.raises(NumericalError, match="not finite"):
        activation_calibration.collect(graph, tensors=on_grids(graph), x_NCHW=x)
