"""What schemathesis is told beside the document: a token, ids of what is there, and one more check.

It runs in a process of its own; where the service's database is, and the ids, are in its
environment.
"""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation

from store.access import tokens
from store.session import open_database
from tests.service.contract import DATABASE, KNOWN, REASONS

FENCE = "Fencing-Token"
_BODYLESS = "HEAD"
_EVERY_THIRD_IS_ITS_OWN = (True, True, False)
_REFUSED = (413, 422)
_database = open_database(os.environ[DATABASE], check_schema=False)
_known: Mapping[str, list[str]] = json.loads(os.environ[KNOWN])
_turns: Iterator[bool] = itertools.cycle(_EVERY_THIRD_IS_ITS_OWN)
_ids = {name: itertools.cycle(values) for name, values in _known.items()}


@schemathesis.auth(refresh_interval=1)
class Admin:
    """A token of its own every second: one that the run found in a listing it may have revoked."""

    def get(self, case: schemathesis.Case, context: Any) -> str:
        with _database.write() as session:
            return tokens.create(session, name="schemathesis", scopes=["admin"])[1]

    def set(self, case: schemathesis.Case, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Two of three ids that are only well formed become ids of things that are there."""
    if case.meta is None or not next(_turns):
        return
    if _is_well_formed(case, ParameterLocation.PATH):
        for name in case.path_parameters.keys() & _ids.keys():
            case.path_parameters[name] = next(_ids[name])
    if FENCE in (case.headers or {}) and _is_well_formed(case, ParameterLocation.HEADER):
        case.headers[FENCE] = _known["fence"][0]
    if isinstance(case.body, dict) and _is_well_formed(case, ParameterLocation.BODY):
        for name in case.body.keys() & {"data"}:
            case.body[name] = next(_ids["data"])


def _is_well_formed(case: schemathesis.Case, place: ParameterLocation) -> bool:
    component = case.meta.components.get(place)
    return component is not None and component.mode.is_positive


def refusals_have_reasons(ctx: Any, response: Any, case: schemathesis.Case) -> None:
    """What fits the document is refused for a fact only, never for its form."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or case.method == _BODYLESS:
        return
    if response.status_code not in _REFUSED:
        return
    problem = response.json()
    assert problem["code"] != "BodyInvalid", problem
    if problem["code"] == "RequestValidationError":
        # Beside a fact stand the forms of the other kinds that a value might have had.
        facts = [one for one in problem["errors"] if _is_fact(one["type"])]
        assert facts, f"the document does not say this: {problem['errors'][:3]}"


def _is_fact(kind: str) -> bool:
    """A rule between fields, or a class of ours; all else is a form that a schema can say."""
    return kind in ("value_error", "too_large") or kind[:1].isupper()


if os.environ.get(REASONS):
    schemathesis.check(refusals_have_reasons)
