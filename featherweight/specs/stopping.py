"""When a trial stops early, and when the search of a job ends before its budget."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from compress.values.knobs import FirstDefault
from featherweight.specs.constraints import ConstraintField

TieBreak = Literal["auto", "front", "hypervolume", "net"]
Rounding = Literal["auto", "up", "nearest"]


class EarlyStopping(BaseModel, frozen=True, extra="forbid"):
    """The rungs of multi-objective successive halving.

    ``rungs`` are the total recovery epochs that a candidate has had at each rung; a rung of 0
    measures the compressed network as it is.
    """

    rungs: tuple[Annotated[int, Field(ge=0, le=1000)], ...] = Field(
        default=(0, 1, 3, 9), min_length=1, max_length=8
    )
    eta: float = Field(default=3.0, gt=1, le=16, description="One of eta climbs a rung.")
    tie_break: TieBreak = Field(
        default="auto",
        description="Which of equally ranked trials climb where only some may: all that nothing "
        "dominates or equals, and the rest by hypervolume (front); those that alone add most "
        "hypervolume; or the knee and then the farthest from it (net). With auto front, and "
        "hypervolume for a trial that is nearly as accurate as training is taken to make it.",
    )
    rounding: Rounding = Field(
        default="auto",
        description="How many of n trials n / eta is where it is not whole. With nearest the first "
        "trial at a rung stops there, for eta above 2: many short trainings before a long one. "
        "With auto up, and nearest for a trial that is nearly as accurate as training is taken to "
        "make it.",
    )
    extrapolate: bool = Field(
        default=False,
        description="Judge a trial by its extrapolated accuracy at the last rung.",
    )
    longest: Annotated[float | None, FirstDefault(value=None)] = Field(
        default=0.125,
        gt=0,
        le=1,
        description="Share of budget.seconds that the training up to the next rung may take, by "
        "the trial's own pace: a trial whose next one would take longer stops. Null: no limit.",
    )

    @model_validator(mode="after")
    def _increasing(self) -> EarlyStopping:
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs must increase, got {list(self.rungs)}")
        return self

    @property
    def first_training(self) -> int | None:
        """The epochs of the first rung that trains, or None."""
        return next((epochs for epochs in self.rungs if epochs > 0), None)


class NoGain(BaseModel, frozen=True, extra="forbid"):
    """The last ``trials`` search trials to end added less than ``gain`` to the hypervolume."""

    trials: int = Field(ge=1, le=10_000)
    gain: float = Field(default=0.001, gt=0, le=1, description="Share of the box, 0 to 1.")


class StopRules(BaseModel, frozen=True, extra="forbid"):
    """Ends the search phase before its budget is used up; finalists are retrained anyway."""

    target: tuple[ConstraintField, ...] = Field(
        default=(),
        max_length=8,
        description="Enough: one file of the search that meets all of these, and the constraints.",
    )
    no_gain: NoGain | None = Field(
        default=None, description="The front has stopped growing; counted from its first file on."
    )


class Controls(BaseModel, frozen=True, extra="forbid"):
    """Which simple candidates are tried for comparison."""

    random: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the search trials that are uniform random points of the space; at "
        "least one is.",
    )
