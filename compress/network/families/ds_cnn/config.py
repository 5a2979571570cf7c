"""Shape of a depthwise-separable network for keyword spotting.

Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers, arXiv:1711.07128, section 3.5.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compress.network.families.plans.config import FamilyConfig, scaled
from compress.network.member import Dimension, Shape

Side = Annotated[int, Field(ge=1, le=16)]
Stride = Annotated[int, Field(ge=1, le=4)]
_SMALLEST_KERNEL = 3


class DsCnn(FamilyConfig, frozen=True, extra="forbid"):
    """DS-CNN-S where nothing else is said: maps of 49 times by 10 features, all layers as wide."""

    elastic: ClassVar[frozenset[Dimension]] = frozenset({"width", "depth", "kernel"})
    fewer_strides: ClassVar[str] = "smaller strides"
    family: Literal["ds_cnn"] = "ds_cnn"
    channels: int = Field(default=64, ge=1, le=2048, description="Channels of every layer.")
    depth: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Blocks of a depthwise and a 1x1 convolution after the first layer.",
    )
    kernel: Literal[3, 5, 7] = Field(
        default=3, description="Rows and columns of the depthwise kernels."
    )
    stride: Literal[1, 2] = Field(default=1, description="Stride of the first block.")
    stem_kernel: tuple[Side, Side] = Field(
        default=(10, 4), description="Rows and columns of the first kernel."
    )
    stem_stride: tuple[Stride, Stride] = Field(
        default=(2, 2),
        description="Rows and columns from one output of the first layer to the next.",
    )

    @property
    def blocks(self) -> tuple[int, ...]:
        """One stage with all blocks."""
        return (self.depth,)

    @property
    def largest_kernel(self) -> int:
        """Rows of the depthwise kernels."""
        return self.kernel

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return max(self.stem_stride) * self.stride

    def resized(self, shape: Shape) -> DsCnn:
        """Narrower, with fewer blocks and smaller depthwise kernels."""
        kernels = (k for k in (7, 5, 3) if k <= min(self.kernel, shape.kernel))
        return self.model_copy(
            update={
                "channels": scaled(self.channels, shape.width),
                "depth": min(self.depth, shape.depth),
                "kernel": next(kernels, _SMALLEST_KERNEL),
            }
        )
