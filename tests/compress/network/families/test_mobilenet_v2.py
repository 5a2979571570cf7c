import itertools
import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.network import FamilyNetwork
from compress.network.member import Shape
from compress.network.sources import safetensors as weights
from compress.network.sources.family import FamilyMembers
from compress.network.structure import channels
from compress.network.supernet import extraction
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training.context import TrialContext
from compress.values.errors import InvalidWeights
from tests.compress.network.families import tiny
from tests.compress.network.families.silence import silenced
from tests.devices import DEVICE

PAGE = Path("docs/families/mobilenet_v2.md")
IMAGENET = {"in_channels": 3, "num_classes": 1000}
SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
# Table 2 of the paper: expansion, channels, blocks, stride.
TABLE = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
# Of torchvision's networks, parameters and multiply-accumulates at 224 pixels.
COUNTS = {
    0.35: (1_677_128, 59_285_808),
    0.5: (1_968_680, 97_131_840),
    0.75: (2_636_424, 209_069_792),
    1.0: (3_504_872, 300_774_272),
    1.3: (5_386_792, 509_374_560),
    1.4: (6_108_776, 582_195_824),
}
SMALL = MobileNetV2(
    width=0.5,
    depths=(1, 2, 1, 2, 1, 1, 1),
    kernel=5,
    stem_stride=1,
    strides=(1, 2, 1, 2, 1, 2, 1),
)
SHAPES = [
    Shape(width=width, depth=depth, kernel=kernel, expansion=expansion)
    for width, depth, kernel, expansion in itertools.product(
        (1.0, 0.6, 0.2), (2, 1), (5, 3), (1.0, 0.4)
    )
]


def published_shapes():
    """Names and shapes of torchvision's convolutions and BatchNorms, block by block."""
    convs = [("features.0.0", "features.0.1", (32, 3, 3, 3))]
    inputs, number = 32, 0
    for expansion, outputs, blocks, _ in TABLE:
        for _ in range(blocks):
            number += 1
            block, inner = f"features.{number}.conv", inputs * expansion
            if expansion > 1:
                convs.append((f"{block}.0.0", f"{block}.0.1", (inner, inputs, 1, 1)))
            first = int(expansion > 1)
            convs.append((f"{block}.{first}.0", f"{block}.{first}.1", (inner, 1, 3, 3)))
            convs.append((f"{block}.{first + 1}", f"{block}.{first + 2}", (outputs, inner, 1, 1)))
            inputs = outputs
    return [*convs, ("features.18.0", "features.18.1", (1280, 320, 1, 1))]


def timm_names(depths):
    """timm's names of convolutions and BatchNorms, in the order of ``published_shapes``."""
    yield "conv_stem", "bn1"
    yield "blocks.0.0.conv_dw", "blocks.0.0.bn1"
    yield "blocks.0.0.conv_pw", "blocks.0.0.bn2"
    for stage, depth in enumerate(depths[1:], start=1):
        for block in range(depth):
            for conv, norm in (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")):
                yield f"blocks.{stage}.{block}.{conv}", f"blocks.{stage}.{block}.{norm}"
    yield "conv_head", "bn2"


def renamed(architecture, tensors):
    """The tensors of a network under timm's names."""
    convs = [
        layer for layer in plan_of(architecture, **SIZE).layers if layer.name != "classifier.1"
    ]
    others = {"classifier.1": "classifier"}
    for layer, (conv, norm) in zip(convs, timm_names(architecture.depths), strict=True):
        others |= {layer.name: conv, layer.norm: norm}
    prefixes = {name: name.rpartition(".") for name in tensors}
    return {f"{others[prefixes[n][0]]}.{prefixes[n][2]}": tensor for n, tensor in tensors.items()}


@pytest.mark.parametrize("width", COUNTS)
def test_parameters_and_macs_are_the_published_ones(width):
    config = MobileNetV2(width=width)
    counts = (
        layout.parameters(config, **IMAGENET),
        layout.macs(config, **IMAGENET, height=224, width=224),
    )
    assert counts == COUNTS[width]


def test_names_and_shapes_are_those_of_torchvision():
    expected = {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}
    for conv, norm, shape in published_shapes():
        expected[f"{conv}.weight"] = shape
        for name in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{norm}.{name}"] = shape[:1]
    assert layout.tensor_shapes(MobileNetV2(), **IMAGENET) == expected


def test_maps_shrink_by_the_published_strides():
    rows = layout.layers(MobileNetV2(), **IMAGENET, image=(224, 224))
    sides = {row.stage: row.output[1] for row in rows if row.stage is not None}
    assert sides == dict(enumerate((112, 56, 28, 14, 14, 7, 7)))
    assert rows[-2].output == (1280, 7, 7)


def test_small_images_need_fewer_strides():
    config = MobileNetV2(stem_stride=1, strides=(1, 1, 2, 2, 1, 2, 1))
    rows = layout.layers(config, in_channels=3, num_classes=10, image=(32, 32))
    assert rows[-2].output == (1280, 4, 4)
    assert layout.tensor_shapes(config, **IMAGENET) == layout.tensor_shapes(
        MobileNetV2(), **IMAGENET
    )


def test_the_layout_counts_what_torch_counts():
    assert tiny.counted(tiny.network(SMALL)) == (
        layout.parameters(SMALL, **SIZE),
        layout.macs(SMALL, **SIZE, height=tiny.SIDE, width=tiny.SIDE),
    )


def test_resized_images_cost_what_images_of_that_side_cost():
    resized = SMALL.member(Shape(resolution=8))
    assert layout.macs(resized, **SIZE, height=16, width=16) == layout.macs(
        SMALL, **SIZE, height=8, width=8
    )
    assert tiny.counted(tiny.network(resized))[1] == layout.macs(
        resized, **SIZE, height=tiny.SIDE, width=tiny.SIDE
    )


def test_a_file_with_the_names_of_timm_loads_to_the_same_answers(tmp_path):
    net = tiny.network(SMALL)
    weights.save(net, tmp_path / "own.safetensors")
    own = safetensors.torch.load_file(tmp_path / "own.safetensors")
    others = renamed(SMALL, own)
    assert others.keys().isdisjoint(own)
    safetensors.torch.save_file(others, tmp_path / "timm.safetensors")
    for name in ("own", "timm"):
        loaded = weights.load(
            tmp_path / f"{name}.safetensors",
            architecture=SMALL,
            normalisation=net.normalisation,
            input_shape=net.input_shape,
            num_classes=net.num_classes,
        )
        assert torch.equal(tiny.answers(loaded), tiny.answers(net))


def test_weights_of_another_width_are_refused_by_name(tmp_path):
    net = tiny.network(SMALL)
    weights.save(net, tmp_path / "w.safetensors")
    with pytest.raises(InvalidWeights, match=r"of another shape: features\.0\.0\.weight"):
        weights.load(
            tmp_path / "w.safetensors",
            architecture=SMALL.model_copy(update={"width": 1.0}),
            normalisation=net.normalisation,
            input_shape=net.input_shape,
            num_classes=net.num_classes,
        )


@pytest.mark.parametrize("config", [MobileNetV2(), MobileNetV2(width=0.75), SMALL], ids=str)
def test_the_full_shape_is_the_network_itself(config):
    assert config.member(Shape()) == config


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_member_is_a_slice_and_a_config_of_its_own(shape):
    member = SMALL.member(shape)
    extraction.check(plan_of(SMALL, **SIZE), plan_of(member, **SIZE))
    assert MobileNetV2.model_validate(member.model_dump()) == member


def test_members_of_the_widest_network_are_slices_at_every_width():
    whole = MobileNetV2(width=1.4)
    for step in range(1, 101):
        member = whole.member(Shape(width=step / 100, expansion=1 - step / 200))
        whole_plan, part = plan_of(whole, **IMAGENET), plan_of(member, **IMAGENET)
        extraction.check(whole_plan, part)
        assert part.by_name.keys() <= whole_plan.by_name.keys()


@pytest.mark.parametrize("shape", SHAPES[:: len(SHAPES) - 1] + SHAPES[5:20:7], ids=str)
def test_a_member_answers_like_the_network_in_which_the_rest_is_zero(shape):
    net = tiny.network(SMALL)
    member = extraction.extract(net, SMALL.member(shape))
    assert isinstance(member.module, FamilyNetwork)
    rest = silenced(net, member.module.plan)
    torch.testing.assert_close(tiny.answers(member), tiny.answers(rest), atol=1e-5, rtol=1e-5)


def test_the_full_member_answers_exactly_like_the_network():
    net = tiny.network(SMALL)
    full = extraction.extract(net, SMALL.member(Shape()))
    assert torch.equal(tiny.answers(full), tiny.answers(net))


def test_another_activation_changes_answers_and_no_tensor():
    net = tiny.network(SMALL)
    member = extraction.extract(net, SMALL.member(Shape(activation="hardswish")))
    assert not torch.allclose(tiny.answers(member), tiny.answers(net))
    before, after = net.module.state_dict(), member.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_all_channels_may_be_pruned_but_the_logits():
    net = tiny.network(SMALL)
    found = channels.find(net)
    assert found.fixed == {}
    assert {group.stage for group in found.groups} == set(range(7))
    no_images = Images(x_NCHW=torch.zeros(0, 1, 16, 16), y_N=torch.zeros(0, dtype=torch.int64))
    data = ImageData(train=no_images, validation=no_images, test=None, num_classes=5)
    context = TrialContext(
        members=FamilyMembers(), data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    config = FilterPruning(ratios=(0.5,) * 7, round_to=1)
    pruned = filter_pruning.apply(CompressedModel(network=net), config, context).network
    assert tiny.answers(pruned).shape == (3, tiny.NUM_CLASSES)
    assert pruned.module.get_submodule("features.2.conv.1.0").weight.shape == (24, 1, 5, 5)


def test_the_int8_file_agrees_with_torch(tmp_path):
    artifact = tiny.exported_int8(tiny.network(SMALL), tmp_path)
    assert artifact.agreement is not None
    assert artifact.agreement >= 0.9
    assert artifact.macs == layout.macs(SMALL, **SIZE, height=tiny.SIDE, width=tiny.SIDE)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"resolution": 31}, r"resolution 31 .* strides of 32 .* at least 32, or stem_stride 1"),
        ({"depths": (1, 3, 3, 4, 3, 3, 1)}, r"depths \(1, 3.* at most \(1, 2, 3, 4, 3, 3, 1\)"),
        ({"depths": (1, 2, 3)}, "depths"),
        ({"strides": (1, 3, 2, 2, 1, 2, 1)}, "Input should be 1 or 2"),
        ({"kernel": 4}, "Input should be 1, 3, 5 or 7"),
        ({"width": 0}, "greater than 0"),
        ({"activation": "gelu"}, "'relu', 'relu6', 'hardswish' or 'silu'"),
        ({"excitation": True}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_be_built_says_what_is_wrong(document, words):
    with pytest.raises(ValidationError, match=words):
        MobileNetV2.model_validate(document)


def test_the_page_states_the_counts_of_the_code():
    rows = re.findall(r"^\| `(\{.*\})` \| (\d+) \| ([\d,]+) \| ([\d,]+) \|", PAGE.read_text(), re.M)
    assert len(rows) >= len(COUNTS)
    for document, side, parameters, macs in rows:
        config = MobileNetV2.model_validate(json.loads(document))
        assert layout.parameters(config, **IMAGENET) == int(parameters.replace(",", ""))
        assert layout.macs(config, **IMAGENET, height=int(side), width=int(side)) == int(
            macs.replace(",", "")
        )
