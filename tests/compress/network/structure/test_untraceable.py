import pytest
import torch
from torch import nn
from torch.nn import functional

from compress.network.families.plans import execution
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.structure import channels, untraceable
from compress.network.structure.untraceable import SHUFFLED, SPLIT, Barrier
from tests.compress.network.families import tiny
from tests.compress.networks import wrapped


class Between(nn.Module):
    """Two convolutions of 8 channels, and what a test puts between them."""

    def __init__(self, change):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.change = change
        self.second = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        return self.second(self.change(self.first(x)))


def halves(x):
    left, right = x.chunk(2, dim=1)
    return torch.cat([right, left], dim=1)


def uneven(x):
    left, right = torch.split(x, [3, 5], dim=1)
    return torch.cat([right, left], dim=1)


def rolled(x):
    """A shuffle with a copy between its steps."""
    batch, _, height, width = x.shape
    return x.view(batch, 4, 2, height, width).transpose(1, 2).contiguous().reshape(x.shape)


def raised(module):
    return untraceable.raise_(module, torch.zeros(1, 3, 6, 6))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda x: execution.shuffle(x, 2), [SHUFFLED]),
        (lambda x: functional.channel_shuffle(x, 4), [SHUFFLED]),
        (nn.ChannelShuffle(2), [SHUFFLED]),
        (rolled, [SHUFFLED]),
        (halves, [SPLIT, SPLIT]),
        (uneven, [SPLIT, SPLIT]),
        (lambda x: execution.shuffle(halves(x), 2), [SPLIT, SPLIT, SHUFFLED]),
        (lambda x: x.index_select(1, torch.arange(7, -1, -1)), [SHUFFLED]),
    ],
    ids=[
        "own",
        "function",
        "module",
        "copied",
        "halves",
        "uneven",
        "both",
        "picked",
    ],
)
def test_a_place_that_handles_channels_by_position_gets_a_barrier(change, reasons):
    module = Between(change)
    found = raised(module)
    assert [barrier.reason for barrier in found] == reasons
    assert list(module.get_submodule("barriers")) == found
    assert all(barrier.in_channels == 8 for barrier in found)


@pytest.mark.parametrize(
    "change",
    [
        nn.Identity(),
        lambda x: x.flatten(2).unflatten(2, (6, 6)),
        lambda x: torch.cat(x.chunk(3, dim=2), dim=2),
        lambda x: x.reshape(x.shape[0], 8, 3, 2, 6).flatten(2, 3),
        lambda x: x + x.transpose(2, 3),
        lambda x: torch.cat(x.split(8, dim=1), dim=1),
    ],
    ids=["nothing", "pixels", "rows", "rows, by view", "turned", "all at once"],
)
def test_what_leaves_channels_in_their_place_gets_none(change):
    module = Between(change)
    assert raised(module) == []
    assert not hasattr(module, "barriers")


def test_a_barrier_puts_out_as_many_channels_as_the_part_that_it_stands_for():
    found = raised(Between(uneven))
    assert [(barrier.in_channels, barrier.out_channels) for barrier in found] == [(8, 3), (8, 5)]


def test_runs_meet_the_barriers_only_where_they_are_asked_to():
    module = Between(lambda x: execution.shuffle(x, 2))
    x = torch.randn(2, 3, 6, 6)
    before = module(x)
    found = raised(module)
    assert torch.equal(module(x), before)
    met = []
    for barrier in found:
        barrier.register_forward_hook(lambda *_: met.append(True))
    with untraceable.behind(found):
        within = module(x)
    assert within.shape == before.shape
    assert met == [True]
    assert torch.equal(module(x), before)


def test_raising_barriers_draws_no_number_that_others_would_miss_and_no_gradient():
    module = Between(lambda x: execution.shuffle(x, 2))
    before = torch.get_rng_state()
    found = raised(module)
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0].weight.grad is None


def test_barriers_take_a_name_that_the_module_has_not():
    module = Between(halves)
    module.add_module("barriers", nn.Identity())
    found = raised(module)
    assert isinstance(module.get_submodule("barriers"), nn.Identity)
    assert list(module.get_submodule("barriers_")) == found


def test_a_group_that_meets_a_barrier_is_fixed_and_says_why():
    for change, reason in ((lambda x: execution.shuffle(x, 2), SHUFFLED), (halves, SPLIT)):
        ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        net = wrapped(nn.Sequential(Between(change), *ends), input_shape=(3, 6, 6))
        found = channels.find(net)
        assert reason in found.fixed["0.first"]
        assert set(found.by_root) == {"0.second"}


def test_a_sequence_does_not_run_the_barriers_that_it_meets():
    parts = (nn.Conv2d(3, 8, 1), nn.ChannelShuffle(2), nn.Conv2d(8, 4, 1))
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    found = channels.find(wrapped(nn.Sequential(*parts, *ends), input_shape=(3, 6, 6)))
    assert SHUFFLED in found.fixed["0"]
    assert set(found.by_root) == {"2"}


def test_a_shufflenet_meets_a_split_and_a_shuffle_in_every_block_but_the_first_of_a_stage():
    config = ShuffleNetV2(width=0.1, depths=(2, 1, 3), last=8, stem_stride=1, stem_pool=False)
    module = tiny.network(config).module
    found = untraceable.raise_(module, torch.zeros(1, 1, 16, 16))
    first = [SHUFFLED]
    other = [SPLIT, SPLIT, SHUFFLED]
    assert [barrier.reason for barrier in found] == [
        *first,
        *other,
        *first,
        *first,
        *other,
        *other,
    ]
    assert all(isinstance(barrier, Barrier) for barrier in found)


def test_rows_that_are_padded_or_picked_meet_no_barrier():
    def change(x):
        x = functional.pad(x[:, :, 1:-1], (0, 0, 1, 1))
        return x.index_select(2, torch.arange(6))

    assert raised(Between(change)) == []
