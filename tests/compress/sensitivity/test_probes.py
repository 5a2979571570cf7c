"""Probes: their mathematics, what matters shows, and what a cap leaves."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.network.network import Network
from compress.sensitivity import probes
from compress.sensitivity.probes import ProbeRequest
from compress.sensitivity.rounds import ROUNDS
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import batchnorm, inference
from compress.values.errors import InvalidData, NumericalError, Stopped
from tests.compress.applying import applied, context_of, quantized
from tests.compress.networks import imported
from tests.devices import DEVICE


def wanted(**changes):
    fields = {
        "images": 128,
        "allowed_seconds": None,
        "weights_sha256": "0" * 64,
        "data_sha256": "1" * 64,
    }
    return ProbeRequest(**(fields | changes))


def probe(network, digits, *, clock=time.perf_counter, **changes):
    return probes.probe(
        network, context_of(digits), wanted(**changes), on_progress=lambda share: None, clock=clock
    )


def damages(parts, key):
    return {getattr(part, key): [point.damage for point in part.points] for part in parts}


def test_the_divergence_of_two_known_distributions():
    own = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    other = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
    by_hand = 0.5 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert probes.divergence(own, other) == pytest.approx(by_hand, rel=1e-5)
    assert probes.divergence(own, own) == 0.0


def test_a_divergence_is_bounded_and_never_of_numbers_that_are_not_finite():
    far = torch.tensor([[1e30, -1e30]])
    assert probes.divergence(far, -far) == 1e6
    with pytest.raises(NumericalError, match="not finite"):
        probes.divergence(torch.zeros(1, 2), torch.tensor([[math.nan, 0.0]]))


def test_every_layer_stage_and_group_is_probed_and_fewer_bits_do_more(profile):
    assert profile.is_complete
    assert profile.accuracy > 0.9
    assert profile.layers[0].name == "stem"
    bits = sorted(r.bits for r in ROUNDS if r.bits)
    assert all([p.bits for p in layer.points] == bits for layer in profile.layers)
    assert all(layer.points[0].damage > 10 * layer.points[-1].damage for layer in profile.layers)
    assert all(len(stage.points) == 4 for stage in profile.stages)
    assert all(len(group.points) == 3 for group in profile.groups)


def test_the_same_network_and_training_images_give_the_same_damages(profile, trained, digits):
    before = {name: tensor.clone() for name, tensor in trained.module.state_dict().items()}
    again = probe(trained, replace(digits, validation=digits.test, test=None))
    assert again.layers == profile.layers
    assert again.stages == profile.stages
    assert again.groups == profile.groups
    after = trained.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_layers_know_the_stages_that_decide_their_sizes(profile):
    ends = {layer.name: (layer.reads, layer.writes) for layer in profile.layers}
    assert ends["stem"][0] is None
    assert ends["classifier"][1] is None
    inner = {end for name, end in ends.items() if name not in ("stem", "classifier")}
    assert all(None not in end for end in inner)
    assert {layer.name: layer.weights for layer in profile.layers}["stem"] == 9 * 16
    assert {layer.name: layer.macs for layer in profile.layers}["stem"] == 9 * 16 * 64


class Sum(nn.Module):
    """Two branches of mirrored layers, of which the logits hear one a thousand times louder."""

    def __init__(self):
        super().__init__()
        self.loud, self.quiet = (nn.Conv2d(1, 8, 3, padding=1, bias=False) for _ in range(2))
        self.quiet.weight.data.copy_(self.loud.weight.data.flip(3))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        loud, quiet = (conv(x).relu().mean((2, 3)) for conv in (self.loud, self.quiet))
        return self.head(10.0 * loud + 0.01 * quiet)


def test_a_layer_that_matters_shows_more_damage_than_one_that_does_not(digits, trained):
    torch.manual_seed(0)
    network = imported(replace(trained, module=Sum().eval()))
    found = damages(probe(network, digits).layers, "name")
    assert all(a > 100 * b for a, b in zip(found["loud"][:3], found["quiet"][:3], strict=True))


def answers(network, digits, found):
    """Divergence of another network's answers on the images that were probed."""
    rows = torch.linspace(0, len(digits.train) - 1, found.images, dtype=torch.float64).round()
    x = digits.train.x_NCHW[rows.long()]
    own, other = (inference.logits(n, x, device=DEVICE) for n in network)
    return probes.divergence(own, other)


@pytest.mark.parametrize("bits", [2, 8])
def test_the_damage_of_a_layer_is_that_of_quantizing_it_alone(
    profile, compressed, trained, digits, bits
):
    [layer] = [layer for layer in profile.layers if layer.name == "blocks.1.second"]
    others = ",".join(other.name for other in profile.layers if other is not layer)
    alone = quantized(
        compressed, digits, weight_bits=bits, exclude=others, activations="float",
        edges_8bit=False, bias_correction=False,
    )  # fmt: skip
    [point] = [point for point in layer.points if point.bits == bits]
    expected = answers((trained, alone.network), digits, profile)
    assert point.damage == pytest.approx(expected, rel=1e-3)


def test_the_damage_of_a_stage_is_that_of_pruning_it_alone(profile, compressed, trained, digits):
    alone = applied(compressed, digits, technique="filter_pruning", ratios=(0.0, 0.5, 0.0, 0.0))
    rows = torch.linspace(0, len(digits.train) - 1, profile.images, dtype=torch.float64).round()
    seen = Images(x_NCHW=digits.train.x_NCHW[rows.long()], y_N=digits.train.y_N[rows.long()])
    fresh = batchnorm.reestimate(
        alone.network, seen, device=DEVICE, like=trained, task=IMAGE_CLASSIFICATION
    )
    [point] = [point for point in profile.stages[1].points if point.ratio == 0.5]
    assert point.damage == pytest.approx(answers((trained, fresh), digits, profile), rel=1e-3)


def test_entropy_is_the_bits_that_a_symbol_needs():
    assert probes.entropy(np.array([[3, 3], [3, 3]], np.int8)) == 0.0
    assert probes.entropy(np.array([-1, 0, 1, 2], np.int8)) == 2.0
    assert probes.entropy(np.array([0, 0, 0, 1], np.int8)) == pytest.approx(0.811278)


def test_a_layer_says_what_its_weights_take_in_a_file(profile):
    for layer in profile.layers:
        taken = [point.coded for point in layer.points]
        assert taken == sorted(taken)
        assert all(0.6 * p.bits < p.coded <= p.bits for p in layer.points if p.bits > 1)


def test_a_cap_leaves_the_coarse_values_everywhere_first(profile, trained, digits):
    seconds = itertools.count()
    first = len(profile.layers) + len(profile.stages)
    cut = probe(trained, digits, clock=lambda: float(next(seconds)), allowed_seconds=first + 2)
    assert (cut.probes, cut.planned, cut.is_complete) == (first + 1, profile.planned, False)
    numbers = Counter(len(layer.points) for layer in cut.layers)
    assert numbers == {1: len(cut.layers)}
    assert all([p.bits for p in layer.points] == [4] for layer in cut.layers)
    assert [[p.ratio for p in stage.points] for stage in cut.stages] == [[0.5, 0.75], [0.5], [0.5]]
    assert all(group.points == () for group in cut.groups)


def test_no_time_at_all_leaves_a_document_without_a_point(trained, digits):
    cut = probe(trained, digits, allowed_seconds=0.0)
    assert (cut.probes, cut.is_complete) == (0, False)
    assert all(layer.points == () for layer in cut.layers)
    assert len(cut.stages) == 3


def test_progress_is_told_and_a_request_to_stop_is_heeded(trained, digits):
    told: list[float] = []
    context = replace(context_of(digits), should_stop=lambda: len(told) >= 3)
    with pytest.raises(Stopped, match="profile: stopped after 3 of"):
        probes.probe(trained, context, wanted(images=32), on_progress=told.append)
    assert told == sorted(told)


def test_fewer_training_images_than_asked_for_are_all_used(trained, digits):
    few = Images(x_NCHW=digits.train.x_NCHW[:20], y_N=digits.train.y_N[:20])
    seconds = itertools.count()
    found = probe(
        trained,
        replace(digits, train=few),
        clock=lambda: float(next(seconds)),
        allowed_seconds=3.0,
    )
    assert (found.images, found.is_complete) == (20, False)
    assert found.probes > 0
    hits = inference.logits(trained, few.x_NCHW, device=DEVICE).argmax(1) == few.y_N
    assert found.accuracy == pytest.approx(float(hits.float().mean()))


def test_images_that_do_not_fit_are_refused(digits, trained):
    network = Network(
        module=trained.module,
        normalisation=trained.normalisation,
        input_shape=(1, 16, 16),
        num_classes=10,
    )
    with pytest.raises(InvalidData, match="training image of shape"):
        probe(network, digits)
