"""Config of ``distillation``: how much, and how softly, the student listens to its teacher."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from compress.knobs import Interval, Searchable


class Distillation(BaseModel, frozen=True, extra="forbid"):
    """Temperature and weight of the distillation loss used in every recovery step."""

    technique: Literal["distillation"] = "distillation"
    temperature: Annotated[float, Searchable(default=Interval(low=1.0, high=8.0, step=1.0))] = (
        Field(default=4.0, ge=1.0, le=50.0, description="Softening of both distributions, T.")
    )
    weight: Annotated[float, Searchable(default=Interval(low=0.0, high=0.9, step=0.1))] = Field(
        default=0.5, ge=0.0, le=1.0, description="Share of the soft loss; the labels get the rest."
    )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.weight > 0
