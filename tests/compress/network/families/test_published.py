"""Published networks have their published sizes, and torch counts the same without a weight."""

import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compress.network.families import layout
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.network import FamilyNetwork
from compress.network.families.residual.config import Residual
from compress.network.families.resnet.config import ResNet
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.families.vgg_bn.config import VggBn

IMAGENET, CIFAR, SPEECH = (3, 1000), (3, 10), (1, 12)
M = DsCnn(channels=172, stem_stride=(2, 1), stride=2)
L = DsCnn(channels=276, stem_stride=(2, 1), stride=2, depth=5)


def resnet(kind, *depths, inner=1.0):
    return ResNet(block=kind, depths=depths, inner=inner)


def cifar(depth):
    """6n+2 layers."""
    return Residual(depths=((depth - 2) // 6,) * 3, shortcut="pad")


# Network: channels and classes, image, parameters, multiply-accumulates of one image.
PUBLISHED = {
    # torchvision's and the authors'.
    "mobilenet_v2": (MobileNetV2(), IMAGENET, (224, 224), 3_504_872, 300_774_272),
    "mobilenet_v3 large": (MobileNetV3(), IMAGENET, (224, 224), 5_483_032, 216_589_760),
    "mobilenet_v3 small": (
        MobileNetV3(size="small"),
        IMAGENET,
        (224, 224),
        2_542_856,
        56_510_400,
    ),
    "shufflenet_v2": (ShuffleNetV2(), IMAGENET, (224, 224), 2_278_604, 144_907_992),
    "efficientnet b0": (EfficientNet(), IMAGENET, (224, 224), 5_288_548, 385_814_752),
    "efficientnet b1": (
        EfficientNet(variant="b1"),
        IMAGENET,
        (240, 240),
        7_794_184,
        686_802_832,
    ),
    "efficientnet b7": (
        EfficientNet(variant="b7"),
        IMAGENET,
        (600, 600),
        66_347_960,
        37_745_884_192,
    ),
    "resnet-18": (
        resnet("basic", 2, 2, 2, 2),
        IMAGENET,
        (224, 224),
        11_689_512,
        1_814_073_344,
    ),
    "resnet-34": (
        resnet("basic", 3, 4, 6, 3),
        IMAGENET,
        (224, 224),
        21_797_672,
        3_663_761_408,
    ),
    "resnet-50": (
        resnet("bottleneck", 3, 4, 6, 3),
        IMAGENET,
        (224, 224),
        25_557_032,
        4_089_184_256,
    ),
    "resnet-101": (
        resnet("bottleneck", 3, 4, 23, 3),
        IMAGENET,
        (224, 224),
        44_549_160,
        7_801_405_440,
    ),
    "resnet-152": (
        resnet("bottleneck", 3, 8, 36, 3),
        IMAGENET,
        (224, 224),
        60_192_808,
        11_513_626_624,
    ),
    "wide resnet-50-2": (
        resnet("bottleneck", 3, 4, 6, 3, inner=2.0),
        IMAGENET,
        (224, 224),
        68_883_240,
        11_398_021_120,
    ),
    "vgg-11": (
        VggBn(depths=(1, 1, 2, 2, 2)),
        IMAGENET,
        (224, 224),
        132_868_840,
        7_609_090_048,
    ),
    "vgg-13": (
        VggBn(depths=(2, 2, 2, 2, 2)),
        IMAGENET,
        (224, 224),
        133_053_736,
        11_308_466_176,
    ),
    "vgg-16": (VggBn(), IMAGENET, (224, 224), 138_365_992, 15_470_264_320),
    "vgg-19": (
        VggBn(depths=(2, 2, 4, 4, 4)),
        IMAGENET,
        (224, 224),
        143_678_248,
        19_632_062_464,
    ),
    # Y. Idelbayev's, with the convolutions that compute the pads.
    "resnet-20": (cifar(20), CIFAR, (32, 32), 269_722, 40_813_184),
    "resnet-32": (cifar(32), CIFAR, (32, 32), 464_154, 69_124_736),
    "resnet-44": (cifar(44), CIFAR, (32, 32), 658_586, 97_436_288),
    "resnet-56": (cifar(56), CIFAR, (32, 32), 853_018, 125_747_840),
    "resnet-110": (cifar(110), CIFAR, (32, 32), 1_727_962, 253_149_824),
    "ds-cnn s": (DsCnn(), SPEECH, (49, 10), 23_180, 2_656_768),
    "ds-cnn m": (M, SPEECH, (49, 10), 136_580, 9_816_384),
    "ds-cnn l": (L, SPEECH, (49, 10), 413_736, 28_327_812),
    # The most and the least costly cell of the benchmark.
    "nasbench201 most": (
        NasBench201(cell=("nor_conv_3x3",) * 6),
        CIFAR,
        (32, 32),
        1_531_546,
        220_119_680,
    ),
    "nasbench201 least": (NasBench201(cell=("none",) * 6), CIFAR, (32, 32), 73_306, 7_783_040),
}
# The others only repeat blocks that are here.
ON_META = [name for name in PUBLISHED if name not in ("resnet-101", "vgg-13", "vgg-19")]


def size(classes):
    return {"in_channels": classes[0], "num_classes": classes[1]}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(name):
    architecture, classes, (height, width), parameters, macs = PUBLISHED[name]
    assert layout.parameters(architecture, **size(classes)) == parameters
    assert layout.macs(architecture, **size(classes), height=height, width=width) == macs


@pytest.mark.parametrize("name", ON_META)
def test_torch_counts_the_same_without_computing_anything(name):
    architecture, classes, image, parameters, macs = PUBLISHED[name]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = FamilyNetwork(architecture, **size(classes)).eval()
        answers = module(torch.zeros(1, classes[0], *image))
    assert answers.shape == (1, classes[1])
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == parameters
    assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize(
    ("name", "kilobytes", "million_operations"),
    [("ds-cnn s", 38.6, 5.4), ("ds-cnn m", 189.2, 19.8), ("ds-cnn l", 497.6, 56.9)],
)
def test_a_ds_cnn_has_the_memory_and_the_operations_of_the_paper(
    name, kilobytes, million_operations
):
    """There a weight, a bias and a pixel take a byte, and adding a bias is an operation."""
    architecture, classes, image, _, macs = PUBLISHED[name]
    rows = layout.layers(architecture, **size(classes), image=image)
    held = sum(math.prod(row.shape) + row.shape[0] for row in rows)
    maps = [math.prod(row.output) for row in rows]
    most = max(one + other for one, other in itertools.pairwise(maps))
    assert round((held + most) / 1000, 1) == kilobytes
    assert round((2 * macs + sum(maps)) / 1e6, 1) == million_operations


def test_ds_cnn_s_is_the_keyword_spotter_of_mlperf_tiny():
    """24,908 as Keras counts: with running statistics, and with the biases of convolutions."""
    shapes = layout.tensor_shapes(DsCnn(), **size(SPEECH))
    statistics = sum(shape[0] for name, shape in shapes.items() if "running" in name)
    biases = sum(shape[0] for shape in shapes.values() if len(shape) == 4)
    assert layout.parameters(DsCnn(), **size(SPEECH)) + statistics + biases == 24_908
