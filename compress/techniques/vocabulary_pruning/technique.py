"""The description of ``vocabulary_pruning``."""

from __future__ import annotations

from dataclasses import replace

from compress.techniques.description.conditions import When
from compress.techniques.description.costs import (
    Costs,
    Fields,
    FieldValues,
    LayerBound,
    LayerSize,
)
from compress.techniques.description.rules import counts_where
from compress.techniques.description.technique import Technique
from compress.techniques.vocabulary_pruning.config import VocabularyPruning

_TABLE = 2


class _Costs(Costs):
    """Rows of tables are counted; whether a table is one of words, only its network knows."""

    is_exact = False

    def rows(self, fields: Fields, words: int) -> int:
        """Return the rows of a table: the words that stay, and the buckets."""
        left = VocabularyPruning.model_validate(
            {"keep": fields["keep"], "buckets": fields["buckets"]}
        )
        kept = left.num_kept(words)
        return kept + min(left.buckets, words - kept)

    def narrowing(self, values: FieldValues) -> LayerBound | None:
        """Assume every matrix a table that keeps the smallest share."""
        least = min(values("keep"))

        def narrowed(layer: LayerSize) -> LayerSize:
            if len(layer.shape) != _TABLE or not layer.is_trained:
                return layer
            width, words = layer.shape
            return replace(layer, weights=min(layer.weights, width * int(least * words)))

        return narrowed if least < 1 else None


TECHNIQUE = Technique(
    name="vocabulary_pruning",
    config=VocabularyPruning,
    summary="Keep the words of a table that matter; all others become the unknown one.",
    acts_on=frozenset({"words"}),
    disabled={"keep": 1.0},
    conditions=(
        counts_where(
            "vocabulary_pruning.calibration_rows",
            When("vocabulary_pruning.rule", among=("effect", "gradient")),
        ),
    ),
    composes={
        "family_member": "The tables of the member lose words.",
        "filter_pruning": "Numbers of a word have left before words are ranked.",
    },
    costs=_Costs(),
)
