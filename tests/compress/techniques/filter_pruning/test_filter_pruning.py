import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.export import writer
from compress.network.families.network import PadShortcut, build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.structure import channels
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.filter_pruning import cost
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, InvalidData, NumericalError
from tests.compress.awkward import Deep
from tests.compress.networks import (
    Concatenated,
    Grouped,
    HardCoded,
    Normalised,
    Separable,
    imported,
    seeded,
    wrapped,
)
from tests.devices import DEVICE

SHORTCUTS = ["pad", "conv"]
IMPORTANCES = [
    "l1", "l2", "batchnorm", "taylor", "hessian", "fpgm", "lamp", "activation", "apoz", "random",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(trained):
    """The network as its own file comes back: channels leave its graph."""
    return imported(trained)


def network(shortcut="pad", *, widths=(8, 12, 16), depths=(2, 2, 1), seed=0):
    architecture = Residual(widths=widths, depths=depths, shortcut=shortcut)
    module = build(architecture, in_channels=3, num_classes=5, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return Network(
        module=module,
        normalisation=Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3),
        input_shape=(3, 8, 8),
        num_classes=5,
    )


def context(number=64, shape=(3, 8, 8), *, seed=0):
    generator = torch.Generator().manual_seed(7)
    images = Images(
        x_NCHW=torch.randn(number, *shape, generator=generator),
        y_N=torch.randint(0, 5, (number,), generator=generator),
    )
    data = ImageData(train=images, validation=images, test=None, num_classes=5)
    return TrialContext(data=data, device=DEVICE, seed=seed, task=IMAGE_CLASSIFICATION)


def apply(net, with_context=None, **config):
    compressed = CompressedModel(network=net, notes=("earlier",))
    found = filter_pruning.apply(compressed, FilterPruning(**config), with_context or context())
    assert found.notes[0] == "earlier"
    return found.network, found.notes[1:]


def prune(net, *ratios, **changes):
    return apply(net, ratios=ratios, **changes)


def counts(net):
    return {group.root: group.num_channels for group in channels.groups(net)}


def logits(net):
    x = torch.randn(3, *net.input_shape, generator=torch.Generator().manual_seed(1))
    return net.module(x)


def share_removed(before, after, target):
    meter = cost.meter(before)
    return 1 - meter.read(after.module).of(target) / meter.read(before.module).of(target)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_each_stage_has_one_group_for_its_stream_and_one_per_block(shortcut):
    stages = {group.root: group.stage for group in channels.groups(network(shortcut))}
    assert sorted(stages.values()) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert {"conv1", "layer1.0.conv1", "layer3.0.conv1"} <= set(stages)
    assert "linear" not in stages


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_ratios_hold_for_the_stream_and_the_inside_of_their_own_stage(shortcut):
    pruned, notes = prune(network(shortcut), 0.5, 0.0, 0.25)
    module = pruned.module
    assert module.conv1.out_channels == 4
    assert [block.conv1.out_channels for block in module.layer1.children()] == [4, 4]
    assert [block.conv2.out_channels for block in module.layer2.children()] == [12, 12]
    assert module.get_submodule("layer2.0.conv1").in_channels == 4
    assert (module.get_submodule("layer3.0.conv1").out_channels, module.linear.in_features) == (
        12,
        12,
    )
    assert logits(pruned).shape == (3, 5)
    assert notes == ()


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_channels_that_carry_nothing_leave_without_changing_an_answer(shortcut):
    net = network(shortcut, widths=(8, 16), depths=(2, 2))
    with torch.no_grad():
        for group in channels.groups(net):
            for member in group.trained:
                axis = 1 if member.kind == "reader" else 0
                net.module.get_parameter(member.tensor).movedim(axis, 0)[::2] = 0
        for name, tensor in net.module.named_parameters():
            if name.endswith("bias") and name != "linear.bias":
                tensor[::2] = 0
        for name, tensor in net.module.named_buffers():
            if name.endswith("running_mean"):
                tensor[::2] = 0
    pruned, _ = prune(net, 0.5, 0.5)
    assert counts(pruned) == {root: count // 2 for root, count in counts(net).items()}
    torch.testing.assert_close(logits(pruned), logits(net), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_every_importance_removes_half_of_the_macs_the_same_way_for_the_same_seed(importance):
    net = network(widths=(16, 24), depths=(1, 1))
    config = {"scope": "global", "target": "macs", "ratio": 0.5, "importance": importance}
    one, notes = apply(net, calibration_images=40, **config)
    same, _ = apply(net, calibration_images=40, **config)
    assert share_removed(net, one, "macs") == pytest.approx(0.5, abs=0.05)
    assert "removed" in notes[0]
    assert torch.equal(logits(one), logits(same))


def test_random_channels_follow_the_seed():
    one, _ = apply(network(), context(seed=1), ratios=(0.5,) * 3, importance="random")
    two, _ = apply(network(), context(seed=2), ratios=(0.5,) * 3, importance="random")
    assert counts(one) == counts(two)
    assert not torch.equal(logits(one), logits(two))


@pytest.mark.parametrize("kind", [Separable, Normalised, Grouped, Concatenated])
@pytest.mark.parametrize("importance", ["l1", "taylor", "activation"])
def test_networks_of_no_family_are_pruned_too(kind, importance):
    net = imported(seeded(kind))
    config = {"scope": "global", "ratio": 0.5, "importance": importance}
    pruned, notes = apply(net, context(shape=(1, 8, 8)), **config)
    kept = sum(counts(pruned).values()) / sum(counts(net).values())
    assert 0.4 < kept < 0.75
    assert logits(pruned).shape == (3, 5)
    # An exporter writes a GroupNorm as several operators, of which some hold parameters.
    assert notes == () or kind is Grouped


@pytest.mark.parametrize("target", ["macs", "parameters", "bytes"])
@pytest.mark.parametrize("scope", ["uniform", "same_number", "global"])
def test_targets_are_met_and_the_note_says_how_nearly(target, scope):
    net = network(widths=(16, 32, 64), depths=(1, 1, 1))
    pruned, notes = apply(net, scope=scope, target=target, ratio=0.4)
    share = share_removed(net, pruned, target)
    assert share == pytest.approx(0.4, abs=0.03)
    assert notes == (f"filter_pruning: removed {share:.1%} of the {target}, 40.0% was asked",)


def test_stage_ratios_are_proportions_where_something_else_than_channels_is_the_target():
    net = network(widths=(16, 32, 64), depths=(1, 1, 1))
    pruned, _ = apply(net, target="macs", ratios=(0.0, 0.2, 0.4), ratio=0.3)
    assert share_removed(net, pruned, "macs") == pytest.approx(0.3, abs=0.03)
    before, after = counts(net), counts(pruned)
    lost = {root: 1 - after[root] / before[root] for root in before}
    assert lost["conv1"] == 0
    assert lost["layer3.0.conv1"] == pytest.approx(2 * lost["layer2.0.conv1"], abs=0.07)


def test_what_a_target_counts_is_what_the_file_holds(digits, tmp_path, trained):
    pruned, _ = apply(trained, scope="global", target="macs", ratio=0.5)
    read = cost.meter(trained).read(pruned.module)
    artifact = writer.write(
        CompressedModel(network=pruned), tmp_path, data=digits, task=IMAGE_CLASSIFICATION
    )
    assert (read.macs, read.parameters) == (artifact.macs, artifact.parameters)
    assert read.bytes < artifact.size_bytes < read.bytes + 10_000


def test_a_target_out_of_reach_is_an_invalid_candidate_that_says_how_far_it_can_go():
    with pytest.raises(InvalidCandidate, match=r"can remove \d+\.\d% of the macs, 90.0% was asked"):
        apply(network(), scope="uniform", target="macs", ratio=0.9, round_to=8)


def test_the_same_number_leaves_every_group():
    net = network(widths=(8, 12, 16), depths=(1, 1, 1))
    pruned, _ = apply(net, scope="same_number", ratio=0.4, round_to=1)
    before, after = counts(net), counts(pruned)
    assert {before[root] - after[root] for root in before} == {5}


def test_a_global_ranking_spares_what_matters_and_leaves_a_share_of_every_group():
    net = network(widths=(20, 20), depths=(1, 1))
    with torch.no_grad():
        for name in ("layer2.0.conv1.weight", "layer2.0.conv2.weight"):
            tensor = net.module.get_parameter(name)
            tensor.copy_(1e-3 * torch.rand(tensor.shape))
    config = {"scope": "global", "ratio": 0.4, "normalisation": "none", "round_to": 1}
    pruned, _ = apply(net, keep_at_least=0.2, importance="l1", **config)
    assert counts(pruned)["layer2.0.conv1"] == 4
    assert sum(counts(pruned).values()) == round(0.6 * 80)


def test_steps_prune_gradually_and_look_again_in_between():
    net, images = network(widths=(16, 32), depths=(1, 1)), context()
    config = {"scope": "global", "target": "macs", "ratio": 0.5, "importance": "taylor"}
    one_shot, _ = apply(net, images, **config)
    gradual, notes = apply(net, images, steps=4, **config)
    assert share_removed(net, gradual, "macs") == pytest.approx(0.5, abs=0.04)
    assert counts(gradual) != counts(one_shot) or not torch.equal(logits(gradual), logits(one_shot))
    assert len(notes) == 1


def test_steps_of_channels_end_with_the_ratio_asked_for():
    net = network(widths=(16, 32), depths=(1, 1))
    for config in ({"ratios": (0.5, 0.25)}, {"scope": "uniform", "ratio": 0.5}):
        assert counts(apply(net, steps=3, **config)[0]) == counts(apply(net, **config)[0])


def test_training_between_the_steps_is_noted():
    _, notes = apply(network(), ratios=(0.5,) * 3, steps=3, step_epochs=1)
    assert notes == (
        "filter_pruning: trained 0 epochs for sparsity and 2 between the steps, beside the epochs "
        "of the rungs",
    )


def test_sparsity_training_pushes_scales_to_zero_before_they_are_ranked(trained, digits):
    images = TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    config = {"scope": "global", "ratio": 0.3, "importance": "batchnorm", "normalisation": "none"}
    strict, notes = apply(trained, images, slimming_epochs=3, slimming_penalty=0.02, **config)
    loose, _ = apply(trained, images, slimming_epochs=3, slimming_penalty=1e-6, **config)

    def scales(net):
        norms = [part for part in net.module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        return float(torch.cat([norm.weight.detach().abs() for norm in norms]).mean())

    assert scales(strict) < 0.9 * scales(loose)
    assert "trained 3 epochs for sparsity" in notes[-1]


def test_groups_with_an_excluded_layer_are_left_alone():
    net = network()
    pruned, _ = apply(net, ratios=(0.5,) * 3, exclude="layer2.*.conv1")
    before, after = counts(net), counts(pruned)
    spared = {"layer2.0.conv1", "layer2.1.conv1", "conv1", "layer2.0.conv2"}
    assert {root for root in before if after[root] == before[root]} == spared & set(before)
    assert after["layer3.0.conv1"] == before["layer3.0.conv1"] // 2


def test_a_pattern_that_matches_nothing_is_an_invalid_candidate():
    with pytest.raises(InvalidCandidate, match=r"'layer9\.\*' matches no layer"):
        apply(network(), ratios=(0.5,) * 3, exclude="layer9.*")


def test_groups_that_cannot_lose_channels_are_noted():
    net = imported(wrapped(Deep(), input_shape=(3, 8, 8)))
    _, notes = apply(net, scope="uniform", ratio=0.5)
    assert notes[0] == (
        "filter_pruning: the channels of 'conv' stay: the window of Conv /deep/Conv slides over "
        "them"
    )


def test_a_group_without_batchnorm_has_no_importance_by_its_scales():
    with pytest.raises(InvalidCandidate, match="of 'conv' have no importance 'batchnorm'"):
        apply(
            imported(seeded(Normalised)),
            context(shape=(1, 8, 8)),
            scope="global",
            ratio=0.5,
            importance="batchnorm",
        )


def test_a_reshape_to_a_number_of_channels_loses_them_too():
    net, images = imported(seeded(HardCoded)), context(shape=(1, 8, 8))
    pruned, _ = apply(net, images, scope="uniform", ratio=0.5)
    assert counts(pruned) == {"conv": 4, "other": 4}


@pytest.mark.parametrize(
    ("count", "ratio", "round_to", "expected"),
    [
        (16, 0.5, 2, 8),
        (16, 0.7, 2, 6),
        (16, 0.7, 1, 5),
        (10, 0.7, 1, 3),
        (16, 0.95, 8, 8),
        (3, 0.5, 8, 3),
        (16, 0.95, 1, 1),
        (1, 0.95, 1, 1),
        (12, 0.0, 8, 12),
    ],
)
def test_channel_counts_are_rounded_up_and_never_reach_zero(count, ratio, round_to, expected):
    assert filter_pruning.kept(count, ratio=ratio, round_to=round_to) == expected


@settings(deadline=None, max_examples=8)
@given(
    scope=st.sampled_from(["uniform", "same_number", "global"]),
    ratio=st.floats(0.0, 0.95),
    round_to=st.integers(1, 9),
)
def test_whatever_is_asked_counts_stay_multiples_and_more_leaves_less(scope, ratio, round_to):
    net = network(widths=(8, 12), depths=(1, 1))
    config = {"scope": scope, "round_to": round_to, "importance": "l1"}
    less, more = (apply(net, ratio=r, **config)[0] for r in (ratio, min(0.95, ratio + 0.2)))
    before, few, fewer = counts(net), counts(less), counts(more)
    for root, size in before.items():
        # A group whose last channel is left has none to lose.
        left, still = few.get(root, 1), fewer.get(root, 1)
        assert 1 <= still <= left <= size
        assert left % round_to == 0 or left == size


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_even_the_largest_ratio_leaves_a_network_that_trains(shortcut):
    pruned, _ = prune(network(shortcut), 0.95, 0.95, 0.95, round_to=1)
    assert counts(pruned) == {}, "one channel is left of each: nothing more may leave"
    assert pruned.module.conv1.out_channels == 1
    logits(pruned).sum().backward()
    trained = [p for p in pruned.module.parameters() if p.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)


def test_groups_of_which_one_channel_is_left_count_as_narrower_and_go_on_counting():
    net = network(widths=(2, 8), depths=(1, 1))
    pruned, notes = prune(net, 0.5, 0.0, round_to=1, steps=3)
    assert counts(pruned) == {"layer2.0.conv1": 8, "layer2.0.conv2": 8}
    assert notes == ()
    with torch.no_grad():
        for name in ("layer1.0.conv1.weight", "layer1.0.conv2.weight", "layer1.0.bn1.weight"):
            net.module.get_parameter(name).mul_(1e-3)
    config = {"scope": "global", "ratio": 0.5, "importance": "l1", "normalisation": "none"}
    for steps in (1, 4):
        pruned, _ = apply(net, steps=steps, round_to=1, **config)
        left = [pruned.module.get_submodule(root).out_channels for root in counts(net)]
        assert sum(left) == sum(counts(net).values()) // 2
        assert min(left) == 1


def test_pruned_pad_shortcuts_stay_zeros_and_ones_that_are_not_trained():
    pruned, _ = prune(network("pad"), 0.5, 0.25, 0.5)
    pads = [part for part in pruned.module.modules() if isinstance(part, PadShortcut)]
    assert len(pads) == 2
    assert all(set(pad.weight.unique().tolist()) <= {0.0, 1.0} for pad in pads)
    assert not any(pad.weight.requires_grad for pad in pads)


def test_the_network_itself_stays_untouched():
    net = network()
    before = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    prune(net, 0.5, 0.5, 0.5, importance="taylor", steps=2)
    after = net.module.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(part.training for part in net.module.modules())
    assert all(parameter.grad is None for parameter in net.module.parameters())


def test_a_pruned_network_can_be_pruned_again():
    once, _ = prune(network(), 0.5, 0.5, 0.5)
    twice, _ = prune(once, 0.5, 0.5, 0.5)
    assert twice.module.conv1.out_channels == 2


@pytest.mark.parametrize("ratios", [(), (0.5,), (0.5, 0.5), (0.1,) * 4])
def test_another_number_of_ratios_than_stages_is_an_invalid_candidate(ratios):
    with pytest.raises(InvalidCandidate, match=f"one ratio per stage: 3, got {len(ratios)}"):
        prune(network(), *ratios)


def test_ratios_that_remove_nothing_are_noted():
    net = network()
    same, notes = prune(net, 0.0, 0.0, 0.0)
    assert same is net
    assert notes == ("filter_pruning: every ratio is 0, nothing was removed",)
    _, notes = prune(net, 0.1, 0.5, 0.0, round_to=8)
    assert len(notes) == 1
    assert "ratio 0.1 of stage 1 removed nothing" in notes[0]
    same, notes = apply(net, scope="uniform", ratio=0.01)
    assert same is net
    assert "ratio 0.01 removed nothing" in notes[0]


def test_a_network_of_only_its_logits_is_an_invalid_candidate():
    plain = Network(
        module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 5)),
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=(1, 3, 3),
        num_classes=5,
    )
    with pytest.raises(InvalidCandidate, match="has no channels that may leave"):
        apply(imported(plain), scope="uniform", ratio=0.5)


def test_weights_that_are_not_numbers_are_a_numerical_error():
    net = network()
    net.module.conv1.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(NumericalError, match=r"'conv1\.weight' holds a NaN"):
        prune(net, 0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("number", "shape", "message"),
    [(0, (3, 8, 8), "got 0 of shape"), (8, (3, 9, 8), "needs at least one training image")],
)
def test_calibration_images_must_be_there_and_fit_the_network(number, shape, message):
    with pytest.raises(InvalidData, match=message):
        apply(network(), context(number, shape), ratios=(0.5,) * 3, importance="taylor")
