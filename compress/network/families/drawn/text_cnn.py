"""Convolutions over words, and the largest answer of every filter.

Kim, Convolutional Neural Networks for Sentence Classification, arXiv:1408.5882. Padding is zero in
front of the filters, and what they answer there does not count.

Legend: N texts, L words, D numbers of a word, C filters, K answers.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from compress.network.families.drawn.config import IdsConfig, Width, ids_of, mask_of, masked
from compress.network.families.drawn.sketch import Sketch

Kernel = Annotated[int, Field(ge=1, le=15)]


class TextCnn(IdsConfig, frozen=True, extra="forbid"):
    """Filters of 2, 3 and 4 words where nothing else is said, 64 of each."""

    axes: ClassVar[tuple[int | str, ...]] = ("L",)
    family: Literal["text_cnn"] = "text_cnn"
    kernels: tuple[Kernel, ...] = Field(
        default=(2, 3, 4), min_length=1, max_length=8, description="Words that filters look at."
    )
    filters: Width = Field(default=64, description="Filters of each kernel.")

    @field_validator("kernels")
    @classmethod
    def _differ(cls, kernels: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(kernels)) < len(kernels):
            raise ValueError(f"kernels name a number of words twice: {list(kernels)}")
        return kernels

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Table, convolutions, masked maxima, a linear layer: ``(N, K)``."""
        ids = ids_of(sketch)
        mask = mask_of(sketch, ids)
        words = masked(sketch, "kept", self.embedded(sketch, ids), mask, axis=2)
        channels = sketch.transposed("channels", words, 0, 2, 1)
        found = [self._largest(sketch, channels, mask, kernel) for kernel in self.kernels]
        return sketch.linear("answers", sketch.joined("all", found, axis=1), num_classes)

    def _largest(self, sketch: Sketch, channels: str, mask: str, kernel: int) -> str:
        """Add the filters of a kernel; behind a ReLU, zeros at padding change no maximum."""
        name = f"filters_{kernel}"
        made = sketch.convolution(name, channels, self.filters, kernel)
        made = sketch.pointwise("Relu", f"{name}.relu", made)
        made = masked(sketch, f"{name}.kept", made, mask, axis=1)
        return sketch.reduced("ReduceMax", f"{name}.largest", made, 2)
