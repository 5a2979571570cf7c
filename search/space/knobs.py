"""A knob of a search space: a field of a technique, and the values that it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

from compress.values.knobs import Scalar
from featherweight.specs.schemas import KnobSchema

Kind = Literal["float", "int", "categorical", "fixed"]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The values of a knob: a list of ``choices``, or the numbers from ``low`` to ``high``.

    A domain of kind ``fixed`` has one choice. Numbers lie on a grid if there is a ``step``;
    ``log`` says that they are drawn on a logarithmic scale.
    """

    kind: Kind
    choices: tuple[Scalar, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False

    @classmethod
    def of_choices(cls, choices: Sequence[Scalar]) -> Self:
        """Make the domain of a list of values, which is fixed if there is a single one."""
        kind = "fixed" if len(choices) == 1 else "categorical"
        return cls(kind=kind, choices=tuple(choices))


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One dimension of a search space.

    ``part`` numbers the stages or edges of a field that holds one value for each; it is None for a
    field with a single value. Knobs that allocate belong to the technique ``allocation``.
    """

    technique: str
    field: str
    domain: Domain
    part: int | None = None

    @classmethod
    def of_schema(cls, schema: KnobSchema) -> Self:
        """Read a knob as the API shows it."""
        technique, field, *part = schema.name.split(".")
        domain = Domain(**schema.model_dump(exclude={"name"}))
        return cls(
            technique=technique, field=field, domain=domain, part=int(part[0]) if part else None
        )

    @cached_property
    def path(self) -> str:
        """The field of the technique, as ``technique.field``."""
        return f"{self.technique}.{self.field}"

    @cached_property
    def name(self) -> str:
        """The name in studies and in the API: the path, with the part if there is one."""
        return self.path if self.part is None else f"{self.path}.{self.part}"

    @property
    def kind(self) -> Kind:
        """The kind of its domain."""
        return self.domain.kind

    @property
    def choices(self) -> tuple[Scalar, ...]:
        """The values of a domain that lists them; empty for numbers between two ends."""
        return self.domain.choices

    @property
    def low(self) -> float | None:
        """The lowest value of a numeric domain."""
        return self.domain.low

    @property
    def high(self) -> float | None:
        """The highest value of a numeric domain."""
        return self.domain.high

    @property
    def step(self) -> float | None:
        """The distance between neighbouring values; None for real numbers and for choices."""
        return self.domain.step

    @property
    def log(self) -> bool:
        """True if values are drawn on a logarithmic scale."""
        return self.domain.log

    def schema(self) -> KnobSchema:
        """Return the knob as the API shows it."""
        return KnobSchema(
            name=self.name,
            kind=self.kind,
            low=self.low,
            high=self.high,
            step=self.step,
            log=self.log,
            choices=self.choices,
        )
