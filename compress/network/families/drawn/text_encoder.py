"""A small transformer over words, with one answer for a text or one for every word.

Vaswani et al., Attention Is All You Need, arXiv:1706.03762, with norms in front of attention and
of the hidden layers (Xiong et al., On Layer Normalization in the Transformer Architecture,
arXiv:2002.04745), which needs no warmup of its own. Padding is hidden from attention, and a
position counts words: it is what the words before it are.

Legend: N texts, L words, D numbers of a word, E those of a head, K answers.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from compress.network.families.drawn.config import (
    OF_TEXTS,
    PER_WORD,
    WORD_SPREAD,
    IdsConfig,
    Width,
    ids_of,
    mask_of,
    masked_mean,
)
from compress.network.families.drawn.sketch import INT64, InitialValues, Sketch
from compress.network.signature import BATCH, Examples

_HIDDEN = 1e4
"""What is taken off where attention must not look."""


class TextEncoder(IdsConfig, frozen=True, extra="forbid"):
    """Two blocks of four heads over 64 numbers a word where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = ("L",)
    tasks: ClassVar[frozenset[str]] = OF_TEXTS | PER_WORD
    family: Literal["text_encoder"] = "text_encoder"
    depth: int = Field(default=2, ge=1, le=24, description="Blocks of attention and hidden layer.")
    heads: int = Field(default=4, ge=1, le=64, description="Heads of attention; width is shared.")
    hidden: Width = Field(default=128, description="Units of the hidden layer of a block.")
    positions: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Places that are told apart; later words share the last. Left out: as many as "
        "the longest text has.",
    )
    answers: Literal["text", "words"] | None = Field(
        default=None,
        description="One answer for a text or one for every word; left out: as the task has them.",
    )

    @model_validator(mode="after")
    def _heads_share(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"width {self.width} is no multiple of heads {self.heads}: each head has as many "
                "numbers of a word"
            )
        return self

    def fitted(self, examples: Examples) -> Self:
        """Return the config with the words and the places of the data, and answers for its task."""
        found = super().fitted(examples)
        [length] = examples.input_shape
        return found.model_copy(
            update={
                "positions": found.positions or length,
                "answers": "words" if examples.task in PER_WORD else "text",
            }
        )

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Tables, blocks, a norm and a linear layer: ``(N, K)``, or ``(N, L, K)`` by word."""
        ids = ids_of(sketch)
        mask = mask_of(sketch, ids)
        found = self.embedded(sketch, ids)
        found = sketch.pointwise("Add", "placed", found, self._places(sketch, mask))
        away = self._hidden_from(sketch, mask)
        for block in range(self.depth):
            found = self._attention(sketch, f"blocks.{block}.attention", found, away)
            found = self._feed(sketch, f"blocks.{block}.feed", found)
        found = self._norm(sketch, "norm", found)
        if self.answers != "words":
            found = masked_mean(sketch, "mean", found, mask)
        return sketch.linear("answers", found, num_classes)

    def _places(self, sketch: Sketch, mask: str) -> str:
        rows = self.positions or sketch.input_shape[0]
        counted = sketch.pointwise("CumSum", "counted", mask, sketch.constant("counted.axis", 1))
        last = sketch.number("Min", "clipped", counted, float(rows), "float32")
        from_zero = sketch.number("Max", "counted_up", last, 1.0, "float32")
        place = sketch.number("Sub", "from_zero", from_zero, 1.0, "float32")
        place = sketch.cast("place", place, INT64)
        start = InitialValues(kind="normal", size=WORD_SPREAD)
        return sketch.table("positions", rows, self.width, place, start=start)

    def _hidden_from(self, sketch: Sketch, mask: str) -> str:
        """Add what is 0 at words and far above 0 at padding, for all heads and askers."""
        less = sketch.number("Sub", "padding", mask, 1.0, "float32")
        far = sketch.number("Mul", "away", less, -_HIDDEN, "float32")
        return sketch.unsqueezed("away.heads", far, 1, 2)

    def _norm(self, sketch: Sketch, name: str, source: str) -> str:
        return sketch.norm("LayerNormalization", name, source, self.width, axis=-1)

    def _attention(self, sketch: Sketch, name: str, source: str, away: str) -> str:
        size = self.width // self.heads
        seen = self._norm(sketch, f"{name}.norm", source)
        query = self._by_head(sketch, f"{name}.query", seen, 0, 2, 1, 3)
        key = self._by_head(sketch, f"{name}.key", seen, 0, 2, 3, 1)
        value = self._by_head(sketch, f"{name}.value", seen, 0, 2, 1, 3)
        length = sketch.input_shape[0]
        shape = (BATCH, self.heads, length, length)
        found = sketch.node("MatMul", f"{name}.scores", query, key, shape=shape)
        found = sketch.number("Mul", f"{name}.scaled", found, size**-0.5, "float32")
        # A sum would lie on a grid of 8 bits, which either has no place that far or few elsewhere.
        found = sketch.pointwise("Sub", f"{name}.masked", found, away)
        found = sketch.pointwise("Softmax", f"{name}.weights", found, axis=-1)
        shape = (BATCH, self.heads, length, size)
        found = sketch.node("MatMul", f"{name}.seen", found, value, shape=shape)
        found = sketch.transposed(f"{name}.by_word", found, 0, 2, 1, 3)
        flat = sketch.constant(f"{name}.flat.shape", [0, 0, self.width])
        shape = (BATCH, length, self.width)
        found = sketch.node("Reshape", f"{name}.flat", found, flat, shape=shape)
        found = sketch.linear(f"{name}.out", found, self.width)
        return sketch.pointwise("Add", f"{name}.sum", source, found)

    def _by_head(self, sketch: Sketch, name: str, source: str, *perm: int) -> str:
        size = self.width // self.heads
        found = sketch.linear(name, source, self.width)
        heads = sketch.constant(f"{name}.heads.shape", [0, 0, self.heads, size])
        shape = (BATCH, sketch.input_shape[0], self.heads, size)
        found = sketch.node("Reshape", f"{name}.heads", found, heads, shape=shape)
        return sketch.transposed(f"{name}.turned", found, *perm)

    def _feed(self, sketch: Sketch, name: str, source: str) -> str:
        found = self._norm(sketch, f"{name}.norm", source)
        found = sketch.linear(f"{name}.hidden", found, self.hidden)
        found = sketch.pointwise("Relu", f"{name}.relu", found)
        found = sketch.linear(f"{name}.out", found, self.width)
        return sketch.pointwise("Add", f"{name}.sum", source, found)
