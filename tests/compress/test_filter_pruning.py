import pytest
import torch

from compress import channels
from compress.channels import ChannelGroup, Member
from compress.errors import InvalidCandidate
from compress.families.catalog import Normalisation
from compress.families.residual.config import Residual
from compress.families.residual.network import PadShortcut, build
from compress.model import Network
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.filter_pruning.importance import group_norm, slice_norm

SHORTCUTS = ["pad", "conv"]


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


def prune(net, *ratios, **changes):
    return filter_pruning.apply(net, FilterPruning(ratios=ratios, **changes))


def counts(net):
    return {group.root: group.num_channels for group in channels.groups(net)}


def logits(net):
    x = torch.randn(3, *net.input_shape, generator=torch.Generator().manual_seed(1))
    return net.module(x)


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
    assert [block.conv1.out_channels for block in module.layer1] == [4, 4]
    assert [block.conv2.out_channels for block in module.layer2] == [12, 12]
    assert module.layer2[0].conv1.in_channels == 4
    assert (module.layer3[0].conv1.out_channels, module.linear.in_features) == (12, 12)
    assert logits(pruned).shape == (3, 5)
    assert notes == ()


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_channels_that_carry_nothing_leave_without_changing_an_answer(shortcut):
    net = network(shortcut, widths=(8, 16), depths=(2, 2))
    with torch.no_grad():
        for group in channels.groups(net):
            for member in group.members:
                member.weight.movedim(member.axis, 0)[::2] = 0
        for name, tensor in net.module.named_parameters():
            if name.endswith("bias") and name != "linear.bias":
                tensor[::2] = 0
        for name, tensor in net.module.named_buffers():
            if name.endswith("running_mean"):
                tensor[::2] = 0
    pruned, _ = prune(net, 0.5, 0.5)
    assert counts(pruned) == {root: count // 2 for root, count in counts(net).items()}
    torch.testing.assert_close(logits(pruned), logits(net), atol=1e-4, rtol=1e-4)


def test_pruning_keeps_the_largest_norms_summed_over_the_group():
    importance = group_norm(
        ChannelGroup(
            root="a",
            stage=0,
            num_channels=2,
            members=(
                Member(weight=torch.tensor([[3.0, 4.0], [0.0, 1.0]]), axis=0),
                Member(weight=torch.tensor([[1.0, -2.0], [1.0, 2.0]]), axis=1),
            ),
        ),
        "l2",
    )
    assert importance.tolist() == pytest.approx([5 + 2**0.5, 1 + 8**0.5])


def test_norms_are_the_sums_they_are_named_for():
    weight = torch.arange(-6.0, 6.0).reshape(2, 3, 2)
    assert slice_norm(weight, axis=0, norm="l1").tolist() == [21, 15]
    columns = [float(weight[:, i].square().sum().sqrt()) for i in range(3)]
    assert slice_norm(weight, axis=1, norm="l2").tolist() == pytest.approx(columns)


def test_the_two_norms_can_choose_differently():
    one, _ = prune(network(), 0.5, 0.5, 0.5, importance="l1")
    two, _ = prune(network(), 0.5, 0.5, 0.5, importance="l2")
    assert counts(one) == counts(two)
    assert not torch.equal(logits(one), logits(two))


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


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_even_the_largest_ratio_leaves_a_network_that_trains(shortcut):
    pruned, _ = prune(network(shortcut), 0.95, 0.95, 0.95, round_to=1)
    assert set(counts(pruned).values()) == {1}
    logits(pruned).sum().backward()
    trained = [p for p in pruned.module.parameters() if p.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)


def test_pruned_pad_shortcuts_stay_zeros_and_ones_that_are_not_trained():
    pruned, _ = prune(network("pad"), 0.5, 0.25, 0.5)
    pads = [part for part in pruned.module.modules() if isinstance(part, PadShortcut)]
    assert len(pads) == 2
    assert all(set(pad.weight.unique().tolist()) <= {0.0, 1.0} for pad in pads)
    assert not any(pad.weight.requires_grad for pad in pads)


def test_the_network_itself_stays_untouched():
    net = network()
    before = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    prune(net, 0.5, 0.5, 0.5)
    after = net.module.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(part.training for part in net.module.modules())


def test_a_pruned_network_can_be_pruned_again():
    once, _ = prune(network(), 0.5, 0.5, 0.5)
    twice, _ = prune(once, 0.5, 0.5, 0.5)
    assert twice.module.conv1.out_channels == 2


@pytest.mark.parametrize("ratios", [(0.5,), (0.5, 0.5), (0.1,) * 4])
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


def test_a_network_of_no_family_is_an_invalid_candidate():
    plain = Network(
        module=torch.nn.Linear(3, 5),
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=(1, 1, 3),
        num_classes=5,
    )
    with pytest.raises(InvalidCandidate, match="not Linear"):
        prune(plain, 0.5)
