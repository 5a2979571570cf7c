"""Shape of a MobileNetV2: the published network, its width multipliers, and their members.

Sandler et al., MobileNetV2, arXiv:1801.04381, table 2. Channels are rounded as in the authors'
code; the last convolution is never narrower than published.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compress.network.families.plans.config import FamilyConfig, divisible
from compress.network.member import Dimension, Shape

Blocks = Annotated[int, Field(ge=1, le=4)]
Depths = tuple[Blocks, Blocks, Blocks, Blocks, Blocks, Blocks, Blocks]
Step = Literal[1, 2]
Strides = tuple[Step, Step, Step, Step, Step, Step, Step]

DEPTHS: Depths = (1, 2, 3, 4, 3, 3, 1)
_CHANNELS = (16, 24, 32, 64, 96, 160, 320)
_STEM = 32
_LAST = 1280


class MobileNetV2(FamilyConfig, frozen=True, extra="forbid"):
    """A 3x3 stem, seven stages of inverted residuals, and a 1x1 convolution before the mean.

    The one block of the first stage widens nothing. A stage strides in its first block.
    """

    elastic: ClassVar[frozenset[Dimension]] = frozenset(
        {"width", "depth", "kernel", "expansion", "activation"}
    )
    fewer_strides: ClassVar[str] = "stem_stride 1 and fewer strides of 2"
    family: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: float = Field(
        default=1.0,
        gt=0,
        le=4,
        description="Channels relative to the published ones, rounded to multiples of 8.",
    )
    depths: Depths = Field(
        default=DEPTHS, description="Blocks of every stage, at most as many as published."
    )
    kernel: Literal[1, 3, 5, 7] = Field(
        default=3, description="Rows and columns of the depthwise kernels."
    )
    expansion: float = Field(
        default=6.0, gt=0, le=12, description="Channels inside a block per channel it reads."
    )
    activation: Literal["relu", "relu6", "hardswish", "silu"] = Field(
        default="relu6", description="Inside the blocks; stem and head have relu6."
    )
    stem_stride: Step = Field(
        default=2, description="Stride of the first convolution; 1 for small images."
    )
    strides: Strides = Field(
        default=(1, 2, 2, 2, 1, 2, 1),
        description="Stride of every stage; more of them 1 for small images.",
    )

    @model_validator(mode="after")
    def _no_deeper(self) -> MobileNetV2:
        if any(depth > most for depth, most in zip(self.depths, DEPTHS, strict=True)):
            raise ValueError(
                f"depths {self.depths} has a stage of more blocks than published: weights files "
                f"number the blocks through, so use at most {DEPTHS}"
            )
        return self

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        return self.depths

    @property
    def largest_kernel(self) -> int:
        """Rows of the depthwise kernels."""
        return self.kernel

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return self.stem_stride * math.prod(self.strides)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of every stage."""
        return tuple(divisible(channels * self.width) for channels in _CHANNELS)

    @property
    def stem_channels(self) -> int:
        """Of the stem."""
        return divisible(_STEM * self.width)

    @property
    def last_channels(self) -> int:
        """Of the convolution before the mean."""
        return divisible(_LAST * max(1.0, self.width))

    def resized(self, shape: Shape) -> MobileNetV2:
        """Narrower stages of fewer blocks, with smaller kernels and less inside their blocks."""
        kernel = min(self.kernel, shape.kernel)
        return self.model_copy(
            update={
                "width": self.width * shape.width,
                "depths": tuple(min(depth, shape.depth) for depth in self.depths),
                "kernel": kernel - 1 + kernel % 2,
                "expansion": self.expansion * shape.expansion,
                "activation": shape.activation or self.activation,
            }
        )
