"""The objectives of a job: a metric and its direction, also written 'minimise size_bytes'."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from compress.values.measurement import Metric

MAX_CHARACTERS = 60
"""Most characters of an objective in words, checked before parsing."""


class Objective(BaseModel, frozen=True, extra="forbid"):
    """One metric and the direction in which it is better."""

    metric: Metric
    direction: Literal["maximise", "minimise"]

    @model_validator(mode="after")
    def _sensible(self) -> Objective:
        wanted = "maximise" if self.metric == "accuracy" else "minimise"
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
