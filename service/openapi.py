"""The OpenAPI document, made truthful: every problem an operation may answer is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from featherweight import __version__
from featherweight.documents import MAX_WHOLE_NUMBER
from featherweight.specs.schemas import Problem
from service.forms import FORMS
from service.problems import MEDIA_TYPE

DESCRIPTION = (
    "Send a trained network and its data; get back a front of smaller networks as real files.\n\n"
    "Every error is `application/problem+json`; its `code` is the name of the error's class. "
    "Texts must not hold the zero character, and whole numbers have at most 64 bits."
)
WORDS = {
    400: "The request could not be read",
    401: "A valid token is needed",
    403: "The token lacks the scope, or the request comes from a foreign page",
    404: "There is nothing of this id",
    408: "The rest of the body did not come in time",
    409: "It contradicts what is stored",
    410: "The job was deleted; only its spec is left",
    413: "The body is over the limit",
    415: "The content type is not taken here",
    416: "The range lies outside the file",
    422: "The request is not valid; `errors` says where",
    429: "Too much at once of this token or address; try again later",
    500: "An unexpected error",
    503: "The database or another part cannot be reached; try again later",
}
_OF_JOBS = ("{job_id}", "{trial_id}", "{artifact_id}")
"""In paths of what goes with a deleted job."""
_STORABLE = r"^[^\u0000]*$"
_REF = "#/components/schemas/Problem"


def problem(status: int) -> dict[str, Any]:
    """The response object of a problem."""
    return {"description": WORDS[status], "content": {MEDIA_TYPE: {"schema": {"$ref": _REF}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of a route: the statuses that are its own."""
    return {status: problem(status) for status in statuses}


def install(app: FastAPI, *, max_upload_bytes: int) -> None:
    """Serve the completed document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title="Featherweight",
                    version=__version__,
                    description=DESCRIPTION,
                    routes=app.routes,
                ),
                max_upload_bytes=max_upload_bytes,
            )
        return app.openapi_schema

    app.openapi = document


def _complete(document: dict[str, Any], *, max_upload_bytes: int) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for name, schema in _further_schemas().items():
        schemas.setdefault(name, schema)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _add_problems(path, operation)
            for parameter in operation.get("parameters", []):
                _drop_null(parameter)
    schemas["UploadSpec"]["properties"]["size_bytes"]["maximum"] = max_upload_bytes
    _complete_schemas(schemas)
    _complete_schemas(document["paths"])
    return document


def _further_schemas() -> dict[str, Any]:
    """Schemas of bodies that FastAPI does not read itself."""
    wanted = [(Problem, "serialization"), *((form, "validation") for form in FORMS)]
    _, document = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    return document["$defs"]


def _add_problems(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in _general(path, operation):
        responses[str(status)] = problem(status)
    operation["responses"] = dict(sorted(responses.items()))
    if not any(entry.get("token") for entry in operation.get("security", [])):
        # FastAPI writes {"token": []} for a scheme without scopes: the address is public.
        operation["security"] = []


def _general(path: str, operation: dict[str, Any]) -> list[int]:
    found = [500, 503]
    if any(entry.get("token") for entry in operation.get("security", [])):
        found += [401, 403]
    if operation.get("parameters") or "requestBody" in operation:
        found += [422]
    if "requestBody" in operation:
        found += [400, 408, 413, 429]
    if "{" in path or any(one["name"] == "cursor" for one in operation.get("parameters", [])):
        found += [404]
    if any(of_job in path for of_job in _OF_JOBS):
        found += [410]
    return found


def _complete_schemas(node: Any) -> None:
    """Say of every schema below what ``bodies.read_json`` refuses anywhere."""
    if isinstance(node, list):
        for child in node:
            _complete_schemas(child)
    elif isinstance(node, dict):
        _RULES.get(str(node.get("type")), _as_it_is)(node)
        for child in list(node.values()):
            _complete_schemas(child)


def _as_it_is(schema: dict[str, Any]) -> None:
    return


def _bound_integer(schema: dict[str, Any]) -> None:
    if {"enum", "const"} & schema.keys():
        return
    if not {"maximum", "exclusiveMaximum"} & schema.keys():
        schema["maximum"] = MAX_WHOLE_NUMBER
    if not {"minimum", "exclusiveMinimum"} & schema.keys():
        schema["minimum"] = -MAX_WHOLE_NUMBER


def _bound_string(schema: dict[str, Any]) -> None:
    if not {"enum", "const", "pattern", "format"} & schema.keys():
        schema["pattern"] = _STORABLE


def _bound_names(schema: dict[str, Any]) -> None:
    if schema.get("additionalProperties") not in (None, False):
        schema.setdefault("propertyNames", {"pattern": _STORABLE})


_RULES: dict[str, Callable[[dict[str, Any]], None]] = {
    "integer": _bound_integer,
    "string": _bound_string,
    "object": _bound_names,
}


def _drop_null(parameter: dict[str, Any]) -> None:
    """A parameter that may be left out: there is no way to write null in an address."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
