"""Check that a document says what is understood: no "3" for 3, no true for 1.

The strict mode of pydantic cannot be used: it refuses lists if a frozen value has a tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from compress.values.bounds import RECEIVED

Place: TypeAlias = tuple[str | int, ...]
Kind = TypeVar("Kind", bound=BaseModel)
MOST_ERRORS = 100
"""Nobody reads thousands of mistakes, and listing them takes time."""


def understand(kind: type[Kind], document: Any, *where: str | int) -> Kind:
    """Return the document, which lies at this place in the body, as a value of its kind.

    Raises RequestValidationError with what is wrong, and for every value that would be converted to
    another type. If everything is wrong, only the beginning is listed.
    """
    try:
        found = kind.model_validate(document, context=RECEIVED)
    except ValidationError as error:
        raise RequestValidationError(listed(error, *where)) from error
    errors = list(_changes(document, found.model_dump(mode="json"), ("body", *where)))
    if errors:
        raise RequestValidationError(errors[:MOST_ERRORS])
    return found


def listed(error: ValidationError, *where: str | int) -> list[dict[str, Any]]:
    """Return the errors of pydantic, with their places in the body; at most ``MOST_ERRORS``."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        {"type": one["type"], "msg": one["msg"], "loc": ("body", *where, *one["loc"])}
        for one in found[:MOST_ERRORS]
    ]


def _changes(sent: Any, meant: Any, place: Place) -> Iterator[dict[str, Any]]:
    if isinstance(sent, dict) and isinstance(meant, dict):
        for key in sent.keys() & meant.keys():
            yield from _changes(sent[key], meant[key], (*place, key))
    elif isinstance(sent, list) and isinstance(meant, list) and len(sent) == len(meant):
        for index, (one, other) in enumerate(zip(sent, meant, strict=True)):
            yield from _changes(one, other, (*place, index))
    elif _kind(sent) and _kind(meant) and _kind(sent) != _kind(meant):
        message = f"Input should be {_kind(meant)}, not {_kind(sent)}"
        yield {"type": "wrong_type", "loc": place, "msg": message}


def _kind(value: Any) -> str:
    """Return the JSON type of a scalar value; empty for lists and objects."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case None:
            return "null"
        case _:
            return ""
