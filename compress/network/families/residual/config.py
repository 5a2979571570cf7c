"""Shape of a residual network: channels and blocks of every stage.

He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compress.network.families.plans.config import FamilyConfig, check_one_per_stage, scaled
from compress.network.member import Shape

Channels = Annotated[int, Field(ge=1, le=2048)]
Blocks = Annotated[int, Field(ge=1, le=64)]


class Residual(FamilyConfig, frozen=True, extra="forbid"):
    """A 3x3 stem and ``len(widths)`` stages; the first block of stages 2.. has stride 2.

    ``shortcut`` says how a stage's first block skips when the shape changes: ``pad`` takes every
    second pixel and pads channels with zeros (option A), ``conv`` is a 1x1 convolution with
    BatchNorm (option B).
    """

    family: Literal["residual"] = "residual"
    widths: tuple[Channels, ...] = Field(
        default=(16, 32, 64), min_length=1, max_length=8, description="Channels of every stage."
    )
    depths: tuple[Blocks, ...] = Field(
        default=(3, 3, 3), min_length=1, max_length=8, description="Blocks of every stage."
    )
    shortcut: Literal["pad", "conv"] = Field(
        default="conv",
        description="How a stage's first block skips where the shape changes: by zeros or a 1x1 "
        "convolution.",
    )

    @model_validator(mode="after")
    def _same_length(self) -> Residual:
        check_one_per_stage(widths=self.widths, depths=self.depths)
        return self

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        return self.depths

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return int(2 ** (self.num_stages - 1))

    def resized(self, shape: Shape) -> Residual:
        """Narrower stages of fewer blocks."""
        return self.model_copy(
            update={
                "widths": tuple(scaled(width, shape.width) for width in self.widths),
                "depths": tuple(min(depth, shape.depth) for depth in self.depths),
            }
        )
