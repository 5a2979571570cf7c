"""Config of ``distillation``: who teaches, what is compared, and how much it counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.training.distillation.settings import Features, LogitsLoss, Teacher
from compress.values.knobs import Interval, Searchable


class Distillation(StepConfig, frozen=True, extra="forbid"):
    """The distillation loss used in every recovery step."""

    technique: Literal["distillation"] = "distillation"
    temperature: Annotated[float, Searchable(default=Interval(low=1.0, high=8.0, step=1.0))] = (
        Field(default=4.0, ge=1.0, le=50.0, description="Softening of both distributions, T.")
    )
    weight: Annotated[float, Searchable(default=Interval(low=0.0, high=0.9, step=0.1))] = Field(
        default=0.5, ge=0.0, le=1.0, description="Share of the soft loss; the labels get the rest."
    )
    loss: LogitsLoss = Field(
        default="kl", description="How far the student's logits are from the teacher's."
    )
    alpha: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        description="Weight of the target class in the decoupled loss.",
    )
    beta: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        description="Weight of the other classes in the decoupled loss.",
    )
    features: Features = Field(
        default="none", description="What of the stages' outputs is compared besides the logits."
    )
    feature_weight: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="Weight of the feature loss; added to the rest."
    )
    teacher: Teacher = Field(
        default="baseline",
        description="The baseline, the student's own running average, or an uploaded model.",
    )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.weight > 0 or self.compares_features

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        loss = f" {self.loss}" if self.loss != "kl" else ""
        compared = f" {self.features} {self.feature_weight:g}" if self.compares_features else ""
        by = f" by {self.teacher}" if self.teacher != "baseline" else ""
        return f"distil T={self.temperature:g} w={self.weight:g}{loss}{compared}{by}"

    @property
    def compares_features(self) -> bool:
        """Whether the teacher's feature maps are needed in every step."""
        return self.features != "none" and self.feature_weight > 0

    @property
    def is_online(self) -> bool:
        """Whether the teacher has to run in every step: kept logits do not do."""
        return self.compares_features or self.teacher == "self"
