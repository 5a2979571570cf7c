from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from compress.network import layers
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.sparsity import selection
from compress.techniques.sparsity.apply import apply
from compress.techniques.sparsity.config import Sparsity
from compress.training import calibration, constraints
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, InvalidData, NumericalError
from tests.devices import DEVICE


@pytest.fixture
def context(digits):
    return TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)


def weights(compressed):
    return {part.name: part.module.weight.detach() for part in layers.weighted(compressed.network)}


def share_of_zeros(found):
    return sum(int((w == 0).sum()) for w in found) / sum(w.numel() for w in found)


def step(module, rate=0.1):
    """Move every latent weight against a gradient that is not zero."""
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    module(x).square().sum().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad.sign()
                parameter.grad = None


@pytest.mark.parametrize("scope", ["global", "layer", "row"])
@pytest.mark.parametrize("criterion", ["magnitude", "lamp", "wanda"])
def test_the_asked_share_of_the_weights_is_zero_and_the_others_are_untouched(
    compressed, context, scope, criterion
):
    pruned = apply(compressed, Sparsity(sparsity=0.7, scope=scope, criterion=criterion), context)
    before, after = weights(compressed), weights(pruned)
    assert share_of_zeros(after.values()) == pytest.approx(0.7, abs=0.02)
    assert all(torch.equal(w[w != 0], before[n][w != 0]) for n, w in after.items())
    assert share_of_zeros(before.values()) == 0
    assert pruned.notes == ()


def test_globally_the_smallest_weights_of_the_whole_network_leave(compressed, context):
    after = weights(apply(compressed, Sparsity(sparsity=0.6), context))
    before = weights(compressed)
    kept = torch.cat([before[n][w != 0].abs() for n, w in after.items()])
    gone = torch.cat([before[n][w == 0].abs() for n, w in after.items()])
    assert gone.max() <= kept.min()
    shares = [share_of_zeros([w]) for w in after.values()]
    assert max(shares) - min(shares) > 0.1


def test_within_a_layer_or_a_channel_every_one_of_them_has_its_share(compressed, context):
    for w in weights(apply(compressed, Sparsity(sparsity=0.5, scope="layer"), context)).values():
        assert int((w == 0).sum()) == w.numel() // 2
    for w in weights(apply(compressed, Sparsity(sparsity=0.5, scope="row"), context)).values():
        assert set((w.flatten(1) == 0).sum(1).tolist()) == {w[0].numel() // 2}


def test_lamp_divides_by_what_is_not_smaller():
    scores = selection.lamp(torch.tensor([[1.0, -3.0], [2.0, 0.0]]))
    assert scores.tolist() == [[pytest.approx(1 / 14), 1.0], [pytest.approx(4 / 13), 0.0]]


def test_wanda_weighs_a_magnitude_with_the_norm_of_its_input():
    square_GI = torch.tensor([[4.0, 1.0], [0.25, 9.0]])
    norms = selection.input_norms(square_GI, torch.Size((4, 2)))
    assert norms.tolist() == [[2, 1], [2, 1], [0.5, 3], [0.5, 3]]
    mask = selection.largest_per_row(torch.tensor([[1.0, 1.5]]) * norms[:1], 1.0, zeros=1)
    assert mask.tolist() == [[True, False]]


def test_mean_squares_are_those_of_the_patches_that_a_kernel_meets(trained, digits):
    x_NCHW = digits.train.x_NCHW[:40]
    found = layers.weighted(trained)
    squares = calibration.mean_squares(trained, found, x_NCHW, device=DEVICE)
    x = (x_NCHW.float() / 16 - trained.normalisation.mean[0]) / trained.normalisation.std[0]
    patches = nn.functional.unfold(x, 3, padding=1).square().mean((0, 2))
    torch.testing.assert_close(squares["stem"].flatten(), patches)
    assert squares["classifier"].shape == (1, 64)


def test_mean_squares_of_grouped_convolutions_have_a_row_per_group(trained, digits):
    grouped = nn.Conv2d(4, 8, 3, stride=2, groups=2)
    module = nn.Sequential(nn.Conv2d(1, 4, 1), grouped, nn.Flatten(), nn.Linear(72, 10)).eval()
    network = replace(trained, module=module)
    found = layers.weighted(network)
    x = digits.train.x_NCHW[:8]
    squares = calibration.mean_squares(network, found, x, device=DEVICE)
    prepared = (x.float() / 16 - trained.normalisation.mean[0]) / trained.normalisation.std[0]
    patches = nn.functional.unfold(module[0](prepared), 3, stride=2).square().mean((0, 2))
    torch.testing.assert_close(squares["1"].flatten(), patches.detach())
    assert squares["1"].shape == (2, 2, 3, 3)


@given(
    sparsity=st.floats(0, 0.99),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_no_layer_loses_its_last_weight_and_none_loses_more_than_was_asked(sparsity, sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {str(i): torch.rand(n, generator=generator) for i, n in enumerate(sizes)}
    zeros = selection.zeros_per_layer(scores, sparsity)
    assert all(0 <= zeros[n] < len(scores[n]) for n in scores)
    assert sum(zeros.values()) <= sum(sizes) * sparsity + 1e-6


@given(seed=st.integers(0, 99), kept=st.integers(1, 3), share=st.floats(0, 1))
def test_every_group_keeps_its_n_largest_of_m_along_the_input_channels(seed, kept, share):
    score = torch.rand(3, 8, 2, 2, generator=torch.Generator().manual_seed(seed))
    mask = selection.largest_of_groups(score, share, kept=kept, size=4)
    groups = mask.reshape(3, 2, 4, 2, 2)
    assert set(groups.sum(2).flatten().tolist()) == {4 - int((4 - kept) * share + 1e-9)}
    scores = score.reshape(3, 2, 4, 2, 2)
    smallest_kept = scores.where(groups, torch.tensor(2.0)).amin(2)
    assert (scores.where(~groups, torch.tensor(-1.0)).amax(2) <= smallest_kept).all()


def test_a_pattern_that_does_not_divide_a_layer_leaves_it_dense_and_says_so(compressed, context):
    pruned = apply(compressed, Sparsity(pattern="2:4"), context)
    found = weights(pruned)
    assert pruned.notes == (
        "sparsity: the pattern 2:4 does not divide the input channels of stem (1), left dense",
    )
    assert share_of_zeros([found["stem"]]) == 0
    assert {share_of_zeros([w]) for n, w in found.items() if n != "stem"} == {0.5}


def test_a_pattern_that_divides_no_layer_is_an_invalid_candidate(compressed, context):
    with pytest.raises(InvalidCandidate, match=r"3:7 divides the input channels of no layer"):
        apply(compressed, Sparsity(pattern="3:7"), context)


@pytest.mark.parametrize("pattern", ["2", "4:2", "0:4", "2:2", "a:b", "2:99"])
def test_a_pattern_that_cannot_be_is_refused(pattern):
    with pytest.raises(ValidationError, match="pattern"):
        Sparsity(pattern=pattern)


def test_a_mask_stays_and_pruned_weights_do_not_move_while_the_others_train(compressed, context):
    pruned = apply(compressed, Sparsity(sparsity=0.5), context)
    before = weights(pruned)
    step(pruned.network.module)
    constraints.advance(pruned.network.module, 0.3)
    constraints.refresh(pruned.network.module)
    after = weights(pruned)
    assert all(torch.equal(after[n] == 0, before[n] == 0) for n in before)
    assert all((after[n] != before[n])[before[n] != 0].any() for n in before)


def test_a_gradual_mask_is_complete_before_and_after_training_and_grows_between(
    compressed, context
):
    pruned = apply(compressed, Sparsity(sparsity=0.8, schedule="gradual"), context)
    module = pruned.network.module
    shares = [share_of_zeros(weights(pruned).values())]
    for progress in (0.0, 0.1, 0.25, 0.5, 1.0, 0.0):
        constraints.advance(module, progress)
        step(module, rate=0.01)
        shares.append(share_of_zeros(weights(pruned).values()))
    wanted = [1, 0, 1 - 0.8**3, 1 - 0.5**3, 1, 1, 1]
    assert shares == pytest.approx([0.8 * part for part in wanted], abs=0.001)


def test_the_file_gets_exactly_what_the_simulation_computes_with(compressed, context):
    pruned = apply(compressed, Sparsity(sparsity=0.9), context)
    simulated = weights(pruned)
    baked, stored = constraints.bake(pruned.network)
    assert set(stored) == set(simulated)
    for part in layers.weighted(baked):
        values = stored[part.name].values()
        assert values.dtype == np.float32
        assert np.array_equal(values, simulated[part.name].numpy())
        assert torch.equal(part.module.weight, simulated[part.name])


def test_excluded_layers_stay_dense_and_a_pattern_of_names_must_match(compressed, context):
    found = weights(apply(compressed, Sparsity(exclude="stem, blocks.1.*"), context))
    dense = {name for name, w in found.items() if (w != 0).all()}
    assert dense == {n for n in found if n == "stem" or n.startswith("blocks.1.")}
    with pytest.raises(InvalidCandidate, match="sparsity: the pattern 'conv9'"):
        apply(compressed, Sparsity(exclude="conv9"), context)


def test_having_nothing_to_do_is_noted(compressed, context):
    for config, text in (
        (Sparsity(sparsity=0), "the sparsity is 0"),
        (Sparsity(exclude="*"), "every layer is excluded"),
        (Sparsity(sparsity=1e-6), "less than one weight"),
    ):
        same = apply(compressed, config, context)
        assert same.network is compressed.network
        assert text in same.notes[0]
    assert not Sparsity(sparsity=0).has_effect
    assert Sparsity(sparsity=0, pattern="2:4").has_effect


def test_bad_weights_and_bad_images_are_errors(compressed, context):
    module = deepcopy(compressed.network.module)
    module.classifier.weight.data[0, 0] = float("nan")
    broken = compressed.evolve(network=replace(compressed.network, module=module))
    with pytest.raises(NumericalError, match="classifier"):
        apply(broken, Sparsity(), context)
    x, y = context.data.train.x_NCHW, context.data.train.y_N
    for images in (
        Images(x_NCHW=x[:0], y_N=y[:0]),
        Images(x_NCHW=x[:, :, 1:], y_N=y),
    ):
        blind = replace(context, data=replace(context.data, train=images))
        with pytest.raises(InvalidData, match="calibration needs"):
            apply(compressed, Sparsity(criterion="wanda"), blind)
