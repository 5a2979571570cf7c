"""Uploaded networks lose channels as graphs, and their torch layers with them."""

import copy
import functools
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from compress.evaluation import runtime
from compress.network.graph.view.absorbing import absorb
from compress.network.graph.write import write
from compress.network.structure import channels
from compress.network.structure.importance import Evidence, importance
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning.strategies import Ranked
from tests.compress import networks, uploads
from tests.compress.applying import applied
from tests.compress.awkward import CHANNELS, SIDE, ZOO
from tests.compress.onnx_networks import IMAGES, module_of
from tests.compress.uploads import pictures

TINY, GREY = (CHANNELS, SIDE, SIDE), (1, 8, 8)
TRAPS = (
    networks.Separable,
    networks.Normalised,
    networks.Grouped,
    networks.Concatenated,
    networks.ConcatenatedLast,
    networks.Transposed,
    networks.HardCoded,
)
AWKWARD = (
    "unlike branches",
    "the input beside",
    "pixel shuffle",
    "dense block",
    "attention",
    "transformer",
    "lstm",
    "gru",
    "embedding",
    "transposed",
    "three axes",
    "functional",
    "instance norm",
    "tied weights",
    "one norm twice",
    "one layer twice",
    "norm of sequences",
    "in place",
)
MAKERS = {
    **{name: (functools.partial(module_of, name), IMAGES) for name in ("cnn", "residual", "vit")},
    **{name: (functools.partial(module_of, name), IMAGES) for name in ("depthwise", "shuffle")},
    **{kind.__name__: (kind, GREY) for kind in TRAPS},
    **{name: (ZOO[name], TINY) for name in AWKWARD},
}

COVER = ("depthwise", "shuffle", "vit", "dense block", "lstm", "Grouped")
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in MAKERS]


@functools.cache
def network(name):
    """The network as an upload, with random scales and statistics of its norms."""
    make, shape = MAKERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = networks.wrapped(make()).module
    return uploads.written_by_hand(module, shape=shape)


def draw(found, seed, *, only_exact=True):
    """About 40 % of every group."""
    generator = torch.Generator().manual_seed(seed)
    removed = {}
    for group in found.groups:
        count = max(1, round(0.6 * group.num_channels))
        score_O = torch.rand(group.num_channels, generator=generator)
        lost_R = channels.least_important(group, score_O, count)
        if len(lost_R) and (group.exact or not only_exact):
            removed[group.root] = lost_R
    return removed


def answer(of, seed=7):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return of.module(torch.randn(3, *of.input_shape, generator=generator))


def deaf(of, found, removed):
    """The network with zeros for everything that reads these channels."""
    module = copy.deepcopy(of.module)
    with torch.no_grad():
        for group in found.groups:
            readers = [m for m in group.members if m.kind == "reader"]
            for member in readers if group.root in removed else ():
                own = module.get_parameter(member.tensor)
                lost_S = member.slice_S[torch.isin(member.channel_S, removed[group.root])]
                numbered = torch.arange(own.numel()).reshape(own.shape)
                own.view(-1)[replace(member, slice_S=lost_S).slices(numbered).flatten()] = 0
    return module


@pytest.mark.parametrize("name", ROWS)
def test_without_channels_a_network_answers_as_if_nothing_read_them(name):
    whole = network(name)
    found = channels.find(whole)
    removed = draw(found, zlib.crc32(name.encode()))
    smaller = channels.remove(whole, found, removed)
    expected = answer(replace(whole, module=deaf(whole, found, removed)))
    torch.testing.assert_close(answer(smaller), expected, rtol=0, atol=1e-5)
    assert set(removed) == {g.root for g in found.groups if g.exact and g.num_channels > 1}


@pytest.mark.parametrize("name", ROWS)
def test_a_smaller_network_trains_and_its_file_answers_alike(name):
    whole = network(name)
    found = channels.find(whole)
    smaller = channels.remove(whole, found, draw(found, 1, only_exact=False))
    assert sum(p.numel() for p in smaller.module.parameters()) < sum(
        p.numel() for p in whole.module.parameters()
    )
    names = dict(whole.module.named_parameters())
    assert set(dict(smaller.module.named_parameters())) <= set(names)
    smaller.module(torch.randn(4, *smaller.input_shape)).square().sum().backward()
    learning = [p for p in smaller.module.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in learning)
    session = runtime.session(
        write(absorb(smaller.module, smaller.module.program)).SerializeToString()
    )
    x_NCHW = torch.randn(3, *smaller.input_shape)
    [found_NK] = session.run(None, {"input": x_NCHW.numpy()})
    with torch.no_grad():
        expected_NK = smaller.module.eval()(x_NCHW).numpy()
    np.testing.assert_allclose(found_NK, expected_NK, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["shuffle", "vit", "dense block", "lstm", "Grouped"])
def test_channels_leave_in_steps_and_every_step_is_exact(name):
    smaller = network(name)
    roots = [group.root for group in channels.find(smaller).groups]
    for seed in range(3):
        found = channels.find(smaller)
        assert [group.root for group in found.groups if group.num_channels > 1] == [
            root for root in roots if root in found.by_root and found.by_root[root].num_channels > 1
        ]
        removed = draw(found, seed)
        expected = answer(replace(smaller, module=deaf(smaller, found, removed)))
        smaller = channels.remove(smaller, found, removed)
        torch.testing.assert_close(answer(smaller), expected, rtol=0, atol=1e-5)


def test_layers_that_were_factorised_lose_channels_under_their_names():
    whole = uploads.network_of(uploads.uploaded("residual"))
    thin = applied(CompressedModel(network=whole), pictures(), technique="low_rank", energy=0.5)
    found = channels.find(thin.network)
    assert {member.layer for group in found.groups for member in group.members} >= {
        "head.first",
        "short.last",
    }
    smaller = channels.remove(thin.network, found, draw(found, 0))
    expected = answer(replace(thin.network, module=deaf(thin.network, found, draw(found, 0))))
    torch.testing.assert_close(answer(smaller), expected, rtol=0, atol=1e-5)


def test_what_is_frozen_stays_frozen_and_counts_for_no_importance():
    whole = copy.deepcopy(network("residual"))
    whole.module.get_parameter("stem.0.weight").requires_grad_(False)
    found = channels.find(whole)
    assert "stem.0" not in {member.layer for member in found.groups[0].trained}
    smaller = channels.remove(whole, found, draw(found, 0))
    assert not smaller.module.get_parameter("stem.0.weight").requires_grad
    assert smaller.module.get_parameter("head.weight").requires_grad


@pytest.mark.parametrize("name", ["l2", "fpgm", "random"])
def test_hidden_units_and_heads_have_an_importance(name):
    for kind, unit in (("lstm", "hidden"), ("vit", "head")):
        found = channels.find(network(kind))
        [group] = [group for group in found.groups if group.unit == unit]
        score_O = importance(group, name=name, evidence=Evidence())
        assert score_O.shape == (group.num_channels,)
        assert (score_O > 0).all()


def test_heads_are_not_rounded_where_each_is_many_channels():
    [heads] = [g for g in channels.find(network("vit")).groups if g.unit == "head"]
    ranked = Ranked(group=heads, importance_O=torch.ones(2), original=2)
    assert (heads.width, ranked.kept(0.5, round_to=2), ranked.kept(0.5, round_to=16)) == (8, 1, 2)


def test_channels_of_the_logits_are_no_group_and_need_no_note():
    found = channels.find(network("three axes"))
    assert [group.root for group in found.groups] == ["deep"]
    assert found.fixed == {"conv": "the window of Conv /deep/Conv slides over them"}


def test_layers_of_one_resolution_are_a_stage():
    found = channels.find(network("depthwise"))
    assert {g.root: g.stage for g in found.groups} == {"stem.0": 0, "squeeze": 1, "point.0": 0}
    assert found.num_stages == 2
