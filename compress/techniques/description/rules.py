"""The rules between fields and between techniques that a technique declares in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compress.techniques.description.conditions import Condition, When, either
from compress.values.knobs import Scalar

Kind = Literal["composes", "decides", "excludes"]


@dataclass(frozen=True, kw_only=True)
class Applies:
    """A field that has an effect only ``when`` other fields have certain values.

    ``field`` is ``technique.field``, or a whole technique. A rule with ``values`` is about these
    values of the field only. A field without effect gets its default; a technique without effect
    is left out.
    """

    field: str
    when: Condition
    values: tuple[Scalar, ...] = ()

    @property
    def technique(self) -> str:
        """The technique that the field belongs to."""
        return self.field.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A value that cannot be ``beside`` others; it becomes ``instead``.

    Of two fields, the later one gives way.
    """

    value: When
    beside: Condition
    instead: Scalar
    why: str
    way_out: str


@dataclass(frozen=True, kw_only=True)
class Relation:
    """The relation of a technique to one that comes after it.

    Composing means that the second works on what the first has made, and neither takes anything
    from the other. If the first decides fields of the second, those fields have no effect
    ``unless`` its condition holds. Techniques that exclude each other cannot be in one job.
    """

    first: str
    second: str
    kind: Kind
    why: str
    fields: tuple[str, ...] = ()
    """Fields of the second that the first decides."""
    unless: Condition = ()
    """Where they are left to the second after all."""


def counts_where(field: str, *parts: When) -> Applies:
    """Return the rule for a field that has an effect if one of these parts holds."""
    return Applies(field=field, when=either(*parts))
