"""Shape of an ImageNet residual network: blocks of every stage, their kind, and the stem.

He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, table 1.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compress.network.families.plans.config import FamilyConfig, check_one_per_stage, scaled
from compress.network.member import Dimension, Shape

Channels = Annotated[int, Field(ge=1, le=2048)]
Blocks = Annotated[int, Field(ge=1, le=64)]


class ResNet(FamilyConfig, frozen=True, extra="forbid"):
    """ResNet-18 where nothing else is said; the first block of stages 2.. has stride 2."""

    elastic: ClassVar[frozenset[Dimension]] = frozenset({"width", "depth", "expansion"})
    fewer_strides: ClassVar[str] = "stem_stride 1, stem_pool false and fewer stages"
    family: Literal["resnet"] = "resnet"
    block: Literal["basic", "bottleneck"] = Field(
        default="basic",
        description="Two 3x3 convolutions, or a 3x3 one between two 1x1 ones.",
    )
    depths: tuple[Blocks, ...] = Field(
        default=(2, 2, 2, 2), min_length=1, max_length=8, description="Blocks of every stage."
    )
    widths: tuple[Channels, ...] = Field(
        default=(64, 128, 256, 512),
        min_length=1,
        max_length=8,
        description="Channels of every stage; bottleneck blocks put out four times as many.",
    )
    inner: float = Field(
        default=1.0,
        gt=0,
        le=4,
        description="Channels inside a block, as a share of the stage's width.",
    )
    stem_kernel: Literal[3, 5, 7] = Field(
        default=7, description="Rows and columns of the first kernel; 3 for small images."
    )
    stem_stride: Literal[1, 2] = Field(
        default=2, description="Stride of the first convolution; 1 for small images."
    )
    stem_pool: bool = Field(
        default=True, description="Whether a 3x3 max pool of stride 2 follows the first layer."
    )

    @model_validator(mode="after")
    def _same_length(self) -> ResNet:
        check_one_per_stage(widths=self.widths, depths=self.depths)
        return self

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        return self.depths

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return int(self.stem_stride * (2 if self.stem_pool else 1) * 2 ** (self.num_stages - 1))

    def resized(self, shape: Shape) -> ResNet:
        """Narrower stages of fewer blocks, with fewer channels inside them."""
        return self.model_copy(
            update={
                "widths": tuple(scaled(width, shape.width) for width in self.widths),
                "depths": tuple(min(depth, shape.depth) for depth in self.depths),
                "inner": self.inner * shape.expansion,
            }
        )
