import itertools

import pytest
import torch

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.network import FamilyNetwork
from compress.network.families.plans.plan import Conv, Linear
from compress.network.member import Shape
from compress.network.sources.family import FamilyMembers
from compress.network.structure import channels
from compress.network.supernet import extraction
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training.context import TrialContext
from tests.compress.network.families import tiny
from tests.compress.network.families.silence import silenced
from tests.devices import DEVICE

IMAGENET = {"in_channels": 3, "num_classes": 1000}
SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
SMALL = MobileNetV3(
    size="small", width=0.6, depths=(1, 2, 1, 1, 1), stem_stride=1, strides=(2, 2, 1, 1, 2)
)
LARGE = MobileNetV3(width=0.5, depths=(1, 1, 2, 1, 2, 1), stem_stride=1, strides=(1, 2, 1, 2, 1, 2))
BOTH = pytest.mark.parametrize("config", [SMALL, LARGE], ids=["small", "large"])
SHAPES = [
    Shape(width=width, depth=depth, kernel=kernel, expansion=expansion, excitation=excitation)
    for width, depth, kernel, expansion, excitation in itertools.product(
        (1.0, 0.5), (2, 1), (5, 3), (1.0, 0.4), (True, False)
    )
]
ZEROED = [shape for shape in SHAPES if shape.excitation]


@pytest.mark.parametrize(
    "config", [MobileNetV3(), MobileNetV3(size="small", width=0.75), SMALL, LARGE], ids=str
)
def test_the_full_shape_is_the_network_itself(config):
    assert config.member(Shape()) == config


@BOTH
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_member_is_a_slice_and_a_config_of_its_own(config, shape):
    member = config.member(shape)
    extraction.check(plan_of(config, **SIZE), plan_of(member, **SIZE))
    assert MobileNetV3.model_validate(member.model_dump()) == member


@pytest.mark.parametrize("size", ["large", "small"])
def test_members_of_the_widest_network_are_slices_at_every_width(size):
    whole = MobileNetV3(size=size, width=1.25)
    for step in range(1, 101):
        member = whole.member(Shape(width=step / 100, expansion=1 - step / 200))
        whole_plan, part = plan_of(whole, **IMAGENET), plan_of(member, **IMAGENET)
        extraction.check(whole_plan, part)
        assert part.by_name.keys() <= whole_plan.by_name.keys()


@BOTH
@pytest.mark.parametrize("shape", ZEROED[1::5], ids=str)
def test_a_member_answers_like_the_network_in_which_the_rest_is_zero(config, shape):
    net = tiny.network(config)
    member = extraction.extract(net, config.member(shape))
    assert isinstance(member.module, FamilyNetwork)
    rest = silenced(net, member.module.plan)
    torch.testing.assert_close(tiny.answers(member), tiny.answers(rest), atol=1e-5, rtol=1e-5)


@BOTH
def test_the_full_member_answers_exactly_like_the_network(config):
    net = tiny.network(config)
    full = extraction.extract(net, config.member(Shape()))
    assert torch.equal(tiny.answers(full), tiny.answers(net))


def test_without_excitation_a_block_passes_its_maps_unscaled():
    net = tiny.network(SMALL)
    bare = extraction.extract(net, SMALL.member(Shape(excitation=False)))
    assert not any("fc" in name for name in bare.module.state_dict())
    with torch.no_grad():
        for name, tensor in net.module.named_parameters():
            if ".fc2." in name:
                # hardsigmoid(3) is one.
                tensor.fill_(3.0 if name.endswith("bias") else 0.0)
    torch.testing.assert_close(tiny.answers(bare), tiny.answers(net), atol=1e-5, rtol=1e-5)


def test_one_activation_for_all_blocks_leaves_stem_head_and_excitation():
    plain = plan_of(MobileNetV3(), **IMAGENET)
    other = plan_of(MobileNetV3().member(Shape(activation="relu6")), **IMAGENET)
    changed = {
        name
        for name, layer in plain.by_name.items()
        if isinstance(layer, Conv | Linear) and layer != other.by_name[name]
    }
    inner = {
        name
        for name in plain.places
        if plain.by_name[name].activation != "none" and ".fc" not in name
    }
    assert changed == inner
    assert {other.by_name[name].activation for name in inner} == {"relu6"}


@BOTH
def test_all_channels_may_be_pruned_but_the_logits(config):
    net = tiny.network(config)
    found = channels.find(net)
    assert found.fixed == {}
    assert {group.stage for group in found.groups} == set(range(config.num_stages))
    no_images = Images(x_NCHW=torch.zeros(0, 1, 16, 16), y_N=torch.zeros(0, dtype=torch.int64))
    data = ImageData(train=no_images, validation=no_images, test=None, num_classes=5)
    context = TrialContext(
        members=FamilyMembers(), data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    halved = FilterPruning(ratios=(0.5,) * config.num_stages, round_to=1)
    pruned = filter_pruning.apply(CompressedModel(network=net), halved, context).network
    assert tiny.answers(pruned).shape == (3, tiny.NUM_CLASSES)
    parameters, macs = tiny.counted(pruned)
    before, macs_before = tiny.counted(net)
    assert parameters < 0.35 * before
    assert macs < 0.5 * macs_before


@pytest.mark.parametrize(
    "config",
    [SMALL, pytest.param(LARGE, marks=pytest.mark.proof)],
    ids=["small", "large"],
)
def test_the_int8_file_agrees_with_torch(config, tmp_path):
    artifact = tiny.exported_int8(tiny.network(config), tmp_path)
    assert artifact.agreement is not None
    assert artifact.agreement >= 0.9
    assert artifact.macs == layout.macs(config, **SIZE, height=tiny.SIDE, width=tiny.SIDE)
