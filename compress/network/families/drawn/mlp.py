"""Linear layers for rows of numbers.

Legend: N rows, D columns, K answers.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.network.families.drawn.config import DrawnConfig, Widths
from compress.network.families.drawn.sketch import Sketch
from compress.network.signature import INPUT


class Mlp(DrawnConfig, frozen=True, extra="forbid"):
    """Two hidden layers of 128 units where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = ("D",)
    family: Literal["mlp"] = "mlp"
    hidden: Widths = Field(
        default=(128, 128), description="Units of every hidden layer; empty: a linear network."
    )

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Linear layers with ReLUs between them: ``(N, K)``."""
        found = INPUT
        for number, units in enumerate(self.hidden):
            found = sketch.linear(f"hidden_{number}", found, units)
            found = sketch.pointwise("Relu", f"hidden_{number}.relu", found)
        return sketch.linear("answers", found, num_classes)
