"""Config of ``filter_pruning``: which share of the channels leaves in every stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from compress.knobs import Interval, Searchable

StageRatio = Annotated[float, Field(ge=0.0, le=0.95)]


class FilterPruning(BaseModel, frozen=True, extra="forbid"):
    """Remove channels by importance, with one ratio per stage."""

    technique: Literal["filter_pruning"] = "filter_pruning"
    ratios: Annotated[
        tuple[StageRatio, ...],
        Searchable(default=Interval(low=0.0, high=0.7, step=0.1), per_stage=True),
    ] = Field(min_length=1, max_length=16, description="Share of channels removed, per stage.")
    importance: Literal["l1", "l2"] = Field(
        default="l2", description="Norm of a channel's weights, summed over its dependency group."
    )
    round_to: int = Field(
        default=2, ge=1, le=64, description="Channel counts are rounded up to this multiple."
    )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return any(ratio > 0 for ratio in self.ratios)
