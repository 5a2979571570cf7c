"""Shape of an EfficientNet: a published variant, or multipliers of width and depth.

Tan, Le, EfficientNet, arXiv:1905.11946, table 1 (B0) and section 3.3 (compound scaling); the lite
form is that of the authors' code. None stands for what the variant was published with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compress.network.families.plans.config import FamilyConfig, divisible
from compress.network.member import Dimension, Shape

Blocks = Annotated[int, Field(ge=1, le=64)]
Depths = tuple[Blocks, Blocks, Blocks, Blocks, Blocks, Blocks, Blocks]
Stride = Literal[1, 2]
Strides = tuple[Stride, Stride, Stride, Stride, Stride, Stride, Stride]
Regular = Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"]
Lite = Literal["lite0", "lite1", "lite2", "lite3", "lite4"]
Variant = Regular | Lite
_STEM = 32
_HEAD = 1280


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of B0; only the first has blocks that widen nothing."""

    outputs: int
    blocks: int
    kernel: int
    is_expanded: bool = True


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a published variant differs from B0; ``epsilon`` is that of torchvision's weights."""

    width: float
    depth: float
    resolution: int
    epsilon: float = 1e-5


STAGES = (
    Stage(outputs=16, blocks=1, kernel=3, is_expanded=False),
    Stage(outputs=24, blocks=2, kernel=3),
    Stage(outputs=40, blocks=2, kernel=5),
    Stage(outputs=80, blocks=3, kernel=3),
    Stage(outputs=112, blocks=3, kernel=5),
    Stage(outputs=192, blocks=4, kernel=5),
    Stage(outputs=320, blocks=1, kernel=3),
)
SCALES: Mapping[Variant, Scale] = MappingProxyType(
    {
        "b0": Scale(width=1.0, depth=1.0, resolution=224),
        "b1": Scale(width=1.0, depth=1.1, resolution=240),
        "b2": Scale(width=1.1, depth=1.2, resolution=260),
        "b3": Scale(width=1.2, depth=1.4, resolution=300),
        "b4": Scale(width=1.4, depth=1.8, resolution=380),
        "b5": Scale(width=1.6, depth=2.2, resolution=456, epsilon=1e-3),
        "b6": Scale(width=1.8, depth=2.6, resolution=528, epsilon=1e-3),
        "b7": Scale(width=2.0, depth=3.1, resolution=600, epsilon=1e-3),
        "lite0": Scale(width=1.0, depth=1.0, resolution=224),
        "lite1": Scale(width=1.0, depth=1.1, resolution=240),
        "lite2": Scale(width=1.1, depth=1.2, resolution=260),
        "lite3": Scale(width=1.2, depth=1.4, resolution=280),
        "lite4": Scale(width=1.4, depth=1.8, resolution=300),
    }
)


class EfficientNet(FamilyConfig, frozen=True, extra="forbid"):
    """A 3x3 stem, seven stages of inverted residuals with squeeze and excitation, a 1x1 head.

    The lite variants have no squeeze and excitation, relu6, and a stem and a head of one width.
    ``published_resolution`` is what a variant was trained at; images are resized in the network
    only where ``resolution`` says so.
    """

    elastic: ClassVar[frozenset[Dimension]] = frozenset(
        {"width", "depth", "kernel", "expansion", "excitation", "activation"}
    )
    fewer_strides: ClassVar[str] = "strides of 1"
    family: Literal["efficientnet"] = "efficientnet"
    variant: Variant = Field(default="b0", description="What None in the other fields stands for.")
    width: float | None = Field(
        default=None, gt=0, le=4, description="Channels relative to B0, rounded to multiples of 8."
    )
    depth: float | None = Field(
        default=None, gt=0, le=4, description="Blocks of a stage relative to B0, rounded up."
    )
    depths: Depths | None = Field(
        default=None, description="Blocks of every stage, in place of those that depth gives."
    )
    kernel: Literal[1, 3, 5] = Field(
        default=5, description="Most rows and columns of a depthwise kernel; B0 has 3 and 5."
    )
    expansion: float = Field(
        default=6.0, gt=0, le=12, description="Channels inside a block per channel it reads."
    )
    excitation: bool | None = Field(
        default=None, description="Whether blocks have squeeze and excitation."
    )
    activation: Literal["relu", "relu6", "hardswish", "silu"] | None = Field(
        default=None, description="After every convolution but the last of a block."
    )
    stem_stride: Stride = Field(
        default=2, description="Stride of the first convolution; 1 for small images."
    )
    strides: Strides = Field(
        default=(1, 2, 2, 2, 1, 2, 1), description="Of the first block of every stage."
    )
    norm_epsilon: float | None = Field(
        default=None, gt=0, lt=1, description="Of BatchNorm; None is that of torchvision's weights."
    )

    @model_validator(mode="after")
    def _depth_said_once(self) -> EfficientNet:
        if self.depth is not None and self.depths is not None:
            raise ValueError(
                f"depth {self.depth:g} and depths {self.depths} both say how many blocks a stage "
                "has: give one of them"
            )
        return self

    @property
    def is_lite(self) -> bool:
        """Whether stem and head keep their width, and the first and the last stage their depth."""
        return self.variant.startswith("lite")

    @property
    def published_resolution(self) -> int:
        """Side in pixels of the images that the variant was published for."""
        return SCALES[self.variant].resolution

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return self.stem_stride * math.prod(self.strides)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        if self.depths is not None:
            return self.depths
        depth = SCALES[self.variant].depth if self.depth is None else self.depth
        ends = (0, len(STAGES) - 1) if self.is_lite else ()
        return tuple(
            stage.blocks if index in ends else math.ceil(stage.blocks * depth)
            for index, stage in enumerate(STAGES)
        )

    @property
    def largest_kernel(self) -> int:
        """Rows of the largest depthwise kernel."""
        return self.kernel

    @property
    def multiplier(self) -> float:
        """Channels relative to B0, before they are rounded."""
        return SCALES[self.variant].width if self.width is None else self.width

    @property
    def channels(self) -> tuple[int, ...]:
        """Of every stage."""
        return tuple(divisible(stage.outputs * self.multiplier) for stage in STAGES)

    @property
    def stem_channels(self) -> int:
        """Of the stem."""
        return _STEM if self.is_lite else divisible(_STEM * self.multiplier)

    @property
    def head_channels(self) -> int:
        """Of the convolution before the mean."""
        return _HEAD if self.is_lite else divisible(_HEAD * self.multiplier)

    @property
    def has_excitation(self) -> bool:
        """Whether blocks have squeeze and excitation."""
        return not self.is_lite if self.excitation is None else self.excitation

    @property
    def epsilon(self) -> float:
        """What BatchNorm adds to the variance."""
        return SCALES[self.variant].epsilon if self.norm_epsilon is None else self.norm_epsilon

    def resized(self, shape: Shape) -> EfficientNet:
        """Narrower stages of fewer blocks, with smaller kernels and less inside their blocks."""
        depths = tuple(min(depth, shape.depth) for depth in self.blocks)
        kernel = min(self.kernel, shape.kernel)
        update: dict[str, object] = {
            "kernel": kernel - 1 + kernel % 2,
            "expansion": self.expansion * shape.expansion,
        }
        if shape.width != 1:
            update["width"] = self.multiplier * shape.width
        if depths != self.blocks:
            update |= {"depth": None, "depths": depths}
        if self.has_excitation and not shape.excitation:
            update["excitation"] = False
        if shape.activation:
            update["activation"] = shape.activation
        return self.model_copy(update=update)
