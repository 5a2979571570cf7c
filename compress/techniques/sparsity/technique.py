"""The description of ``sparsity``."""

from __future__ import annotations

from compress.techniques.description.conditions import When
from compress.techniques.description.costs import Costs, Fields, FieldValues
from compress.techniques.description.rules import Applies, counts_where
from compress.techniques.description.technique import Technique
from compress.techniques.sparsity.config import Sparsity

_NO_PATTERN = When("sparsity.pattern", among=("",))


class _Costs(Costs):
    """Zeros count as parameters and are multiplied; in the file they take hardly any bytes."""

    def nonzero(self, fields: Fields) -> float:
        """Estimate the share of weights that are not zero."""
        return 1.0 - float(fields["sparsity"])

    def chooses_values(self, values: FieldValues) -> bool:
        """Whether there are zeros, which code shorter than floats."""
        return max(values("sparsity")) > 0 or set(values("pattern")) != {""}


TECHNIQUE = Technique(
    name="sparsity",
    config=Sparsity,
    summary="Set single weights to zero, anywhere or N of M.",
    acts_on=frozenset({"weights"}),
    disabled={"sparsity": 0.0, "pattern": ""},
    conditions=(
        counts_where("sparsity.sparsity", _NO_PATTERN),
        counts_where("sparsity.scope", _NO_PATTERN),
        Applies(
            field="sparsity.criterion",
            values=("lamp",),
            when=((When("sparsity.scope", among=("global",)), _NO_PATTERN),),
        ),
        counts_where("sparsity.calibration_images", When("sparsity.criterion", among=("wanda",))),
    ),
    composes={
        "family_member": "The share of zeros is one of the member's weights.",
        "filter_pruning": "The share of zeros is one of the weights that are left.",
        "low_rank": "The factors get masks; a pattern of N:M has to divide the ranks.",
        "distillation": "The masked network learns from the teacher.",
    },
    costs=_Costs(),
)
