"""Names and ids, as users write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

_MOST = 100
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_WORDS = (
    "{given} is no name: expected at most 100 of the letters a to z and A to Z, digits, '.', '_' "
    "and '-', beginning with a letter or digit{better}"
)


def _check_name(given: object) -> object:
    """Refuse a text that is no name, with one like it that is."""
    if isinstance(given, str) and not re.fullmatch(_NAME, given):
        near = re.sub(r"[^A-Za-z0-9._-]+", "-", given[:_MOST]).strip("-._")
        better = f", for example {near!r}" if near else ""
        told = given if len(given) <= _MOST else f"{given[:_MOST]}..."
        raise PydanticCustomError("name", _WORDS, {"given": repr(told), "better": better})
    return given


Name = Annotated[
    str, StringConstraints(max_length=_MOST, pattern=_NAME), BeforeValidator(_check_name)
]
Reference = Annotated[
    str,
    StringConstraints(max_length=_MOST, pattern=_NAME),
    Field(description="Id or name of something uploaded before."),
]
JobReference = Annotated[str, StringConstraints(max_length=36, pattern=r"^[0-9a-zA-Z-]{1,36}$")]
