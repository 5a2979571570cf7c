"""What a document says must be what is understood: no "3" for 3, no true for 1.

Pydantic's own strict mode cannot be used: it refuses lists where a frozen value has a tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

Place: TypeAlias = tuple[str | int, ...]


def check(kind: type[BaseModel], document: Any) -> None:
    """Raise RequestValidationError for every value that would be turned into another type.

    A document that is not valid at all passes: whoever validates it next says why.
    """
    try:
        understood = kind.model_validate(document).model_dump(mode="json")
    except ValidationError:
        return
    errors = list(_changes(document, understood, ("body",)))
    if errors:
        raise RequestValidationError(errors)


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
    """The JSON type of a single value; nothing for lists and objects."""
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
