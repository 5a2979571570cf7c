"""The description of ``distillation``."""

from __future__ import annotations

from compress.techniques.description.conditions import When
from compress.techniques.description.rules import Applies, counts_where
from compress.techniques.description.technique import Technique
from compress.techniques.training.distillation.config import Distillation

_SOFT = When("distillation.weight", above=0)

TECHNIQUE = Technique(
    name="distillation",
    config=Distillation,
    summary="Recover with a teacher's answers beside the labels.",
    acts_on=frozenset({"training"}),
    disabled={"weight": 0.0, "features": "none"},
    conditions=(
        counts_where("distillation.features", When("distillation.feature_weight", above=0)),
        counts_where(
            "distillation.feature_weight", When("distillation.features", not_among=("none",))
        ),
        counts_where("distillation.loss", _SOFT),
        Applies(
            field="distillation.temperature",
            when=((_SOFT, When("distillation.loss", not_among=("mse",))),),
        ),
        counts_where("distillation.alpha", When("distillation.loss", among=("decoupled",))),
        counts_where("distillation.beta", When("distillation.loss", among=("decoupled",))),
    ),
    composes={
        "family_member": "The member learns from the whole network.",
        "filter_pruning": (
            "The teacher teaches in recovery; what pruning trains itself has labels only."
        ),
        "low_rank": "The factors are trained like any other layer.",
    },
)
