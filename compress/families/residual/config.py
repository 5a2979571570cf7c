"""Shape of a residual network: channels and blocks of every stage.

He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Channels = Annotated[int, Field(ge=1, le=2048)]
Blocks = Annotated[int, Field(ge=1, le=64)]


class Residual(BaseModel, frozen=True, extra="forbid"):
    """A 3x3 stem and ``len(widths)`` stages; the first block of stages 2.. has stride 2.

    ``shortcut`` says how a stage's first block skips when the shape changes: ``pad`` takes every
    second pixel and pads channels with zeros (option A), ``conv`` is a 1x1 convolution with
    BatchNorm (option B).
    """

    family: Literal["residual"] = "residual"
    widths: tuple[Channels, ...] = Field(default=(16, 32, 64), min_length=1, max_length=8)
    depths: tuple[Blocks, ...] = Field(default=(3, 3, 3), min_length=1, max_length=8)
    shortcut: Literal["pad", "conv"] = "conv"

    @model_validator(mode="after")
    def _same_length(self) -> Residual:
        if len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths and depths need one entry per stage, got {len(self.widths)} and "
                f"{len(self.depths)}"
            )
        return self

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return len(self.widths)
