"""BatchNorm comes back where a file has folded it, and changes no answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.network import folding
from compress.network.graph.shapes import bind
from compress.network.graph.view.absorbing import absorb
from compress.network.graph.view.module import GraphModule
from compress.network.signature import BATCH
from compress.tasks import registry
from compress.training import loop
from compress.training.loop import TrainingPlan
from compress.training.reinsertion import reinserted
from tests.compress.networks import Separable, seeded
from tests.compress.uploads import network_of, pictures, uploaded

CPU = torch.device("cpu")


def norms(network):
    return [
        name for name, part in network.module.named_modules() if isinstance(part, nn.BatchNorm2d)
    ]


def answers(network, x_NCHW):
    with torch.no_grad():
        return network.module(x_NCHW).numpy()


@pytest.mark.parametrize("name", ["cnn", "depthwise", "residual"])
def test_a_folded_network_answers_alike_with_its_norms_back(name):
    data = pictures()
    folded = network_of(uploaded(name, folded=True))
    found = reinserted(folded, data.train, device=CPU)
    assert norms(folded) == []
    assert len(norms(found)) > 1
    expected = answers(folded, data.validation.x_NCHW)
    np.testing.assert_allclose(
        answers(found, data.validation.x_NCHW), expected, atol=1e-5 * np.ptp(expected)
    )
    assert found.signature == folded.signature


def test_gates_of_one_position_get_no_norm():
    found = reinserted(network_of(uploaded("depthwise", folded=True)), pictures().train, device=CPU)
    assert not any("squeeze" in name or "excite" in name for name in norms(found))


def test_layers_keep_their_names_and_norms_are_called_after_them():
    data = pictures()
    folded = network_of(uploaded("cnn", folded=True))
    found = reinserted(folded, data.train, device=CPU)
    layers = {name for name, part in folded.module.named_modules() if isinstance(part, nn.Conv2d)}
    assert {f"{name}_norm" for name in layers} == set(norms(found))
    assert layers <= {name for name, _ in found.module.named_modules()}


def test_norms_see_what_their_statistics_say_and_fold_away_again():
    data = pictures()
    folded = network_of(uploaded("residual", folded=True))
    found = reinserted(folded, data.train, device=CPU)
    back, _ = folding.fold(found, {})
    assert norms(back) == []
    expected = answers(folded, data.validation.x_NCHW)
    np.testing.assert_allclose(
        answers(back, data.validation.x_NCHW), expected, atol=1e-5 * np.ptp(expected)
    )


def lengths(network):
    """Of the filters of each convolution, on average."""
    layers = dict(network.module.named_modules()).items()
    weights = {name: part.weight for name, part in layers if isinstance(part, nn.Conv2d)}
    return {name: float(w.detach().flatten(1).norm(dim=1).mean()) for name, w in weights.items()}


def reading_pixels(network):
    """The same network for inputs 255 times as large: its first weights are as much smaller."""
    graph = absorb(network.module, network.module.program)
    weight = next(node for node in graph.nodes if node.op == "Conv").inputs[1]
    tensors = {**graph.tensors, weight: graph.tensors[weight] / np.float32(255)}
    scaled = replace(graph, tensors=tensors)
    return replace(network, module=GraphModule(scaled, bind(scaled, {BATCH: 2})))


def test_filters_get_the_usual_length_whatever_folding_has_left_of_them():
    data = pictures()
    pixels = replace(data.train, x_NCHW=data.train.x_NCHW.float() * 255)
    folded = reading_pixels(network_of(uploaded("residual", folded=True)))
    assert min(lengths(folded).values()) < 0.1
    found = reinserted(folded, pixels, device=CPU)
    assert all(1.4 < length < 2.9 for length in lengths(found).values())
    expected = answers(folded, pixels.x_NCHW)
    np.testing.assert_allclose(
        answers(found, pixels.x_NCHW), expected, atol=1e-5 * np.ptp(expected)
    )


def test_a_step_turns_no_layer_of_a_network_that_reads_pixels_around():
    """It reads 0 to 255: without the usual length, its first layer was lost in one step."""
    data = pictures()
    pixels = replace(data.train, x_NCHW=data.train.x_NCHW.float() * 255)
    folded = reading_pixels(network_of(uploaded("residual", folded=True)))
    found = reinserted(folded, pixels, device=CPU)
    plan = TrainingPlan(epochs=1, seed=0, batch_size=32, learning_rate=0.02, precision="fp32")
    trained, _ = loop.fit(
        found, pixels, plan, task=registry.TASKS["image_classification"], device=CPU
    )
    before, after = (n.module.state_dict() for n in (found, trained))
    for name in lengths(found):
        one, other = before[f"{name}.weight"].flatten(), after[f"{name}.weight"].flatten()
        assert float(nn.functional.cosine_similarity(one, other, dim=0)) > 0.9


def test_networks_with_norms_and_networks_of_other_sources_stay_as_they_are():
    data = pictures()
    kept, other = network_of(uploaded("residual")), seeded(Separable)
    assert reinserted(kept, data.train, device=CPU) is kept
    assert reinserted(other, data.train, device=CPU) is other


def test_a_network_with_its_norms_back_learns():
    data = pictures()
    folded = network_of(uploaded("residual", folded=True))
    found = reinserted(folded, data.train, device=CPU)
    assert isinstance(found.module, GraphModule)
    plan = TrainingPlan(epochs=16, seed=0, batch_size=32, learning_rate=0.1, precision="fp32")
    _, report = loop.fit(
        found, data.train, plan, task=registry.TASKS["image_classification"], device=CPU
    )
    assert report.loss < 0.3
