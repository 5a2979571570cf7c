import math
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans as scipy_kmeans

from compress.network import layers
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.sparsity.apply import apply as sparsify
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.weight_sharing import fitting, kmeans
from compress.techniques.weight_sharing.apply import apply
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints, loop
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan
from compress.values.errors import InvalidCandidate, InvalidData, NumericalError
from tests.devices import DEVICE


@pytest.fixture
def context(digits):
    return TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)


def weights(compressed):
    return {part.name: part.module.weight.detach() for part in layers.weighted(compressed.network)}


def gradients(module):
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    module.zero_grad()
    module(x).square().sum().backward()


def error(values, centroids, weight=None):
    weight = np.ones_like(values) if weight is None else weight
    return float((weight * np.abs(values[:, None] - centroids).min(1) ** 2).sum())


def test_three_clumps_give_their_three_weighted_means():
    values = np.array([0.0, 1.0, 10.0, 11.0, 20.0, 22.0])
    weight = np.array([1.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    found = kmeans.cluster(values, weight, num_centroids=3)
    assert found.tolist() == pytest.approx([0.75, 10.5, 21.0])
    assert kmeans.nearest(np.array([-5.0, 5.0, 16.0]), found).tolist() == [0, 0, 2]


def test_few_distinct_numbers_are_their_own_centroids():
    values = np.array([2.0, 2.0, -1.0])
    assert kmeans.cluster(values, np.ones(3), num_centroids=4).tolist() == [-1, 2]
    kept = kmeans.cluster(values, np.ones(3), num_centroids=3, keep_zero=True)
    assert kept.tolist() == [-1, 0, 2]


@given(st.lists(st.integers(-20, 20), min_size=4, max_size=9, unique=True), st.integers(2, 3))
def test_no_other_clustering_of_a_few_numbers_is_better(numbers, num_centroids):
    values = np.sort(np.array(numbers, float))
    found = kmeans.cluster(values, np.ones_like(values), num_centroids=num_centroids)
    cuts = [[0, *c, len(values)] for c in _cuts(len(values), num_centroids - 1)]
    best = min(sum(values[a:b].var() * (b - a) for a, b in pairwise(cut)) for cut in cuts)
    assert error(values, found) == pytest.approx(best, abs=1e-9)


def _cuts(length, number, first=1):
    if number == 0:
        return [[]]
    return [[c, *r] for c in range(first, length) for r in _cuts(length, number - 1, c + 1)]


@pytest.mark.parametrize("num_centroids", [4, 16, 64])
def test_the_clustering_is_no_worse_than_scipys(num_centroids):
    values = np.random.default_rng(0).standard_t(4, 3000)
    found = kmeans.cluster(values, np.ones_like(values), num_centroids=num_centroids)
    theirs, _ = scipy_kmeans(values, num_centroids, iter=3, rng=0)
    assert error(values, found) <= 1.02 * error(values, np.sort(theirs))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.booleans(), st.booleans())
def test_levels_are_ascending_int8_and_as_few_as_asked(seed, bits, per_channel, keep_zero):
    generator = np.random.default_rng(seed)
    weight_OI = generator.normal(size=(6, 40)) * generator.uniform(0.01, 3, size=(6, 1))
    if keep_zero:
        weight_OI[generator.random(weight_OI.shape) < 0.5] = 0
    found = fitting.fit(
        weight_OI,
        np.ones_like(weight_OI),
        num_levels=2**bits,
        per_channel=per_channel,
        keep_zero=keep_zero,
    )
    assert len(found.levels_K) <= 2**bits
    assert np.abs(found.levels_K).max() == 127
    assert np.array_equal(found.levels_K, np.unique(np.rint(found.levels_K)))
    assert (found.scale_O > 0).all()
    assert per_channel or len(np.unique(found.scale_O)) == 1
    assert not keep_zero or 0 in found.levels_K


def test_channels_that_differ_only_in_size_share_one_codebook_without_loss():
    shape = np.array([-127.0, -30.0, 10.0, 127.0])
    weight_OI = np.outer([1.0, 0.01, 50.0], np.tile(shape, 5))
    found = fitting.fit(
        weight_OI, np.ones_like(weight_OI), num_levels=4, per_channel=True, keep_zero=False
    )
    assert found.levels_K.tolist() == shape.tolist()
    assert found.scale_O.tolist() == pytest.approx([1.0, 0.01, 50.0], rel=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("normalise", ["channel", "layer"])
def test_the_file_gets_few_levels_and_exactly_the_simulated_values(
    compressed, context, bits, normalise
):
    shared = apply(compressed, WeightSharing(index_bits=bits, normalise=normalise), context)
    simulated = weights(shared)
    _, stored = constraints.bake(shared.network)
    assert set(stored) == set(simulated)
    for name, weight in simulated.items():
        assert len(np.unique(stored[name].integers_OI)) <= 2**bits
        assert stored[name].scale.shape == ((len(weight),) if normalise == "channel" else ())
        assert np.array_equal(stored[name].values(), weight.numpy())


def test_more_bits_come_nearer(compressed, context):
    before, errors = weights(compressed), []
    for bits in (1, 2, 3, 4, 6):
        after = weights(apply(compressed, WeightSharing(index_bits=bits), context))
        errors.append(sum(float((after[n] - before[n]).square().sum()) for n in before))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * errors[0]


def test_activation_weighting_spends_the_levels_on_weights_whose_inputs_are_large():
    weight_OI = np.random.default_rng(0).normal(size=(4, 400))
    importance_OI = np.ones_like(weight_OI)
    importance_OI[:, 200:] = 100
    plain, weighted = (
        fitting.fit(weight_OI, h, num_levels=4, per_channel=True, keep_zero=False)
        for h in (np.ones_like(weight_OI), importance_OI)
    )

    def loss(found):
        relative = weight_OI / found.scale_O[:, None]
        nearest = found.levels_K[kmeans.nearest(relative, found.levels_K)]
        return (importance_OI * (weight_OI - nearest * found.scale_O[:, None]) ** 2).sum()

    assert loss(weighted) < loss(plain)


def test_activation_weighting_changes_what_is_chosen(compressed, context):
    plain = weights(apply(compressed, WeightSharing(index_bits=2), context))
    seen = weights(apply(compressed, WeightSharing(index_bits=2, weighting="activation"), context))
    assert any(not torch.equal(plain[n], seen[n]) for n in plain)


@pytest.mark.parametrize("centroids", ["reclustered", "trained"])
@pytest.mark.parametrize("schedule", ["oneshot", "gradual"])
def test_the_zeros_of_a_mask_stay_zeros_through_training(compressed, context, centroids, schedule):
    pruned = sparsify(compressed, Sparsity(sparsity=0.7, schedule=schedule), context)
    shared = apply(pruned, WeightSharing(index_bits=3, centroids=centroids), context)
    module = shared.network.module
    for progress in (0.0, 0.2, 1.0):
        constraints.advance(module, progress)
        constraints.refresh(module)
        gradients(module)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad.sign()
    found = weights(shared)
    masked = [constraints.on(part.module)[0].mask for part in layers.weighted(shared.network)]
    assert all((w[~m] == 0).all() for w, m in zip(found.values(), masked, strict=True))
    _, stored = constraints.bake(shared.network)
    assert all(len(np.unique(stored[n].integers_OI)) <= 8 for n in found)
    assert all(np.array_equal(stored[n].values(), found[n].numpy()) for n in found)


def test_one_bit_cannot_hold_zeros_besides_two_values(compressed, context):
    pruned = sparsify(compressed, Sparsity(sparsity=0.5), context)
    with pytest.raises(InvalidCandidate, match="use at least 2"):
        apply(pruned, WeightSharing(index_bits=1), context)


def test_gradients_reach_the_latent_weights_unchanged_and_trained_levels_in_sum(
    compressed, context
):
    shared = apply(compressed, WeightSharing(index_bits=2, centroids="trained"), context)
    layer = shared.network.module.classifier
    codebook = constraints.on(layer)[0]
    gradient = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0))
    layer.weight.backward(gradient)
    assert torch.equal(layers.latent(layer).grad, gradient)
    levels = codebook.levels_K.detach()
    assert torch.equal(levels, levels.round())
    assert float(levels.abs().max()) == 127
    uses = torch.from_numpy(codebook.stored(layers.latent(layer)).integers_OI).float()
    in_weights = gradient * (codebook.scale_O / codebook.unit)[:, None]
    sums = torch.stack([in_weights[uses == level].sum() for level in levels])
    share = math.sqrt(len(levels) / gradient.numel())
    torch.testing.assert_close(codebook.centroids_K.grad, sums * share)


def codebook_of(shared, name="classifier"):
    return constraints.on(layers.by_name(layers.weighted(shared.network))[name].module)[0]


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e6])
def test_what_a_step_does_to_levels_does_not_depend_on_the_units_of_the_weights(
    compressed, context, size
):
    changes = []
    for factor in (1.0, size):
        module = deepcopy(compressed.network.module)
        module.classifier.weight.data.mul_(factor)
        scaled = compressed.evolve(network=replace(compressed.network, module=module))
        shared = apply(scaled, WeightSharing(index_bits=2), context)
        layer, codebook = shared.network.module.classifier, codebook_of(shared)
        before = codebook.levels_K.detach()
        # A step that takes the same share of every weight, however large they are.
        layer.weight.backward(0.01 * layer.weight.detach())
        with torch.no_grad():
            codebook.centroids_K -= codebook.centroids_K.grad
        changes.append(float((codebook.levels_K.detach() - before).abs().max()))
    assert changes[0] > 0.5
    # Units are powers of two, so two networks may be a factor of two apart, squared.
    assert changes[1] / changes[0] == pytest.approx(1, rel=3)
    assert changes[0] / changes[1] == pytest.approx(1, rel=3)


def test_a_level_that_outgrows_the_grid_takes_the_scales_along(compressed, context):
    shared = apply(compressed, WeightSharing(index_bits=2), context)
    codebook, layer = codebook_of(shared), shared.network.module.classifier
    before = layer.weight.detach()
    top = int(codebook.centroids_K.detach().abs().argmax())
    with torch.no_grad():
        codebook.centroids_K[top] *= 1.5
    after = layer.weight.detach()
    assert float(after.abs().max()) == pytest.approx(1.5 * float(before.abs().max()), rel=1e-6)
    assert float(codebook.levels_K.detach().abs().max()) == pytest.approx(127)
    _, stored = constraints.bake(shared.network)
    assert np.abs(stored["classifier"].integers_OI).max() == 127
    assert np.array_equal(stored["classifier"].values(), after.numpy())


def test_trained_levels_leave_the_untrained_file_as_it_was(compressed, context):
    frozen, trained = (
        constraints.bake(apply(compressed, WeightSharing(centroids=kind), context).network)[1]
        for kind in ("reclustered", "trained")
    )
    for name, stored in frozen.items():
        assert np.array_equal(stored.integers_OI, trained[name].integers_OI)
        assert np.array_equal(stored.scale, trained[name].scale)


def test_training_moves_levels_of_the_grid(compressed, context):
    shared = apply(compressed, WeightSharing(index_bits=2), context)
    plan = TrainingPlan(epochs=2, seed=0, batch_size=64, learning_rate=0.02, augment=False)
    few = Images(x_NCHW=context.data.train.x_NCHW[:512], y_N=context.data.train.y_N[:512])
    after = shared.evolve(
        network=loop.fit(shared.network, few, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)[0]
    )
    names = [part.name for part in layers.weighted(shared.network)]
    moved = [
        int(
            (
                codebook_of(shared, n).levels_K.round() != codebook_of(after, n).levels_K.round()
            ).sum()
        )
        for n in names
    ]
    assert sum(moved) >= len(names)


def test_reclustered_levels_follow_the_weights_and_trained_ones_wait_for_gradients(
    compressed, context
):
    for centroids, follows in (("reclustered", True), ("trained", False)):
        shared = apply(compressed, WeightSharing(index_bits=2, centroids=centroids), context)
        layer = shared.network.module.classifier
        codebook = constraints.on(layer)[0]
        before = codebook.scale_O.clone()
        layers.latent(layer).data.mul_(3)
        constraints.refresh(shared.network.module)
        torch.testing.assert_close(codebook.scale_O, before * (3 if follows else 1))


def test_the_input_stays_untouched_and_the_same_comes_out_twice(compressed, context):
    before = deepcopy(compressed.network.module.state_dict())
    once, twice = (weights(apply(compressed, WeightSharing(), context)) for _ in range(2))
    assert all(torch.equal(once[n], twice[n]) for n in once)
    after = compressed.network.module.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in before)


def test_having_nothing_to_do_is_noted(compressed, context):
    for config, text in (
        (WeightSharing(index_bits=0), "index_bits is 0"),
        (WeightSharing(exclude="*"), "every layer is excluded"),
    ):
        same = apply(compressed, config, context)
        assert same.network is compressed.network
        assert text in same.notes[0]
    with pytest.raises(InvalidCandidate, match="matches no layer"):
        apply(compressed, WeightSharing(exclude="conv9"), context)


def test_bad_weights_and_missing_images_are_errors(compressed, context):
    module = deepcopy(compressed.network.module)
    module.stem.weight.data[0] = float("inf")
    broken = compressed.evolve(network=replace(compressed.network, module=module))
    with pytest.raises(NumericalError, match="stem"):
        apply(broken, WeightSharing(), context)
    none = Images(x_NCHW=context.data.train.x_NCHW[:0], y_N=context.data.train.y_N[:0])
    blind = replace(context, data=replace(context.data, train=none))
    with pytest.raises(InvalidData, match="at least one"):
        apply(compressed, WeightSharing(weighting="activation"), blind)


def test_a_layer_of_zeros_stays_one(compressed, context):
    module = deepcopy(compressed.network.module)
    module.classifier.weight.data.zero_()
    zeros = compressed.evolve(network=replace(compressed.network, module=module))
    found = apply(zeros, WeightSharing(index_bits=2), context)
    assert not weights(found)["classifier"].any()
