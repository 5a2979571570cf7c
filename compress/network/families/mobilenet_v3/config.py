"""Shape of a MobileNetV3: the published networks, their width multipliers, and their members.

Howard et al., Searching for MobileNetV3, arXiv:1905.02244. Channels are rounded as in the authors'
code; the linear layer before the classifier is never narrower than published.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compress.network.families.mobilenet_v3.published import STEM, TABLES, Size, Table
from compress.network.families.plans.config import FamilyConfig, divisible
from compress.network.families.plans.plan import Activation
from compress.network.member import Dimension, Shape

Blocks = Annotated[int, Field(ge=1, le=4)]
Step = Literal[1, 2]


class MobileNetV3(FamilyConfig, frozen=True, extra="forbid"):
    """A 3x3 stem, stages of inverted residuals, a 1x1 convolution, the mean, two linear layers.

    The large network has six stages, the small one five: blocks of one number of channels. A stage
    strides in its first block. None stands for what the network was published with.
    """

    elastic: ClassVar[frozenset[Dimension]] = frozenset(
        {"width", "depth", "kernel", "expansion", "excitation", "activation"}
    )
    fewer_strides: ClassVar[str] = "stem_stride 1 and fewer strides of 2"
    family: Literal["mobilenet_v3"] = "mobilenet_v3"
    size: Size = Field(default="large", description="Which of the published networks.")
    width: float = Field(
        default=1.0,
        gt=0,
        le=4,
        description="Channels relative to the published ones, rounded to multiples of 8.",
    )
    depths: tuple[Blocks, ...] | None = Field(
        default=None,
        min_length=5,
        max_length=6,
        description="Blocks of every stage, at most as many as published.",
    )
    kernel: Literal[1, 3, 5] = Field(
        default=5, description="Most rows and columns of a depthwise kernel; published are 3 and 5."
    )
    expansion: float = Field(
        default=1.0, gt=0, le=4, description="Channels inside blocks relative to the published."
    )
    excitation: bool = Field(
        default=True,
        description="Whether squeeze and excitation is where it was published; False: nowhere.",
    )
    activation: Literal["relu", "relu6", "hardswish", "silu"] | None = Field(
        default=None, description="Inside all blocks; None: relu in the first ones, then hardswish."
    )
    stem_stride: Step = Field(
        default=2, description="Stride of the first convolution; 1 for small images."
    )
    strides: tuple[Step, ...] | None = Field(
        default=None,
        min_length=5,
        max_length=6,
        description="Stride of every stage; more of them 1 for small images.",
    )
    norm_epsilon: float = Field(
        default=1e-3,
        gt=0,
        lt=1,
        description="Of BatchNorm; weights that timm trained itself want 1e-5.",
    )

    @model_validator(mode="after")
    def _one_entry_per_stage(self) -> MobileNetV3:
        for name, entries in (("depths", self.depths), ("strides", self.strides)):
            if entries is not None and len(entries) != len(self.table.stages):
                raise ValueError(
                    f"{name} {entries} has {len(entries)} entries: the {self.size} network has "
                    f"{len(self.table.stages)} stages"
                )
        return self

    @model_validator(mode="after")
    def _no_deeper(self) -> MobileNetV3:
        published = self.table.depths
        if any(depth > most for depth, most in zip(self.blocks, published, strict=True)):
            raise ValueError(
                f"depths {self.depths} has a stage of more blocks than published: weights files "
                f"number the blocks through, so use at most {published}"
            )
        return self

    @property
    def table(self) -> Table:
        """What the network was published with."""
        return TABLES[self.size]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        return self.depths or self.table.depths

    @property
    def largest_kernel(self) -> int:
        """Rows of the largest depthwise kernel."""
        return self.kernel

    @property
    def steps(self) -> tuple[int, ...]:
        """Stride of every stage."""
        return self.strides or tuple(stage.stride for stage in self.table.stages)

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return self.stem_stride * math.prod(self.steps)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of every stage."""
        return tuple(divisible(stage.outputs * self.width) for stage in self.table.stages)

    @property
    def stem_channels(self) -> int:
        """Of the stem."""
        return divisible(STEM * self.width)

    @property
    def last_channels(self) -> int:
        """Of the convolution before the mean."""
        return divisible(self.table.last * self.width)

    @property
    def wide_channels(self) -> int:
        """Of the linear layer before the classifier."""
        return divisible(self.table.wide * max(1.0, self.width))

    @property
    def activations(self) -> tuple[Activation, ...]:
        """Inside the blocks of every stage."""
        return tuple(self.activation or stage.activation for stage in self.table.stages)

    def resized(self, shape: Shape) -> MobileNetV3:
        """Narrower stages of fewer blocks, smaller kernels, less inside blocks or no excitation."""
        kernel = min(self.kernel, shape.kernel)
        depths = tuple(min(depth, shape.depth) for depth in self.blocks)
        return self.model_copy(
            update={
                "width": self.width * shape.width,
                "depths": self.depths if depths == self.blocks else depths,
                "kernel": kernel - 1 + kernel % 2,
                "expansion": self.expansion * shape.expansion,
                "excitation": self.excitation and shape.excitation,
                "activation": shape.activation or self.activation,
            }
        )
