"""VGG networks with BatchNorm, as plans.

Simonyan and Zisserman, arXiv:1409.1556, table 1. Names are torchvision's: ``features.N`` counts
convolutions, BatchNorms, activations and pools alike. The convolutions have a bias, as there,
though BatchNorm takes it away again.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.plans.plan import Chain, Conv, Flatten, Linear, Plan, Pool, Resize
from compress.network.families.vgg_bn.config import VggBn

_POOL = Pool(kind="max", kernel=2, stride=2)
_LAYERS_OF_A_BLOCK = 3


def draw(config: VggBn, in_channels: int, num_classes: int) -> Plan:
    """Stages of 3x3 convolutions with pools between them, and linear layers."""
    stem = () if config.resolution is None else (Resize(side=config.resolution),)
    return Plan(
        stem=stem,
        stages=tuple(_stages(config, in_channels)),
        head=(_POOL, _vector(config), *_classifier(config, num_classes)),
    )


def _vector(config: VggBn) -> Pool | Flatten:
    return Pool(kind="global") if config.pool == 1 else Flatten(side=config.pool)


def _stages(config: VggBn, inputs: int) -> Iterator[tuple[Chain, ...]]:
    first = 0
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        blocks: list[Chain] = []
        for block in range(depth):
            conv = _conv(first + _LAYERS_OF_A_BLOCK * block, inputs, width)
            blocks.append((_POOL, conv) if stage > 0 and block == 0 else (conv,))
            inputs = width
        yield tuple(blocks)
        first += _LAYERS_OF_A_BLOCK * config.numbered[stage] + 1


def _conv(number: int, inputs: int, outputs: int) -> Conv:
    return Conv(
        name=f"features.{number}",
        norm=f"features.{number + 1}",
        inputs=inputs,
        outputs=outputs,
        kernel=(3, 3),
        bias=True,
        activation="relu",
    )


def _classifier(config: VggBn, num_classes: int) -> Iterator[Linear]:
    inputs, hidden = config.widths[-1] * config.pool**2, config.hidden
    if hidden == 0:
        yield Linear(name="classifier", inputs=inputs, outputs=num_classes)
        return
    yield Linear(name="classifier.0", inputs=inputs, outputs=hidden, activation="relu")
    yield Linear(name="classifier.3", inputs=hidden, outputs=hidden, activation="relu")
    yield Linear(name="classifier.6", inputs=hidden, outputs=num_classes)
