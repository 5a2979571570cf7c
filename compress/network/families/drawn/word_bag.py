"""The mean of a text's words, and a linear layer or two behind it.

Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv:1607.01759 (fastText, without
n-grams). The mean is over words alone, so padding changes no answer.

Legend: N texts, L words, D numbers of a word, H hidden units, K answers.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.network.families.drawn.config import IdsConfig, ids_of, mask_of, masked_mean
from compress.network.families.drawn.sketch import Sketch


class WordBag(IdsConfig, frozen=True, extra="forbid"):
    """A linear classifier of the mean of words where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = ("L",)
    family: Literal["word_bag"] = "word_bag"
    hidden: int = Field(
        default=0, ge=0, le=4096, description="Units of a hidden layer behind the mean; 0: none."
    )

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Table, masked mean, linear layers: ``(N, L)`` becomes ``(N, K)``."""
        ids = ids_of(sketch)
        mask = mask_of(sketch, ids)
        found = masked_mean(sketch, "mean", self.embedded(sketch, ids), mask)
        if self.hidden:
            found = sketch.linear("hidden", found, self.hidden)
            found = sketch.pointwise("Relu", "hidden.relu", found)
        return sketch.linear("answers", found, num_classes)
