"""Small networks of the families, so that a test runs one in milliseconds."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from compress.export import writer
from compress.network.families.catalog import Architecture
from compress.network.families.network import build
from compress.network.network import Artifact, Network
from compress.network.preprocessing import Normalisation
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization import apply as quantization
from compress.techniques.quantization.config import Quantization
from compress.training.context import TrialContext
from tests.devices import DEVICE

SIDE = 16
NUM_CLASSES = 5


def network(architecture: Architecture, *, seed: int = 0) -> Network:
    """One channel, five classes, and BatchNorm statistics of which no two channels share theirs."""
    module = build(architecture, in_channels=1, num_classes=NUM_CLASSES, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                assert tensor is not None
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) / 2 + 0.5)
    return Network(
        module=module,
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        input_shape=(1, SIDE, SIDE),
        num_classes=NUM_CLASSES,
    )


def images(count: int = 3) -> Tensor:
    """``(count, 1, 16, 16)``, the same every time."""
    return torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def answers(net: Network) -> Tensor:
    """Logits of ``images()``."""
    with torch.no_grad():
        return net.module(images())


def counted(net: Network) -> tuple[int, int]:
    """Trained parameters and multiply-accumulates of an image, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        net.module(images(1))
    parameters = sum(p.numel() for p in net.module.parameters() if p.requires_grad)
    return parameters, counter.get_total_flops() // 2


def exported_int8(net: Network, folder: Path) -> Artifact:
    """The network's file with 8-bit weights and activations; its gates compare it with torch."""
    x_NCHW = images(32)
    part = Images(x_NCHW=x_NCHW, y_N=torch.arange(32) % NUM_CLASSES)
    data = ImageData(train=part, validation=part, test=None, num_classes=NUM_CLASSES)
    context = TrialContext(data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    config = Quantization(weight_bits=8, activations="int8")
    compressed = quantization.apply(CompressedModel(network=net), config, context)
    return writer.write(compressed, folder, data=data, task=IMAGE_CLASSIFICATION)
