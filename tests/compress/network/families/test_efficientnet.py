from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.plans.plan import Conv, Sum
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors as weights
from compress.network.structure import channels
from tests.compress.network.families import tiny

ROOT = Path(__file__).resolve().parents[4]
IMAGENET = {"in_channels": 3, "num_classes": 1000}
# Variant: side of its images, parameters, multiply-accumulates of one.
PUBLISHED = {
    "b0": (224, 5_288_548, 385_814_752),
    "b1": (240, 7_794_184, 686_802_832),
    "b2": (260, 9_109_994, 993_561_872),
    "b3": (300, 12_233_232, 1_827_141_392),
    "b4": (380, 19_341_616, 4_393_771_024),
    "b5": (456, 30_389_784, 10_266_384_752),
    "b6": (528, 43_040_704, 19_067_593_536),
    "b7": (600, 66_347_960, 37_745_884_192),
    "lite0": (224, 4_652_008, 385_187_552),
    "lite1": (240, 5_416_680, 600_185_232),
    "lite2": (260, 6_092_072, 859_736_272),
    "lite3": (280, 8_197_096, 1_383_321_872),
    "lite4": (300, 13_006_568, 2_553_034_336),
}
# Stage of B0: blocks, kernel, inputs, outputs, and channels inside per input.
B0 = (
    (1, 3, 32, 16, 1),
    (2, 3, 16, 24, 6),
    (2, 5, 24, 40, 6),
    (3, 3, 40, 80, 6),
    (3, 5, 80, 112, 6),
    (4, 5, 112, 192, 6),
    (1, 3, 192, 320, 6),
)
TINY = EfficientNet(width=0.4, depths=(1, 2, 1, 1, 1, 2, 1), stem_stride=1)
LITE = EfficientNet(variant="lite0", width=0.25, depths=(2, 1, 1, 1, 1, 2, 1))


@pytest.fixture(scope="module")
def whole():
    return tiny.network(TINY)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_published_networks_have_their_published_sizes(variant):
    side, parameters, macs = PUBLISHED[variant]
    config = EfficientNet(variant=variant)
    assert config.published_resolution == side
    assert layout.parameters(config, **IMAGENET) == parameters
    assert layout.macs(config, **IMAGENET, height=side, width=side) == macs


@pytest.mark.parametrize("variant", PUBLISHED)
def test_the_page_shows_the_published_sizes(variant):
    side, parameters, macs = PUBLISHED[variant]
    config = EfficientNet(variant=variant)
    page = (ROOT / "docs/families/efficientnet.md").read_text()
    scale = f"{config.multiplier:g} | {', '.join(map(str, config.blocks))}"
    assert f"| {variant} | {scale} | {side} | {parameters:,} | {macs:,} |" in page


def test_a_variant_is_its_multipliers():
    scaled = EfficientNet(variant="b0", width=1.1, depth=1.2)
    assert plan_of(scaled, **IMAGENET) == plan_of(EfficientNet(variant="b2"), **IMAGENET)
    assert scaled.head_channels == 1408


def test_names_and_shapes_are_those_of_torchvision():
    expected = conv("features.0", (32, 3, 3, 3)) | conv("features.8", (1280, 320, 1, 1))
    expected |= {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}
    for stage, (blocks, kernel, inputs, outputs, ratio) in enumerate(B0, start=1):
        for block, read in enumerate([inputs, *[outputs] * (blocks - 1)]):
            expected |= published_block(
                f"features.{stage}.{block}.block", kernel, read, outputs, ratio
            )
    assert layout.tensor_shapes(EfficientNet(), **IMAGENET) == expected


def published_block(prefix, kernel, inputs, outputs, ratio):
    inner, squeeze, first = inputs * ratio, inputs // 4, 0 if ratio == 1 else 1
    found = conv(f"{prefix}.0", (inner, inputs, 1, 1)) if first else {}
    found |= conv(f"{prefix}.{first}", (inner, 1, kernel, kernel))
    found |= {
        f"{prefix}.{first + 1}.fc1.weight": (squeeze, inner, 1, 1),
        f"{prefix}.{first + 1}.fc1.bias": (squeeze,),
        f"{prefix}.{first + 1}.fc2.weight": (inner, squeeze, 1, 1),
        f"{prefix}.{first + 1}.fc2.bias": (inner,),
    }
    return found | conv(f"{prefix}.{first + 2}", (outputs, inner, 1, 1))


def conv(prefix, shape):
    norm = ("weight", "bias", "running_mean", "running_var")
    return {f"{prefix}.0.weight": shape} | {f"{prefix}.1.{name}": (shape[0],) for name in norm}


@pytest.mark.parametrize("config", [TINY, LITE], ids=["b0", "lite0"])
def test_the_layout_counts_what_torch_counts(config):
    size = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
    macs = layout.macs(config, **size, height=tiny.SIDE, width=tiny.SIDE)
    assert (layout.parameters(config, **size), macs) == tiny.counted(tiny.network(config))


def test_lite_has_no_excitation_and_relu6_and_a_stem_and_head_of_one_width():
    config = EfficientNet(variant="lite4")
    drawn = plan_of(config, **IMAGENET)
    convolutions = [layer for layer in drawn.layers if isinstance(layer, Conv)]
    assert {layer.activation for layer in convolutions} == {"none", "relu6"}
    assert not any(layer.bias for layer in convolutions)
    assert (config.stem_channels, config.head_channels) == (32, 1280)
    assert (config.blocks[0], config.blocks[-1]) == (1, 1)


def test_batchnorm_has_the_epsilon_of_the_published_weights_or_the_one_that_is_asked_for():
    assert {v: EfficientNet(variant=v).epsilon for v in ("b0", "b4", "lite0", "b5", "b7")} == {
        "b0": 1e-5,
        "b4": 1e-5,
        "lite0": 1e-5,
        "b5": 1e-3,
        "b7": 1e-3,
    }
    asked = tiny.network(TINY.model_copy(update={"norm_epsilon": 0.25}))
    assert asked.module.get_submodule("features.8.1").eps == 0.25


@pytest.mark.parametrize("config", [TINY, LITE], ids=["b0", "lite0"])
def test_a_file_with_the_names_of_timm_gives_the_same_answers(config, tmp_path):
    original = tiny.network(config)
    tensors = {timm_name(name): t for name, t in original.module.state_dict().items()}
    assert {"conv_stem.weight", "bn1.bias", "blocks.1.0.conv_pwl.weight"} <= set(tensors)
    assert not any(name.startswith("features") for name in tensors)
    safetensors.torch.save_file(tensors, tmp_path / "timm.safetensors")
    weights.save(original, tmp_path / "own.safetensors")
    for file in ("timm.safetensors", "own.safetensors"):
        loaded = weights.load(
            tmp_path / file,
            architecture=config,
            normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
            input_shape=original.input_shape,
            num_classes=tiny.NUM_CLASSES,
        )
        assert torch.equal(tiny.answers(loaded), tiny.answers(original))


def timm_name(name):
    parts, _, last = name.rpartition(".")
    edges = {
        "features.0.0": "conv_stem",
        "features.0.1": "bn1",
        "features.8.0": "conv_head",
        "features.8.1": "bn2",
        "classifier.1": "classifier",
    }
    if parts in edges:
        return f"{edges[parts]}.{last}"
    _, stage, block, _, part, kind = parts.split(".")
    place = int(part) + (1 if stage == "1" else 0)
    names = {
        0: ("conv_pw", "bn1"),
        1: ("conv_dw", "bn1" if stage == "1" else "bn2"),
        2: ("se.conv_reduce", "se.conv_expand"),
        3: ("conv_pw", "bn2") if stage == "1" else ("conv_pwl", "bn3"),
    }[place]
    own = names[("0", "1", "fc1", "fc2").index(kind) % 2]
    return f"blocks.{int(stage) - 1}.{block}.{own}.{last}"


def test_small_images_can_do_without_strides_and_published_weights_still_fit():
    config = EfficientNet(stem_stride=1, strides=(1, 1, 2, 2, 1, 2, 1), resolution=8)
    assert config.reduction == 8
    rows = layout.layers(config, **IMAGENET, image=(99, 77))
    assert rows[-2].output == (1280, 1, 1)
    assert layout.tensor_shapes(config, **IMAGENET) == layout.tensor_shapes(
        EfficientNet(), **IMAGENET
    )


def test_blocks_that_keep_their_shape_skip_and_others_do_not():
    drawn = plan_of(EfficientNet(), **IMAGENET)
    skips = [[isinstance(block[0], Sum) for block in stage] for stage in drawn.stages]
    assert skips == [[False, *[True] * (depth - 1)] for depth in (1, 2, 2, 3, 3, 4, 1)]


def test_all_groups_of_channels_can_be_halved(whole):
    found = channels.find(whole)
    assert found.fixed == {}
    counts = {group.root: group.num_channels // 2 for group in found.groups}
    pruned = channels.keep(whole, counts, lambda group: torch.arange(float(group.num_channels)))
    assert tiny.counted(pruned)[0] < 0.4 * tiny.counted(whole)[0]


@pytest.mark.parametrize(
    "config",
    [pytest.param(TINY, marks=pytest.mark.proof), LITE],
    ids=["b0", "lite0"],
)
def test_the_8_bit_file_answers_like_the_network(config, tmp_path):
    net = tiny.network(config)
    artifact = tiny.exported_int8(net, tmp_path)
    assert artifact.agreement >= 0.9
    assert artifact.macs == tiny.counted(net)[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 16}, "resolution 16 leaves no pixel behind strides of 32 .* at least 32"),
        ({"depth": 1.2, "depths": (1,) * 7}, "depth 1.2 and depths .* give one of them"),
        ({"width": 5}, "less than or equal to 4"),
        ({"kernel": 4}, "Input should be 1, 3 or 5"),
        ({"stem_stride": 3}, "Input should be 1 or 2"),
        ({"depths": (1,) * 6}, "Field required"),
        ({"variant": "b8"}, "Input should be 'b0', 'b1'"),
        ({"activation": "gelu"}, "Input should be 'relu', 'relu6', 'hardswish' or 'silu'"),
    ],
)
def test_settings_that_make_no_network_are_refused_with_their_limit(fields, message):
    with pytest.raises(ValidationError, match=message):
        EfficientNet.model_validate(fields)
