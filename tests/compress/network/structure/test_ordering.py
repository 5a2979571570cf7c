"""The most important channels come first, and the answers stay."""

import pytest
import torch

from compress.network.structure import channels, ordering
from compress.network.structure.importance import Evidence, importance
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.compress.networks import Separable, imported, seeded


def by_norm(group):
    return importance(group, name="l2", evidence=Evidence())


def answers(network):
    x = torch.randn(3, *network.input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network.module(x)


@pytest.mark.parametrize(
    "network",
    [tiny.network(SAMPLES["residual"]), imported(seeded(Separable))],
    ids=["family", "imported"],
)
def test_the_order_follows_the_importance_and_changes_no_answer(network):
    found = ordering.ordered(network, by_norm)
    torch.testing.assert_close(answers(found), answers(network), atol=1e-4, rtol=1e-4)
    for group in channels.groups(found):
        score_O = by_norm(group)
        assert (score_O.diff() <= 1e-5).all()
    assert any((by_norm(group).diff() > 1e-5).any() for group in channels.groups(network))


def test_a_group_that_may_not_move_stays():
    network = tiny.network(SAMPLES["residual"])
    found = ordering.ordered(network, by_norm, may_move=lambda group: group.root != "conv1")
    assert torch.equal(found.module.conv1.weight, network.module.conv1.weight)
    assert not torch.equal(
        found.module.get_submodule("layer1.0.conv1").weight,
        network.module.get_submodule("layer1.0.conv1").weight,
    )
