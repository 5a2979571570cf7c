import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.structure import channels
from compress.network.structure.channel_groups import ChannelGroup, Member
from compress.values.errors import InvalidCandidate
from tests.compress.networks import (
    Concatenated,
    ConcatenatedLast,
    DepthwiseFirst,
    Grouped,
    HardCoded,
    Normalised,
    Separable,
    Transposed,
    imported,
    seeded,
    wrapped,
)


def network_of(kind):
    return imported(seeded(kind))


def sizes(network):
    return {group.root: group.num_channels for group in channels.groups(network)}


def answers(network, *, training=False):
    x = torch.randn(4, *network.input_shape, generator=torch.Generator().manual_seed(1))
    return network.module.train(training)(x)


def keep_first(network, **counts):
    def by_position(group):
        return -torch.arange(float(group.num_channels))

    return channels.keep(network, {k.replace("__", "."): v for k, v in counts.items()}, by_position)


def silence(network, group, start):
    """Make a network deaf to the channels of a group from ``start`` on."""
    with torch.no_grad():
        for member in group.members:
            if member.kind == "reader":
                weight = network.module.get_parameter(member.tensor)
                weight[:, member.slice_S[member.channel_S >= start]] = 0


def test_a_depthwise_convolution_leaves_with_the_channels_it_handles():
    smaller = keep_first(network_of(Separable), stem=3, pointwise=4)
    depthwise = smaller.module.depthwise
    assert (depthwise.in_channels, depthwise.out_channels, depthwise.groups) == (3, 3, 3)
    assert sizes(smaller) == {"stem": 3, "pointwise": 4}
    assert smaller.module.head.out_channels == 5


def test_a_depthwise_convolution_may_end_with_one_channel():
    smaller = keep_first(network_of(Separable), stem=1, pointwise=1)
    assert smaller.module.depthwise.weight.shape == (1, 1, 3, 3)
    assert answers(smaller).shape == (4, 5)


def test_the_input_channels_stay_where_the_first_layer_is_depthwise():
    network = seeded_rgb()
    assert sizes(network) == {"second": 8}
    assert keep_first(network, second=2).module.first.in_channels == 3


def seeded_rgb():
    return imported(wrapped(DepthwiseFirst(), input_shape=(3, 8, 8)))


@pytest.mark.parametrize(
    ("kind", "root", "start"),
    [
        (Separable, "stem", 3),
        (Separable, "pointwise", 5),
        (Normalised, "conv", 2),
        (Normalised, "narrow", 3),
        (Concatenated, "left", 2),
        (Concatenated, "right", 3),
    ],
)
def test_channels_that_nobody_hears_leave_without_changing_an_answer(kind, root, start):
    network = network_of(kind)
    group = channels.find(network).by_root[root]
    silence(network, group, start)
    smaller = keep_first(network, **{root: start})
    torch.testing.assert_close(answers(smaller), answers(network), atol=1e-5, rtol=1e-5)


def test_a_layer_norm_gets_narrower_and_keeps_the_scales_of_its_channels_in_order():
    network = network_of(Normalised)
    chosen = [23, 16, 9, 8, 1]
    score = torch.zeros(24)
    score[chosen] = 1.0
    smaller = channels.keep(network, {"wide": 5}, lambda group: score)
    norm = smaller.module.norm
    assert norm.normalized_shape == (5,)
    assert torch.equal(norm.weight, network.module.norm.weight[sorted(chosen)])
    assert torch.equal(norm.bias, network.module.norm.bias[sorted(chosen)])


def test_behind_a_flattening_a_channel_takes_all_its_positions_along():
    network = network_of(Normalised)
    smaller = keep_first(network, conv=2)
    assert smaller.module.wide.in_features == 2 * 16
    assert torch.equal(smaller.module.wide.weight, network.module.wide.weight[:, :32])


def test_a_network_with_dropout_and_layer_norm_trains_after_it_was_pruned():
    smaller = keep_first(network_of(Normalised), conv=3, wide=7, narrow=4)
    assert smaller.module.get_submodule("Mul").scale.shape == (4,)
    answers(smaller, training=True).sum().backward()
    assert all(parameter.grad is not None for parameter in smaller.module.parameters())


def test_grouped_convolutions_lose_channels_in_all_their_sections_alike():
    network = network_of(Grouped)
    assert channels.find(network).by_root["first"].sections == 2
    score = torch.arange(12.0)
    smaller = channels.keep(network, {"first": 4}, lambda group: score)
    assert smaller.module.grouped.weight.shape == (8, 2, 3, 3)
    assert torch.equal(smaller.module.first.weight, network.module.first.weight[[4, 5, 10, 11]])
    assert torch.equal(smaller.module.grouped.weight, network.module.grouped.weight[:, [4, 5]])


def test_what_is_added_to_a_concatenation_loses_the_channels_of_both_producers():
    smaller = keep_first(network_of(Concatenated), left=2, right=1)
    module = smaller.module
    assert (module.left.out_channels, module.right.out_channels) == (2, 1)
    assert (module.stem.out_channels, module.norm.num_features) == (3, 3)


def test_a_group_is_named_for_a_layer_that_makes_its_channels_and_no_others():
    network = network_of(ConcatenatedLast)
    assert sizes(network) == {"left": 4, "right": 6, "last": 8}
    smaller = keep_first(network, left=2, right=3)
    assert (smaller.module.stem.out_channels, smaller.module.norm.num_features) == (5, 5)


def test_channels_leave_transposed_convolutions_and_reshapes_to_a_number():
    assert sizes(network_of(Transposed)) == {"first": 6, "up": 4, "last": 6}
    assert answers(keep_first(network_of(HardCoded), conv=3, other=4)).shape == (4, 5)


def test_a_module_without_a_graph_is_an_invalid_candidate_with_the_way_out():
    with pytest.raises(InvalidCandidate, match=r"Separable cannot lose channels.*torch\.export"):
        channels.find(seeded(Separable))


def test_looking_for_groups_leaves_no_trace_on_the_network():
    network = network_of(Separable)
    network.module.train()
    channels.find(network)
    assert all(part.training for part in network.module.modules())
    assert not any(part._forward_hooks for part in network.module.modules())


def test_without_stages_of_its_own_a_network_has_one_per_resolution():
    found = channels.find(network_of(Separable))
    assert {group.root: group.stage for group in found.groups} == {"stem": 0, "pointwise": 1}
    assert found.num_stages == 2


class Pooled(nn.Module):
    """A stream that one layer makes before a pool, and another behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.back, self.out = nn.Conv2d(6, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem(x)), 2)
        x = x + self.back(functional.relu(self.inner(x)))
        return self.out(x.mean((2, 3)))


def test_a_group_that_spans_stages_counts_for_the_first():
    found = channels.find(network_of(Pooled)).by_root
    assert {root: group.stage for root, group in found.items()} == {"stem": 0, "inner": 1}
    assert "back" in {member.layer for member in found["stem"].members}


def test_a_network_of_a_family_has_its_own_stages_and_the_stem_is_of_the_first():
    architecture = Residual(widths=(8, 12), depths=(2, 1), shortcut="conv")
    found = channels.find(wrapped(build(architecture, in_channels=1, num_classes=5, seed=0)))
    assert {group.root: group.stage for group in found.groups} == {
        "conv1": 0,
        "layer1.0.conv1": 0,
        "layer1.1.conv1": 0,
        "layer2.0.conv1": 1,
        "layer2.0.conv2": 1,
    }
    assert found.num_stages == 2


def test_a_frozen_layer_stays_frozen_and_its_weights_are_not_looked_at():
    network = network_of(Separable)
    network.module.stem.weight.requires_grad_(False)
    group = channels.find(network).by_root["stem"]
    assert "stem" not in {member.layer for member in group.trained}
    assert not keep_first(network, stem=4).module.stem.weight.requires_grad


def test_channels_of_equal_importance_leave_from_the_end():
    group = ChannelGroup(root="a", stage=0, num_channels=4, members=())
    assert channels.least_important(group, torch.ones(4), 3).tolist() == [3]


def test_a_reader_in_sections_shows_the_weights_of_every_input():
    weight = torch.arange(8.0).reshape(4, 2, 1, 1)
    member = Member(
        layer="a",
        kind="reader",
        weight=weight,
        channel_S=torch.arange(4),
        slice_S=torch.arange(4),
        sections=2,
        axis=1,
    )
    assert member.slices(weight).tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]
