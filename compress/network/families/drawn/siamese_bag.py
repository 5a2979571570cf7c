"""Two texts by one table, and what their means have in common.

The features ``[u, v, |u - v|, u * v]`` of Conneau et al., Supervised Learning of Universal Sentence
Representations, arXiv:1705.02364, section 3.1, of means of words.

Legend: N pairs, L words, D numbers of a word, K answers.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.network.families.drawn.config import (
    OF_PAIRS,
    IdsConfig,
    ids_of,
    mask_of,
    masked_mean,
)
from compress.network.families.drawn.sketch import Sketch


class SiameseBag(IdsConfig, frozen=True, extra="forbid"):
    """Means of 64 numbers a word and one hidden layer where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = (2, "L")
    open_axes: ClassVar[tuple[int, ...]] = (2,)
    tasks: ClassVar[frozenset[str]] = OF_PAIRS
    family: Literal["siamese_bag"] = "siamese_bag"
    hidden: int = Field(
        default=128, ge=1, le=4096, description="Units of the hidden layer that compares."
    )

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Table, masked means, features of the pair, two linear layers: ``(N, K)``."""
        ids = ids_of(sketch)
        mask = mask_of(sketch, ids)
        means = masked_mean(sketch, "means", self.embedded(sketch, ids), mask)
        first, second = (sketch.picked(f"text_{i}", means, i, axis=1) for i in (0, 1))
        apart = sketch.pointwise("Sub", "difference", first, second)
        features = (
            first,
            second,
            sketch.pointwise("Abs", "distance", apart),
            sketch.pointwise("Mul", "product", first, second),
        )
        found = sketch.linear("hidden", sketch.joined("pair", features, axis=1), self.hidden)
        found = sketch.pointwise("Relu", "hidden.relu", found)
        return sketch.linear("answers", found, num_classes)
