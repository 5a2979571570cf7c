"""What ``thresholding`` says of itself."""

from __future__ import annotations

from compress.techniques.description.conditions import When
from compress.techniques.description.costs import Costs, Fields, FieldValues
from compress.techniques.description.rules import Relation, counts_where
from compress.techniques.description.technique import Technique

from .config import Thresholding


class _Costs(Costs):
    """Zeros are counted as parameters and multiplied; in the file they take nearly nothing."""

    def nonzero(self, fields: Fields) -> float:
        """As if all sizes of a weight were equally frequent."""
        return 1.0 - float(fields["level"])

    def chooses_values(self, values: FieldValues) -> bool:
        """Zeros code shorter than floats."""
        return max(values("level")) > 0


TECHNIQUE = Technique(
    name="thresholding",
    config=Thresholding,
    summary="Set weights to zero that are small in their layer.",
    acts_on=frozenset({"weights"}),
    disabled={"level": 0.0},
    conditions=(
        counts_where("thresholding.shrinkage", When("thresholding.mode", among=("soft",))),
    ),
    exceptions=(
        Relation(
            first="sparsity",
            second="thresholding",
            kind="excludes",
            why="Both choose the weights that become zero.",
        ),
    ),
    composes={"filter_pruning": "The channels that are left get thresholds."},
    costs=_Costs(),
)
