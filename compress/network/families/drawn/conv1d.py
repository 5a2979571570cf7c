"""Convolutions along time, for series and for features of sound.

Wang et al., Time Series Classification from Scratch with Deep Neural Networks, arXiv:1611.06455,
section II.B: convolutions with BatchNorm, and the mean over time.

Legend: N examples, C channels, L steps, K answers.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.network.families.drawn.config import DrawnConfig, Widths
from compress.network.families.drawn.sketch import Sketch
from compress.network.signature import INPUT


class Conv1d(DrawnConfig, frozen=True, extra="forbid"):
    """Three layers of 64, 128 and 64 filters where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = ("C", "L")
    open_axes: ClassVar[tuple[int, ...]] = (2,)
    family: Literal["conv1d"] = "conv1d"
    filters: Widths = Field(default=(64, 128, 64), min_length=1, description="Filters by layer.")
    kernel: Literal[3, 5, 7, 9] = Field(default=5, description="Steps that a filter looks at.")
    stride: int = Field(
        default=2, ge=1, le=8, description="Steps from one answer of a layer to the next."
    )

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Convolutions, the mean over time, a linear layer: ``(N, K)``."""
        found = INPUT
        for number, filters in enumerate(self.filters):
            name = f"filters_{number}"
            found = sketch.convolution(name, found, filters, self.kernel, stride=self.stride)
            found = sketch.norm("BatchNormalization", f"{name}.norm", found, filters)
            found = sketch.pointwise("Relu", f"{name}.relu", found)
        found = sketch.reduced("ReduceMean", "mean", found, 2)
        return sketch.linear("answers", found, num_classes)
