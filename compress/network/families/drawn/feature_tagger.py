"""A tag for every word, by convolutions over several features of a word.

Collobert et al., Natural Language Processing (Almost) from Scratch, arXiv:1103.0398, section 3.2:
a table for each feature (the word, its ends, its shape), and windows over what they hold. A second
layer sees five words.

Legend: N texts, F features of a word, L words, D numbers of a feature, H filters, K tags.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from compress.network.families.drawn.config import (
    MOST_FEATURES,
    PER_WORD,
    WORD_SPREAD,
    DrawnConfig,
    Width,
    Words,
    features_of,
    ids_of,
    mask_of,
    masked,
)
from compress.network.families.drawn.sketch import InitialValues, Sketch
from compress.network.signature import Examples
from compress.values.errors import InvalidCandidate


class FeatureTagger(DrawnConfig, frozen=True, extra="forbid"):
    """Tables of 32 numbers and two layers of 96 filters of 3 words where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = ("F", "L")
    open_axes: ClassVar[tuple[int, ...]] = (2,)
    takes_ids: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = PER_WORD
    family: Literal["feature_tagger"] = "feature_tagger"
    words: tuple[Words, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_FEATURES,
        description="Rows of the table of each feature; left out: one for every id of the data.",
    )
    width: int = Field(default=32, ge=1, le=1024, description="Numbers of a feature.")
    hidden: Width = Field(default=96, description="Filters of each layer.")
    kernel: Literal[1, 3, 5, 7] = Field(default=3, description="Words that a filter looks at.")
    depth: int = Field(default=2, ge=1, le=16, description="Layers of filters.")

    def fitted(self, examples: Examples) -> Self:
        """Return the config with a table for every feature of the data."""
        found = super().fitted(examples)
        words = features_of(found.family, found.words, examples, width=found.width)
        return found.model_copy(update={"words": words})

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Tables, convolutions with padding at zero, a linear layer: ``(N, L, K)``."""
        ids = ids_of(sketch)
        features = [sketch.picked(f"ids_{i}", ids, i, axis=1) for i in range(sketch.input_shape[0])]
        mask = mask_of(sketch, features[0])
        found = sketch.joined("all", self._embedded(sketch, features), axis=2)
        found = masked(sketch, "kept", found, mask, axis=2)
        found = sketch.transposed("channels", found, 0, 2, 1)
        for layer in range(self.depth):
            name = f"filters_{layer}"
            found = sketch.convolution(name, found, self.hidden, self.kernel)
            found = sketch.pointwise("Relu", f"{name}.relu", found)
            found = masked(sketch, f"{name}.kept", found, mask, axis=1)
        return sketch.linear("answers", sketch.transposed("by_word", found, 0, 2, 1), num_classes)

    def _embedded(self, sketch: Sketch, features: list[str]) -> list[str]:
        if self.words is None or len(self.words) != len(features):
            raise InvalidCandidate(
                f"{self.family}: words is {self.words}, and a word has {len(features)} features: "
                "say how many rows the table of each has"
            )
        start = InitialValues(kind="normal", size=WORD_SPREAD)
        return [
            sketch.table(f"feature_{i}", rows, self.width, ids, start=start)
            for i, (rows, ids) in enumerate(zip(self.words, features, strict=True))
        ]
