"""Shape of a ShuffleNet V2: the published widths, and those between them.

Ma et al., ShuffleNet V2, arXiv:1807.11164, table 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compress.network.families.plans.config import FamilyConfig
from compress.network.member import Dimension, Shape

Blocks = Annotated[int, Field(ge=1, le=64)]
_WIDTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
_FIRST_STAGE = (0, 48, 116, 176, 244)
_LAST = (1024, 1024, 1024, 1024, 2048)


class ShuffleNetV2(FamilyConfig, frozen=True, extra="forbid"):
    """A 3x3 stem, three stages that halve the image first, and a 1x1 convolution before the mean.

    The published channels are no multiples of one another: at a ``width`` between two published
    ones they lie on the line between theirs, below 0.5 they shrink to nothing. Each stage has twice
    the channels of the one before.
    """

    elastic: ClassVar[frozenset[Dimension]] = frozenset({"width", "depth", "kernel", "expansion"})
    fewer_strides: ClassVar[str] = "stem_stride 1 and stem_pool false"
    family: Literal["shufflenet_v2"] = "shufflenet_v2"
    width: float = Field(
        default=1.0, gt=0, le=2, description="0.5, 1.0, 1.5 and 2.0 are the published networks."
    )
    depths: tuple[Blocks, Blocks, Blocks] = Field(
        default=(4, 8, 4), description="Blocks of every stage."
    )
    kernel: Literal[1, 3, 5, 7] = Field(
        default=3, description="Rows and columns of the depthwise kernels."
    )
    expansion: float = Field(
        default=1.0, gt=0, le=4, description="Channels inside a branch per channel it puts out."
    )
    stem: int = Field(default=24, ge=1, le=2048, description="Channels of the stem.")
    last: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Channels before the mean; None is 1024, and up to 2048 above width 1.5.",
    )
    stem_stride: Literal[1, 2] = Field(
        default=2, description="Stride of the first convolution; 1 for small images."
    )
    stem_pool: bool = Field(
        default=True, description="Whether a max pool halves the image after the stem."
    )

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
        return 8 * self.stem_stride * (2 if self.stem_pool else 1)

    @property
    def channels(self) -> tuple[int, int, int]:
        """Of every stage; even, as each branch makes half of them."""
        first, second, third = (
            max(2, 2 * int(2**stage * _on_line(self.width, _FIRST_STAGE) / 2 + 0.5))
            for stage in range(3)
        )
        return first, second, third

    @property
    def last_channels(self) -> int:
        """Of the convolution before the mean."""
        return self.last or int(_on_line(self.width, _LAST) + 0.5)

    def resized(self, shape: Shape) -> ShuffleNetV2:
        """Narrower stages of fewer blocks, smaller kernels, fewer channels inside branches."""
        kernel = min(self.kernel, shape.kernel)
        return self.model_copy(
            update={
                "width": self.width * shape.width,
                "depths": tuple(min(depth, shape.depth) for depth in self.depths),
                "kernel": kernel - 1 + kernel % 2,
                "expansion": self.expansion * shape.expansion,
            }
        )


def _on_line(width: float, values: Sequence[int]) -> float:
    """The value at a width, on the line between the two published neighbours."""
    points = zip(_WIDTHS, values, strict=True)
    (low, at_low), (high, at_high) = next(
        (left, right) for left, right in pairwise(points) if width <= right[0]
    )
    return at_low + (at_high - at_low) * (width - low) / (high - low)
