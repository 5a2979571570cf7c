"""Conditions on the values of config fields: which hold, may hold, or must hold.

A field is named ``technique.field``. A condition is a list of alternatives; an alternative holds
if all of its parts do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compress.values.knobs import Scalar


@dataclass(frozen=True)
class When:
    """The value of a field is one of these, none of those, or above a number."""

    field: str
    among: tuple[Scalar, ...] = ()
    not_among: tuple[Scalar, ...] = ()
    above: float | None = None

    def holds(self, value: Any) -> bool:
        """Whether the value meets the condition."""
        if self.above is not None:
            return value > self.above
        return value in self.among if self.among else value not in self.not_among

    @property
    def technique(self) -> str:
        """The technique that the field belongs to."""
        return self.field.split(".")[0]

    def words(self, *, beside: str) -> str:
        """Return it as Markdown; the technique is named unless it is ``beside``."""
        technique, field = self.field.split(".")
        name = f"`{field}`" if technique == beside else f"`{self.field}`"
        if self.above is not None:
            return f"{name} is above {self.above:g}"
        values = " or ".join(_shown(value) for value in self.among or self.not_among)
        return f"{name} is {'' if self.among else 'not '}{values}"


Condition = tuple[tuple[When, ...], ...]
"""Alternatives, each a row of parts that hold together."""
ValueOf = Callable[[str], Any]
ValuesOf = Callable[[str], Sequence[Any]]


def either(*parts: When) -> Condition:
    """Return a condition whose alternatives have one part each."""
    return tuple((part,) for part in parts)


def holds(condition: Condition, value_of: ValueOf) -> bool:
    """Whether an alternative holds for these values."""
    return any(all(part.holds(value_of(part.field)) for part in parts) for parts in condition)


def may_hold(condition: Condition, values_of: ValuesOf) -> bool:
    """Whether the condition could hold for some of the fields' values; never wrongly False."""
    return any(all(any(map(p.holds, values_of(p.field))) for p in parts) for parts in condition)


def must_hold(condition: Condition, values_of: ValuesOf) -> bool:
    """Whether the condition holds for all of the fields' values; never wrongly True."""
    return any(all(all(map(p.holds, values_of(p.field))) for p in parts) for parts in condition)


def words(condition: Condition, *, beside: str) -> str:
    """Return the condition as Markdown."""
    return ", or ".join(
        " and ".join(part.words(beside=beside) for part in parts) for parts in condition
    )


def _shown(value: Scalar) -> str:
    return "empty" if value == "" else f"`{value}`"
