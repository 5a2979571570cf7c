"""The ranges in which a search may vary a config field, as the field declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

LARGEST = 1e15
"""Beyond what any knob takes; differences of such numbers are finite."""
Bounded = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Scalar: TypeAlias = bool | int | Bounded | Annotated[str, Field(max_length=1000)]
MOST_CHOICES = 1000
"""Of one knob: no search tries more, and each costs time whenever the job is looked at."""


STORED: Mapping[str, bool] = MappingProxyType({"stored": True})
"""Context of the validation of what this project has stored itself."""


class Interval(BaseModel, frozen=True, extra="forbid"):
    """A closed range ``[low, high]``, on a grid of ``step`` if given, log-uniform if asked."""

    kind: Literal["interval"] = "interval"
    low: Bounded
    high: Bounded
    step: float | None = Field(default=None, gt=0, le=LARGEST)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got low={self.low} and high={self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a log range needs low > 0 and no step")
        return self


class Choice(BaseModel, frozen=True, extra="forbid"):
    """One of the listed values."""

    kind: Literal["choice"] = "choice"
    choices: tuple[Scalar, ...] = Field(min_length=1, json_schema_extra={"maxItems": MOST_CHOICES})

    @field_validator("choices", mode="before")
    @classmethod
    def _bounded(cls, choices: Any, info: ValidationInfo) -> Any:
        # Older versions had no bound, and what they stored means what it meant.
        is_long = isinstance(choices, list | tuple) and len(choices) > MOST_CHOICES
        if is_long and info.context is not STORED:
            raise ValueError(
                f"a knob has at most {MOST_CHOICES} choices, got {len(choices)}: give an interval, "
                "or fewer"
            )
        return choices

    @model_validator(mode="after")
    def _distinct(self) -> Choice:
        if len({(type(c), c) for c in self.choices}) != len(self.choices):
            raise ValueError(f"choices must be distinct, got {list(self.choices)}")
        return self


Range = Annotated[Interval | Choice, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class Searchable:
    """Metadata on a config field: the default range of its knob.

    Fields with a ``per`` hold one value for each of these parts of the network, its stages or the
    edges of its cell, and become one knob for each.
    """

    default: Interval | Choice
    per: Literal["stage", "edge"] | None = None


@dataclass(frozen=True, kw_only=True)
class FirstDefault:
    """Metadata on a config field whose default was once another value.

    Digests were made with that value left out, and records of that time may lack the field.
    """

    value: Scalar | None


def first_default(info: FieldInfo) -> Any:
    """Return the first default that a config field had, which a digest leaves out."""
    for each in info.metadata:
        if isinstance(each, FirstDefault):
            return each.value
    return info.get_default(call_default_factory=True)


def as_recorded(config: type[BaseModel], document: Any) -> Any:
    """Fill in the first default of every field that a record of a config lacks.

    Records hold every field, so a field that a record lacks is newer than it. Anything but a
    mapping is left as it is.
    """
    if not isinstance(document, Mapping):
        return document
    return {**changed_defaults(config), **document}


def changed_defaults(config: type[BaseModel]) -> dict[str, Scalar | None]:
    """Return the first defaults of the fields whose default has changed."""
    return {
        name: each.value
        for name, info in config.model_fields.items()
        for each in info.metadata
        if isinstance(each, FirstDefault)
    }
