"""The description of ``filter_pruning``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from compress.network.structure.narrowing import Narrowing
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
from compress.techniques.filter_pruning import prediction
from compress.techniques.filter_pruning.config import CALIBRATED, FilterPruning

_MOST_PRUNED = 0.95
"""The share of its channels that a stage may lose to meet a target."""


class _Costs(Costs):
    """Widths follow from the groups of an outline; a global ranking can only be estimated."""

    is_exact = False

    def knows_widths(self, values: FieldValues) -> bool:
        """Return whether no ranking over all groups and no target of bytes is tried."""
        scopes, aims = set(values("scope")), set(values("target"))
        return scopes <= prediction.SCOPES and aims <= prediction.TARGETS

    def kept(self, fields: Fields, narrowing: Narrowing) -> Mapping[str, int] | None:
        """Return what the step does to the widths."""
        return prediction.predicted(FilterPruning.model_validate(dict(fields)), narrowing)

    def share(self, fields: Fields, stage: int | None) -> float:
        """Estimate that every stage keeps its share of channels on both sides of a layer."""
        ratio = float(fields["ratio"])
        if fields["target"] != "channels":
            return 1.0 - ratio
        if fields["scope"] == "stage":
            ratios = tuple(fields["ratios"])
            ratio = ratios[stage or 0] if (stage or 0) < len(ratios) else 0.0
        # Stem and head have one side that pruning leaves alone: the image, and the classes.
        return (1.0 - ratio) ** (1 if stage is None else 2)

    def narrowing(self, values: FieldValues) -> LayerBound | None:
        """Assume as few channels as may be left; the image's channels and the classes stay."""
        return partial(_narrowed, share=_least_kept(values))


def _least_kept(values: FieldValues) -> float:
    """Return the smallest share of a group's channels that may be left; 0 is a single channel."""
    ratio = max(values("ratio"))
    scopes = set(values("scope"))
    has_target = set(values("target")) != {"channels"}
    kept = [1.0 - max(_numbers(values("ratios")), default=0.0)]
    if ratio > 0 and has_target and "stage" in scopes:
        kept.append(1.0 - _MOST_PRUNED)
    if ratio > 0 and "uniform" in scopes:
        kept.append(0.0 if has_target else 1.0 - ratio)
    if ratio > 0 and "same_number" in scopes:
        kept.append(0.0)
    if ratio > 0 and "global" in scopes:
        kept.append(min(values("keep_at_least")))
    return min(kept)


def _numbers(found: Sequence[Any]) -> list[float]:
    """Return the ratios of stages; an empty list of them, a default, has none."""
    return [ratio for ratio in found if isinstance(ratio, int | float)]


def _narrowed(layer: LayerSize, *, share: float) -> LayerSize:
    outputs, inputs, *kernel = layer.shape
    outputs = outputs if layer.is_last else _least(outputs, share)
    inputs = inputs if layer.is_first else _least(inputs, share)
    shape = (outputs, inputs, *kernel)
    return replace(layer, shape=shape, weights=math.prod(shape))


def _least(width: int, share: float) -> int:
    return max(1, math.floor(width * share + 1e-9))


TECHNIQUE = Technique(
    name="filter_pruning",
    config=FilterPruning,
    summary="Remove whole channels, the least important ones.",
    acts_on=frozenset({"channels"}),
    disabled={"ratios": 0.0, "ratio": 0.0},
    conditions=(
        counts_where("filter_pruning.ratios", When("filter_pruning.scope", among=("stage",))),
        counts_where(
            "filter_pruning.ratio",
            When("filter_pruning.scope", not_among=("stage",)),
            When("filter_pruning.target", not_among=("channels",)),
        ),
        counts_where(
            "filter_pruning.normalisation", When("filter_pruning.scope", among=("global",))
        ),
        counts_where(
            "filter_pruning.keep_at_least", When("filter_pruning.scope", among=("global",))
        ),
        counts_where("filter_pruning.step_epochs", When("filter_pruning.steps", above=1)),
        counts_where(
            "filter_pruning.calibration_images",
            When("filter_pruning.importance", among=tuple(sorted(CALIBRATED))),
        ),
        counts_where(
            "filter_pruning.slimming_penalty", When("filter_pruning.slimming_epochs", above=0)
        ),
    ),
    composes={
        "family_member": "Ratios are shares of the channels that the member has left.",
    },
    costs=_Costs(),
)
