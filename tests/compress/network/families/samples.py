"""Small networks of every family and form, with members that differ in all that they may."""

from __future__ import annotations

from compress.network.families.catalog import Architecture
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.families.resnet.config import ResNet
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.families.vgg_bn.config import VggBn
from compress.network.member import Shape

CELL = ("nor_conv_3x3", "skip_connect", "nor_conv_1x1", "avg_pool_3x3", "none", "skip_connect")
SAMPLES: dict[str, Architecture] = {
    "residual": Residual(widths=(8, 12, 20), depths=(2, 1, 2), shortcut="conv"),
    "residual, padded": Residual(widths=(8, 12, 20), depths=(2, 1, 2), shortcut="pad"),
    "mobilenet_v2": MobileNetV2(
        width=0.5,
        depths=(1, 2, 1, 2, 1, 1, 1),
        kernel=5,
        stem_stride=1,
        strides=(1, 2, 1, 2, 1, 2, 1),
    ),
    "mobilenet_v3": MobileNetV3(
        size="small", width=0.6, depths=(1, 2, 1, 1, 1), stem_stride=1, strides=(2, 2, 1, 1, 2)
    ),
    "shufflenet_v2": ShuffleNetV2(
        width=0.1, depths=(2, 1, 2), kernel=5, stem=8, last=24, stem_stride=1, stem_pool=False
    ),
    "efficientnet": EfficientNet(
        width=0.5, depths=(1, 2, 1, 1, 1, 2, 1), stem_stride=1, strides=(1, 2, 1, 2, 1, 2, 1)
    ),
    "efficientnet, lite": EfficientNet(
        variant="lite0",
        width=0.5,
        depths=(2, 1, 1, 1, 1, 2, 1),
        stem_stride=1,
        strides=(1, 2, 1, 2, 1, 2, 1),
    ),
    "resnet": ResNet(widths=(8, 12, 20), depths=(2, 1, 2), stem_stride=1),
    "resnet, bottleneck": ResNet(
        block="bottleneck", widths=(4, 6, 8), depths=(1, 2, 1), stem_kernel=3, stem_pool=False
    ),
    "vgg_bn": VggBn(widths=(8, 12, 20), depths=(1, 2, 2), pool=2, hidden=24),
    "vgg_bn, one layer": VggBn(widths=(8, 12, 20), depths=(2, 1, 2), pool=1, hidden=0),
    "ds_cnn": DsCnn(channels=12, depth=3, kernel=5, stride=2),
    "nasbench201": NasBench201(channels=4, cells=(1, 1, 1)),
    "nasbench201, one cell": NasBench201(channels=4, cells=(2, 1, 1), cell=CELL),
}
MEMBERS: dict[str, tuple[Shape, ...]] = {
    "residual": (Shape(width=0.5), Shape(width=0.3, depth=1)),
    "residual, padded": (Shape(width=0.5), Shape(width=0.75, depth=1)),
    "mobilenet_v2": (
        Shape(width=0.5, kernel=3),
        Shape(width=0.2, depth=1, kernel=1, expansion=0.4),
    ),
    "mobilenet_v3": (Shape(width=0.5, kernel=3), Shape(depth=1, expansion=0.4)),
    "shufflenet_v2": (Shape(kernel=3, expansion=0.5), Shape(kernel=1)),
    "efficientnet": (
        Shape(width=0.5, kernel=3),
        # Narrow enough for stages that differ in the network to have one width in the member.
        Shape(width=0.1, depth=1, expansion=0.4),
    ),
    "efficientnet, lite": (Shape(width=0.1), Shape(width=0.5, depth=1, kernel=3, expansion=0.5)),
    "resnet": (Shape(width=0.5, expansion=0.5), Shape(width=0.3, depth=1)),
    "resnet, bottleneck": (Shape(width=0.5, expansion=0.5), Shape(depth=1, expansion=0.3)),
    "vgg_bn": (Shape(width=0.5), Shape(width=0.3, depth=1)),
    "vgg_bn, one layer": (Shape(width=0.5), Shape(width=0.3, depth=1)),
    "ds_cnn": (Shape(width=0.5, kernel=3), Shape(width=0.3, depth=1)),
    "nasbench201": (Shape(width=0.5), Shape(width=0.3)),
    "nasbench201, one cell": (Shape(width=0.5), Shape(cell=(*CELL[:2], "none", *CELL[3:]))),
}
UNADDED = frozenset({"vgg_bn", "vgg_bn, one layer", "ds_cnn"})
"""Whose blocks are not added to their input: one that does nothing passes its maps on."""
