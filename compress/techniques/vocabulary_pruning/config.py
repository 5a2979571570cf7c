"""Config of ``vocabulary_pruning``: how many words a table keeps, and which."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values import patterns
from compress.values.knobs import Choice, Searchable
from compress.values.patterns import Exclude

Rule = Literal["effect", "frequency", "gradient", "norm", "random"]


class VocabularyPruning(StepConfig, frozen=True, extra="forbid"):
    """Take rows out of tables of words; padding (0) and the unknown word stay."""

    technique: Literal["vocabulary_pruning"] = "vocabulary_pruning"
    keep: Annotated[
        float, Searchable(default=Choice(choices=(1.0, 0.5, 0.25, 0.1, 0.05, 0.02)))
    ] = Field(
        default=0.25,
        gt=0.0,
        le=1.0,
        description="Share of the words of a table that it keeps; 1 keeps all.",
    )
    rule: Annotated[Rule, Searchable(default=Choice(choices=("effect", "frequency")))] = Field(
        default="effect",
        description="Which words stay: those whose loss moves answers most in training, those that "
        "are most frequent, by gradient times row, by norm of the row, or any.",
    )
    buckets: Annotated[int, Searchable(default=Choice(choices=(0,)))] = Field(
        default=0,
        ge=0,
        le=65_536,
        description="Rows that words which leave share, by id; 0: they become the unknown word.",
    )
    unknown: int = Field(
        default=1, ge=0, lt=2**31, description="Id of the unknown word; 0 is padding."
    )
    calibration_rows: int = Field(
        default=32_768,
        ge=1,
        le=1_000_000,
        description="Training examples that measure effect, each with one word replaced, or "
        "gradients.",
    )
    exclude: Exclude = ""

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.keep < 1

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        rule = f" by {self.rule}" if self.rule != "effect" else ""
        buckets = f" and {self.buckets} buckets" if self.buckets else ""
        return f"{self.keep:.3g} of the words{rule}{buckets}{patterns.words(self.exclude)}"

    def num_kept(self, words: int) -> int:
        """Return how many of a table's words stay: padding and the unknown word at least."""
        return min(words, max(2, round(self.keep * words)))
