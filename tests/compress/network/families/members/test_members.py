"""Members are slices: what the larger network answers where the rest of it does nothing."""

import pytest
import torch

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.families.resnet.config import ResNet
from compress.network.families.vgg_bn.config import VggBn
from compress.network.member import Shape
from compress.network.supernet import extraction
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member import apply as family_member
from compress.techniques.family_member.config import FamilyMember
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import MEMBERS, SAMPLES, UNADDED
from tests.compress.network.families.silence import silenced
from tests.compress.network.supernet.families import context

SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
IMAGENET = {"in_channels": 3, "num_classes": 1000}
CASES = [
    pytest.param(name, shape, id=f"{name}-{number}")
    for name, shapes in MEMBERS.items()
    for number, shape in enumerate(shapes)
]


def assert_alike(one, other):
    scale = float(other.abs().max())
    assert scale > 0
    torch.testing.assert_close(one, other, atol=1e-5 * scale, rtol=1e-4)


def test_every_sample_has_members_in_everything_that_its_family_may_differ_in():
    assert MEMBERS.keys() == SAMPLES.keys()
    as_is = Shape()
    for family in {sample.family for sample in SAMPLES.values()}:
        names = [name for name, sample in SAMPLES.items() if sample.family == family]
        differ = {
            dimension
            for name in names
            for shape in MEMBERS[name]
            for dimension in SAMPLES[name].elastic
            if getattr(shape, dimension) != getattr(as_is, dimension)
        }
        # Those two change no tensor that stays, and are tested where they are.
        missing = SAMPLES[names[0]].elastic - differ - {"excitation", "activation"}
        # Behind a shuffle, or beside sums of other edges, a slice is no part of the answer.
        assert missing == {"shufflenet_v2": {"width", "depth"}, "nasbench201": {"depth"}}.get(
            family, set()
        )


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_member_answers_like_the_network_in_which_the_rest_does_nothing(name, shape):
    net = tiny.network(SAMPLES[name])
    member = extraction.extract(net, SAMPLES[name].member(shape))
    rest = silenced(net, member.module.plan, passes=name in UNADDED)
    assert_alike(tiny.answers(member), tiny.answers(rest))
    assert not torch.allclose(tiny.answers(member), tiny.answers(net))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_member_is_a_smaller_config_of_its_family_and_costs_what_the_layout_says(name, shape):
    whole = SAMPLES[name]
    member = whole.member(shape)
    assert type(whole).model_validate(member.model_dump()) == member
    cost = layout.macs(member, **SIZE, height=tiny.SIDE, width=tiny.SIDE)
    assert cost < layout.macs(whole, **SIZE, height=tiny.SIDE, width=tiny.SIDE)
    alive = (
        member
        if whole.family != "nasbench201"
        else member.model_copy(update={"cell": member.least(())})
    )
    assert tiny.counted(extraction.extract(tiny.network(whole), alive)) == (
        layout.parameters(alive, **SIZE),
        layout.macs(alive, **SIZE, height=tiny.SIDE, width=tiny.SIDE),
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_the_full_shape_is_the_network_and_answers_exactly(name):
    net = tiny.network(SAMPLES[name])
    full = SAMPLES[name].member(Shape())
    assert full == SAMPLES[name]
    assert torch.equal(tiny.answers(extraction.extract(net, full)), tiny.answers(net))


@pytest.mark.parametrize(
    "whole",
    [
        Residual(depths=(3, 3, 3), shortcut="pad"),
        ResNet(),
        ResNet(block="bottleneck", depths=(2, 2, 2, 2), inner=1.5),
        VggBn(),
        DsCnn(channels=172, kernel=7),
        NasBench201(cells=(1, 1, 1)),
        EfficientNet(variant="b3"),
    ],
    ids=lambda whole: f"{whole.family}",
)
def test_members_of_published_networks_are_slices_at_every_width(whole):
    drawn = plan_of(whole, **IMAGENET)
    for step in range(1, 21):
        shape = Shape(width=step / 20, expansion=1 - step / 40, depth=1 + step % 4)
        part = plan_of(whole.member(shape), **IMAGENET)
        extraction.check(drawn, part)
        assert part.by_name.keys() <= drawn.by_name.keys()


def test_a_member_as_narrow_as_the_stage_before_adds_no_input_that_the_network_does_not_add():
    whole = SAMPLES["efficientnet"]
    member = whole.member(Shape(width=0.1))
    assert len(set(member.channels)) < len(set(whole.channels))
    for config in (whole, member):
        added = [len(block) == 1 for stage in plan_of(config, **SIZE).stages for block in stage]
        assert added == [False, False, True, False, False, False, False, True, False]


@pytest.mark.parametrize("name", ["resnet", "vgg_bn", "ds_cnn"])
def test_a_member_inherits_the_most_important_channels(name):
    net = tiny.network(SAMPLES[name])
    first = net.module.plan.layers[0].name
    with torch.no_grad():
        weight = net.module.get_submodule(first).weight
        # The last half of the outputs is large: they are the ones to keep.
        weight[len(weight) // 2 :] *= 30
    config = FamilyMember(width=0.5)
    student = family_member.apply(CompressedModel(network=net), config, context()).network
    kept = student.module.get_submodule(first).weight.flatten(1)
    large = net.module.get_submodule(first).weight.flatten(1)[len(kept) :]
    assert {tuple(row) for row in kept.tolist()} == {tuple(row) for row in large.tolist()}
    assert student.module.architecture == SAMPLES[name].member(Shape(width=0.5))
