"""Query parameters: a route takes those it names, once each, and refuses all others.

If a misspelt ``?dryrun=true`` were silently ignored, it would start the job that was only to be
previewed.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request

_MOST_PARAMETERS = 100
_SHOWN = 80
_SEQUENCES = (list, tuple, set, frozenset)


@dataclass(frozen=True)
class Parameters:
    """The query parameters of a route. ``repeated`` are lists, which may be given several times."""

    names: tuple[str, ...]
    repeated: frozenset[str]

    def check(self, request: Request) -> None:
        """Raise RequestValidationError for a parameter that is unknown, repeated or not text."""
        query = request.scope["query_string"].decode("latin-1")
        if not query:
            return
        seen: set[str] = set()
        errors: list[dict[str, Any]] = []
        for name in _names(query):
            if name not in self.names:
                errors.append(_entry(name, "unknown_parameter", self._unknown(name)))
            elif name in seen and name not in self.repeated:
                errors.append(_entry(name, "repeated_parameter", "give it once"))
            seen.add(name)
        if errors:
            raise RequestValidationError(errors)

    def _unknown(self, name: str) -> str:
        if not self.names:
            return "there is no such parameter: this address takes none"
        nearest = difflib.get_close_matches(name[:_SHOWN], self.names, n=1, cutoff=0.5)
        meant = f"did you mean {nearest[0]!r}? " if nearest else ""
        return f"there is no such parameter; {meant}Known are {', '.join(self.names)}"


def of_route(dependant: Dependant) -> Parameters:
    """Return the query parameters of a route and of everything that it depends on."""
    found = dict(_fields(dependant))
    repeated = frozenset(name for name, kind in found.items() if _is_sequence(kind))
    return Parameters(names=tuple(sorted(found)), repeated=repeated)


def _fields(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name, info.annotation
        else:
            yield field.alias, kind
    for further in dependant.dependencies:
        yield from _fields(further)


def _is_sequence(kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Annotated:
        return _is_sequence(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return any(_is_sequence(each) for each in get_args(kind))
    return kind in _SEQUENCES or origin in _SEQUENCES


def _names(query: str) -> list[str]:
    try:
        found = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except UnicodeDecodeError as error:
        raise _unreadable("a parameter must be UTF-8 in percent encoding") from error
    except ValueError as error:
        raise _unreadable(f"there are more than {_MOST_PARAMETERS} parameters") from error
    return [name for name, _ in found]


def _unreadable(words: str) -> RequestValidationError:
    return RequestValidationError([{"type": "query_invalid", "loc": ("query",), "msg": words}])


def _entry(name: str, kind: str, words: str) -> dict[str, Any]:
    return {"type": kind, "loc": ("query", name[:_SHOWN]), "msg": words}
