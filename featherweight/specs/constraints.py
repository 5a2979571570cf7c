"""Constraints as users write them: ``accuracy >= baseline - 1 point``, ``size_bytes <= 64 kB``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from compress.values.measurement import METRICS, Measurement, Metric
from compress.values.metrics import Unit

_UNITS: dict[Unit, dict[str, float]] = {
    "share": {"": 1.0, "%": 0.01, "point": 0.01, "points": 0.01},
    "score": {"": 1.0, "%": 0.01, "point": 0.01, "points": 0.01},
    "error": {"": 1.0},
    "bytes": {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 1024.0, "mib": 1024.0**2},
    "ms": {"": 1.0, "ms": 1.0, "us": 1e-3, "s": 1e3},
    "count": {"": 1, "k": 1e3, "m": 1e6, "g": 1e9},
}
MAX_CHARACTERS = 200
"""Checked before anything is matched."""
_COMPARISONS = ("<=", ">=")
_NUMBER = r"(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(?P<unit>%|[a-z]*)"
_FORMS = {
    "absolute": re.compile(rf"^{_NUMBER}$"),
    "offset": re.compile(rf"^baseline\s*(?P<sign>[+-])\s*{_NUMBER}$"),
    "divided": re.compile(r"^baseline\s*/\s*(?P<number>\d+(?:\.\d+)?)$"),
    "multiplied": re.compile(r"^(?P<number>\d+(?:\.\d+)?)\s*[x*]\s*baseline$"),
    "times": re.compile(r"^baseline\s*[x*]\s*(?P<number>\d+(?:\.\d+)?)$"),
    "baseline": re.compile(r"^baseline$"),
}
_WAY_OUT = (
    "write METRIC <= VALUE or METRIC >= VALUE, where VALUE is a number with a unit ('64 kB', "
    "'90 %', '3 ms', '10 M') or relative ('baseline - 1 point', 'baseline / 8', '0.5 x baseline')"
)


class Constraint(BaseModel, frozen=True, extra="forbid"):
    """``metric`` compared with ``factor * baseline + offset``; ``factor`` 0 makes it absolute."""

    metric: Metric
    comparison: Literal["at_most", "at_least"]
    factor: float = Field(default=0.0, ge=0, le=1e6)
    offset: float = Field(default=0.0, ge=-1e15, le=1e15)
    text: str = Field(
        default="", max_length=MAX_CHARACTERS, description="The constraint as it was written."
    )

    @property
    def is_relative(self) -> bool:
        """Whether the bound needs the baseline's measurement."""
        return self.factor != 0

    def bound(self, baseline: Measurement | None) -> float:
        """Return the bound in the metric's own unit (fractions, bytes, ms, counts)."""
        if not self.is_relative:
            return self.offset
        if baseline is None:
            raise ValueError(f"'{self.label}' is relative and the baseline is not measured yet")
        return self.factor * baseline.value(self.metric) + self.offset

    def violation(self, measured: Measurement, baseline: Measurement | None) -> float:
        """Return the violation as a share of the bound; at most 0 if satisfied."""
        bound = self.bound(baseline)
        gap = measured.value(self.metric) - bound
        if self.comparison == "at_least":
            gap = -gap
        return gap / max(abs(bound), 1e-12)

    @property
    def label(self) -> str:
        """The constraint in words."""
        sign = "<=" if self.comparison == "at_most" else ">="
        return self.text or f"{self.metric} {sign} {self.factor:g} x baseline + {self.offset:g}"


def parse(text: str) -> Constraint:
    """Read one constraint. Raises ValueError that names the text and how to write it."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"a constraint has at most {MAX_CHARACTERS} characters, got {len(text)}: "
            f"{text[:40]!r}...; {_WAY_OUT}"
        )
    sign = next((sign for sign in _COMPARISONS if sign in text), None)
    metric, _, value = (part.strip() for part in text.partition(sign or _COMPARISONS[0]))
    if sign is None or not value or not metric.isidentifier():
        raise ValueError(f"cannot read the constraint {text!r}: {_WAY_OUT}")
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r} in {text!r}: expected one of {list(METRICS)}")
    factor, offset = _value(metric, value.lower(), text)
    return Constraint.model_validate(
        {
            "metric": metric,
            "comparison": "at_most" if sign == "<=" else "at_least",
            "factor": factor,
            "offset": offset,
            "text": " ".join(text.split()),
        }
    )


def _value(metric: str, value: str, text: str) -> tuple[float, float]:
    for form, pattern in _FORMS.items():
        found = pattern.match(value)
        if found is None:
            continue
        if form == "baseline":
            return 1.0, 0.0
        number = float(found["number"])
        if form == "divided":
            if number == 0:
                raise ValueError(f"cannot divide by zero in the constraint {text!r}")
            return 1.0 / number, 0.0
        if form in ("multiplied", "times"):
            return number, 0.0
        scale = _scale(metric, found["unit"], text)
        if form == "absolute":
            return 0.0, number * scale
        return 1.0, number * scale * (1 if found["sign"] == "+" else -1)
    raise ValueError(f"cannot read the value {value!r} in {text!r}: {_WAY_OUT}")


def _scale(metric: str, unit: str, text: str) -> float:
    units = _UNITS[METRICS[metric].unit]
    if unit not in units:
        known = [name for name in units if name]
        raise ValueError(f"unknown unit {unit!r} for {metric} in {text!r}: expected one of {known}")
    return units[unit]


def _read(value: Any) -> Any:
    return parse(value) if isinstance(value, str) else value


ConstraintField = Annotated[
    Constraint,
    BeforeValidator(
        _read, json_schema_input_type=Constraint | Annotated[str, Field(max_length=MAX_CHARACTERS)]
    ),
]
