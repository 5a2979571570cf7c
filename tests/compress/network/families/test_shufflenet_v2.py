from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.network import FamilyNetwork
from compress.network.families.plans import execution
from compress.network.families.plans.plan import Activate, Concat, Plan
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.member import Shape
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors
from compress.network.sources.family import FamilyMembers
from compress.network.structure import channels
from compress.network.supernet import extraction
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member import apply as family_member
from compress.techniques.family_member.config import FamilyMember
from compress.training.context import TrialContext
from tests.compress.network.families import tiny
from tests.devices import DEVICE

ROOT = Path(__file__).resolve().parents[4]
IMAGENET = {"in_channels": 3, "num_classes": 1000}
# Width: channels of the stages, channels before the mean, parameters, multiply-accumulates at 224.
PUBLISHED = {
    0.5: ((48, 96, 192), 1024, 1_366_792, 40_476_448),
    1.0: ((116, 232, 464), 1024, 2_278_604, 144_907_992),
    1.5: ((176, 352, 704), 1024, 3_503_624, 295_759_392),
    2.0: ((244, 488, 976), 2048, 7_393_996, 583_253_464),
}
TINY = ShuffleNetV2(
    width=0.1, depths=(2, 1, 2), kernel=5, stem=8, last=24, stem_stride=1, stem_pool=False
)
SHAPES = [
    Shape(width=width, depth=depth, kernel=kernel, expansion=expansion)
    for width in (1.0, 0.7, 0.1)
    for depth in (2, 1)
    for kernel in (5, 4, 1)
    for expansion in (1.0, 0.3)
]


@pytest.fixture(scope="module")
def whole():
    return tiny.network(TINY)


@pytest.mark.parametrize("width", PUBLISHED)
def test_published_networks_have_their_published_sizes(width):
    stages, last, parameters, macs = PUBLISHED[width]
    config = ShuffleNetV2(width=width)
    assert (config.channels, config.last_channels) == (stages, last)
    assert layout.parameters(config, **IMAGENET) == parameters
    assert layout.macs(config, **IMAGENET, height=224, width=224) == macs


@pytest.mark.parametrize("width", PUBLISHED)
def test_the_page_shows_the_published_sizes(width):
    stages, last, parameters, macs = PUBLISHED[width]
    row = (width, ", ".join(map(str, stages)), last, f"{parameters:,}", f"{macs:,}")
    page = (ROOT / "docs/families/shufflenet_v2.md").read_text()
    assert "| {} | {} | {} | {} | {} |".format(*row) in page


def test_names_and_shapes_are_those_of_torchvision():
    expected = conv("conv1", 0, (24, 3, 3, 3)) | conv("conv5", 0, (1024, 464, 1, 1))
    expected |= {"fc.weight": (1000, 1024), "fc.bias": (1000,)}
    for stage, blocks, inputs, half in ((2, 4, 24, 58), (3, 8, 116, 116), (4, 4, 232, 232)):
        first = f"stage{stage}.0.branch1"
        expected |= conv(first, 0, (inputs, 1, 3, 3)) | conv(first, 2, (half, inputs, 1, 1))
        for block in range(blocks):
            branch = f"stage{stage}.{block}.branch2"
            expected |= conv(branch, 0, (half, half if block else inputs, 1, 1))
            expected |= conv(branch, 3, (half, 1, 3, 3)) | conv(branch, 5, (half, half, 1, 1))
    assert layout.tensor_shapes(ShuffleNetV2(), **IMAGENET) == expected


def conv(prefix, index, shape):
    norm = {
        f"{prefix}.{index + 1}.{name}": (shape[0],)
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    return {f"{prefix}.{index}.weight": shape} | norm


def test_the_layout_counts_what_torch_counts(whole):
    size = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
    macs = layout.macs(TINY, **size, height=tiny.SIDE, width=tiny.SIDE)
    assert (layout.parameters(TINY, **size), macs) == tiny.counted(whole)


def test_a_block_keeps_the_first_half_and_deals_both_halves_out_in_turns():
    block = Concat(branches=((), (Activate(activation="relu"),)), split=True, shuffle=2)
    x = torch.tensor([1.0, -2.0, -3.0, -4.0, 5.0, -6.0]).reshape(1, 6, 1, 1)
    y = execution.run(
        Plan(stem=(block,), stages=(), head=()), x, FamilyNetwork.__new__(FamilyNetwork)
    )
    assert y.flatten().tolist() == [1.0, 0.0, -2.0, 5.0, -3.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({}, (16, 4, 2, 1)),
        ({"stem_pool": False}, (16, 8, 4, 2)),
        ({"stem_stride": 1}, (32, 8, 4, 2)),
    ],
)
def test_small_images_can_do_without_the_first_strides(changes, sides):
    rows = layout.layers(ShuffleNetV2(**changes), **IMAGENET, image=(32, 32))
    last = {
        row.stage: row.output[1] for row in rows if row.name != "conv5.0" and len(row.output) > 1
    }
    assert tuple(last.values()) == sides


def test_images_are_resized_first_where_a_resolution_is_given(whole):
    small = tiny.network(TINY.member(Shape(resolution=8)))
    small.module.load_state_dict(whole.module.state_dict())
    shrunk = torch.nn.functional.interpolate(tiny.images(), size=(8, 8), mode="bilinear")
    assert torch.equal(tiny.answers(small), whole.module(shrunk))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_member_is_a_slice_that_runs_and_a_config_of_its_own(whole, shape):
    member = TINY.member(shape)
    assert ShuffleNetV2.model_validate_json(member.model_dump_json()) == member
    part = extraction.extract(whole, member)
    assert tiny.answers(part).shape == (3, tiny.NUM_CLASSES)
    assert all(width % 2 == 0 for width in member.channels)
    assert member.kernel == {5: 5, 4: 3, 1: 1}[shape.kernel]
    assert max(member.blocks) == shape.depth


@given(
    width=st.floats(0.01, 2),
    share=st.floats(0.01, 1),
    expansion=st.floats(0.01, 1),
    depth=st.integers(1, 9),
)
@settings(deadline=None, max_examples=40)
def test_no_share_of_any_width_makes_anything_larger(width, share, expansion, depth):
    config = ShuffleNetV2(width=width)
    member = config.member(Shape(width=share, expansion=expansion, depth=depth))
    whole_plan, part = plan_of(config, **IMAGENET), plan_of(member, **IMAGENET)
    extraction.check(whole_plan, part)
    assert part.by_name.keys() <= whole_plan.by_name.keys()


def test_half_of_a_published_width_is_a_published_width():
    for width in (1.0, 2.0):
        half = ShuffleNetV2(width=width).member(Shape(width=0.5))
        assert half == ShuffleNetV2(width=width / 2)


def test_the_whole_shape_is_the_network_and_answers_exactly(whole):
    assert TINY.member(Shape()) == TINY
    part = extraction.extract(whole, TINY.member(Shape()))
    assert torch.equal(tiny.answers(part), tiny.answers(whole))


def test_a_thinner_branch_answers_like_the_network_whose_other_inner_channels_are_silent():
    net = tiny.network(TINY)
    with torch.no_grad():
        for name, tensor in net.module.named_parameters():
            if any(f"branch2.{index}." in name for index in (0, 1, 3, 4)):
                tensor[1::2] = 0
            elif "branch2.5." in name:
                tensor[:, 1::2] = 0
    student = inherited(net, expansion=0.5)
    assert student.module.get_submodule("stage4.0.branch2.3").out_channels == 10
    torch.testing.assert_close(tiny.answers(student), tiny.answers(net))


def inherited(net, **config):
    nothing = Images(x_NCHW=torch.zeros(0, 1, 16, 16), y_N=torch.zeros(0, dtype=torch.int64))
    data = ImageData(train=nothing, validation=nothing, test=None, num_classes=tiny.NUM_CLASSES)
    context = TrialContext(
        members=FamilyMembers(), data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )
    compressed = CompressedModel(network=net)
    return family_member.apply(compressed, FamilyMember(**config), context).network


def test_saved_weights_load_to_the_same_answers(whole, tmp_path):
    safetensors.save(whole, tmp_path / "w.safetensors")
    loaded = safetensors.load(
        tmp_path / "w.safetensors",
        architecture=TINY,
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=whole.input_shape,
        num_classes=tiny.NUM_CLASSES,
    )
    assert torch.equal(tiny.answers(loaded), tiny.answers(whole))


def test_channels_inside_branches_can_leave_and_those_that_are_shuffled_cannot(whole):
    found = channels.find(whole)
    inner = {f"stage{place}.branch2.0" for place in ("2.0", "2.1", "3.0", "4.0", "4.1")}
    assert set(found.by_root) == inner | {"conv1.0", "conv5.0"}
    assert {"stage2.0.branch1.2", "stage3.0.branch2.5"} <= set(found.fixed)
    counts = {group.root: 1 for group in found.groups}
    pruned = channels.keep(whole, counts, lambda group: torch.arange(float(group.num_channels)))
    assert tiny.counted(pruned) < tiny.counted(whole)


def test_the_8_bit_file_answers_like_the_network(whole, tmp_path):
    artifact = tiny.exported_int8(whole, tmp_path)
    assert artifact.agreement >= 0.9
    assert artifact.macs == tiny.counted(whole)[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 16}, "resolution 16 leaves no pixel behind strides of 32 .* at least 32"),
        ({"width": 2.5}, "less than or equal to 2"),
        ({"width": 0}, "greater than 0"),
        ({"kernel": 4}, "Input should be 1, 3, 5 or 7"),
        ({"depths": (4, 8)}, "Field required"),
        ({"depths": (4, 0, 4)}, "greater than or equal to 1"),
        ({"stem_stride": 4}, "Input should be 1 or 2"),
        ({"channels": (116, 232, 464)}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_make_no_network_are_refused_with_their_limit(fields, message):
    with pytest.raises(ValidationError, match=message):
        ShuffleNetV2.model_validate(fields)
