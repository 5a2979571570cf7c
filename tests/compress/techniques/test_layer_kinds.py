"""Networks with layers of every kind on their whole way: each technique, a file, its answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress import pipeline
from compress.evaluation import runtime
from compress.export import counting, parity, writer
from compress.network import folding, layers
from compress.network.sources.onnx import outline
from compress.network.structure import channels
from compress.network.structure.narrowing import Narrowing
from compress.sensitivity.probes import ProbeRequest, probe
from compress.tasks import registry
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.quantization.config import Quantization
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints, loop
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan
from tests.compress.techniques.layer_kinds import KINDS, Tied, made, network
from tests.compress.uploads import pictures
from tests.devices import DEVICE

TASK = registry.TASKS["image_classification"]
OF_WEIGHTS = {
    "zeros": (Sparsity(sparsity=0.7, criterion="wanda", scope="global"),),
    "codebooks": (WeightSharing(index_bits=2, weighting="activation"),),
    "integer kernels": (Quantization(),),
    "4 bits": (Quantization(weight_bits=4, activations="float", equalise=True),),
    "3 bits that look at inputs": (
        Quantization(weight_bits=3, activations="float", rounding="gptq", granularity="group"),
    ),
    "bits where they help": (
        Quantization(weight_bits=4, activations="float", allocation="sensitivity"),
    ),
    "16 bits": (Quantization(weight_bits=16, activations="float"),),
}
OTHERS = {
    "fewer channels": (FilterPruning(scope="uniform", ratio=0.4),),
    "fewer channels, as seen": (FilterPruning(scope="global", ratio=0.3, importance="activation"),),
    "thinner layers": (LowRank(energy=0.7),),
    "all together": (
        FilterPruning(scope="global", ratio=0.3),
        Sparsity(sparsity=0.3),
        Quantization(),
    ),
}


@pytest.fixture(scope="module")
def data():
    return pictures(96)


@pytest.fixture(scope="module", params=KINDS)
def trained(request, data):
    """A network that has learned its classes."""
    plan = TrainingPlan(epochs=6, seed=0, batch_size=32, learning_rate=0.05, precision="fp32")
    whole = network(request.param)
    return loop.fit(whole, data.train, plan, task=TASK, device=DEVICE)[0]


@pytest.fixture(scope="module")
def whole_file(trained, data, tmp_path_factory):
    """The file of the network as it is."""
    return written(trained, (), data, tmp_path_factory.mktemp("whole"))[1]


def written(network, steps, data, folder):
    context = TrialContext(task=TASK, data=data, device=DEVICE, seed=0)
    started = pipeline.start(network, Candidate(steps=steps), context)
    recovered = pipeline.recover(started, context, epochs=1)
    return recovered, writer.write(recovered, folder, data=data, task=TASK)


def assert_answers_right(recovered, artifact, data, *, in_integers):
    baked, _ = constraints.bake(recovered.network)
    x_NCHW = data.validation.x_NCHW
    plain = replace(baked, module=baked.module.cpu().eval())
    expected_NK = parity.torch_logits(plain, x_NCHW)
    found_NK = runtime.answers(runtime.session(artifact.path), x_NCHW, signature=artifact.signature)
    if in_integers:
        assert (found_NK.argmax(1) == expected_NK.argmax(1)).mean() > 0.8
    else:
        np.testing.assert_allclose(found_NK, expected_NK, atol=2e-3 * np.ptp(expected_NK))


def has_integers(steps):
    return any(isinstance(each, Quantization) and each.activations == "int8" for each in steps)


@pytest.mark.cross("trained", "steps")
@pytest.mark.parametrize("steps", OF_WEIGHTS)
def test_what_works_on_weights_reaches_every_layer(trained, whole_file, data, steps, tmp_path):
    recovered, artifact = written(trained, OF_WEIGHTS[steps], data, tmp_path)
    assert_answers_right(recovered, artifact, data, in_integers=has_integers(OF_WEIGHTS[steps]))
    named = [f"{layer.name} (" for layer in layers.weighted(trained)]
    assert not [note for note in recovered.notes if any(name in note for name in named)]
    assert not any("not stored as asked" in note for note in artifact.notes)
    assert artifact.parameters == whole_file.parameters
    assert artifact.size_bytes < 0.75 * whole_file.size_bytes


@pytest.mark.cross("trained", "steps")
@pytest.mark.parametrize("steps", OTHERS)
def test_what_works_on_channels_goes_on_working(trained, whole_file, data, steps, tmp_path):
    recovered, artifact = written(trained, OTHERS[steps], data, tmp_path)
    assert_answers_right(recovered, artifact, data, in_integers=has_integers(OTHERS[steps]))
    assert artifact.size_bytes < whole_file.size_bytes


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_what_a_network_counts_without_channels_is_known_before(trained, share):
    described = outline(trained)
    assert described.channels is not None
    narrowing = Narrowing(described, described.channels)
    if not described.channels.is_counted:
        pytest.skip("an attention multiplies activations, which are of no layer")
    groups = described.channels.groups
    kept = {g.root: g.sections * max(1, int(g.num_channels // g.sections * share)) for g in groups}
    counted = narrowing.without(kept)
    smaller = channels.keep(trained, kept, lambda group: torch.rand(group.num_channels))
    assert narrowing.is_exact
    left = outline(smaller).layers
    assert counted.weights_L.tolist() == [math.prod(layer.weight_shape) for layer in left]
    assert counted.macs_L.tolist() == [layer.macs for layer in left]
    folded, _ = folding.fold(replace(smaller, module=smaller.module.eval()), {})
    in_file = counting.count(writer.float_graph(folded))
    assert (counted.parameters, counted.macs) == (in_file.parameters, in_file.macs)


def test_the_outline_lists_the_layers_that_techniques_find(trained, whole_file):
    described = outline(trained)
    found = layers.weighted(trained)
    viewed = {each.name: each for each in described.layers if each.has_view}
    assert [each.name for each in found] == list(viewed)
    for layer in found:
        assert viewed[layer.name].weight_shape == tuple(layers.latent(layer.module).shape)
    in_layers = sum(each.macs for each in described.layers)
    assert described.channels is not None
    assert (in_layers == whole_file.macs) == described.channels.is_counted


def test_a_pattern_of_zeros_holds_no_inputs_together_with_states(data):
    gates = network("lstm")
    steps = (Sparsity(pattern="1:2"),)
    context = TrialContext(task=TASK, data=data, device=DEVICE, seed=0)
    masked = pipeline.start(gates, Candidate(steps=steps), context).network.module
    for name, sizes in (("first.LSTM", [48, 12]), ("second.LSTM", [24, 10])):
        mask = masked.get_buffer(f"{name}.parametrizations.weight.0.mask")
        for part in mask.split(sizes, dim=1):
            assert bool((part.unflatten(1, (-1, 2)).sum(2) == 1).all())
    odd = pipeline.start(gates, Candidate(steps=(Sparsity(pattern="1:4"),)), context)
    assert any("of second.LSTM (2), head (10), left dense" in note for note in odd.notes)


def test_a_table_that_is_a_weight_too_keeps_its_floats_and_is_named(data):
    tied = made(Tied)
    [table] = [p for p in tied.module.modules() if isinstance(p, nn.Embedding)]
    [head] = [
        p for p in tied.module.modules() if isinstance(p, nn.Linear) and p.weight is table.weight
    ]
    assert head.weight is table.weight
    context = TrialContext(task=TASK, data=data, device=DEVICE, seed=0)
    steps = (Quantization(weight_bits=4, activations="float"),)
    started = pipeline.start(tied, Candidate(steps=steps), context)
    assert any("(Embedding, " in note for note in started.notes)
    [row] = [each for each in outline(tied).layers if each.kind == "embedding"]
    assert not row.has_view


def test_every_layer_is_probed(trained, data):
    context = TrialContext(task=TASK, data=data, device=DEVICE, seed=0)
    wanted = ProbeRequest(
        images=8, allowed_seconds=None, weights_sha256="0" * 64, data_sha256="1" * 64
    )
    found = probe(trained, context, wanted, on_progress=lambda _: None)
    described = outline(trained)
    assert described.channels is not None
    by_name = {each.name: each for each in described.layers}
    for layer in found.layers:
        assert layer.points
        assert layer.weights == math.prod(by_name[layer.name].weight_shape)
        assert layer.macs == by_name[layer.name].macs or not described.channels.is_counted
