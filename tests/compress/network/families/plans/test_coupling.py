"""The groups of a plan are those that leave its torch network, in their order."""

import time

import pytest

from compress.network.families import outlining
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.plans.coupling import SHUFFLED
from compress.network.structure import channels
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES

COVER = frozenset({"residual, padded", "mobilenet_v3", "shufflenet_v2"})
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in SAMPLES]
MOST_SECONDS = 1.0


def coupled(architecture, shape=(1, tiny.SIDE, tiny.SIDE)):
    found = outlining.outline(architecture, input_shape=shape, num_classes=tiny.NUM_CLASSES)
    assert found.coupled is not None
    return found.coupled


@pytest.mark.parametrize("name", ROWS)
def test_groups_of_a_plan_are_those_of_its_torch_network(name):
    ours, theirs = coupled(SAMPLES[name]), channels.find(tiny.network(SAMPLES[name]))
    assert [sized(group) for group in ours.groups] == [
        sized(group) for group in theirs.groups if group.num_channels > 1
    ]
    assert ours.fixed == theirs.fixed
    assert ours.is_counted


def sized(group):
    return group.root, group.num_channels, group.stage, group.sections, group.width


def test_what_is_shuffled_stays():
    assert SHUFFLED in coupled(SAMPLES["shufflenet_v2"]).fixed.values()


def test_groups_of_a_large_network_take_less_than_a_second():
    start = time.process_time()
    assert len(coupled(MobileNetV3(), (3, 224, 224)).groups) > 20
    assert time.process_time() - start < MOST_SECONDS
