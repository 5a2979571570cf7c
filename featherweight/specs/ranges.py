"""Techniques of a job and the ranges of their knobs, also written as lists and single values."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from compress.techniques import registry
from compress.values.knobs import MOST_CHOICES, Choice, Interval, Range, Scalar

_Word = Annotated[str, Field(max_length=100)]
_MOST_TECHNIQUES = 32
_MOST_KNOBS = 64
_OF_FAMILIES = "family_member"


def _read_range(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return {"kind": "choice", "choices": value}
    if isinstance(value, bool | int | float | str):
        return {"kind": "choice", "choices": [value]}
    if isinstance(value, dict) and "kind" not in value:
        return {"kind": "choice" if "choices" in value else "interval", **value}
    return value


RangeInput: TypeAlias = (
    Interval
    | Choice
    | Annotated[list[Scalar], Field(min_length=1, max_length=MOST_CHOICES)]
    | Scalar
)
RangeField = Annotated[Range, BeforeValidator(_read_range, json_schema_input_type=RangeInput)]


def _known_techniques(value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for name, ranges in value.items():
        if name not in registry.BY_NAME:
            raise ValueError(
                f"unknown technique {name!r}: expected one of {list(registry.BY_NAME)}"
            )
        fields = [f for f in registry.BY_NAME[name].config.model_fields if f != "technique"]
        for field in ranges:
            if field not in fields:
                raise ValueError(f"{name} has no knob {field!r}: expected one of {fields}")
    return value


def every_technique() -> dict[str, dict[str, Range]]:
    """Every technique that needs nothing but a network, with the default ranges of its knobs."""
    return {name: {} for name in registry.BY_NAME if name != _OF_FAMILIES}


Techniques = Annotated[
    dict[_Word, Annotated[dict[_Word, RangeField], Field(max_length=_MOST_KNOBS)]],
    Field(
        min_length=1,
        max_length=_MOST_TECHNIQUES,
        description="Technique name to the ranges of its knobs; {} for defaults. Left out: every "
        "technique but family_member, which only networks of a family know.",
    ),
    AfterValidator(_known_techniques),
]
