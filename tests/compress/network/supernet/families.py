"""A small supernet of every kind: what its members may differ in, and small enough for tests."""

from __future__ import annotations

import torch

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
from compress.network.member import OPERATIONS
from compress.network.sources.family import FamilyMembers
from compress.network.supernet.config import Elastic
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training.context import TrialContext
from tests.compress.network.families import tiny
from tests.devices import DEVICE

_EVERYTHING = Elastic(widths=(0.5, 1.0), depths=(2, 64), kernels=(3, 5), expansions=(0.5, 1.0))
SUPERNETS: dict[str, tuple[Architecture, Elastic]] = {
    "residual, padded": (
        Residual(widths=(8, 16), depths=(2, 2), shortcut="pad"),
        Elastic(widths=(0.5, 1.0), depths=(1, 2)),
    ),
    "residual": (
        Residual(widths=(8, 16), depths=(2, 2), shortcut="conv"),
        Elastic(widths=(0.25, 0.5, 1.0), depths=(1, 2)),
    ),
    "mobilenet_v2": (MobileNetV2(width=0.25, kernel=5, stem_stride=1), _EVERYTHING),
    "mobilenet_v3": (MobileNetV3(size="small", width=0.25, stem_stride=1), _EVERYTHING),
    "shufflenet_v2": (
        ShuffleNetV2(
            width=0.25, last=64, depths=(3, 3, 3), kernel=5, stem_stride=1, stem_pool=False
        ),
        _EVERYTHING,
    ),
    "efficientnet": (EfficientNet(width=0.1, resolution=tiny.SIDE, stem_stride=1), _EVERYTHING),
    "resnet": (
        ResNet(block="bottleneck", widths=(4, 8), depths=(2, 2), stem_kernel=3, stem_pool=False),
        Elastic(widths=(0.5, 1.0), depths=(1, 2), expansions=(0.5, 1.0)),
    ),
    "vgg_bn": (
        VggBn(widths=(8, 12), depths=(1, 2), pool=2, hidden=12),
        Elastic(widths=(0.25, 0.5, 1.0), depths=(1, 2)),
    ),
    "ds_cnn": (
        DsCnn(channels=16, depth=2, kernel=5, stem_kernel=(3, 3)),
        Elastic(widths=(0.5, 1.0), depths=(1, 2), kernels=(3, 5)),
    ),
    "nasbench201": (
        NasBench201(channels=4, cells=(1, 1, 1)),
        Elastic(operations=(OPERATIONS,) * 6),
    ),
}


def context(*, seed: int = 0) -> TrialContext:
    """A few random images of every class, of the shape that the small networks take."""
    part = Images(x_NCHW=tiny.images(12), y_N=torch.arange(12) % tiny.NUM_CLASSES)
    data = ImageData(train=part, validation=part, test=None, num_classes=tiny.NUM_CLASSES)
    return TrialContext(
        members=FamilyMembers(), data=data, device=DEVICE, seed=seed, task=IMAGE_CLASSIFICATION
    )
