"""The objectives of a job: a metric and its direction, also written 'minimise size_bytes'."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from compress.values.measurement import METRICS, Metric
from compress.values.metrics import Direction, Unit

MAX_CHARACTERS = 60
"""Most characters of an objective in words, checked before parsing."""


class Objective(BaseModel, frozen=True, extra="forbid"):
    """One metric and the direction in which it is better."""

    metric: Metric
    direction: Direction

    @model_validator(mode="after")
    def _sensible(self) -> Objective:
        wanted = METRICS[self.metric].direction
        if self.direction != wanted:
            raise ValueError(f"{self.metric} can only be something to {wanted}")
        return self


def _read_objective(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    words = value.split() if len(value) <= MAX_CHARACTERS else []
    if len(words) != 2:
        raise ValueError(
            f"write an objective as 'minimise size_bytes', got {value[:MAX_CHARACTERS]!r}"
        )
    direction = {"maximize": "maximise", "minimize": "minimise"}.get(words[0], words[0])
    return {"direction": direction, "metric": words[1]}


ObjectiveField = Annotated[
    Objective,
    BeforeValidator(
        _read_objective,
        json_schema_input_type=Objective | Annotated[str, Field(max_length=MAX_CHARACTERS)],
    ),
]


class MetricSchema(BaseModel, frozen=True):
    """One of the metrics that a job compares, for those who show its values."""

    name: str
    words: str = Field(description="Its name for people.")
    unit: Unit = Field(description="A share is within 0 and 1.")
    direction: Direction

    @classmethod
    def of(cls, metric: Metric) -> MetricSchema:
        """Read the metric's row of the table."""
        info = METRICS[metric]
        return cls(name=info.name, words=info.words, unit=info.unit, direction=info.direction)

    def shown(self, value: float | None) -> str:
        """A value for people, with its unit; "-" if there is none."""
        if value is None:
            return "-"
        if self.unit == "share":
            return f"{100 * value:.2f} %"
        if self.unit in ("score", "error"):
            return f"{value:.4g}"
        return f"{value:.3f} ms" if self.unit == "ms" else f"{value:,.0f}"


class QualitySchema(BaseModel, frozen=True):
    """A task's primary metric on so many examples, and its 95 % interval.

    The interval of a share of right answers is Wilson's, of other metrics the bootstrap's.
    """

    metric: MetricSchema
    value: float
    accuracy: float | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="The value, if the metric is accuracy.",
    )
    images: int = Field(description="Examples that it was measured on.")
    examples: str = Field(default="images", description="What people call them.")
    low: float
    high: float

    @property
    def words(self) -> str:
        """The value for people."""
        return self.metric.shown(self.value)

    @property
    def between(self) -> str:
        """The interval for people."""
        return f"{self.metric.shown(self.low)} to {self.metric.shown(self.high)}"


class SpreadSchema(BaseModel, frozen=True):
    """Mean and sample standard deviation of a metric; 0 if there is one value only."""

    mean: float
    std: float


class FigureSchema(BaseModel, frozen=True):
    """One metric of the baseline and of the recommended file; None where it was not measured."""

    metric: MetricSchema
    baseline: float | None
    recommended: float | None
    baseline_on_test: float | None = Field(description="None for costs, too.")
    recommended_on_test: float | None = Field(description="None for costs, too.")
