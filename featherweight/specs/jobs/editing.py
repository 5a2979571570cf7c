"""What may be changed of a job that is there: its name, tags and priority; and more to spend."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, model_validator

from featherweight.specs.names import JobName, Tag

MOST_TAGS = 20


def _once(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))


class BudgetRaise(BaseModel, frozen=True, extra="forbid"):
    """Limits that are raised; those left out stay. ``null`` for seconds or epochs is no limit."""

    trials: int | None = Field(default=None, ge=2, le=10_000)
    seconds: float | None = Field(default=None, gt=0, le=10_000_000)
    epochs: int | None = Field(default=None, ge=1, le=10_000_000)

    @model_validator(mode="after")
    def _something(self) -> BudgetRaise:
        if not self.given:
            raise ValueError("name a limit to raise: trials, seconds or epochs")
        if "trials" in self.given and self.trials is None:
            raise ValueError("a job without a limit of trials would never end: give a number")
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The limits that were given, by name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class JobChanges(BaseModel, frozen=True, extra="forbid"):
    """Changes of a job; what is left out stays as it is."""

    name: JobName | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=MOST_TAGS), AfterValidator(_once)] | None = (
        Field(default=None, description="All of its tags; an empty list takes them away.")
    )
    priority: int | None = Field(
        default=None,
        ge=-100,
        le=100,
        description="Among the jobs of an owner, those with the highest get workers first.",
    )
    budget: BudgetRaise | None = Field(
        default=None,
        description="Upwards only; where the search is over, it is opened again.",
    )

    @model_validator(mode="after")
    def _something(self) -> JobChanges:
        if all(value is None for value in (self.name, self.tags, self.priority, self.budget)):
            raise ValueError("name what to change: name, tags, priority or budget")
        return self
