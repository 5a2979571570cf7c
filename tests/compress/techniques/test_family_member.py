import copy

import pytest
import torch
from torch import nn

from compress.network.families.network import FamilyNetwork, build
from compress.network.families.plans.config import scaled
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.sources.family import FamilyMembers
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member import apply as family_member
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training.context import TrialContext
from tests.devices import DEVICE

SHORTCUTS = ["pad", "conv"]
NO_IMAGES = Images(x_NCHW=torch.zeros(0, 1, 8, 8), y_N=torch.zeros(0, dtype=torch.int64))
DATA = ImageData(train=NO_IMAGES, validation=NO_IMAGES, test=None, num_classes=4)
CONTEXT = TrialContext(
    members=FamilyMembers(), data=DATA, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
)


def network(shortcut="conv"):
    architecture = Residual(widths=(8, 12), depths=(3, 2), shortcut=shortcut)
    return Network(
        module=build(architecture, in_channels=1, num_classes=4, seed=0),
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=(1, 8, 8),
        num_classes=4,
    )


def cut(net, **config):
    compressed = family_member.apply(CompressedModel(network=net), FamilyMember(**config), CONTEXT)
    return compressed.network, compressed.notes


def shape(module):
    stages = [list(getattr(module, f"layer{stage + 1}").children()) for stage in range(2)]
    widths = [{block.conv1.out_channels for block in stage} for stage in stages]
    return [len(stage) for stage in stages], widths, module.linear.in_features


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_member_has_its_share_of_channels_and_its_first_blocks(shortcut):
    student, notes = cut(network(shortcut), width=0.5, depth=2)
    assert isinstance(student.module, FamilyNetwork)
    assert shape(student.module) == ([2, 2], [{4}, {6}], 6)
    assert student.module(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert notes == ()


def test_a_shallower_member_answers_like_the_network_without_its_last_blocks():
    net = network()
    student, _ = cut(net, depth=1)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    silent = copy.deepcopy(net.module)
    for name in ("layer1.1", "layer1.2", "layer2.1"):
        nn.init.zeros_(silent.get_parameter(f"{name}.bn2.weight"))
    torch.testing.assert_close(student.module(x), silent(x))


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_weights_are_inherited_by_slicing(shortcut):
    net = network(shortcut)
    student, _ = cut(net, width=0.5)
    whole, part = (n.module.get_parameter("layer1.1.conv1.weight") for n in (net, student))
    stream = [
        next(index for index in range(8) if torch.equal(net.module.conv1.weight[index], kept))
        for kept in student.module.conv1.weight
    ]
    assert len(set(stream)) == 4
    rows = whole[:, stream]
    assert all(any(torch.equal(row, candidate) for candidate in rows) for row in part)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_narrower_member_answers_like_the_network_whose_other_channels_are_silent(shortcut):
    net = network(shortcut)
    with torch.no_grad():
        for name, tensor in net.module.named_parameters():
            if tensor.requires_grad and not name.startswith("linear"):
                tensor[1::2] = 0
        net.module.linear.weight[:, 1::2] = 0
    student, _ = cut(net, width=0.5)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(student.module(x), net.module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("count", "width", "expected"), [(16, 0.5, 8), (5, 0.5, 3), (12, 0.75, 9), (3, 0.01, 1)]
)
def test_widths_round_to_the_nearest_and_keep_a_channel(count, width, expected):
    assert scaled(count, width) == expected


def test_all_of_the_network_is_noted_and_nothing_is_copied():
    net = network()
    same, notes = cut(net, width=1.0, depth=3)
    assert same is net
    assert notes == ("family_member: its shape keeps all of the network",)


def test_the_network_itself_stays_untouched():
    net = network()
    before = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    cut(net, width=0.5, depth=1)
    after = net.module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_member_can_still_be_pruned(shortcut):
    student, _ = cut(network(shortcut), width=0.75, depth=1)
    config = FilterPruning(ratios=(0.5, 0.5), round_to=1)
    pruned = filter_pruning.apply(CompressedModel(network=student), config, CONTEXT)
    assert shape(pruned.network.module) == ([1, 1], [{3}, {5}], 5)
