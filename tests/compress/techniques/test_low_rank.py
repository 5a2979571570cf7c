from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from compress import delivery, pipeline
from compress.export import writer
from compress.network import folding, layers
from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.targets.portable import PORTABLE
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.low_rank import factorisation, thinner
from compress.techniques.low_rank.apply import apply
from compress.techniques.low_rank.config import LowRank
from compress.techniques.low_rank.factorisation import RankTarget
from compress.techniques.sparsity.apply import apply as sparsify
from compress.techniques.sparsity.config import Sparsity
from compress.training import constraints, loop
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, InvalidData, NumericalError
from tests.compress.network.families.drawn import made
from tests.devices import DEVICE

ALL = RankTarget(energy=1.0)


@pytest.fixture
def context(digits):
    return TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def decompose(method, weight, wanted, moments=None):
    if method == "channel":
        return factorisation.channel(weight, wanted, answers_OO=moments)
    if method == "spatial":
        return factorisation.spatial(weight, wanted, columns_II=moments)
    return factorisation.tucker2(weight, wanted, inputs_CC=moments)


def num_weights(compressed):
    return sum(layer.num_weights for layer in layers.weighted(compressed.network))


@pytest.mark.parametrize("method", ["channel", "spatial", "tucker2"])
@pytest.mark.parametrize("stride", [1, 2])
def test_factors_of_full_rank_answer_like_the_convolution(method, stride):
    layer = nn.Conv2d(6, 8, (3, 5), stride=(stride, 1), padding=(1, 4), dilation=(1, 2)).eval()
    factors = decompose(method, layer.weight.detach().double(), ALL)
    row = thinner.build(layer, factors, bias=layer.bias)
    x = random(2, 6, 9, 11).float()
    torch.testing.assert_close(row(x), layer(x), atol=1e-5, rtol=1e-5)
    assert factors.lost == pytest.approx(0, abs=1e-9)
    assert layers.latent(row.last).dtype == torch.float32


def test_factors_of_full_rank_answer_like_the_linear_layer():
    layer = nn.Linear(6, 4)
    factors = decompose("channel", layer.weight.detach().double(), ALL)
    x = random(3, 6).float()
    torch.testing.assert_close(thinner.build(layer, factors, bias=layer.bias)(x), layer(x))


def test_the_rank_is_the_smallest_that_keeps_the_energy():
    energies = torch.tensor([6.0, 3.0, 1.0, 0.0])
    ranks = [RankTarget(energy=e).rank(energies, 5) for e in (0.1, 0.6, 0.61, 0.9, 0.95, 1.0)]
    assert ranks == [1, 1, 2, 2, 3, 3]
    assert RankTarget(energy=1.0, most_weights=14).rank(energies, 5) == 2
    assert RankTarget(energy=1.0, most_weights=1).rank(energies, 5) == 1


def test_a_matrix_of_rank_two_is_found_to_be_one():
    weight = random(9, 2) @ random(2, 7, seed=1)
    factors = decompose("channel", weight, RankTarget(energy=1.0 - 1e-9))
    assert [tuple(w.shape) for w in factors.weights] == [(2, 7), (9, 2)]
    torch.testing.assert_close(factors.weights[1] @ factors.weights[0], weight)


@pytest.mark.parametrize("method", ["channel", "spatial", "tucker2"])
@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99])
def test_what_is_lost_is_the_squared_error_and_no_more_than_allowed(method, energy):
    weight = random(12, 10, 3, 3)
    factors = decompose(method, weight, RankTarget(energy=energy))
    layer = nn.Conv2d(10, 12, 3, bias=False)
    row = thinner.build(layer.double(), factors, bias=None)
    # The answers to unit impulses are the weight itself.
    impulses = torch.eye(90, dtype=torch.float64).reshape(90, 10, 3, 3)
    answers = row(impulses).detach().reshape(90, 12).T.reshape(weight.shape)
    error = (answers - weight).square().sum() / weight.square().sum()
    assert factors.lost == pytest.approx(float(error), rel=1e-4, abs=1e-6)
    assert factors.lost <= 1 - energy + 1e-9


def test_knowing_the_inputs_makes_the_same_rank_lose_less_on_them():
    weight = random(8, 6, 3, 3)
    mix = random(6, 6, seed=2) * torch.logspace(0, -2, 6)[:, None]
    x = torch.einsum("bchw,cd->bdhw", random(64, 6, 8, 8, seed=3), mix).contiguous()
    layer = nn.Conv2d(6, 8, 3, bias=False).double()
    layer.weight.data.copy_(weight)
    wanted = RankTarget(energy=1.0, most_weights=weight.numel() // 2)
    rows_NC = x.movedim(1, -1).flatten(0, -2)
    columns = nn.functional.unfold(x, (3, 1)).movedim(1, -1).flatten(0, -2)
    answers = layer(x).detach().movedim(1, -1).flatten(0, -2)
    for method, seen in (("channel", answers), ("spatial", columns), ("tucker2", rows_NC)):
        errors = []
        for moments in (None, seen.T @ seen):
            row = thinner.build(layer, decompose(method, weight, wanted, moments), bias=None)
            errors.append(float((row(x) - layer(x)).detach().square().sum()))
        assert errors[1] < 0.8 * errors[0], method


def test_energy_makes_the_network_smaller_step_by_step(compressed, context, digits):
    sizes, kept = [num_weights(compressed)], []
    for energy in (0.95, 0.8, 0.5):
        thin = apply(compressed, LowRank(energy=energy), context)
        sizes.append(num_weights(thin))
        kept.append(
            loop.evaluate(thin.network, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION)
        )
    assert sizes == sorted(set(sizes), reverse=True)
    assert kept[0] > 0.9


@pytest.mark.parametrize("method", ["auto", "channel", "spatial", "tucker2"])
@pytest.mark.parametrize("weighting", ["none", "activation"])
def test_a_size_ratio_bounds_every_replaced_layer(compressed, context, method, weighting):
    config = LowRank(energy=1.0, size_ratio=0.5, method=method, weighting=weighting)
    thin = apply(compressed, config, context)
    before = layers.by_name(layers.weighted(compressed.network))
    replaced = 0
    for name, layer in before.items():
        part = thin.network.module.get_submodule(name)
        if isinstance(part, nn.Sequential):
            held = sum(p.numel() for n, p in part.named_parameters() if n.endswith("weight"))
            assert held <= 0.5 * layer.num_weights
            replaced += 1
    assert replaced >= 5


def test_batchnorm_stays_behind_the_last_factor_and_names_lead_to_the_factors(compressed, context):
    thin = apply(compressed, LowRank(energy=1.0, size_ratio=0.5, method="tucker2"), context)
    found = layers.by_name(layers.weighted(thin.network))
    inner = thin.network.module.blocks[1].first
    assert [name for name, _ in inner.named_children()] == ["first", "core", "last"]
    assert found["blocks.1.first.last"].norm is thin.network.module.blocks[1].first_norm
    assert found["blocks.1.first.core"].norm is None
    assert inner.core.stride == (2, 2)
    assert inner.first.stride == inner.last.stride == (1, 1)


def test_factors_export_with_batchnorm_folded_into_the_last_one(
    compressed, context, digits, tmp_path
):
    thin = apply(compressed, LowRank(energy=0.9), context)
    plain = writer.write(compressed, tmp_path, data=digits, name="plain", task=IMAGE_CLASSIFICATION)
    artifact = writer.write(thin, tmp_path, data=digits, name="thin", task=IMAGE_CLASSIFICATION)
    assert artifact.size_bytes < plain.size_bytes
    graph = writer.float_graph(folding.fold(thin.network, {})[0]).graph
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(weighted) == len(layers.weighted(thin.network))


def test_layers_that_would_not_shrink_stay_whole_and_are_named(compressed, context):
    thin = apply(compressed, LowRank(energy=0.9999, weighting="none"), context)
    assert num_weights(thin) <= num_weights(compressed)
    assert any("these stay whole" in note for note in thin.notes)


def test_grouped_convolutions_stay_whole_and_are_named(compressed, context):
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(128, 10)
    ).eval()
    grouped = compressed.evolve(network=replace(compressed.network, module=module))
    thin = apply(grouped, LowRank(energy=0.5), context)
    assert thin.notes[0] == (
        "low_rank: only linear layers, tables and ungrouped convolutions of two axes have factors, "
        "not: 1"
    )
    assert isinstance(thin.network.module[1], nn.Conv2d)
    assert isinstance(thin.network.module[3], nn.Sequential)


def test_a_bias_takes_over_the_mean_that_a_projection_loses(compressed, context, digits):
    thin = apply(compressed, LowRank(energy=0.6, exclude="stem, blocks*"), context)
    x = (digits.train.x_NCHW.float() / 16 - 0.3053) / 0.3760
    rows = torch.linspace(0, len(x) - 1, 128, dtype=torch.float64).round().long()
    with torch.no_grad():
        means = [c.network.module(x[rows]).mean(0) for c in (compressed, thin)]
    assert isinstance(thin.network.module.classifier, nn.Sequential)
    torch.testing.assert_close(means[0], means[1], atol=1e-4, rtol=1e-4)


def test_the_input_stays_untouched_and_the_same_comes_out_twice(compressed, context):
    before = deepcopy(compressed.network.module.state_dict())
    state = torch.random.get_rng_state()
    once, twice = (apply(compressed, LowRank(), context).network.module for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    pairs = zip(once.state_dict().items(), twice.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for (_, a), b in pairs)
    after = compressed.network.module.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in before)


def test_having_nothing_to_do_is_noted(compressed, context):
    same = apply(compressed, LowRank(energy=1.0), context)
    assert same.network is compressed.network
    assert "every layer stays whole" in same.notes[0]
    assert not LowRank(energy=1.0).has_effect
    none = apply(compressed, LowRank(exclude="*"), context)
    assert none.network is compressed.network
    assert none.notes == ("low_rank: no layer was factorised",)
    with pytest.raises(InvalidCandidate, match="matches no layer"):
        apply(compressed, LowRank(exclude="conv9"), context)


def test_constrained_or_broken_layers_and_missing_images_are_errors(compressed, context):
    pruned = sparsify(compressed, Sparsity(), context)
    assert constraints.on(pruned.network.module.stem)
    with pytest.raises(InvalidCandidate, match="constrained already"):
        apply(pruned, LowRank(), context)
    module = deepcopy(compressed.network.module)
    module.stem.weight.data[0] = float("nan")
    with pytest.raises(NumericalError, match="stem"):
        apply(
            compressed.evolve(network=replace(compressed.network, module=module)),
            LowRank(),
            context,
        )
    none = Images(x_NCHW=context.data.train.x_NCHW[:0], y_N=context.data.train.y_N[:0])
    with pytest.raises(InvalidData, match="at least one"):
        apply(compressed, LowRank(), replace(context, data=replace(context.data, train=none)))


@pytest.mark.parametrize("weighting", ["none", "activation"])
def test_a_table_becomes_a_narrower_one_with_a_layer_behind_it(weighting, tmp_path):
    case = made.of("word_bag", "text_classification", 9, chance=0.5, words=made.WORDS, width=16)
    data = case.data()
    context = case.context(data)
    network = pipeline.train_baseline(case.network(), epochs=4, context=context)
    config = LowRank(energy=1, size_ratio=0.5, weighting=weighting)
    thin = apply(CompressedModel(network=network), config, context)
    names = {layer.name for layer in layers.weighted(thin.network)}
    (table,) = [part for part in thin.network.module.modules() if isinstance(part, EmbeddingTable)]
    assert {name.split(".")[-1] for name in names} >= {"first", "last"}
    assert 2 * (table.weight.numel() + len(table.weight) * 16) <= made.WORDS * 16
    before, after = (
        loop.evaluate(each, data.validation, made.CPU, task=context.task)
        for each in (network, thin.network)
    )
    assert after > before - 0.05
    file = delivery.write(thin, tmp_path, target=PORTABLE, data=data, task=context.task)
    assert file.parameters == sum(p.numel() for p in thin.network.module.parameters())
