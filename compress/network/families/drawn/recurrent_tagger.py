"""A tag for every word, by a recurrent layer that reads the text in both directions.

Huang et al., Bidirectional LSTM-CRF Models for Sequence Tagging, arXiv:1508.01991, without the CRF.
The layer is told how long every text is, so that its backward direction begins at the last word.

Legend: N texts, L words, D numbers of a word, H hidden units, K tags.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.network.families.drawn.config import (
    PER_WORD,
    IdsConfig,
    ids_of,
    mask_of,
)
from compress.network.families.drawn.sketch import INT32, Sketch, spread
from compress.network.signature import BATCH

_GATES = {"GRU": 3, "LSTM": 4}
_BOTH = 2


class RecurrentTagger(IdsConfig, frozen=True, extra="forbid"):
    """A BiGRU of 48 units a direction where nothing else is said."""

    axes: ClassVar[tuple[int | str, ...]] = ("L",)
    tasks: ClassVar[frozenset[str]] = PER_WORD
    family: Literal["recurrent_tagger"] = "recurrent_tagger"
    cell: Literal["gru", "lstm"] = Field(default="gru", description="The kind of units.")
    hidden: int = Field(default=48, ge=1, le=1024, description="Units of a direction.")

    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Table, recurrent layer, a linear layer for every word: ``(N, L, K)``."""
        ids = ids_of(sketch)
        lengths = self._lengths(sketch, mask_of(sketch, ids))
        steps = sketch.transposed("steps", self.embedded(sketch, ids), 1, 0, 2)
        states = self._states(sketch, steps, lengths)
        by_text = sketch.transposed("by_text", states, 2, 0, 1, 3)
        length, units = sketch.input_shape[0], _BOTH * self.hidden
        flat = sketch.node(
            "Reshape",
            "flat",
            by_text,
            sketch.constant("flat.shape", [0, 0, units]),
            shape=(BATCH, length, units),
        )
        return sketch.linear("answers", flat, num_classes)

    def _lengths(self, sketch: Sketch, mask: str) -> str:
        """Add the words of every text; one of padding alone is read as one word."""
        count = sketch.reduced("ReduceSum", "count", mask, 1)
        return sketch.cast("lengths", sketch.number("Max", "some", count, 1.0, "float32"), INT32)

    def _states(self, sketch: Sketch, steps: str, lengths: str) -> str:
        op, hidden = self.cell.upper(), self.hidden
        rows, start = _GATES[op] * hidden, spread(hidden)
        resets = {"linear_before_reset": 1} if op == "GRU" else {}
        return sketch.node(
            op,
            "recurrent",
            steps,
            sketch.weight("recurrent.weight", (_BOTH, rows, self.width), start),
            sketch.weight("recurrent.state", (_BOTH, rows, hidden), start),
            sketch.weight("recurrent.bias", (_BOTH, 2 * rows), start),
            lengths,
            shape=(sketch.input_shape[0], _BOTH, BATCH, hidden),
            direction="bidirectional",
            hidden_size=hidden,
            **resets,
        )
