"""The published tables of MobileNetV3. Howard et al., arXiv:1905.02244, tables 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from compress.network.families.plans.plan import Activation

Size = Literal["large", "small"]
STEM = 16


@dataclass(frozen=True, kw_only=True)
class PublishedStage:
    """Blocks of one number of output channels; ``inner`` are the channels inside each block."""

    outputs: int
    inner: tuple[int, ...]
    kernel: int
    stride: int
    is_excited: bool
    activation: Activation


@dataclass(frozen=True, kw_only=True)
class Table:
    """The stages of a network, and the outputs of its last convolution and linear layer."""

    stages: tuple[PublishedStage, ...]
    last: int
    wide: int

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        return tuple(len(stage.inner) for stage in self.stages)


_LARGE = (
    PublishedStage(
        outputs=16, inner=(16,), kernel=3, stride=1, is_excited=False, activation="relu"
    ),
    PublishedStage(
        outputs=24, inner=(64, 72), kernel=3, stride=2, is_excited=False, activation="relu"
    ),
    PublishedStage(
        outputs=40, inner=(72, 120, 120), kernel=5, stride=2, is_excited=True, activation="relu"
    ),
    PublishedStage(
        outputs=80,
        inner=(240, 200, 184, 184),
        kernel=3,
        stride=2,
        is_excited=False,
        activation="hardswish",
    ),
    PublishedStage(
        outputs=112, inner=(480, 672), kernel=3, stride=1, is_excited=True, activation="hardswish"
    ),
    PublishedStage(
        outputs=160,
        inner=(672, 960, 960),
        kernel=5,
        stride=2,
        is_excited=True,
        activation="hardswish",
    ),
)
_SMALL = (
    PublishedStage(outputs=16, inner=(16,), kernel=3, stride=2, is_excited=True, activation="relu"),
    PublishedStage(
        outputs=24, inner=(72, 88), kernel=3, stride=2, is_excited=False, activation="relu"
    ),
    PublishedStage(
        outputs=40,
        inner=(96, 240, 240),
        kernel=5,
        stride=2,
        is_excited=True,
        activation="hardswish",
    ),
    PublishedStage(
        outputs=48, inner=(120, 144), kernel=5, stride=1, is_excited=True, activation="hardswish"
    ),
    PublishedStage(
        outputs=96,
        inner=(288, 576, 576),
        kernel=5,
        stride=2,
        is_excited=True,
        activation="hardswish",
    ),
)
TABLES: Mapping[Size, Table] = MappingProxyType(
    {
        "large": Table(stages=_LARGE, last=960, wide=1280),
        "small": Table(stages=_SMALL, last=576, wide=1024),
    }
)
