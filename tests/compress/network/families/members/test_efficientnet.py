import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.network.families.catalog import plan_of
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.plans.plan import Conv
from compress.network.member import Shape
from compress.network.sources.family import FamilyMembers
from compress.network.supernet import extraction
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member import apply as family_member
from compress.techniques.family_member.config import FamilyMember
from compress.training.context import TrialContext
from tests.compress.network.families import tiny
from tests.devices import DEVICE

IMAGENET = {"in_channels": 3, "num_classes": 1000}
TINY = EfficientNet(width=0.4, depths=(1, 2, 1, 1, 1, 2, 1), stem_stride=1)
LITE = EfficientNet(variant="lite0", width=0.25, depths=(2, 1, 1, 1, 1, 2, 1))
SHAPES = [
    Shape(width=width, depth=depth, kernel=kernel, expansion=expansion)
    for width, depth in ((1.0, 2), (1.0, 1), (0.5, 2), (0.1, 1))
    for kernel in (5, 4, 1)
    for expansion in (1.0, 0.3)
] + [Shape(excitation=False), Shape(activation="relu", width=0.5), Shape(activation="hardswish")]


@pytest.fixture(scope="module")
def whole():
    return tiny.network(TINY)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_member_is_a_slice_that_runs_and_a_config_of_its_own(whole, shape):
    member = TINY.member(shape)
    assert EfficientNet.model_validate_json(member.model_dump_json()) == member
    part = extraction.extract(whole, member)
    assert tiny.answers(part).shape == (3, tiny.NUM_CLASSES)
    kernels = {layer.kernel[0] for layer in part.module.plan.layers if isinstance(layer, Conv)}
    assert max(kernels - {3}) <= shape.kernel
    assert max(member.blocks) == min(2, shape.depth)


@given(
    width=st.floats(0.01, 4),
    share=st.floats(0.01, 1),
    expansion=st.floats(0.01, 1),
    variant=st.sampled_from(["b0", "b3", "lite2"]),
)
@settings(deadline=None, max_examples=20)
def test_no_share_of_any_width_makes_anything_larger(width, share, expansion, variant):
    config = EfficientNet(variant=variant, width=width)
    member = config.member(Shape(width=share, expansion=expansion))
    whole_plan, part = plan_of(config, **IMAGENET), plan_of(member, **IMAGENET)
    extraction.check(whole_plan, part)
    assert part.by_name.keys() <= whole_plan.by_name.keys()


def test_no_squeeze_of_a_member_is_larger_than_that_of_the_network():
    config = EfficientNet(variant="b3")
    drawn = plan_of(config, **IMAGENET)
    for width, expansion in itertools.product((0.9, 0.5, 0.25, 0.05), (1.0, 0.5)):
        member = plan_of(config.member(Shape(width=width, expansion=expansion)), **IMAGENET)
        squeezes = {layer.name: layer.outputs for layer in member.layers if "fc1" in layer.name}
        assert len(squeezes) == sum(config.blocks)
        assert all(1 <= squeezes[name] <= drawn.by_name[name].outputs for name in squeezes)


def test_the_whole_shape_is_the_network_and_answers_exactly(whole):
    for config in (TINY, LITE, EfficientNet(variant="b4")):
        assert config.member(Shape()) == config
    part = extraction.extract(whole, TINY.member(Shape()))
    assert torch.equal(tiny.answers(part), tiny.answers(whole))


def test_a_shallower_member_answers_like_the_network_without_its_last_blocks():
    net = tiny.network(TINY)
    for block in ("features.2.1", "features.6.1"):
        for name in ("weight", "bias"):
            torch.nn.init.zeros_(net.module.get_parameter(f"{block}.block.3.1.{name}"))
    part = extraction.extract(net, TINY.member(Shape(depth=1)))
    assert part.module.plan.num_stages == 7
    torch.testing.assert_close(tiny.answers(part), tiny.answers(net))


def test_a_thinner_block_answers_like_the_network_whose_other_inner_channels_are_silent():
    net = tiny.network(TINY)
    with torch.no_grad():
        for name, tensor in net.module.named_parameters():
            silence(name, tensor)
    student = inherited(net, expansion=0.5)
    assert student.module.get_submodule("features.2.0.block.1.0").out_channels == 24
    torch.testing.assert_close(tiny.answers(student), tiny.answers(net))


def silence(name, tensor):
    """Every second channel inside the blocks that widen says nothing and is not read."""
    if "block" not in name or name.startswith("features.1."):
        return
    part = name.partition(".block.")[2]
    if part.startswith(("0.", "1.", "2.fc2")):
        tensor[1::2] = 0
    elif part in ("2.fc1.weight", "3.0.weight"):
        tensor[:, 1::2] = 0


def inherited(net, **config):
    nothing = Images(x_NCHW=torch.zeros(0, 1, 16, 16), y_N=torch.zeros(0, dtype=torch.int64))
    data = ImageData(train=nothing, validation=nothing, test=None, num_classes=tiny.NUM_CLASSES)
    context = TrialContext(
        members=FamilyMembers(), data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    compressed = CompressedModel(network=net)
    return family_member.apply(compressed, FamilyMember(**config), context).network
