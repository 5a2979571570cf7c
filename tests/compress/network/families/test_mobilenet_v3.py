import itertools
import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.plans.plan import Conv
from compress.network.sources import inspection
from compress.network.sources import safetensors as weights
from compress.values.errors import InvalidWeights
from tests.compress.network.families import tiny

PAGE = Path("docs/families/mobilenet_v3.md")
IMAGENET = {"in_channels": 3, "num_classes": 1000}
SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
# Tables 1 and 2 of the paper, block by block: kernel, inner, outputs, excitation, h-swish, stride.
TABLES = {
    "large": [
        [(3, 16, 16, False, False, 1)],
        [(3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1)],
        [(5, 72, 40, True, False, 2), *[(5, 120, 40, True, False, 1)] * 2],
        [
            (3, 240, 80, False, True, 2),
            (3, 200, 80, False, True, 1),
            *[(3, 184, 80, False, True, 1)] * 2,
        ],
        [(3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1)],
        [(5, 672, 160, True, True, 2), *[(5, 960, 160, True, True, 1)] * 2],
    ],
    "small": [
        [(3, 16, 16, True, False, 2)],
        [(3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1)],
        [(5, 96, 40, True, True, 2), *[(5, 240, 40, True, True, 1)] * 2],
        [(5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1)],
        [(5, 288, 96, True, True, 2), *[(5, 576, 96, True, True, 1)] * 2],
    ],
}
ENDS = {"large": (160, 960, 1280), "small": (96, 576, 1024)}
# A quarter of the inner channels, rounded to multiples of 8.
SQUEEZED = {
    **{16: 8, 72: 24, 96: 24, 120: 32, 144: 40, 240: 64},
    **{288: 72, 480: 120, 576: 144, 672: 168, 960: 240},
}
# Of torchvision's networks at width 1.0 and of timm's, which follow the authors' code, at 0.75.
COUNTS = {
    ("large", 1.0): (5_483_032, 216_589_760),
    ("large", 0.75): (3_993_528, 154_560_624),
    ("small", 1.0): (2_542_856, 56_510_400),
    ("small", 0.75): (2_041_872, 43_399_344),
}
SMALL = MobileNetV3(
    size="small", width=0.6, depths=(1, 2, 1, 1, 1), stem_stride=1, strides=(2, 2, 1, 1, 2)
)
LARGE = MobileNetV3(width=0.5, depths=(1, 1, 2, 1, 2, 1), stem_stride=1, strides=(1, 2, 1, 2, 1, 2))
BOTH = pytest.mark.parametrize("config", [SMALL, LARGE], ids=["small", "large"])


def published(size):
    """Name, BatchNorm and shape of torchvision's weighted layers, in order."""
    yield "features.0.0", "features.0.1", (16, 3, 3, 3)
    inputs, number = 16, 0
    for kernel, inner, outputs, excitation, _, _ in itertools.chain(*TABLES[size]):
        number += 1
        block = f"features.{number}.block"
        part = itertools.count()
        if inner != inputs:
            index = next(part)
            yield f"{block}.{index}.0", f"{block}.{index}.1", (inner, inputs, 1, 1)
        index = next(part)
        yield f"{block}.{index}.0", f"{block}.{index}.1", (inner, 1, kernel, kernel)
        if excitation:
            index = next(part)
            yield f"{block}.{index}.fc1", None, (SQUEEZED[inner], inner, 1, 1)
            yield f"{block}.{index}.fc2", None, (inner, SQUEEZED[inner], 1, 1)
        index = next(part)
        yield f"{block}.{index}.0", f"{block}.{index}.1", (outputs, inner, 1, 1)
        inputs = outputs
    before, last, wide = ENDS[size]
    yield f"features.{number + 1}.0", f"features.{number + 1}.1", (last, before, 1, 1)
    yield "classifier.0", None, (wide, last)
    yield "classifier.3", None, (1000, wide)


def timm_names(config):
    """timm's names of weighted layers and BatchNorms, in order."""
    yield "conv_stem", "bn1"
    table = TABLES[config.size]
    for stage, depth in enumerate(config.blocks):
        for block in range(depth):
            prefix, excitation = f"blocks.{stage}.{block}", table[stage][block][3]
            convs = ["conv_dw", "conv_pw"] if stage == 0 else ["conv_pw", "conv_dw", "conv_pwl"]
            for index, conv in enumerate(convs, start=1):
                yield f"{prefix}.{conv}", f"{prefix}.bn{index}"
                if conv == "conv_dw" and excitation:
                    yield f"{prefix}.se.conv_reduce", None
                    yield f"{prefix}.se.conv_expand", None
    yield f"blocks.{len(table)}.0.conv", f"blocks.{len(table)}.0.bn1"
    yield "conv_head", None
    yield "classifier", None


def renamed(config, tensors):
    """The tensors of a network as timm stores them."""
    others = {}
    layers = plan_of(config, **SIZE).layers
    for layer, (name, norm) in zip(layers, timm_names(config), strict=True):
        others |= {layer.name: name}
        if isinstance(layer, Conv) and layer.norm is not None:
            others |= {layer.norm: norm}
    found = {}
    for name, tensor in tensors.items():
        prefix, _, last = name.rpartition(".")
        found[f"{others[prefix]}.{last}"] = tensor
    found["conv_head.weight"] = found["conv_head.weight"][:, :, None, None]
    return found


def load(path, net):
    return weights.load(
        path,
        architecture=net.module.architecture,
        normalisation=net.normalisation,
        input_shape=net.input_shape,
        num_classes=net.num_classes,
    )


@pytest.mark.parametrize(("size", "width"), COUNTS)
def test_parameters_and_macs_are_the_published_ones(size, width):
    config = MobileNetV3(size=size, width=width)
    counts = (
        layout.parameters(config, **IMAGENET),
        layout.macs(config, **IMAGENET, height=224, width=224),
    )
    assert counts == COUNTS[size, width]


@pytest.mark.parametrize("size", TABLES)
def test_names_and_shapes_are_those_of_torchvision(size):
    expected = {}
    for name, norm, shape in published(size):
        expected[f"{name}.weight"] = shape
        if norm is None:
            expected[f"{name}.bias"] = shape[:1]
            continue
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{norm}.{tensor}"] = shape[:1]
    assert layout.tensor_shapes(MobileNetV3(size=size), **IMAGENET) == expected


@pytest.mark.parametrize("size", TABLES)
def test_strides_and_activations_are_those_of_the_tables(size):
    plan = plan_of(MobileNetV3(size=size), **IMAGENET)
    for table, stage in zip(TABLES[size], plan.stages, strict=True):
        for (_, _, _, _, is_hswish, stride), chain in zip(table, stage, strict=True):
            depthwise = next(layer for layer in _convs(chain) if layer.groups > 1)
            assert depthwise.stride == stride
            assert depthwise.activation == ("hardswish" if is_hswish else "relu")


def _convs(node):
    if isinstance(node, Conv):
        yield node
    for part in node if isinstance(node, tuple) else getattr(node, "branches", ()):
        yield from _convs(part)


def test_batchnorm_has_the_epsilon_it_was_published_with():
    for config, epsilon in ((SMALL, 1e-3), (SMALL.model_copy(update={"norm_epsilon": 1e-5}), 1e-5)):
        module = tiny.network(config).module
        assert {m.eps for m in module.modules() if isinstance(m, nn.BatchNorm2d)} == {epsilon}


def test_small_images_need_fewer_strides():
    config = MobileNetV3(stem_stride=1, strides=(1, 1, 2, 2, 1, 2))
    rows = layout.layers(config, in_channels=3, num_classes=10, image=(32, 32))
    assert rows[-3].output == (960, 4, 4)


@BOTH
def test_the_layout_counts_what_torch_counts(config):
    assert tiny.counted(tiny.network(config)) == (
        layout.parameters(config, **SIZE),
        layout.macs(config, **SIZE, height=tiny.SIDE, width=tiny.SIDE),
    )


@BOTH
def test_a_file_of_timm_loads_to_the_same_answers(config, tmp_path):
    net = tiny.network(config)
    weights.save(net, tmp_path / "own.safetensors")
    own = safetensors.torch.load_file(tmp_path / "own.safetensors")
    others = renamed(config, own)
    assert others.keys().isdisjoint(own)
    assert others["conv_head.weight"].ndim == 4
    safetensors.torch.save_file(others, tmp_path / "timm.safetensors")
    for name in ("own", "timm"):
        loaded = load(tmp_path / f"{name}.safetensors", net)
        assert torch.equal(tiny.answers(loaded), tiny.answers(net))


def test_the_table_of_a_file_of_timm_is_read_without_a_weight(tmp_path):
    net = tiny.network(SMALL)
    weights.save(net, tmp_path / "own.safetensors")
    others = renamed(SMALL, safetensors.torch.load_file(tmp_path / "own.safetensors"))
    safetensors.torch.save_file(others, tmp_path / "timm.safetensors")
    assert inspection.inspect_weights(
        tmp_path / "timm.safetensors", SMALL
    ) == inspection.inspect_weights(tmp_path / "own.safetensors", SMALL)


@pytest.mark.parametrize("side", [(2, 2), (1, 3)], ids=str)
def test_a_convolution_of_more_than_a_pixel_is_no_linear_layer(side, tmp_path):
    net = tiny.network(SMALL)
    weights.save(net, tmp_path / "w.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "w.safetensors")
    tensors["classifier.0.weight"] = tensors["classifier.0.weight"][..., None, None].repeat(
        1, 1, *side
    )
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(InvalidWeights, match=r"of another shape: classifier\.0\.weight"):
        load(tmp_path / "w.safetensors", net)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"resolution": 31}, r"resolution 31 .* strides of 32 .* at least 32, or stem_stride 1"),
        ({"depths": (1, 3, 3, 4, 2, 3)}, r"depths \(1, 3.* at most \(1, 2, 3, 4, 2, 3\)"),
        ({"depths": (1, 2, 3, 2, 3)}, r"depths .* 5 entries: the large network has 6 stages"),
        (
            {"size": "small", "strides": (1, 1, 1, 1, 1, 1)},
            r"strides .* 6 entries: the small network has 5 stages",
        ),
        ({"strides": (1, 3, 2, 2, 1, 2)}, "Input should be 1 or 2"),
        ({"size": "medium"}, "'large' or 'small'"),
        ({"kernel": 4}, "Input should be 1, 3 or 5"),
        ({"width": 0}, "greater than 0"),
        ({"norm_epsilon": 0}, "greater than 0"),
    ],
)
def test_a_config_that_cannot_be_built_says_what_is_wrong(document, words):
    with pytest.raises(ValidationError, match=words):
        MobileNetV3.model_validate(document)


def test_the_page_states_the_counts_of_the_code():
    rows = re.findall(r"^\| `(\{.*\})` \| (\d+) \| ([\d,]+) \| ([\d,]+) \|", PAGE.read_text(), re.M)
    assert len(rows) >= len(COUNTS)
    for document, side, parameters, macs in rows:
        config = MobileNetV3.model_validate(json.loads(document))
        assert layout.parameters(config, **IMAGENET) == int(parameters.replace(",", ""))
        assert layout.macs(config, **IMAGENET, height=int(side), width=int(side)) == int(
            macs.replace(",", "")
        )
