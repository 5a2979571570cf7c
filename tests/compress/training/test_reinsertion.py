"""BatchNorm comes back where a file has folded it, and changes no answer."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.network import folding
from compress.network.graph.view.module import GraphModule
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
